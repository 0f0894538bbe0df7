// The keyboard: rows of a list, pages, the command palette. All of it can be done without.
// Single keys can be turned off (WCAG 2.1.4), in the dialog that "?" opens.
(() => {
  "use strict";

  const palette = document.getElementById("palette");
  const keys = document.getElementById("keys");
  if (!palette) return;
  const text = document.getElementById("palette-text");
  const list = document.getElementById("palette-list");
  const told = document.getElementById("palette-count");
  const single = document.getElementById("single-keys");

  const stored = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("single-keys") !== "off";
      localStorage.setItem("single-keys", value ? "on" : "off");
    } catch {
      // A browser without storage keeps the keys on.
    }
    return true;
  };
  single.checked = stored();
  single.addEventListener("change", () => stored(single.checked));

  const shown = () => [...list.querySelectorAll("li:not([hidden]) > *")];

  // What can be done with the ticked rows, as the bar above them offers it.
  const offer = () => {
    for (const old of list.querySelectorAll("[data-act]")) old.remove();
    const note = document.getElementById("selected")?.textContent;
    const acts = [...document.querySelectorAll("#selection.has-selection .bulk-acts button:not([hidden], :disabled)")];
    const items = acts.map((act) => {
      const item = document.createElement("li");
      const entry = document.createElement("button");
      const words = document.createElement("span");
      const many = document.createElement("small");
      words.textContent = act.textContent.trim();
      many.textContent = note || "all that match";
      item.dataset.act = act.value;
      item.dataset.words = words.textContent.toLowerCase();
      entry.type = "button";
      entry.append(act.querySelector(".icon").cloneNode(true), words, many);
      entry.addEventListener("click", () => {
        palette.close();
        act.click();
      });
      item.append(entry);
      return item;
    });
    list.prepend(...items);
  };

  const filter = () => {
    const typed = text.value.trim();
    const words = typed.toLowerCase().split(/\s+/);
    for (const item of list.children) {
      if (item.dataset.search) {
        item.hidden = !typed;
        const link = item.querySelector("a");
        link.href = `${item.dataset.search}?q=${encodeURIComponent(typed)}`;
        link.querySelector("b").textContent = typed;
      } else {
        item.hidden = !words.every((word) => item.dataset.words.includes(word));
      }
    }
    told.textContent = `${shown().length} entries`;
  };

  const open = (dialog) => {
    document.querySelector("[popover]:popover-open.menu")?.hidePopover();
    if (dialog.open) return;
    dialog.showModal();
    if (dialog !== palette) return;
    text.value = "";
    offer();
    filter();
    text.focus();
  };
  for (const button of document.querySelectorAll("[data-opens]")) {
    button.hidden = false;
    button.addEventListener("click", () => open(document.getElementById(button.dataset.opens)));
  }
  text.addEventListener("input", filter);
  palette.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    shown()[0]?.click();
  });
  palette.addEventListener("keydown", (event) => {
    // Once: a search field would only be emptied by it.
    if (event.key === "Escape") {
      event.preventDefault();
      palette.close();
      return;
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const stops = [text, ...shown()];
    const at = stops.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    stops[(at + stops.length) % stops.length].focus();
  });
  // A click beside a dialog closes it.
  for (const dialog of [palette, keys]) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  }

  // Where a row leads: never to an act or a file, which Enter would start.
  const leads = (row) => row.querySelector("a.name[href]") ?? row.querySelector("th a[href]") ?? row.querySelector("a[href]:not(.btn, [download])");
  const rows = () => [...document.querySelectorAll("main .grid tbody tr")].filter(leads);
  const rowAtHand = () => document.activeElement?.closest("main .grid tbody tr");
  let left = null;
  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(rowAtHand());
    // From the acts back to the row that they were reached from.
    const next = all[at < 0 ? Math.max(all.indexOf(left), 0) : Math.min(Math.max(at + step, 0), all.length - 1)];
    leads(next).focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const select = () => {
    const box = document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]");
    if (!box) return;
    box.click();
  };
  const toActs = () => {
    const act = [...document.querySelectorAll(".bulk-acts button")].find((button) => button.offsetParent && !button.disabled);
    const stop = act ?? document.querySelector(".bulk input");
    left = rowAtHand() ?? left;
    stop?.focus();
    return Boolean(stop);
  };

  let going = 0;
  const SINGLE = {
    "/": () => {
      const field = document.getElementById("list-search") ?? document.getElementById("search");
      field?.focus();
      field?.select();
      return Boolean(field);
    },
    j: () => move(1),
    k: () => move(-1),
    x: select,
    a: toActs,
    i: () => {
      const row = document.activeElement?.closest("main tr");
      row?.dispatchEvent(new Event("explain", { bubbles: true }));
      return Boolean(row);
    },
    "?": () => open(keys),
    g: () => {
      going = Date.now();
    },
  };

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open(palette);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, dialog, [contenteditable]")) return;
    if (!single.checked) return;
    const isGoing = Date.now() - going < 1500;
    going = 0;
    if (isGoing) {
      const link = document.querySelector(`#palette a[data-go="${CSS.escape(event.key)}"]`);
      if (link) {
        event.preventDefault();
        link.click();
        return;
      }
    }
    const act = Object.hasOwn(SINGLE, event.key) && SINGLE[event.key];
    if (!act) return;
    if (act() !== false) event.preventDefault();
  });
})();
