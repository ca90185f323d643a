"use strict";
/* The page: what it knows, what is chosen, and what follows from that. */

const $ = (id) => document.getElementById(id);
const CURVE = 21; // decoded rows along a latent dimension
const FRAME = 16; // milliseconds, of which a decode may take half before a worker takes over

// ---- what the page holds ----

/** The arrays of the page: deflated, in base64. */
async function block() {
  const bytes = Uint8Array.from(atob($("block").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

const TYPES = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array };

/** From a reference {type, at, n} to its array. */
const arraysOf = (buffer) => (reference) => reference && new TYPES[reference.type](buffer, reference.at, reference.n);

// ---- decoding ----

class Decoder {
  constructor(graph, array) {
    this.network = new Network(graph, array);
    // Besides the result, what its probabilities are made of.
    const last = graph.steps.length;
    this.shown = [last, graph.steps[last - 1]?.op === "mean" ? graph.steps[last - 1].inputs[0] : last];
    this.waiting = new Map();
    this.count = 0;
  }

  /** How long a row takes, in milliseconds. */
  time(z, condition) {
    const times = [];
    for (let i = 0; i < 5; i++) {
      const begin = performance.now();
      this.network.run(z, condition);
      times.push(performance.now() - begin);
    }
    return Math.min(...times);
  }

  /** Decode in a worker from now on, so that a slow network does not stop the page. */
  move() {
    const { steps, shapes, condition } = this.network;
    const source = new Blob([$("network-source").textContent], { type: "text/javascript" });
    this.worker = new Worker(URL.createObjectURL(source));
    this.worker.postMessage({ graph: { inputs: shapes[0], steps, condition: condition.length ? [condition.length] : null }, shown: this.shown });
    this.worker.onmessage = ({ data }) => {
      this.waiting.get(data.id)(data.values);
      this.waiting.delete(data.id);
    };
  }

  /** [mean, parameters of the distribution] of latents. */
  decode(z, condition) {
    if (!this.worker) {
      this.network.run(z, condition);
      return Promise.resolve(this.shown.map((i) => this.network.values[i].slice()));
    }
    const id = this.count++;
    this.worker.postMessage({ id, x: z, condition });
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }
}

// ---- the page ----

class Explorer {
  constructor(about, buffer) {
    this.about = about;
    this.array = arraysOf(buffer);
    this.latent = about.latent;
    this.decoder = new Decoder(about.decoder, this.array);
    this.points = about.points && this.withArrays(about.points);
    this.makeColumns();
    const middle = Float32Array.from(about.dimensions, (dimension) => dimension.middle);
    this.middle = middle;
    // pinned: where a click or a slider has put the latents; z: those shown, which follow the pointer meanwhile.
    Object.assign(this, { z: middle, pinned: middle, point: -1, a: null, b: null, dimension: this.sorted()[0], busy: false });
    this.condition = this.firstCondition();
    this.pinnedCondition = this.condition;
  }

  withArrays(points) {
    const columns = points.columns.map((column) => ({ ...column, values: this.array(column.values) }));
    const found = { ...points, columns };
    for (const key of ["row", "z", "score", "below", "contributions", "given", "data"]) found[key] = this.array(points[key]);
    if (points.data) found.scale = points.data.scale;
    return found;
  }

  /** What decoded rows are made of. */
  makeColumns() {
    const { output } = this.about;
    if (output.kind === "table") {
      const columns = output.columns.map((column) => {
        const found = { ...column };
        for (const key of ["values", "below", "at"]) found[key] = this.array(column[key]);
        return found;
      });
      this.schema = { coding: output.coding, columns, scale: 1, where: partsOf(this.decoder, columns.length) };
      this.order = output.order.map((name) => columns.findIndex((column) => column.name === name));
    } else if (output.kind === "vector") {
      const columns = output.names.map((name) => ({ name, classes: 0, type: "number" }));
      this.schema = { coding: null, columns, scale: this.about.scale, where: null };
      this.order = columns.map((_, i) => i);
    }
  }

  /** Latent dimensions, the one with the largest KL first. */
  sorted() {
    const { dimensions } = this.about, by = (d) => dimensions[d].kl ?? dimensions[d].effect ?? 0;
    return dimensions.map((_, d) => d).sort((a, b) => by(b) - by(a));
  }

  z_of(i) {
    return this.points.z.slice(i * this.latent, (i + 1) * this.latent);
  }

  async start() {
    const { about } = this;
    $("sentences").textContent = `Latent explorer: ${about.sentences.join("; ")}`;
    if (!this.points) $("rows").remove();
    const slow = this.decoder.time(this.z, this.condition);
    if (slow > FRAME / 2) this.decoder.move();
    const [mean] = await this.decoder.decode(this.z, this.condition);
    this.makeView(mean);
    this.makeSliders();
    this.makeConditions();
    this.makePlane();
    this.makeButtons();
    await this.changed();
    document.documentElement.dataset.ready = "1";
  }

  // ---- views ----

  range(values) {
    let low = Infinity, high = -Infinity;
    for (const value of values) (low = Math.min(low, value)), (high = Math.max(high, value));
    return [low, high];
  }

  makeView(mean) {
    const { output } = this.about, { data, scale } = this.points || {};
    let [low, high] = this.range(data || mean);
    if (data) (low /= scale), (high /= scale);
    if (output.kind === "image") {
      if (low >= -0.05 && high <= 1.05) [low, high] = [0, 1];
      this.images = new Images(output.shape, low, high);
      this.picture = this.images.canvas("decoded image");
      $("decoded").append(element("div", { class: "frame" }, this.picture));
      $("save").hidden = false;
      $("lens").hidden = false;
      [$("lens").width, $("lens").height] = [this.images.width, this.images.height];
      return;
    }
    this.low = low;
    this.high = high;
    this.table = new RowTable(this.order.map((i) => this.schema.columns[i]));
    if (output.kind === "vector" && this.order.length > 60) {
      this.plot = element("canvas", { class: "plot", role: "img", "aria-label": "decoded values in their order" });
      $("decoded").append(this.plot, element("details", {}, element("summary", {}, `all ${this.order.length} values`), this.table.table));
    } else $("decoded").append(element("div", { class: "scroll" }, this.table.table));
    $("copy-row").hidden = false;
  }

  rowOf([mean, raw]) {
    const row = decodeRow(this.schema, mean, raw);
    return this.order.map((i) => row[i]);
  }

  // ---- sliders ----

  makeSliders() {
    const { dimensions } = this.about;
    const known = dimensions.some((dimension) => dimension.kl !== null);
    $("sliders-help").textContent = known
      ? this.about.variational ? "Sorted by KL, in nats: how much each says of a row." : "Sorted by their variance over the rows."
      : "Sorted by how far they move the decoded row.";
    this.sliders = [];
    const idle = this.sorted().filter((d) => !dimensions[d].active);
    for (const d of this.sorted()) {
      const { kl, effect, active, low, high } = dimensions[d];
      const number = element("input", { type: "number", step: "any", "aria-label": `value of z${d + 1}` });
      const range = element("input", { type: "range", min: low, max: high, step: "any", "aria-label": `latent dimension z${d + 1}` });
      const measure = kl ?? effect, label = this.about.variational && known ? `KL ${measure.toFixed(2)}` : measure.toPrecision(2);
      const line = element("div", { class: "slider" }, element("span", { class: "name" }, `z${d + 1}`, element("small", {}, label)), range, number);
      const set = (value) => {
        if (!Number.isFinite(value)) return;
        const z = Float32Array.from(this.pinned);
        z[d] = value;
        this.dimension = d;
        this.pin(z, -1);
      };
      range.addEventListener("input", () => set(Number(range.value)));
      number.addEventListener("change", () => set(Number(number.value)));
      range.addEventListener("focus", () => ((this.dimension = d), this.changed()));
      (active || idle.length === dimensions.length ? $("sliders") : $("inactive").querySelector("div")).append(line);
      this.sliders[d] = { range, number };
    }
    if (idle.length && idle.length < dimensions.length) {
      $("inactive").hidden = false;
      $("inactive").querySelector("summary").textContent = `${idle.length} inactive: ${idle.length === 1 ? "it says" : "they say"} nothing of a row`;
    }
  }

  showSliders() {
    this.sliders.forEach(({ range, number }, d) => {
      const value = this.z[d];
      range.value = value;
      range.setAttribute("aria-valuetext", value.toFixed(2));
      if (document.activeElement !== number) number.value = value.toFixed(2);
    });
  }

  // ---- conditions ----

  firstCondition() {
    const { decoder, given } = this.about;
    if (!decoder.condition) return null;
    const found = new Float32Array(decoder.condition[0]).fill(NaN);
    for (const i of given) {
      const column = this.schema?.columns[i];
      found[i] = column?.counts ? column.counts.indexOf(Math.max(...column.counts)) : 0;
    }
    return found;
  }

  makeConditions() {
    this.selectors = new Map();
    for (const i of this.about.given) {
      const column = this.schema?.columns[i] ?? { name: `column ${i}`, classes: 0 };
      const set = (code) => {
        this.pinnedCondition = Float32Array.from(this.pinnedCondition);
        this.pinnedCondition[i] = code;
        this.pin(this.pinned, -1);
      };
      let field;
      if (column.words) {
        field = element("select", {}, ...column.words.map((word, code) => element("option", { value: code }, word)), element("option", { value: "NaN" }, "missing"));
        field.addEventListener("change", () => set(Number(field.value)));
      } else {
        field = element("input", { type: "range", min: -3, max: 3, step: "any" });
        field.addEventListener("input", () => set(Number(field.value)));
      }
      const shown = element("output");
      $("conditions").append(element("label", { class: "condition" }, `${column.name} `, field, shown));
      this.selectors.set(i, { field, shown, column });
    }
  }

  showConditions() {
    for (const [i, { field, shown, column }] of this.selectors) {
      field.value = String(this.condition[i]);
      if (!column.words) shown.textContent = Number.isNaN(this.condition[i]) ? "missing" : valueText(column, column.low === undefined ? this.condition[i] : decodeNumber(column, this.schema.coding, this.condition[i]));
    }
  }

  /** What is given of a point's row. */
  conditionOf(i) {
    const { given } = this.about;
    if (!given.length) return this.pinnedCondition;
    const found = Float32Array.from(this.pinnedCondition);
    given.forEach((column, k) => (found[column] = this.points.given[i * given.length + k]));
    return found;
  }

  // ---- the plane ----

  projections() {
    const order = this.sorted(), found = [];
    if (this.latent === 1) return [["z1", new Projection("line", { i: 0 }), ["z1", ""]]];
    if (this.about.pca) {
      const axes = this.array(this.about.pca.axes), parts = this.about.pca.variance.map((part) => `${Math.round(100 * part)} %`);
      const how = { centre: this.array(this.about.pca.centre), axes: [axes.subarray(0, this.latent), axes.subarray(this.latent)] };
      found.push(["principal axes", new Projection("axes", how), parts.map((part, k) => `principal axis ${k + 1} (${part} of the variance)`)]);
    }
    const pairs = this.latent === 2 ? [[0, 1]] : [];
    for (let k = 0; this.latent > 2 && k + 1 < Math.min(order.length, 8); k += 2) pairs.push([order[k], order[k + 1]]);
    for (const [i, j] of pairs) found.push([`z${i + 1} and z${j + 1}`, new Projection("latents", { i, j }), [`z${i + 1}`, `z${j + 1}`]]);
    return found;
  }

  makePlane() {
    this.plane = new Plane($("plane"), {
      hover: (where) => this.look(where),
      leave: () => this.back(),
      pin: (where, point) => (point >= 0 ? this.choose(point) : this.pin(this.plane.projection.moved(this.pinned, ...where), -1)),
      key: (key) => this.key(key),
    });
    const projections = this.projections();
    projections.forEach(([name], k) => $("axes").append(element("option", { value: k }, name)));
    $("axes-label").hidden = projections.length < 2;
    $("axes").addEventListener("change", () => this.project(...projections[$("axes").value]));
    $("plane").setAttribute("aria-label", `plane of latents${this.points ? ` with ${this.points.n} rows as points` : ""}`);
    $("plane-help").textContent = this.points
      ? "Point to decode a place, click a point for its row, drag to move. Keys: arrows move, Enter chooses the nearest row, A and B set the ends of an interpolation."
      : "Point to decode a place, drag to move. Keys: arrows move, A and B set the ends of an interpolation.";
    this.makeColours();
    $("tiles-label").hidden = !this.images || this.latent > 2;
    $("tiles").checked = !this.points;
    $("tiles").addEventListener("change", () => this.tile());
    this.project(...projections[0]);
  }

  project(name, projection, names) {
    const n = this.points?.n ?? 0, none = new Float32Array();
    let limits = null;
    if (!n) {
      const ends = [projection.i, projection.j].map((d) => (d === undefined ? [-1, 1] : [this.about.dimensions[d].low, this.about.dimensions[d].high]));
      limits = ends.flat();
    }
    this.plane.names = names;
    this.plane.show(projection, n ? this.points.z : none, n, this.latent, limits);
    this.tile();
    this.mark();
  }

  mark() {
    this.plane.mark({ z: this.z, point: this.point, a: this.a, b: this.b });
  }

  /** Images decoded all over the plane, behind the points. */
  async tile() {
    this.plane.tiles = null;
    if (!this.images || this.latent > 2 || !$("tiles").checked || !this.plane.width) return this.plane.draw();
    const each = Math.max(28, Math.min(this.images.width, 40));
    const across = Math.max(4, Math.min(24, Math.floor(this.plane.width / each)));
    const down = this.latent === 1 ? 1 : Math.max(4, Math.min(24, Math.floor(this.plane.height / each)));
    const tiles = (this.plane.tiles = { across, down, pictures: [] }), [x0, x1, y0, y1] = this.plane.limits;
    for (let k = 0; k < across * down; k++) {
      const x = x0 + (((k % across) + 0.5) / across) * (x1 - x0), y = y1 - ((Math.floor(k / across) + 0.5) / down) * (y1 - y0);
      const [mean] = await this.decoder.decode(this.plane.projection.moved(this.middle, x, y), this.condition);
      if (this.plane.tiles !== tiles) return; // another size or plane by now
      tiles.pictures.push(this.images.draw(document.createElement("canvas"), mean));
    }
    this.plane.draw();
  }

  makeColours() {
    const { points } = this, columns = points ? points.columns.map((column) => this.asNames(column)) : [];
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

  // ---- what is chosen ----

  look(where) {
    this.z = this.plane.projection.moved(this.pinned, ...where);
    this.changed();
  }

  back() {
    this.z = this.pinned;
    this.condition = this.pinnedCondition;
    this.changed();
  }

  /** point: the row whose latents these are; -1: of no row, and the one that was chosen stays beside them. */
  pin(z, point) {
    this.z = this.pinned = z;
    this.condition = this.pinnedCondition;
    this.atPoint = point >= 0;
    if (point >= 0 && point !== this.point) {
      this.point = point;
      this.showRow();
    }
    this.changed();
  }

  choose(point) {
    this.pinnedCondition = this.conditionOf(point);
    this.pin(this.z_of(point), point);
  }

  key(key) {
    if (key === "a" || key === "A") this.setEnd("a");
    else if (key === "b" || key === "B") this.setEnd("b");
    else if (key === "Home") this.pin(this.middle, -1);
    else return false;
    return true;
  }

  /** Show what the latents are decoded to, once a frame, and of several changes during one only the last. */
  changed() {
    this.again = true;
    if (!this.busy) this.busy = this.frames().finally(() => (this.busy = null));
    return this.busy;
  }

  async frames() {
    while (this.again) {
      await new Promise(requestAnimationFrame);
      this.again = false;
      const { z, condition } = this, found = await this.decoder.decode(z, condition);
      this.showDecoded(found);
      this.showSliders();
      this.showConditions();
      this.mark();
      await this.along(z, condition);
      this.speak();
    }
  }

  showDecoded(found) {
    this.found = found;
    if (this.images) {
      this.images.draw(this.picture, found[0]);
      $("lens").getContext("2d").drawImage(this.picture, 0, 0);
      return;
    }
    const row = this.rowOf(found);
    this.table.show(row);
    if (this.plot) plotted(this.plot, this.point >= 0 ? [found[0], this.dataOf(this.point)] : [found[0]], this.low, this.high);
    this.row = row;
  }

  /** How the columns move along the latent dimension that was touched last. */
  async along(z, condition) {
    if (!this.table || this.plot) return;
    const d = this.dimension, { low, high } = this.about.dimensions[d];
    const others = `${d} ${z.filter((_, i) => i !== d)} ${condition}`;
    if (others !== this.others) {
      const rows = [];
      for (let i = 0; i < CURVE; i++) {
        const moved = Float32Array.from(z);
        moved[d] = low + ((high - low) * i) / (CURVE - 1);
        rows.push(this.rowOf(await this.decoder.decode(moved, condition)));
      }
      this.curves = rows;
      this.others = others;
    }
    this.table.along(`z${d + 1}`, this.row.map((shown, i) => this.curve(shown, this.curves.map((row) => row[i]))));
    this.table.at((z[d] - low) / (high - low));
  }

  curve(shown, row) {
    if (shown.chances) {
      const values = row.map((cell) => cell.chances[shown.value]), [low, high] = this.range(values);
      return { values, low: 0, high: 1, moves: high - low };
    }
    const values = row.map((cell) => cell.code), [low, high] = this.range(values);
    // Codes are about standard normal; plain numbers are drawn in the range that the data has.
    if (shown.column.low !== undefined) return { values, low: -2.5, high: 2.5, moves: (high - low) / 4 };
    return { values, low: Math.min(this.low, low), high: Math.max(this.high, high), moves: (high - low) / (this.high - this.low || 1) };
  }

  /** For those who do not see it: where the latents are, when they have stopped. */
  speak() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      const some = this.sorted().slice(0, 3).map((d) => `z${d + 1} ${this.z[d].toFixed(2)}`).join(", ");
      const row = this.row ? `: ${this.row.slice(0, 6).map(({ column, text }) => `${column.name} ${text}`).join(", ")}` : "";
      $("spoken").textContent = some + row;
    }, 600);
  }

  // ---- a row ----

  /** Its values as the network reads them. */
  dataOf(i) {
    const width = this.points.data.length / this.points.n;
    return Float32Array.from(this.points.data.subarray(i * width, (i + 1) * width), (value) => value / this.points.scale);
  }

  async showRow() {
    const i = this.point, { points } = this, label = points.columns.find((column) => column.name === points.label);
    const facts = [`row ${points.row[i]}`];
    if (label) facts.push(`${label.name} ${valueText(label, label.values[i])}`);
    if (points.score) {
      const above = points.below.filter((score) => score <= points.score[i]).length / points.below.length;
      facts.push(`anomaly score ${Number(points.score[i].toPrecision(6))}, above that of ${Math.min(99, Math.floor(100 * above))} % of the rows`);
    }
    $("row-buttons").hidden = false;
    $("row-facts").textContent = facts.join(" · ");
    const found = await this.decoder.decode(this.z_of(i), this.conditionOf(i));
    if (this.point === i) $("row-view").replaceChildren(this.images ? this.pictures(i, found) : this.cells(i, found));
  }

  pictures(i, found) {
    const own = this.images.draw(this.images.canvas("the row"), this.dataOf(i));
    const made = this.images.draw(this.images.canvas("its reconstruction"), found[0]);
    const figure = (canvas, text) => element("figure", {}, canvas, element("figcaption", {}, text));
    return element("div", { class: "pair" }, figure(own, "row"), figure(made, "reconstruction"));
  }

  cells(i, found) {
    const row = this.rowOf(found), { points, schema } = this, width = schema.columns.length;
    const own = points.data ? this.order.map((at) => numberText(this.dataOf(i)[at] * schema.scale, {})) : row.map(({ column }) => {
      const given = points.columns.find(({ name }) => name === column.name);
      return given ? valueText(given, given.values[i]) : "";
    });
    const made = row.map(({ text }) => text), names = row.map(({ column }) => column.name);
    const nats = points.contributions && this.order.map((at) => points.contributions[i * width + at]);
    const differs = (k) => (row[k].chances ? own[k] !== made[k] && !(Number(own[k]) === Number(made[k])) : this.far(row[k], own[k]));
    return sideBySide(["row", "reconstruction"], names, names.map((_, k) => [own[k], made[k]]), (k, side) => side === 1 && own[k] !== "" && differs(k),
      nats && { name: "adds, nats", values: nats });
  }

  /** Is a decoded number further from the row's than half of the column's standard deviation? */
  far({ column, value }, own) {
    const unit = column.deviation ?? (this.high - this.low) * this.schema.scale / 4;
    return Math.abs(Number(own) - value) > unit / 2;
  }

  // ---- interpolation ----

  setEnd(which, z = this.z, name = null, condition = this.condition) {
    this[which] = Float32Array.from(z);
    this[`${which}Name`] = name ?? (this.atPoint && z === this.pinned ? this.pointName(this.point) : `(${Array.from(z.slice(0, 3), (value) => value.toFixed(2)).join(", ")}${z.length > 3 ? ", …" : ""})`);
    this[`${which}Condition`] = condition;
    this.way();
  }

  pointName(i) {
    const { points } = this, label = points.columns.find((column) => column.name === points.label);
    return `row ${points.row[i]}${label ? ` (${valueText(label, label.values[i])})` : ""}`;
  }

  between(part) {
    return this.a.map((value, d) => value * (1 - part) + this.b[d] * part);
  }

  async way() {
    const { a, b } = this, text = (which) => (this[which] ? this[`${which}Name`] : "not set");
    $("path-ends").textContent = a || b ? `A: ${text("a")}. B: ${text("b")}.` : this.points ? "Choose a row and use it as A, another as B." : "Set A, move, set B.";
    $("play").disabled = !(a && b);
    $("swap").disabled = !(a && b);
    $("path-slider").hidden = !(a && b);
    this.mark();
    if (!a || !b) return;
    const steps = this.images ? 9 : 5, cells = [], condition = this.aCondition;
    for (let i = 0; i < steps; i++) cells.push(await this.decoder.decode(this.between(i / (steps - 1)), condition));
    if (this.a !== a || this.b !== b) return; // others by now
    if (this.images) $("strip").replaceChildren(...cells.map((found, i) => this.images.draw(this.images.canvas(`${i + 1} of ${steps} from A to B`), found[0])));
    else this.wayTable(cells.map((found) => this.rowOf(found)));
  }

  /** The columns that differ somewhere on the way. */
  wayTable(rows) {
    const moving = this.order.map((_, i) => i).filter((i) => new Set(rows.map((row) => row[i].text)).size > 1);
    const names = moving.map((i) => rows[0][i].column.name), heads = rows.map((_, k) => (k === 0 ? "A" : k === rows.length - 1 ? "B" : `${Math.round((100 * k) / (rows.length - 1))} %`));
    const table = sideBySide(heads, names, moving.map((i) => rows.map((row) => row[i].text)), (i, k) => k > 0 && rows[k][moving[i]].text !== rows[k - 1][moving[i]].text);
    const same = this.order.length - moving.length;
    $("strip").replaceChildren(table, element("p", { class: "muted small" }, same ? `${same === 1 ? "One column stays" : `${same} columns stay`} as ${same === 1 ? "it is" : "they are"}.` : ""));
  }

  play() {
    const begin = performance.now(), length = 3000;
    const run = (this.run = {});
    const frame = (now) => {
      if (this.run !== run) return;
      const part = Math.min(1, (now - begin) / length);
      this.walk(part);
      if (part < 1) requestAnimationFrame(frame);
      else this.stop();
    };
    $("play").textContent = "Stop";
    requestAnimationFrame(frame);
  }

  stop() {
    this.run = null;
    $("play").textContent = "Play";
  }

  walk(part) {
    $("path").value = part;
    this.pinnedCondition = this.aCondition;
    this.pin(this.between(part), -1);
  }

  // ---- buttons ----

  makeButtons() {
    const on = (id, action) => $(id).addEventListener("click", action);
    const said = (text) => {
      $("done").textContent = text;
      clearTimeout(this.saying);
      this.saying = setTimeout(() => ($("done").textContent = ""), 2500);
    };
    on("centre", () => this.pin(this.middle, -1));
    on("random", () => this.pin(this.randomLatents(), -1));
    on("copy", async () => said((await copied(Array.from(this.z, (value) => Number(value.toPrecision(7))).join(","))) ? "copied" : "no clipboard here"));
    on("copy-row", async () => said((await copied(this.csv())) ? "copied" : "no clipboard here"));
    on("save", () => saved(this.images.enlarged(this.found[0]), "decoded.png"));
    on("set-a", () => this.setEnd("a"));
    on("set-b", () => this.setEnd("b"));
    if (this.points) this.rowButtons(on);
    on("swap", () => {
      [this.a, this.b, this.aName, this.bName, this.aCondition, this.bCondition] = [this.b, this.a, this.bName, this.aName, this.bCondition, this.aCondition];
      this.way();
    });
    on("play", () => (this.run ? this.stop() : this.play()));
    $("path").addEventListener("input", () => (this.stop(), this.walk(Number($("path").value))));
    this.way();
  }

  rowButtons(on) {
    on("row-a", () => this.setEnd("a", this.z_of(this.point), this.pointName(this.point), this.conditionOf(this.point)));
    on("row-b", () => this.setEnd("b", this.z_of(this.point), this.pointName(this.point), this.conditionOf(this.point)));
    on("row-previous", () => this.choose((this.point + this.points.n - 1) % this.points.n));
    on("row-next", () => this.choose((this.point + 1) % this.points.n));
  }

  /** Normal draws about the middle: of N(0, 1), or of a code's own ranges. */
  randomLatents() {
    return this.middle.map((middle, d) => {
      const { low, high } = this.about.dimensions[d], deviation = this.about.variational ? 1 : (high - low) / 5;
      const normal = Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
      return middle + deviation * normal;
    });
  }

  csv() {
    const { row } = this;
    return `${csvLine(row.map(({ column }) => column.name))}\n${csvLine(row.map(({ text }) => text))}\n`;
  }
}

(async () => {
  try {
    if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old: it has no DecompressionStream");
    const about = JSON.parse($("about").textContent);
    window.explorer = new Explorer(about, await block());
    await window.explorer.start();
  } catch (error) {
    $("failure").hidden = false;
    $("failure").textContent = `The page cannot be shown: ${error.message}`;
    throw error;
  }
})();
