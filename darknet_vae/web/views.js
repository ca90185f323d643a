"use strict";
/* Decoded rows as pictures or as tables. All text goes into the page as text, never as markup: names and words are a user's. */

const $ = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") found.className = value;
    else if (value !== null && value !== undefined) found.setAttribute(name, value);
  }
  found.append(...children.filter((child) => child !== null && child !== undefined));
  return found;
}

/** A name or word that may be broken where its parts meet: after _ . / - and before a capital; numbers and dates are whole. */
function breakable(text) {
  const parts = text.split(/(?<=[_./-])(?=\p{L})|(?<=\p{Ll})(?=\p{Lu})/u);
  return parts.flatMap((part, i) => (i ? [element("wbr"), part] : [part]));
}

// ---- images ----

class Images {
  /** shape: (channels, height, width); low and high: the values of black and white. */
  constructor(shape, low, high) {
    [this.channels, this.height, this.width] = shape;
    Object.assign(this, { low, high });
  }

  /** Draw the values into a canvas of one pixel each; CSS makes it larger. */
  draw(canvas, values) {
    const n = this.height * this.width, factor = 255 / (this.high - this.low);
    if (canvas.width !== this.width || canvas.height !== this.height) (canvas.width = this.width), (canvas.height = this.height);
    const context = canvas.getContext("2d"), picture = context.createImageData(this.width, this.height), to = picture.data;
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < 3; c++) to[4 * i + c] = (values[(this.channels === 3 ? c : 0) * n + i] - this.low) * factor;
      to[4 * i + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
    return canvas;
  }

  canvas(label) {
    const canvas = element("canvas", { class: "image", role: "img", "aria-label": label });
    canvas.style.aspectRatio = `${this.width} / ${this.height}`;
    return canvas;
  }

  /** With pixels so large that the picture is about 512 wide, for a file. */
  enlarged(values) {
    const small = this.draw(document.createElement("canvas"), values), large = document.createElement("canvas");
    const times = Math.max(1, Math.round(512 / Math.max(this.width, this.height)));
    large.width = this.width * times;
    large.height = this.height * times;
    const context = large.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, large.width, large.height);
    return large;
  }
}

// ---- tables ----

const SVG = "http://www.w3.org/2000/svg";
const MOVES = 0.15;

/** A curve of a column along a latent dimension, and where on it the row is. */
class Sparkline {
  constructor() {
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", "0 0 100 24");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("aria-hidden", "true");
    this.line = this.svg.appendChild(document.createElementNS(SVG, "polyline"));
    this.here = this.svg.appendChild(document.createElementNS(SVG, "line"));
    this.here.setAttribute("y1", "0");
    this.here.setAttribute("y2", "24");
  }

  curve(values, low, high) {
    const y = (value) => 22 - 20 * Math.min(Math.max((value - low) / (high - low || 1), 0), 1);
    this.line.setAttribute("points", values.map((value, i) => `${((100 * i) / (values.length - 1)).toFixed(1)},${y(value).toFixed(1)}`).join(" "));
  }

  at(part) {
    this.here.setAttribute("x1", 100 * part);
    this.here.setAttribute("x2", 100 * part);
  }
}

/** A row: a line for every column, with its value, the probability of a word, and a curve. */
class RowTable {
  constructor(columns) {
    this.moves = element("th", { class: "moves", scope: "col" }, "");
    this.lines = columns.map((column) => {
      const spark = new Sparkline(), word = element("span"), chance = element("small");
      const cells = [element("td", { class: "value" }, word, " ", chance), element("td", { class: "spark" }, spark.svg)];
      const line = element("tr", {}, element("th", { scope: "row" }, ...breakable(column.name)), ...cells);
      return { line, word, chance, spark, shown: null };
    });
    const heads = ["Column", "Value"].map((text) => element("th", { scope: "col" }, text));
    const head = element("thead", {}, element("tr", {}, ...heads, this.moves));
    this.table = element("table", { class: "row" }, head, element("tbody", {}, ...this.lines.map(({ line }) => line)));
  }

  show(decoded) {
    this.lines.forEach((line, i) => {
      const { text, chance } = decoded[i];
      // Writing only what changes keeps a table of a hundred columns at 60 frames a second.
      if (line.shown !== text) line.word.replaceChildren(...breakable((line.shown = text) || "–"));
      const part = chance === null ? "" : `${Math.round(100 * chance)} %`;
      if (line.chance.textContent !== part) line.chance.textContent = part;
    });
  }

  /** curves: of every column values along a dimension with the range that they are drawn in, and how much it moves, 0 to 1. */
  along(name, curves) {
    this.moves.textContent = name ? `along ${name}` : "";
    this.lines.forEach((line, i) => {
      line.spark.curve(curves[i].values, curves[i].low, curves[i].high);
      line.line.classList.toggle("moving", curves[i].moves > MOVES);
    });
  }

  at(part) {
    for (const line of this.lines) line.spark.at(part);
  }
}

/** Rows beside each other: a line for every column, a table column for every row of texts. `marked(i, k)`: is it to be noticed. */
function sideBySide(heads, names, cells, marked, bars = null) {
  const head = element("tr", {}, element("th", { scope: "col" }, "Column"), ...heads.map((text) => element("th", { scope: "col" }, text)));
  if (bars) head.append(element("th", { scope: "col" }, bars.name));
  const most = bars ? Math.max(...bars.values, 1e-12) : 1;
  const lines = names.map((name, i) => {
    const line = element("tr", {}, element("th", { scope: "row" }, ...breakable(name)));
    cells[i].forEach((text, k) => line.append(element("td", { class: marked(i, k) ? "value marked" : "value" }, ...(text === "" ? ["–"] : breakable(text)))));
    if (bars) {
      const bar = element("span", { class: "bar" });
      bar.style.width = `${Math.max(0, (45 * bars.values[i]) / most)}%`;
      line.append(element("td", { class: "bars" }, bar, Number.isFinite(bars.values[i]) ? bars.values[i].toFixed(2) : ""));
    }
    return line;
  });
  return element("div", { class: "scroll" }, element("table", { class: "row" }, element("thead", {}, head), element("tbody", {}, ...lines)));
}

/** Values of rows without names of their own, many of them: as a line. */
function plotted(canvas, rows, low, high) {
  const box = canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1, style = getComputedStyle(canvas);
  canvas.width = Math.max(1, box.width * ratio);
  canvas.height = Math.max(1, box.height * ratio);
  const context = canvas.getContext("2d");
  rows.forEach((values, k) => {
    context.strokeStyle = style.getPropertyValue(k ? "--muted" : "--accent");
    context.lineWidth = (k ? 1 : 2) * ratio;
    context.beginPath();
    values.forEach((value, i) => {
      const x = (i / (values.length - 1)) * canvas.width, y = canvas.height * (0.95 - (0.9 * (value - low)) / (high - low || 1));
      if (i) context.lineTo(x, y);
      else context.moveTo(x, y);
    });
    context.stroke();
  });
}

/** Copy a text; pages from a server without https have no clipboard, so by a selection there. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

function saved(canvas, name) {
  canvas.toBlob((blob) => {
    const link = element("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
