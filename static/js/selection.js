// The ticked rows of a list: how many they are, "select all", and those of its other pages.
// Without this file only the rows of one page can be ticked together.
(() => {
  "use strict";

  const KEPT = "ticked";
  const form = () => document.getElementById("selection");
  const boxes = () => [...form().querySelectorAll("input[name=ids]")];
  let ticked = new Set();

  // One list's ticks are kept, under its filters, while its pages are turned. Who comes to it from
  // elsewhere begins with none: what was done with the old ones is done.
  const kept = () => {
    try {
      const { query, ids } = JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
      return query === form().elements.query.value ? new Set(ids) : null;
    } catch {
      return null;
    }
  };
  const keep = () => {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify({ query: form().elements.query.value, ids: [...ticked] }));
    } catch {
      // A browser without storage forgets them with the page.
    }
  };
  const [visit] = performance.getEntriesByType("navigation");
  const before = document.referrer && new URL(document.referrer);
  const isTurned = before && before.origin === location.origin && before.pathname === location.pathname;
  if (visit?.type === "navigate" && !isTurned) {
    try {
      sessionStorage.removeItem(KEPT);
    } catch {
      // Nothing was kept.
    }
  }

  const said = (here, most) => {
    const elsewhere = ticked.size - here;
    const where = elsewhere ? `, ${elsewhere} on other pages` : "";
    return `${ticked.size} selected${where}${ticked.size > most ? `: at most ${most} at once` : ""}`;
  };

  const count = () => {
    const here = boxes().filter((box) => box.checked).length;
    const everything = Boolean(form().querySelector("input[name=scope]:checked"));
    const most = Number(form().dataset.most);
    const note = document.getElementById("selected");
    if (note) {
      note.dataset.empty ??= note.textContent;
      note.textContent = everything ? "" : ticked.size ? said(here, most) : note.dataset.empty;
    }
    form().classList.add("is-live");
    form().classList.toggle("has-selection", ticked.size > 0 || everything);
    for (const act of form().querySelectorAll(".bulk-acts button")) act.disabled = !everything && ticked.size > most;
    for (const act of form().querySelectorAll("[data-ticked-only]")) act.hidden = everything;
    for (const clear of form().querySelectorAll("[data-untick]")) clear.hidden = everything || !ticked.size;
    for (const all of form().querySelectorAll("[data-select-all]")) {
      all.hidden = false;
      all.checked = here > 0 && here === boxes().length;
      all.indeterminate = here > 0 && here < boxes().length;
    }
    document.dispatchEvent(new Event("counted"));
  };

  // Also after Back: the browser ticks again what was ticked, and tells nobody.
  const begin = () => {
    if (!form()) return;
    const known = kept();
    for (const box of known ? boxes() : []) box.checked = known.has(box.value);
    ticked = known ?? new Set(boxes().flatMap((box) => (box.checked ? [box.value] : [])));
    count();
  };

  document.addEventListener("change", ({ target }) => {
    if (!target.matches("#selection :is([data-select-all], [name=ids], [name=scope])")) return;
    for (const box of boxes()) {
      if (target.matches("[data-select-all]")) box.checked = target.checked;
      if (box.checked) ticked.add(box.value);
      else ticked.delete(box.value);
    }
    keep();
    count();
  });

  document.addEventListener("click", ({ target }) => {
    if (!target.closest("[data-untick]")) return;
    ticked.clear();
    for (const box of boxes()) box.checked = false;
    keep();
    count();
    form().querySelector(".bulk input").focus();
  });

  document.addEventListener("formdata", ({ target, formData }) => {
    if (target !== form() || formData.has("scope")) return;
    const here = new Set(boxes().map((box) => box.value));
    for (const id of ticked) if (!here.has(id)) formData.append("ids", id);
  });

  window.addEventListener("pageshow", begin);
  document.addEventListener("htmx:historyRestore", begin);
  document.addEventListener("htmx:afterSettle", begin);
  begin();
})();
