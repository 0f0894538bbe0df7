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

  const shown = () => [...list.querySelectorAll("li:not([hidden]) a")];

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
  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement?.closest("tr"));
    const next = all[at < 0 ? 0 : Math.min(Math.max(at + step, 0), all.length - 1)];
    leads(next).focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const select = () => {
    const box = document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]");
    if (!box) return;
    box.click();
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
