// Conveniences only: every page works without this file.
// Copy buttons, the number of selected rows, "select all"; the browser's time zone. Keys: keys.js.
(() => {
  "use strict";

  const prepare = (root) => {
    for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
    for (const box of root.querySelectorAll("[data-select-all][hidden]")) box.hidden = false;
    count();
    measure();
  };

  // A frame that holds its whole table lets the heads stay in sight of the window: one that scrolls
  // keeps them to itself. Where they stay, and what the focus keeps clear of, is below the bar.
  const measure = () => {
    for (const frame of document.querySelectorAll(".table-frame")) {
      const table = frame.querySelector(":scope > table");
      frame.classList.toggle("holds-all", Boolean(table) && table.offsetWidth <= frame.clientWidth);
    }
    const bar = document.querySelector(".bulk");
    document.documentElement.style.setProperty("--bar", `${bar?.offsetHeight ?? 0}px`);
  };
  window.addEventListener("resize", measure);

  const count = () => {
    const form = document.getElementById("selection");
    if (!form) return;
    const boxes = [...form.querySelectorAll("input[name=ids]")];
    const selected = boxes.filter((box) => box.checked).length;
    const everything = form.querySelector("input[name=scope]:checked");
    const note = document.getElementById("selected");
    if (note) {
      note.dataset.empty ??= note.textContent;
      note.textContent = everything ? "" : selected ? `${selected} selected` : note.dataset.empty;
    }
    form.classList.add("is-live");
    form.classList.toggle("has-selection", selected > 0 || Boolean(everything));
    for (const button of form.querySelectorAll("[data-ticked-only]")) button.hidden = Boolean(everything);
    const all = form.querySelector("[data-select-all]");
    if (all) {
      all.checked = selected > 0 && selected === boxes.length;
      all.indeterminate = selected > 0 && selected < boxes.length;
    }
    measure();
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const source = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
    try {
      await navigator.clipboard.writeText(source ? source.textContent : button.dataset.copy);
    } catch {
      return;
    }
    button.classList.add("copied");
    const before = button.getAttribute("aria-label");
    if (before) button.setAttribute("aria-label", "Copied");
    setTimeout(() => {
      button.classList.remove("copied");
      if (before) button.setAttribute("aria-label", before);
    }, 1500);
  });

  document.addEventListener("input", (event) => {
    const shown = event.target.dataset.shows && document.getElementById(event.target.dataset.shows);
    if (shown) shown.textContent = `${event.target.value} days`;
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-select-all]")) {
      for (const box of event.target.form.querySelectorAll("input[name=ids]")) box.checked = event.target.checked;
    }
    if (event.target.matches("[data-select-all], input[name=ids], input[name=scope]")) count();
  });

  // What is left empty in a form of filters says nothing in the address.
  document.addEventListener("formdata", (event) => {
    if (event.target.method !== "get") return;
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });

  // Back: the browser ticks again what was ticked, and tells nobody.
  window.addEventListener("pageshow", count);
  document.addEventListener("htmx:historyRestore", count);

  // A drop-down closes when somebody clicks elsewhere or presses Escape.
  const close = (keep) => {
    for (const open of document.querySelectorAll("details.drop[open]")) if (open !== keep) open.open = false;
  };
  document.addEventListener("click", (event) => close(event.target.closest("details.drop")));
  document.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && document.querySelector("details.drop[open]");
    if (!open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });

  // Filters that were applied are out of the way of what they found.
  document.addEventListener("submit", (event) => {
    const open = event.target.querySelector("details.drop[open]");
    if (!open) return;
    if (open.contains(document.activeElement)) open.querySelector("summary").focus();
    open.open = false;
  });

  // Pages show times in the browser's zone, which only a script can tell.
  const zone = encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone).replaceAll("%2F", "/");
  const secure = window.location.protocol === "https:" ? "; secure" : "";
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax${secure}`;

  // What looks again by itself takes no focus away and closes nothing that was opened.
  const name = (item) => `${item.tagName} ${item.getAttribute("href") ?? item.name ?? ""} ${item.value ?? ""}`;
  const alike = (root, item) => [...root.querySelectorAll(item.tagName)].filter((other) => name(other) === name(item));
  let kept = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const root = event.detail.target;
    const held = document.activeElement;
    const isHeld = root.id && root !== held && root.contains(held) && !held.id;
    const opened = [...root.querySelectorAll("details")].map((each) => each.open);
    kept = { id: root.id, held: isHeld && held, at: isHeld && alike(root, held).indexOf(held), opened };
  });
  document.addEventListener("htmx:afterSwap", () => {
    const root = kept?.id && document.getElementById(kept.id);
    if (!root) return;
    const details = [...root.querySelectorAll("details")];
    if (details.length === kept.opened.length) {
      for (const [at, each] of details.entries()) each.open = kept.opened[at];
    }
    if (kept.held && document.activeElement === document.body) alike(root, kept.held)[kept.at]?.focus({ preventScroll: true });
    kept = null;
  });

  // A list takes its search field along when it is swapped: what was typed since it asked stays.
  let typed = null;
  document.addEventListener("htmx:beforeSwap", () => {
    const field = document.activeElement;
    typed = field?.id === "list-search" ? { text: field.value, from: field.selectionStart, to: field.selectionEnd } : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    const field = typed && document.getElementById("list-search");
    if (!field || field.value === typed.text) return;
    // Asked once the new form listens.
    typed.isOther = field.value.trim() !== typed.text.trim();
    field.value = typed.text;
    field.focus();
    field.setSelectionRange(typed.from, typed.to);
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    prepare(event.target);
    if (typed?.isOther) document.getElementById("list-search")?.form.requestSubmit();
    typed = null;
  });
  // A form of filters that is refused: its answer is a page that says why, and nothing to swap in.
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.elt.matches("form")) window.location.assign(event.detail.pathInfo.finalRequestPath);
  });
  prepare(document);

  // A form that was refused: to the first field that has to be mended.
  if (document.activeElement === document.body) document.querySelector("main [aria-invalid=true]")?.focus();
})();
