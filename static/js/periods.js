// The periods on the forecast's chart, to be dragged or moved with keys.
// The number fields are the truth: a line writes into its field, and a change asks the portal.
(() => {
  "use strict";

  const DAY = 86400;
  const PAUSE = 500;
  const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 7, PageDown: -7 };
  let held = null;

  const line = (name, limits, chart, over) => {
    const field = document.getElementById(name);
    const label = field.labels[0].querySelector("span").textContent;
    const zone = document.createElement("div");
    zone.className = `zone-${name}`;
    chart.under.append(zone);
    const handle = document.createElement("div");
    handle.className = `handle handle-${name}`;
    handle.tabIndex = 0;
    handle.dataset.period = name;
    handle.setAttribute("role", "slider");
    handle.setAttribute("aria-label", `${label} on the chart`);
    const flag = document.createElement("span");
    handle.append(flag);
    over.append(handle);

    let days = Number(field.value);
    let asked = days;
    let timer = 0;
    const place = () => {
      const at = chart.valToPos(chart.data[0][0] + days * DAY, "x");
      handle.style.left = `${at}px`;
      zone.style.width = `${at}px`;
      flag.textContent = `${label} ${days} ${days === 1 ? "day" : "days"}`;
      const width = chart.over.clientWidth;
      const isTurned = at > width * 0.6;
      handle.classList.toggle("is-turned", isTurned);
      // On a narrow chart a flag has room on neither side of its line: it is moved over it.
      const beyond = flag.offsetWidth - (isTurned ? at : width - at);
      flag.style.marginInline = beyond > 0 ? `${isTurned ? 0 : -beyond}px ${isTurned ? -beyond : 0}px` : "";
      handle.setAttribute("aria-valuenow", days);
      handle.setAttribute("aria-valuetext", `${days} days`);
      const [least, most] = limits();
      handle.setAttribute("aria-valuemin", least);
      handle.setAttribute("aria-valuemax", most);
    };
    const set = (wanted) => {
      const [least, most] = limits();
      days = Math.min(Math.max(wanted, least), most);
      field.value = days;
      place();
    };
    const ask = () => {
      clearTimeout(timer);
      if (days === asked) return;
      asked = days;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    };

    let begun = null;
    handle.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      begun = days;
      handle.setPointerCapture(event.pointerId);
      handle.focus();
      event.preventDefault();
    });
    handle.addEventListener("pointermove", (event) => {
      if (begun === null) return;
      const at = chart.posToVal(event.clientX - chart.over.getBoundingClientRect().left, "x");
      set(Math.round((at - chart.data[0][0]) / DAY));
    });
    handle.addEventListener("pointerup", () => {
      begun = null;
      ask();
    });
    handle.addEventListener("pointercancel", () => {
      if (begun !== null) set(begun);
      begun = null;
    });
    handle.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const [least, most] = limits();
      const wanted = { Home: least, End: most }[event.key] ?? (event.key in STEPS ? days + STEPS[event.key] : null);
      if (event.key === "Escape" && begun !== null) {
        set(begun);
        begun = null;
      }
      if (wanted === null) return;
      event.preventDefault();
      set(wanted);
      clearTimeout(timer);
      timer = setTimeout(ask, PAUSE);
    });
    handle.addEventListener("blur", ask);
    const hold = (wanted) => {
      set(wanted);
      handle.focus({ preventScroll: true });
      timer = setTimeout(ask, PAUSE);
    };
    return { place, hold, days: () => days };
  };

  document.addEventListener("chart:drawn", (event) => {
    const { chart, plot, until } = event.detail;
    if (event.target.dataset.chart !== "periods") return;
    // What the canvas shows is in the table; the handles are for everybody.
    chart.root.setAttribute("aria-hidden", "true");
    const over = document.createElement("div");
    over.className = "handles";
    plot.append(over);
    const longest = Math.round((until - chart.data[0][0]) / DAY);
    const lines = {};
    const least = (name) => Number(document.getElementById(name).min);
    // The warning period's zone lies below the other's.
    lines.warning = line("warning", () => [Math.max(least("warning"), (lines.expiry?.days() ?? 0) + 1), longest], chart, over);
    lines.expiry = line("expiry", () => [least("expiry"), lines.warning.days() - 1], chart, over);
    const place = () => {
      const { offsetLeft, offsetTop, clientWidth, clientHeight } = chart.over;
      Object.assign(over.style, { left: `${offsetLeft}px`, top: `${offsetTop}px`, width: `${clientWidth}px`, height: `${clientHeight}px` });
      for (const each of Object.values(lines)) each.place();
    };
    chart.hooks.draw = [...(chart.hooks.draw ?? []), place];
    place();
    if (held) lines[held.name].hold(held.days);
    held = null;
  });
  // A line that has the focus keeps it, and what it was moved since the portal was asked.
  document.addEventListener("htmx:beforeSwap", () => {
    const name = document.activeElement?.dataset.period;
    held = name ? { name, days: Number(document.getElementById(name).value) } : null;
  });
})();
