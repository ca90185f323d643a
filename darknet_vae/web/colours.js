"use strict";
/* Colours of points: for names those of M. A. Petroff (Accessible color sequences for data visualization, arXiv:2107.02270), which
   people with any kind of colour vision can tell apart; for numbers viridis (S. van der Walt and N. Smith, CC0). */

const NAMED = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const OTHER = "#9aa3ad";

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** part: 0 to 1. */
function viridis(part) {
  const place = Math.min(Math.max(part, 0), 1) * (VIRIDIS.length - 1), low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const [a, b] = [channels(VIRIDIS[low]), channels(VIRIDIS[low + 1])];
  return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * (place - low))).join(" ")})`;
}

/** How points are coloured by a column: {colour(i), legend}. A legend of names is a list of {name, colour, count, code}; of numbers
    {low, high}, between which 98 % of the values lie: a few far ones would leave the others a single colour. */
function colouring(column, values, n) {
  if (!column) return { colour: () => NAMED[0], legend: null, group: () => 0 };
  if (column.words) {
    const counts = new Map();
    for (let i = 0; i < n; i++) counts.set(values[i], (counts.get(values[i]) || 0) + 1);
    const byCount = [...counts].sort((a, b) => b[1] - a[1]);
    const kept = byCount.slice(0, byCount.length > NAMED.length ? NAMED.length - 1 : NAMED.length).map(([code]) => code);
    kept.sort((a, b) => compareWords(column.words[a], column.words[b]));
    const place = new Map(kept.map((code, i) => [code, i]));
    const legend = kept.map((code, i) => ({ name: code < 0 ? "missing" : column.words[code], colour: NAMED[i], count: counts.get(code), group: i }));
    const rest = byCount.length - kept.length;
    if (rest) legend.push({ name: `${rest} others`, colour: OTHER, group: -1, count: n - legend.reduce((sum, entry) => sum + entry.count, 0) });
    const group = (i) => place.get(values[i]) ?? -1;
    return { group, legend, colour: (i) => NAMED[group(i)] ?? OTHER };
  }
  const known = Array.from(values).filter(Number.isFinite).sort((a, b) => a - b);
  if (!known.length) return { colour: () => OTHER, legend: null, group: () => 0 };
  const low = known[Math.floor(0.01 * (known.length - 1))], high = known[Math.ceil(0.99 * (known.length - 1))];
  const colour = (i) => (Number.isFinite(values[i]) ? viridis(high > low ? (values[i] - low) / (high - low) : 0.5) : OTHER);
  return { colour, legend: { low, high }, group: () => 0 };
}

/** Numbers by value, words by alphabet. */
function compareWords(a, b) {
  const x = Number(a), y = Number(b);
  return Number.isNaN(x) || Number.isNaN(y) ? String(a).localeCompare(String(b)) : x - y;
}

/** The choice of a column for the colours of points, and the legend. */
class Colours {
  constructor({ points, plane }) {
    const columns = points ? points.columns.map((column) => this.asNames(column)) : [];
    this.plane = plane;
    if (points?.score) columns.push({ name: "anomaly score", kind: "number", values: points.score });
    columns.forEach((column, k) => $("colour").append(element("option", { value: k }, column.name)));
    $("colour").append(element("option", { value: -1 }, "one colour"));
    $("colour-label").hidden = !columns.length;
    const first = columns.findIndex((column) => column.name === points.label);
    const words = columns.findIndex((column) => column.words && column.words.length <= NAMED.length);
    $("colour").value = String(first >= 0 ? first : words >= 0 ? words : columns.length ? 0 : -1);
    const colour = () => {
      const column = columns[$("colour").value], colours = colouring(column, column?.values, points?.n ?? 0);
      this.plane.only = null;
      this.plane.coloured(colours);
      this.legend(column, colours);
    };
    $("colour").addEventListener("change", colour);
    colour();
  }

  /** A column of a few numbers, such as a year or a class, is one of names. */
  asNames(column) {
    if (column.words) return column;
    const different = [...new Set(column.values)].filter(Number.isFinite).sort((a, b) => a - b);
    if (!different.length || different.length > NAMED.length || !different.every(Number.isInteger)) return column;
    const codes = Int32Array.from(column.values, (value) => different.indexOf(value));
    return { ...column, words: different.map((value) => valueText(column, value)), values: codes };
  }

  legend(column, { legend }) {
    $("legend").replaceChildren();
    if (!legend) return;
    if (!Array.isArray(legend)) {
      const stops = VIRIDIS.map((_, i) => viridis(i / (VIRIDIS.length - 1))).join(", "), bar = element("span", { class: "gradient" });
      bar.style.background = `linear-gradient(to right, ${stops})`;
      const text = (value) => (column.kind === "time" ? timeText(value, column.form) : Number(value.toPrecision(4)).toString());
      $("legend").append(element("span", {}, text(legend.low)), bar, element("span", {}, text(legend.high)));
      return;
    }
    for (const { name, colour, count, group } of legend) {
      const dot = element("span", { class: "dot" }), button = element("button", { "aria-pressed": "false", title: `${count} rows` }, dot, name || "(empty)");
      dot.style.background = colour;
      button.addEventListener("click", () => {
        this.plane.only = this.plane.only === group ? null : group;
        for (const other of $("legend").children) other.setAttribute("aria-pressed", String(other === button && this.plane.only !== null));
        this.plane.draw();
      });
      $("legend").append(button);
    }
  }
}
