// Conveniences only: every page works without this file.
// Copy buttons, drop-downs, what stays over a swap; the browser's time zone. Keys: keys.js, ticked
// rows: selection.js.
(() => {
  "use strict";

  const prepare = (root) => {
    for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
    measure();
  };

  // A frame that holds its whole table lets the heads stay in sight of the window: one that scrolls
  // keeps them to itself. Where they stay, and what the focus keeps clear of, is below the bar.
  // What is folded away has no width yet, and goes on scrolling.
  const measure = () => {
    for (const frame of document.querySelectorAll(".table-frame:not(.twin-frame)")) {
      const width = frame.querySelector(":scope > table")?.offsetWidth;
      frame.classList.toggle("holds-all", width > 0 && width <= frame.clientWidth);
    }
    const bar = document.querySelector(".bulk");
    document.documentElement.style.setProperty("--bar", `${bar?.offsetHeight ?? 0}px`);
  };
  window.addEventListener("resize", measure);
  document.addEventListener("counted", measure);

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

  // What is left empty in a form of filters says nothing in the address.
  document.addEventListener("formdata", (event) => {
    if (event.target.method !== "get") return;
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });

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

  // What looks again by itself takes no focus away and closes nothing that was opened; a part that
  // is swapped along with it, and says what it said, stays. Terms are numbered along the page.
  const name = (item) => `${item.tagName} ${item.classList[0] ?? ""} ${item.getAttribute("href") ?? item.name ?? ""} ${item.value ?? ""}`;
  const alike = (root, item) => [...root.querySelectorAll(item.tagName)].filter((other) => name(other) === name(item));
  const said = (root) => [root.textContent, ...[...root.querySelectorAll("[id], [href]")].map((each) => `${each.id} ${each.getAttribute("href")}`)].join("\n");
  let kept = [];
  const keep = (root) => {
    const held = document.activeElement;
    const isHeld = root.id && root !== held && root.contains(held) && !held.id;
    const opened = [...root.querySelectorAll("details")].map((each) => each.open);
    kept.push({ id: root.id, held: isHeld && held, at: isHeld && alike(root, held).indexOf(held), opened });
  };
  const restore = ({ id, held, at, opened }) => {
    const root = id && document.getElementById(id);
    if (!root) return;
    const details = [...root.querySelectorAll("details")];
    if (details.length === opened.length) {
      for (const [index, each] of details.entries()) each.open = opened[index];
    }
    const again = held && document.activeElement === document.body && alike(root, held)[at];
    if (!again) return;
    // Words become stops of the Tab key only when the swap has settled.
    if (held.hasAttribute("tabindex")) again.tabIndex = held.tabIndex;
    again.focus({ preventScroll: true });
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    kept = [];
    keep(event.detail.target);
  });
  document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
    detail.shouldSwap = said(detail.fragment.firstElementChild) !== said(detail.target);
    if (detail.shouldSwap) keep(detail.target);
  });
  document.addEventListener("htmx:afterSwap", () => {
    kept.forEach(restore);
    kept = [];
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
