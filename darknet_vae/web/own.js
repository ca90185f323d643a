"use strict";
/* A row of the reader's own, encoded in the page: pasted as CSV, or from a file or an image. */

class OwnRow {
  constructor(explorer) {
    this.explorer = explorer;
    this.network = new Network(explorer.about.encoder, explorer.array);
    this.isTable = explorer.about.output.kind === "table";
    $("own-help").textContent = this.help();
    if (explorer.images) $("own-file").accept = "image/*,.csv,.txt";
    if (this.isTable) $("own-text").value = `${csvLine(explorer.order.map((i) => explorer.schema.columns[i].name))}\n`;
    const over = (is) => (event) => {
      event.preventDefault();
      $("own").classList.toggle("over", is);
    };
    $("own-encode").addEventListener("click", () => this.take(() => this.text($("own-text").value)));
    $("own-file").addEventListener("change", () => this.file($("own-file").files[0]));
    $("own").addEventListener("dragover", over(true));
    $("own").addEventListener("dragleave", over(false));
    $("own").addEventListener("drop", (event) => {
      over(false)(event);
      this.file(event.dataTransfer.files[0]);
    });
  }

  help() {
    const { images, order } = this.explorer;
    if (this.isTable) return "Paste a line of CSV under its header; columns that are not there are missing. Or choose a file, of which the first row is taken.";
    if (!images) return `Paste ${order.length} numbers, or choose a file, of which the first row is taken.`;
    const { width, height, channels } = images, grey = channels === 1 ? " and made grey" : "";
    return `Choose an image, which is fitted into ${height} x ${width}${grey}, or paste ${width * height * channels} numbers.`;
  }

  /** Show the row that `read` gives, or say what is wrong with it. */
  async take(read) {
    try {
      $("own-problem").textContent = "";
      this.show(await read());
    } catch (problem) {
      $("own-problem").textContent = problem.message;
    }
  }

  file(file) {
    if (!file) return;
    const isImage = this.explorer.images && file.type.startsWith("image/");
    this.take(async () => (isImage ? this.image(file) : this.text(await file.text())));
  }

  /** {x: what the network reads, cells}. */
  text(text) {
    const rows = csvRows(text);
    if (this.isTable) return this.row(rows);
    const cells = rows.at(rows[0]?.some((cell) => !Number.isFinite(Number(cell))) ? 1 : 0) ?? [], width = this.network.values[0].length;
    const x = Float32Array.from(cells, (cell) => (cell === "" ? NaN : Number(cell)) / this.explorer.about.scale);
    if (x.length !== width || x.some(Number.isNaN)) throw new Error(`wanted are ${width} numbers, there are ${x.filter(Number.isFinite).length}`);
    return { x };
  }

  row([names = [], cells]) {
    if (!cells) throw new Error("wanted are two lines: the names of columns, and a row");
    const { columns, coding } = this.explorer.schema, texts = new Map(names.map((name, k) => [name, cells[k] ?? ""]));
    if (!columns.some(({ name }) => texts.has(name))) throw new Error("the first line has no name of a column");
    const x = Float32Array.from(columns, (column) => {
      const code = codeCell(column, coding, texts.get(column.name) ?? "");
      if (code === undefined) throw new Error(`${column.name}: '${texts.get(column.name)}' is none of its values`);
      return code;
    });
    return { x, cells: this.explorer.order.map((at) => texts.get(columns[at].name) ?? "") };
  }

  async image(file) {
    const { width, height, channels, low, high } = this.explorer.images, picture = await createImageBitmap(file);
    const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
    const part = Math.min(width / picture.width, height / picture.height), [w, h] = [picture.width * part, picture.height * part];
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
    const { data } = context.getImageData(0, 0, width, height), n = width * height, x = new Float32Array(channels * n);
    for (let i = 0; i < n; i++) {
      const rgb = data.subarray(4 * i, 4 * i + 3), grey = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
      for (let c = 0; c < channels; c++) x[c * n + i] = low + ((channels === 3 ? rgb[c] : grey) / 255) * (high - low);
    }
    return { x };
  }

  /** The latent mean of a row: after its log-variance, or the code of an autoencoder. */
  encoded(x) {
    const out = this.network.run(x);
    return out.slice(out.length - this.explorer.latent);
  }

  show({ x, cells }) {
    const { explorer } = this, condition = explorer.pinnedCondition && Float32Array.from(explorer.pinnedCondition);
    for (const i of explorer.about.given) condition[i] = x[i];
    const row = { facts: "your row", name: "your row", z: this.encoded(x), condition, data: cells ? null : x, nats: null };
    row.cells = cells ?? (explorer.schema && explorer.cellsOf(x));
    explorer.chooseRow(row, -1);
  }
}
