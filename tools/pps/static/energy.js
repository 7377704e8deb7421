"use strict";
// Draws the tables of the energy pages as charts. Every number, word and colour is read from the page itself, so that
// chart and table cannot differ. Without this file, or without Chart.js, the tables are all there is.

// What comes out of a source is drawn above zero, what goes into a store or the grid below it.
const BELOW_ZERO = new Set(["charged", "ev_charged", "sold"]);
const PALE = "66"; // alpha of what is estimated
const GRID = "#e4e8ee";
const INK = "#566173";
const HATCH = "#98a3b3";
const HATCH_GROUND = "#eef1f5";

const language = document.documentElement.lang;
const numbers = new Intl.NumberFormat(language, { maximumFractionDigits: 2 });

function colourOf(element) {
  return getComputedStyle(element).getPropertyValue("--series").trim();
}

function readTable(table) {
  const columns = [...table.querySelectorAll("thead th[data-quantity]")].map((heading) => ({
    name: heading.dataset.quantity,
    label: heading.textContent.trim(),
    colour: colourOf(heading),
  }));
  const rows = [...table.querySelectorAll("tr[data-label]")].map((row) => ({
    label: row.dataset.label,
    state: row.dataset.state,
    span: Number(row.dataset.span || 1),
    onPage: Number(row.dataset.onPage || 1),
    missing: Number(row.dataset.missing || 0),
    spoken: row.querySelector("th").textContent.trim(),
    notes: row.dataset.notes || "",
    cells: [...row.querySelectorAll("td[data-quality]")].map((cell) => ({
      wh: cell.dataset.wh === undefined ? null : Number(cell.dataset.wh),
      quality: cell.dataset.quality,
    })),
  }));
  const headings = [...table.querySelectorAll("thead th")].slice(1).map((heading) => heading.textContent.trim());
  return { columns, headings, rows };
}

// One bar for each half hour: a total of several (`span`, of which this page has `onPage`) is drawn as their average.
function spread(rows) {
  return rows.flatMap((row) =>
    Array.from({ length: row.onPage }, (_, index) => ({ ...row, index, label: index ? later(row.label, index) : row.label })),
  );
}

function later(time, halfHours) {
  const minutes = Number(time.slice(0, 2)) * 60 + Number(time.slice(3)) + 30 * halfHours;
  return [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, "0")).join(":");
}

function hatching(context) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.fillStyle = HATCH_GROUND;
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = HATCH;
  pen.lineWidth = 1.2;
  pen.beginPath();
  for (const start of [-8, 0, 8]) {
    pen.moveTo(start - 1, 9);
    pen.lineTo(start + 9, -1);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

// Behind the bars: hatched where values are missing; above them: a bracket over what is a total of several.
const marks = {
  id: "marks",
  beforeDatasetsDraw(chart, _, { bars }) {
    const { ctx, chartArea: area, scales } = chart;
    const width = area.width / bars.length;
    ctx.save();
    ctx.fillStyle = hatching(ctx);
    bars.forEach((bar, index) => {
      if (bar.state !== "missing" && !bar.missing) return;
      const left = scales.x.getPixelForValue(index) - width / 2;
      const height = bar.state === "missing" ? area.height : 10;
      ctx.fillRect(left, area.bottom - height, width, height);
    });
    ctx.restore();
  },
  afterDatasetsDraw(chart, _, { bars }) {
    const { ctx, chartArea: area, scales } = chart;
    const width = area.width / bars.length;
    ctx.save();
    ctx.strokeStyle = INK;
    ctx.lineWidth = 2;
    bars.forEach((bar, index) => {
      if (bar.span < 2 || bar.index) return;
      const left = scales.x.getPixelForValue(index) - width / 2 + 2;
      const right = left + width * bar.onPage - 4;
      ctx.beginPath();
      ctx.moveTo(left, area.top + 9);
      ctx.lineTo(left, area.top + 3);
      ctx.lineTo(right, area.top + 3);
      ctx.lineTo(right, area.top + 9);
      ctx.stroke();
    });
    ctx.restore();
  },
};

function energyChart(canvas, { columns, rows }) {
  const perUnit = canvas.dataset.unit === "kWh" ? 1000 : 1;
  const words = JSON.parse(canvas.dataset.words);
  const bars = spread(rows);
  const datasets = columns.map(({ name, label, colour }, column) => ({
    label,
    stack: "all",
    categoryPercentage: 1,
    barPercentage: bars.length > 40 ? 0.86 : 0.72,
    data: bars.map(({ cells, span }) => {
      const wh = cells[column]?.wh ?? null;
      return wh === null ? null : ((BELOW_ZERO.has(name) ? -1 : 1) * wh) / span / perUnit;
    }),
    backgroundColor: bars.map(({ cells, span }) =>
      cells[column]?.quality === "estimated" || span > 1 ? colour + PALE : colour,
    ),
  }));
  const options = frame(canvas.dataset.axis);
  options.scales.x.stacked = options.scales.y.stacked = true;
  options.scales.y.grace = "8%"; // the bracket has the upper edge to itself
  options.interaction = { mode: "index", intersect: false };
  options.plugins.marks = { bars };
  options.plugins.tooltip = {
    filter: (item) => item.raw !== null && item.raw !== 0,
    callbacks: {
      title: ([item]) => (item ? bars[item.dataIndex].spoken : ""),
      label: (item) => {
        const { cells, span } = bars[item.dataIndex];
        const { wh, quality } = cells[item.datasetIndex];
        const value = `${item.dataset.label}: ${numbers.format(wh / perUnit)} ${canvas.dataset.unit}`;
        return quality === "measured" || span > 1 ? value : `${value} (${words[quality]})`;
      },
      footer: ([item]) => (item ? bars[item.dataIndex].notes : ""),
    },
  };
  return new Chart(canvas, {
    type: "bar",
    data: { labels: bars.map(({ label }) => label), datasets },
    options,
    plugins: [marks],
  });
}

function circuitsChart(canvas, { rows, headings }) {
  const options = frame(canvas.dataset.axis);
  options.plugins.tooltip = {
    callbacks: { label: (item) => `${numbers.format(item.raw)} ${canvas.dataset.unit}` },
  };
  const data = rows[0].cells.map(({ wh }) => (wh === null ? null : wh / 1000));
  return new Chart(canvas, {
    type: "bar",
    data: { labels: headings, datasets: [{ data, backgroundColor: colourOf(canvas), barPercentage: 0.8 }] },
    options,
  });
}

function frame(axis) {
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    scales: {
      x: { grid: { display: false }, ticks: { color: INK, maxRotation: 0, autoSkipPadding: 14 } },
      y: {
        title: { display: true, text: axis, color: INK },
        grid: { color: (line) => (line.tick?.value === 0 ? INK : GRID) },
        border: { display: false },
        ticks: { color: INK, callback: (value) => numbers.format(Math.abs(value)) },
      },
    },
    plugins: { legend: { display: false } },
  };
}

if (typeof Chart !== "undefined") {
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
    const table = readTable(document.getElementById(canvas.dataset.table));
    canvas.closest("figure").hidden = false;
    (canvas.dataset.chart === "circuits" ? circuitsChart : energyChart)(canvas, table);
  }
}
