"use strict";
/* The page: what it knows, what is chosen, and what follows from that. */

const CURVE = 21; // decoded rows along a latent dimension
const FRAME = 16; // milliseconds, of which a decode may take half before a worker takes over

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
    Object.assign(this, { z: middle, pinned: middle, point: -1, dimension: this.sorted()[0], busy: false });
    this.condition = Conditions.first(about, this.schema);
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
    if (!this.points) {
      $("row-facts").textContent = "Without rows: paste one of your own.";
      for (const id of ["row-previous", "row-next"]) $(id).remove();
    }
    const slow = this.decoder.time(this.z, this.condition);
    if (slow > FRAME / 2) this.decoder.move();
    const [mean] = await this.decoder.decode(this.z, this.condition);
    this.makeView(mean);
    this.sliders = new Sliders(this);
    this.conditions = new Conditions(this);
    this.makePlane();
    this.makeButtons();
    this.way = new Way(this);
    this.own = new OwnRow(this);
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
      pin: (where, point) => (point >= 0 ? this.choose(point) : this.pin(this.plane.projection.moved(this.pinned, ...where))),
      key: (key) => this.key(key),
      zoomed: () => $("tiles").checked && this.tileSoon(),
    });
    const projections = this.projections();
    projections.forEach(([name], k) => $("axes").append(element("option", { value: k }, name)));
    $("axes-label").hidden = projections.length < 2;
    $("axes").addEventListener("change", () => this.project(...projections[$("axes").value]));
    $("plane").setAttribute("aria-label", `plane of latents${this.points ? ` with ${this.points.n} rows as points` : ""}`);
    $("plane-help").textContent = this.points
      ? "Point to decode a place, click a point for its row, drag to move. Two fingers zoom, and the wheel with Ctrl or after a click. Keys: arrows move (with Shift further), + - 0 zoom, Enter chooses the nearest row, A and B set the ends of an interpolation."
      : "Point to decode a place, drag to move. Two fingers zoom, and the wheel with Ctrl or after a click. Keys: arrows move (with Shift further), + - 0 zoom, A and B set the ends of an interpolation.";
    new Colours(this);
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
    this.plane.mark({ z: this.z, point: this.point, a: this.way?.a?.z, b: this.way?.b?.z });
  }

  tileSoon() {
    this.plane.tiles = null;
    clearTimeout(this.tiling);
    this.tiling = setTimeout(() => this.tile(), 200);
  }

  /** Images decoded all over the plane, behind the points. */
  async tile() {
    this.plane.tiles = null;
    if (!this.images || this.latent > 2 || !$("tiles").checked || !this.plane.width) return this.plane.draw();
    const each = Math.max(32, Math.min(this.images.width, 40));
    const across = Math.max(4, Math.min(24, Math.floor(this.plane.width / each)));
    const down = this.latent === 1 ? 1 : Math.max(4, Math.min(24, Math.floor(this.plane.height / each)));
    let begin = performance.now();
    const tiles = (this.plane.tiles = { across, down, pictures: [] }), [x0, x1, y0, y1] = this.plane.limits;
    for (let k = 0; k < across * down; k++) {
      const x = x0 + (((k % across) + 0.5) / across) * (x1 - x0), y = y1 - ((Math.floor(k / across) + 0.5) / down) * (y1 - y0);
      const [mean] = await this.decoder.decode(this.plane.projection.moved(this.middle, x, y), this.condition);
      if (this.plane.tiles !== tiles) return; // another size or plane by now
      tiles.pictures.push(this.images.draw(document.createElement("canvas"), mean));
      if (performance.now() - begin < FRAME) continue;
      this.plane.draw(); // what is there so far
      await new Promise(requestAnimationFrame);
      begin = performance.now();
    }
    this.plane.draw();
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

  /** at: the row whose latents these are, if they are one's. */
  pin(z, at = null) {
    this.z = this.pinned = z;
    this.condition = this.pinnedCondition;
    this.at = at;
    this.changed();
  }

  choose(point) {
    this.chooseRow(this.rowOfPoint(point), point);
  }

  /** Show a row, of a point or, with -1, of none, beside its reconstruction, and go to its latents. */
  chooseRow(row, point) {
    this.point = point;
    this.pinnedCondition = row.condition;
    this.pin(row.z, row);
    this.showRow(row);
  }

  /** What is given of a point's row. */
  conditionOf(i) {
    const { given } = this.about;
    if (!given.length) return this.pinnedCondition;
    const found = Float32Array.from(this.pinnedCondition);
    given.forEach((column, k) => (found[column] = this.points.given[i * given.length + k]));
    return found;
  }

  /** Another code of a column of the condition. */
  give(i, code) {
    this.pinnedCondition = Float32Array.from(this.pinnedCondition);
    this.pinnedCondition[i] = code;
    this.pin(this.pinned);
  }

  /** The latent dimension along which columns are shown to move. */
  touched(d) {
    this.dimension = d;
    this.changed();
  }

  /** The name of the row whose latents are shown, or null. */
  nameHere() {
    return this.at && this.z === this.pinned ? this.at.name : null;
  }

  key(key) {
    if (key === "a" || key === "A") this.way.setHere("a");
    else if (key === "b" || key === "B") this.way.setHere("b");
    else if (key === "Home") this.pin(this.middle);
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
      this.sliders.show(z);
      this.conditions.show(condition);
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
    if (this.plot) plotted(this.plot, this.at ? [found[0], this.at.data] : [found[0]], this.low, this.high);
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

  /** A row that is a point: what is said of it, its values, its cells as texts, what each adds to its score. */
  rowOfPoint(i) {
    const { points, schema } = this, label = points.columns.find((column) => column.name === points.label);
    const facts = [`row ${points.row[i]}`];
    if (label) facts.push(`${label.name} ${valueText(label, label.values[i])}`);
    if (points.score) {
      const above = points.below.filter((score) => score <= points.score[i]).length / points.below.length;
      facts.push(`anomaly score ${Number(points.score[i].toPrecision(6))}, above that of ${Math.min(99, Math.floor(100 * above))} % of the rows`);
    }
    const name = label ? `${facts[0]} (${valueText(label, label.values[i])})` : facts[0], data = points.data && this.dataOf(i);
    const row = { name, facts: facts.join(" · "), z: this.z_of(i), condition: this.conditionOf(i), data, nats: null };
    if (schema && !row.data) {
      row.cells = this.order.map((at) => {
        const given = points.columns.find(({ name }) => name === schema.columns[at].name);
        return given ? valueText(given, given.values[i]) : "";
      });
      if (points.contributions) row.nats = this.order.map((at) => points.contributions[i * schema.columns.length + at]);
    } else if (schema) row.cells = this.cellsOf(row.data);
    return row;
  }

  cellsOf(data) {
    return this.order.map((at) => numberText(data[at] * this.schema.scale, {}));
  }

  async showRow(row) {
    this.shownRow = row;
    $("row-facts").textContent = row.facts;
    $("row-buttons").hidden = false;
    const found = await this.decoder.decode(row.z, row.condition);
    if (this.shownRow === row) $("row-view").replaceChildren(this.images ? this.pictures(row, found) : this.cells(row, found));
    if (this.plot) plotted($("row-view").querySelector("canvas"), [found[0], row.data], this.low, this.high);
  }

  pictures(row, found) {
    const own = this.images.draw(this.images.canvas("the row"), row.data);
    const made = this.images.draw(this.images.canvas("its reconstruction"), found[0]);
    const figure = (canvas, text) => element("figure", {}, canvas, element("figcaption", {}, text));
    return element("div", { class: "pair" }, figure(own, "row"), figure(made, "reconstruction"));
  }

  cells({ cells, nats }, found) {
    const row = this.rowOf(found), made = row.map(({ text }) => text), names = row.map(({ column }) => column.name);
    const differs = (k) => (row[k].chances ? cells[k] !== made[k] && Number(cells[k]) !== Number(made[k]) : this.far(row[k], cells[k]));
    const table = sideBySide(["row", "reconstruction"], names, names.map((_, k) => [cells[k], made[k]]),
      (k, side) => side === 1 && cells[k] !== "" && differs(k), nats && { name: "adds, nats", values: nats });
    if (!this.plot) return table;
    const plot = element("canvas", { class: "plot", role: "img", "aria-label": "the row, thin, and its reconstruction" });
    return element("div", {}, plot, element("details", {}, element("summary", {}, `all ${names.length} values`), table));
  }

  /** Is a decoded number further from the row's than half of the column's standard deviation? */
  far({ column, value }, own) {
    const unit = column.deviation ?? ((this.high - this.low) * this.schema.scale) / 4;
    return Math.abs(Number(own) - value) > unit / 2;
  }

  // ---- buttons ----

  makeButtons() {
    const on = (id, action) => $(id).addEventListener("click", action);
    const said = (text) => {
      $("done").textContent = text;
      clearTimeout(this.saying);
      this.saying = setTimeout(() => ($("done").textContent = ""), 2500);
    };
    on("centre", () => this.pin(this.middle));
    on("random", () => this.pin(this.randomLatents()));
    on("copy", async () => said((await copied(Array.from(this.z, (value) => Number(value.toPrecision(7))).join(","))) ? "copied" : "no clipboard here"));
    on("copy-row", async () => said((await copied(this.csv())) ? "copied" : "no clipboard here"));
    on("save", () => saved(this.images.enlarged(this.found[0]), "decoded.png"));
    this.rowButtons(on);
  }

  rowButtons(on) {
    for (const which of ["a", "b"]) {
      on(`row-${which}`, () => {
        const { z, name, condition } = this.shownRow;
        this.way.set(which, z, name, condition);
      });
    }
    if (!this.points) return;
    on("row-previous", () => this.choose((Math.max(this.point, 0) + this.points.n - 1) % this.points.n));
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
    const { row } = this, plain = this.schema.coding === null;
    const cells = row.map(({ text, value }) => (plain ? String(Number(value.toPrecision(7))) : text));
    return `${csvLine(row.map(({ column }) => column.name))}\n${csvLine(cells)}\n`;
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
