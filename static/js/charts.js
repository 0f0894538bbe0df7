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
  };
  const whole = new Intl.NumberFormat("en");
  const bars = uPlot.paths.bars({ size: [0.8, 24], gap: 1 });

  const read = (section) => {
    const rows = [...section.querySelectorAll(".twin tbody tr")];
    const series = [...section.querySelectorAll(".twin th[data-style]")].map((head) => ({
      name: head.textContent,
      look: STYLES[head.dataset.style],
    }));
    const days = rows.map((row) => Date.parse(`${row.cells[0].textContent}T00:00:00Z`) / 1000);
    const numbers = series.map((_, at) =>
      // Nothing is drawn for none, not even a line of no height.
      rows.map((row) => Number(row.cells[at + 1].dataset.number) || null));
    return { rows, series, data: [days, ...numbers] };
  };

  const draw = (section) => {
    const { rows, series, data } = read(section);
    const plot = section.querySelector(".chart-plot");
    plot.replaceChildren();
    plot.hidden = false;
    // Until the pointer is on a day the legend names the colours alone: a label without its value says nothing.
    const live = ({ root, cursor }) =>
      root.querySelector(".u-legend").classList.toggle("u-live", cursor.idx != null);
    const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const chart = new uPlot(
      {
        width: plot.clientWidth,
        height: 200,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
        hooks: { ready: [live], setCursor: [live] },
        scales: { y: { range: (_, __, most) => [0, Math.max(most, 4)] } },
        axes: [
          { ...axis, grid: { show: false }, values: (_, splits) => splits.map((at) => new Date(at * 1000).toISOString().slice(5, 10)) },
          { ...axis, size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6], values: (_, splits) => splits.map((at) => whole.format(at)) },
        ],
        series: [
          { label: "Day", value: (_, at) => (at == null ? "" : new Date(at * 1000).toISOString().slice(0, 10)) },
          ...series.map(({ name, look }) => ({
            label: name,
            stroke: colour(look.stroke),
            fill: colour(look.fill),
            width: 1,
            paths: bars,
            points: { show: false },
            value: (_, number, __, at) => (at == null ? "" : whole.format(number ?? 0)),
          })),
        ],
      },
      data,
      plot,
    );
    chart.over.addEventListener("click", () => {
      const link = rows[chart.cursor.idx]?.querySelector("a[href]");
      if (link) window.location.assign(link.href);
    });
    return { chart, plot };
  };

  let drawn = [];
  const all = () => {
    drawn = [...document.querySelectorAll("[data-chart]")].map(draw);
  };
  all();
  new ResizeObserver(() => {
    for (const { chart, plot } of drawn) {
      if (plot.clientWidth !== chart.width) chart.setSize({ width: plot.clientWidth, height: 200 });
    }
  }).observe(document.getElementById("content"));
  // The canvas holds colours, not tokens.
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  document.addEventListener("htmx:afterSettle", all);
})();
