"use strict";
/* What sets latents and conditions by hand: sliders and selectors. */

/** A slider for every latent dimension, the one that says most of a row first; those that say nothing are folded away. */
class Sliders {
  constructor(explorer) {
    this.explorer = explorer;
    this.fields = [];
    const { about } = explorer, { dimensions } = about, known = dimensions.some(({ kl }) => kl !== null);
    const idle = dimensions.filter(({ active }) => !active).length, folds = idle > 0 && idle < dimensions.length;
    $("sliders-help").textContent =
      !known ? "Sorted by how far they move the decoded row."
      : about.variational ? "Sorted by KL to N(0, 1), in nats: how much each says of a row."
      : "Sorted by their variance over the rows.";
    for (const d of explorer.sorted()) {
      const folded = folds && !dimensions[d].active;
      (folded ? $("inactive").querySelector("div") : $("sliders")).append(this.line(d, dimensions[d], known && about.variational));
    }
    $("inactive").hidden = !folds;
    $("inactive").querySelector("summary").textContent = `${idle} inactive: ${idle === 1 ? "it says" : "they say"} nothing of a row`;
  }

  line(d, { kl, effect, low, high }, isKl) {
    const number = element("input", { type: "number", step: "any", "aria-label": `value of z${d + 1}` });
    const range = element("input", { type: "range", min: low, max: high, step: "any", "aria-label": `latent dimension z${d + 1}` });
    range.addEventListener("input", () => this.set(d, Number(range.value)));
    number.addEventListener("change", () => this.set(d, Number(number.value)));
    range.addEventListener("focus", () => this.explorer.touched(d));
    this.fields[d] = { range, number };
    const measure = isKl ? `KL ${kl.toFixed(2)}` : (kl ?? effect).toPrecision(2);
    return element("div", { class: "slider" }, element("span", { class: "name" }, `z${d + 1}`, element("small", {}, measure)), range, number);
  }

  set(d, value) {
    if (!Number.isFinite(value)) return;
    const z = Float32Array.from(this.explorer.pinned);
    z[d] = value;
    this.explorer.dimension = d;
    this.explorer.pin(z);
  }

  show(z) {
    this.fields.forEach(({ range, number }, d) => {
      range.value = z[d];
      range.setAttribute("aria-valuetext", z[d].toFixed(2));
      if (document.activeElement !== number) number.value = z[d].toFixed(2);
    });
  }
}

/** A field for every column that a [condition] gives to the decoder. */
class Conditions {
  constructor(explorer) {
    this.explorer = explorer;
    this.schema = explorer.schema;
    this.fields = new Map();
    for (const i of explorer.about.given) $("conditions").append(this.line(i, this.schema?.columns[i] ?? { name: `column ${i}`, classes: 0 }));
  }

  /** To begin with: words that most rows have, middle numbers. */
  static first({ decoder, given }, schema) {
    if (!decoder.condition) return null;
    const found = new Float32Array(decoder.condition[0]).fill(NaN);
    for (const i of given) {
      const counts = schema?.columns[i].counts;
      found[i] = counts ? counts.indexOf(Math.max(...counts)) : 0;
    }
    return found;
  }

  line(i, column) {
    const shown = element("output");
    const options = column.words?.map((word, code) => element("option", { value: code }, word));
    const field = options
      ? element("select", {}, ...options, element("option", { value: "NaN" }, "missing"))
      : element("input", { type: "range", min: -3, max: 3, step: "any" });
    field.addEventListener("input", () => this.explorer.give(i, Number(field.value)));
    this.fields.set(i, { field, shown, column });
    return element("label", { class: "condition" }, `${column.name} `, field, shown);
  }

  show(condition) {
    for (const [i, { field, shown, column }] of this.fields) {
      const code = condition[i];
      field.value = String(code);
      if (column.words) continue;
      const value = column.low === undefined ? code : decodeNumber(column, this.schema.coding, code);
      shown.textContent = Number.isNaN(code) ? "missing" : valueText(column, value);
    }
  }
}
