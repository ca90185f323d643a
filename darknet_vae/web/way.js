"use strict";
/* The way between two places of the latent space, A and B: a strip, a slider and an animation. */

const LENGTH = 3000; // milliseconds of an animation

class Way {
  constructor(explorer) {
    this.explorer = explorer;
    this.a = this.b = null; // {z, name, condition}
    $("set-a").addEventListener("click", () => this.setHere("a"));
    $("set-b").addEventListener("click", () => this.setHere("b"));
    $("swap").addEventListener("click", () => {
      [this.a, this.b] = [this.b, this.a];
      this.show();
    });
    $("play").addEventListener("click", () => (this.run ? this.stop() : this.play()));
    $("path").addEventListener("input", () => {
      this.stop();
      this.walk(Number($("path").value));
    });
    this.show();
  }

  set(which, z, name, condition) {
    this[which] = { z: Float32Array.from(z), name, condition };
    this.show();
  }

  setHere(which) {
    const { z, condition } = this.explorer, some = Array.from(z.slice(0, 3), (value) => value.toFixed(2)).join(", ");
    this.set(which, z, this.explorer.nameHere() ?? `(${some}${z.length > 3 ? ", …" : ""})`, condition);
  }

  between(part) {
    return this.a.z.map((value, d) => value * (1 - part) + this.b.z[d] * part);
  }

  async show() {
    const { a, b } = this, { explorer } = this, { images } = explorer, both = a && b;
    const hint = explorer.points ? "Choose a row and use it as A, another as B." : "Set A, move, set B.";
    $("path-ends").textContent = a || b ? `A: ${a?.name ?? "not set"}. B: ${b?.name ?? "not set"}.` : hint;
    $("play").disabled = $("swap").disabled = !both;
    $("path-slider").hidden = !both;
    explorer.mark();
    if (!both) return;
    const steps = images ? 9 : 5, found = [];
    for (let i = 0; i < steps; i++) found.push(await explorer.decoder.decode(this.between(i / (steps - 1)), a.condition));
    if (this.a !== a || this.b !== b) return; // others by now
    const image = ([mean], i) => images.draw(images.canvas(`${i + 1} of ${steps} from A to B`), mean);
    if (images) $("strip").replaceChildren(...found.map(image));
    else this.table(found.map((row) => explorer.rowOf(row)));
  }

  /** The columns that differ somewhere on the way. */
  table(rows) {
    const moving = rows[0].map((_, i) => i).filter((i) => new Set(rows.map((row) => row[i].text)).size > 1);
    const names = moving.map((i) => rows[0][i].column.name), heads = rows.map((_, k) => (k === 0 ? "A" : k === rows.length - 1 ? "B" : `${Math.round((100 * k) / (rows.length - 1))} %`));
    const table = sideBySide(heads, names, moving.map((i) => rows.map((row) => row[i].text)), (i, k) => k > 0 && rows[k][moving[i]].text !== rows[k - 1][moving[i]].text);
    const same = rows[0].length - moving.length;
    $("strip").replaceChildren(table, element("p", { class: "muted small" }, same ? `${same === 1 ? "One column stays" : `${same} columns stay`} as ${same === 1 ? "it is" : "they are"}.` : ""));
  }

  play() {
    const begin = performance.now();
    const run = (this.run = {});
    const frame = (now) => {
      if (this.run !== run) return;
      const part = Math.min(1, (now - begin) / LENGTH);
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
    this.explorer.pinnedCondition = this.a.condition;
    this.explorer.pin(this.between(part));
  }
}
