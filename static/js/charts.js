// Draws the charts from their tables; without it the tables are what there is.
// A click on a day follows the link of its number.
(() => {
  "use strict";

  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = document.currentScript.dataset.stylesheet;
  document.head.append(style);

  // A colour token is resolved by the browser, so that light-dark() follows the theme.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (token) => {
    probe.style.color = `var(--${token})`;
    return getComputedStyle(probe).color;
  };
  const STYLES = {
    ends: { stroke: "accent", fill: "accent" },
    issued: { stroke: "line-strong", fill: "line-strong" },
    used: { stroke: "accent", fill: "accent" },
    planned: { stroke: "accent", fill: "accent-soft" },
    weeks: { stroke: "accent", fill: "accent", paths: uPlot.paths.bars({ size: [0.8, 24], align: 1 }) },
    before: { stroke: "muted", width: 2, paths: uPlot.paths.stepped({ align: 1 }), none: 0 },
    capacity: { stroke: "ink", width: 2, dash: [6, 4], isLimit: true },
  };
  const whole = new Intl.NumberFormat("en");
  const bars = uPlot.paths.bars({ size: [0.8, 24], gap: 1 });
  const seconds = (day) => Date.parse(`${day}T00:00:00Z`) / 1000;

  const read = (section) => {
    const rows = [...section.querySelectorAll(".twin tbody tr")];
    const series = [...section.querySelectorAll(".twin th[data-style]")].map((head) => ({
      name: head.textContent,
      look: STYLES[head.dataset.style],
    }));
    const days = rows.map((row) => seconds(row.cells[0].textContent));
    const numbers = series.map((_, at) =>
      // No bar is drawn for none, not even one of no height.
      rows.map((row) => Number(row.cells[at + 1].dataset.number) || (series[at].look.none ?? null)));
    return { rows, series, data: [days, ...numbers] };
  };

  const draw = (section) => {
    const { rows, series, data } = read(section);
    const until = section.dataset.until && seconds(section.dataset.until);
    const greatest = (at) => data[at + 1].reduce((most, number) => Math.max(most, number), 4);
    const highest = series.reduce((most, { look }, at) => (look.isLimit ? most : Math.max(most, greatest(at))), 4);
    // A line far above the bars would flatten them: its number is in the table and in the text.
    const shown = series.map(({ look }, at) => !look.isLimit || greatest(at) <= 3 * highest);
    const top = series.reduce((most, _, at) => (shown[at] ? Math.max(most, greatest(at)) : most), highest) * (until ? 1.5 : 1);
    const plot = section.querySelector(".chart-plot");
    plot.replaceChildren();
    plot.hidden = false;
    // Until the pointer is on a day the legend names the colours alone: a label without its value says nothing.
    const live = ({ root, cursor }) =>
      root.querySelector(".u-legend")?.classList.toggle("u-live", cursor.idx != null);
    const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const chart = new uPlot(
      {
        width: plot.clientWidth,
        height: 200,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        legend: { show: !until },
        cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
        hooks: { ready: [live], setCursor: [live] },
        scales: { ...(until && { x: { range: [data[0][0], until] } }), y: { range: [0, top] } },
        axes: [
          { ...axis, size: 28, grid: { show: false }, values: (_, splits) => splits.map((at) => new Date(at * 1000).toISOString().slice(5, 10)) },
          { ...axis, size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6], values: (_, splits) => splits.map((at) => whole.format(at)) },
        ],
        series: [
          { label: "Day", value: (_, at) => (at == null ? "" : new Date(at * 1000).toISOString().slice(0, 10)) },
          ...series.filter((_, at) => shown[at]).map(({ name, look }) => ({
            label: name,
            stroke: colour(look.stroke),
            fill: look.fill && colour(look.fill),
            width: look.width ?? 1,
            dash: look.dash,
            paths: look.paths ?? (look.isLimit ? undefined : bars),
            points: { show: false },
            value: (_, number, __, at) => (at == null ? "" : whole.format(number ?? 0)),
          })),
        ],
      },
      data.filter((_, at) => !at || shown[at - 1]),
      plot,
    );
    chart.over.addEventListener("click", () => {
      const link = rows[chart.cursor.idx]?.querySelector("a[href]");
      if (link) window.location.assign(link.href);
    });
    section.dispatchEvent(new CustomEvent("chart:drawn", { bubbles: true, detail: { chart, plot, until } }));
    return { chart, plot };
  };

  let drawn = [];
  const all = () => {
    for (const { chart } of drawn) chart.destroy();
    drawn = [...document.querySelectorAll("[data-chart]")].map(draw);
  };
  all();
  // What is drawn is no part of a page that is kept for the way back: it is drawn anew there.
  document.addEventListener("htmx:beforeHistorySave", () => {
    for (const { chart, plot } of drawn) {
      chart.destroy();
      plot.replaceChildren();
      plot.hidden = true;
    }
    drawn = [];
  });
  document.addEventListener("htmx:historyRestore", all);
  new ResizeObserver(() => {
    for (const { chart, plot } of drawn) {
      if (plot.clientWidth !== chart.width) chart.setSize({ width: plot.clientWidth, height: 200 });
    }
  }).observe(document.getElementById("content"));
  // The canvas holds colours, not tokens.
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  document.addEventListener("htmx:afterSettle", all);
})();
