// What a pointer is told by hovering, for fingers and for the keyboard: a touch, the focus, or "i"
// for all that a row says. Without this file the browser shows titles on hover alone.
(() => {
  "use strict";

  const hint = document.createElement("div");
  hint.className = "hint";
  hint.popover = "manual";
  document.body.append(hint);
  const isShown = () => hint.matches(":popover-open");
  const hide = () => isShown() && hint.hidePopover();

  const show = (at, text, isAsked) => {
    hide();
    hint.textContent = text;
    // A title is read out where it is; what was asked for is read here.
    hint.setAttribute("role", isAsked ? "status" : "presentation");
    hint.ariaHidden = String(!isAsked);
    hint.showPopover();
    const box = at.getBoundingClientRect();
    const below = box.bottom + 4;
    const fits = below + hint.offsetHeight < window.innerHeight;
    hint.style.left = `${Math.max(8, Math.min(box.left, window.innerWidth - hint.offsetWidth - 8))}px`;
    hint.style.top = `${fits ? below : Math.max(8, box.top - hint.offsetHeight - 4)}px`;
  };

  // Words outside of lists are stops of the Tab key; a list would have hundreds of them.
  const prepare = () => {
    for (const word of document.querySelectorAll("main :is(abbr, .chip)[title]")) {
      if (!word.closest("a, button, label, summary, tbody")) word.tabIndex = 0;
    }
  };

  document.addEventListener("click", (event) => {
    const at = event.pointerType === "touch" && event.target.closest("main [title]");
    if (at && !event.target.closest("a, button, label, summary, input")) show(at, at.title, false);
    else hide();
  });
  document.addEventListener("focusin", (event) => {
    const { target } = event;
    if (target.title && target.matches("main :focus-visible")) show(target, target.title, false);
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("explain", ({ target }) => {
    const said = [...target.querySelectorAll("[title]")].map((word) => `${word.textContent.trim().replace(/\s+/g, " ")}: ${word.title}`);
    if (said.length) show(target, [...new Set(said)].join("\n"), true);
  });
  document.addEventListener("htmx:afterSettle", prepare);
  prepare();
})();
