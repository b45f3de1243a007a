/* Draws the charts from the JSON of the page, in the colours of the current theme. Tooltips take their text from the
   table below the chart. Tests wait for data-drawn on a figure and data-ready on the page. */
"use strict";
(() => {
  const root = document.documentElement;
  const read = () => JSON.parse(document.getElementById("data").textContent);
  let data = read();
  const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
  /* As many digits as the largest value of the axis needs. */
  const dollars = (value, top) =>
    top >= 1000 ? compact.format(value) : value.toFixed(top < 0.05 ? 4 : top < 20 ? 2 : 0);
  const units = {
    count: (value) => compact.format(value),
    money: (value, _, ticks) => `$${dollars(value, ticks.at(-1).value)}`,
    percent: (value) => `${compact.format(value)}%`,
    share: (value) => `${value}%`,
    duration: (value) =>
      value === 0 ? "0" : value < 1000 ? `${value}ms` : value < 120000 ? `${value / 1000}s` : `${compact.format(value / 60000)}m`,
  };
  const dashes = { low: [], middle: [6, 3], high: [2, 2] };
  const colors = new Map();
  /* A colour of the style sheet. It is looked up when a chart is drawn, because the theme may change. */
  const color = (name) => () => {
    if (!colors.has(name)) colors.set(name, getComputedStyle(root).getPropertyValue(`--${name}`).trim());
    return colors.get(name);
  };

  const shares = (chart) => {
    const wholes = data.labels.map((_, at) => chart.series.reduce((sum, one) => sum + one.values[at], 0));
    return chart.series.map((one) => one.values.map((value, at) => (wholes[at] ? (100 * value) / wholes[at] : null)));
  };

  const dataset = (chart, one, values) => ({
    label: one.name,
    data: values,
    borderColor: color(one.tone),
    backgroundColor: color(one.tone),
    borderWidth: chart.kind === "line" ? 2 : 0,
    borderDash: dashes[one.tone] ?? [],
    tension: 0,
    /* A point without neighbours would be invisible in a line. */
    pointRadius: ({ dataIndex: at }) => ((values[at - 1] ?? values[at + 1] ?? null) === null ? 2.5 : 0),
    pointHitRadius: 6,
    barPercentage: 1,
    categoryPercentage: 0.86,
    inflateAmount: 0,
  });

  /* The default legend, with the dashes of each line. */
  const legend = (chart) => (drawn) =>
    Chart.defaults.plugins.legend.labels
      .generateLabels(drawn)
      .map((label) => ({ ...label, lineDash: dashes[chart.series[label.datasetIndex].tone] ?? [] }));

  /* The link of the interval under the pointer, if the table has one. */
  const linkAt = (event, drawn, rows) => {
    const [nearest] = drawn.getElementsAtEventForMode(event, "index", { intersect: false }, false);
    return nearest ? rows[nearest.index].querySelector("a") : null;
  };

  const options = (chart, rows) => {
    const isStacked = chart.kind === "bar";
    const texts = (at, series) => rows[at].cells[series + 1].textContent;
    return {
      animation: false,
      // Half of a point at 100 % lies above the area.
      clip: 6,
      onClick: (event, _, drawn) => linkAt(event.native, drawn, rows)?.click(),
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      plugins: {
        legend: {
          display: chart.series.length > 1,
          align: "start",
          position: "bottom",
          labels: {
            color: color("ink"),
            boxWidth: 10,
            boxHeight: 10,
            usePointStyle: chart.kind === "line",
            pointStyle: "line",
            generateLabels: legend(chart),
            pointStyleWidth: 28,
          },
        },
        tooltip: {
          callbacks: { label: ({ dataset: { label }, datasetIndex, dataIndex }) => `${label}: ${texts(dataIndex, datasetIndex)}` },
        },
      },
      scales: {
        x: {
          stacked: isStacked,
          grid: { display: false },
          border: { color: color("line") },
          ticks: { color: color("muted"), maxRotation: 0, autoSkipPadding: 20 },
        },
        y: {
          stacked: isStacked,
          beginAtZero: chart.unit !== "percent",
          max: chart.unit === "percent" || chart.unit === "share" ? 100 : undefined,
          grid: { color: color("line") },
          border: { display: false },
          ticks: { color: color("muted"), maxTicksLimit: 6, callback: units[chart.unit] },
        },
      },
    };
  };

  const content = (chart) => {
    const values = chart.unit === "share" ? shares(chart) : chart.series.map((one) => one.values);
    return { labels: data.labels, datasets: chart.series.map((one, at) => dataset(chart, one, values[at])) };
  };

  const draw = (chart) => {
    const figure = document.getElementById(chart.key);
    const rows = figure.querySelector("tbody").rows;
    if (rows[0]?.querySelector("a")) figure.dataset.links = "";
    const drawn = new Chart(figure.querySelector("canvas"), {
      type: chart.kind,
      data: content(chart),
      options: options(chart, rows),
      plugins: [{ id: "mark", afterDraw: () => { figure.dataset.drawn = ""; } }],
    });
    figure.querySelector("details").open = false;
    return drawn;
  };

  const setText = (size, padding) => {
    Chart.defaults.font.size = size;
    Chart.defaults.plugins.legend.labels.padding = padding;
  };

  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  setText(12, 12);
  root.dataset.script = "";
  let all = data.charts.map(draw);

  /* The live page changed the data. A chart of the same key is of the same kind. */
  document.addEventListener("new-data", () => {
    data = read();
    const before = new Map(all.map((drawn) => [drawn.canvas?.closest("figure")?.id, drawn]));
    all = data.charts.map((chart) => {
      const drawn = before.get(chart.key);
      if (!drawn) return draw(chart);
      before.delete(chart.key);
      drawn.options = options(chart, document.getElementById(chart.key).querySelector("tbody").rows);
      drawn.data = content(chart);
      drawn.update("none");
      return drawn;
    });
    for (const gone of before.values()) gone.destroy();
  });

  /* Widths and heights on paper. They do not depend on the window: all charts fit the first page of A4 and Letter. */
  const paper = { cost: [640, 115], success: [300, 165], mix: [300, 165] };
  const repaint = (pixelRatio, sizeOf) => {
    colors.clear();
    all.forEach((drawn, at) => {
      drawn.options.devicePixelRatio = pixelRatio;
      drawn.resize(...sizeOf(data.charts[at].key));
      drawn.update("none");
    });
  };

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => repaint(undefined, () => []));
  addEventListener("beforeprint", () => {
    root.dataset.paper = "";
    setText(10, 5);
    repaint(3, (key) => paper[key] ?? [300, 120]);
  });
  addEventListener("afterprint", () => {
    delete root.dataset.paper;
    setText(12, 12);
    repaint(undefined, () => []);
  });
  root.dataset.ready = document.querySelectorAll("figure[data-drawn]").length;
})();
