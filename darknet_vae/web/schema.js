"use strict";
/* A table's columns: from what a network gives to values and words, as the core decodes them (csrc/io/columns_decode.c). */

/** The part of a standard normal distribution below x. erf by its series of positive terms, far out the continued fraction of
    erfc (Abramowitz and Stegun, 7.1.6 and 7.1.14): both to about 1e-15. */
function normalBelow(x) {
  const t = Math.abs(x) / Math.SQRT2;
  let tail;
  if (t < 2.5) {
    let term = t, sum = t;
    for (let n = 1; term > sum * 1e-17; n++) sum += term *= (2 * t * t) / (2 * n + 1);
    tail = 0.5 - (sum * Math.exp(-t * t)) / Math.sqrt(Math.PI);
  } else {
    let fraction = t;
    for (let n = 60; n > 0; n--) fraction = t + n / 2 / fraction;
    tail = Math.exp(-t * t) / fraction / Math.sqrt(Math.PI) / 2;
  }
  return x < 0 ? tail : 1 - tail;
}

const clip = (x, low, high) => (x < low ? low : x > high ? high : x);

/** To `places` decimals, halves away from zero as C rounds; numbers too large to have so many stay. */
function roundTo(v, places) {
  const power = places >= 0 && places <= 15 ? 10 ** places : 0;
  if (!power || Math.abs(v) * power >= 2 ** 52) return v;
  return (Math.sign(v) * Math.round(Math.abs(v) * power)) / power + 0;
}

const timeUnit = (form) => (form & 8 ? 1e-6 : form & 4 ? 1 : form & 3 ? 60 : 86400);

/** The value of one row stands for the values around it, as in the core (csrc/io/columns_numbers.c). */
function singleAt({ values, below, at, rows }, i, rank) {
  const off = rank - (below[i] + 0.5), exact = Math.min(Math.max(1e-3, 4e-8 * rows), 0.25);
  const next = off < 0 ? i - 1 : i + 1, first = Math.min(i, next);
  const single = first >= 0 && first + 1 < values.length && at[next] === 1 && below[first] + 1 === below[first + 1];
  if (Math.abs(off) <= exact || !single) return values[i];
  const part = Math.min((Math.abs(off) - exact) / (1 - 2 * exact), 0.5);
  return values[i] * (1 - part) + values[next] * part;
}

/** The value of a column at a rank, between the learned values linearly. */
function valueAt(column, rank) {
  const { values, below, at } = column;
  let low = 0;
  for (let high = values.length; high - low > 1;) {
    const middle = (low + high) >> 1;
    if (below[middle] <= rank) low = middle;
    else high = middle;
  }
  const from = below[low] + at[low];
  if (at[low] === 1 && rank < from) return singleAt(column, low, rank);
  if (rank <= from || low === values.length - 1) return values[low];
  const part = (rank - from) / (below[low + 1] - from);
  return values[low] * (1 - part) + values[low + 1] * part;
}

/** A number or time from its code. `schema.coding` is how numbers were coded. */
function decodeNumber(column, coding, code) {
  const unit = Math.max(column.spread > 0 ? column.spread / 1.349 : column.deviation, 2.2250738585072014e-308);
  let v =
    coding === "quantiles" ? valueAt(column, normalBelow(code) * column.rows)
    : coding === "robust" ? column.median + code * unit
    : column.mean + code * column.deviation;
  v = clip(v, column.low, column.high);
  if (column.type === "time") v = roundTo(v / timeUnit(column.form), 0) * timeUnit(column.form);
  else v = roundTo(v, column.places);
  return clip(v, column.low, column.high);
}

/** With the decimals that the table has. */
function numberText(v, column) {
  if (!Number.isFinite(v)) return "";
  if (column.decimals >= 0 && column.decimals <= 17 && Math.abs(v) < 1e17) {
    const fixed = v.toFixed(column.decimals);
    if (Number(fixed) === v) return fixed;
  }
  return String(column.decimals === undefined ? Number(v.toPrecision(5)) : Number(v.toPrecision(9)));
}

function timeText(seconds, form) {
  const when = new Date(Math.round(seconds * 1000));
  if (Number.isNaN(seconds) || Number.isNaN(when.getTime())) return "";
  const text = when.toISOString();
  return text.slice(0, 10) + (form & 3 ? (form & 1 ? "T" : " ") + text.slice(11, form & 4 ? 19 : 16) : "");
}

/** A value of a column as the table writes it; words come as their number. */
function valueText(column, value) {
  if (column.words) return value >= 0 && value < column.words.length ? column.words[value] : "";
  return column.type === "time" ? timeText(value, column.form) : numberText(value, column);
}

/** Of every coded column, where its logits lie among the parameters, if it has some: {at, n} or null; from the table of `mean`. */
function partsOf(decoder, columns) {
  const found = new Array(columns).fill(null), last = decoder.network.steps.at(-1);
  if (last?.op !== "mean") return found;
  for (let p = 0; p < last.table.length; p += 5) {
    const [kind, at, first, count, n] = last.table.subarray(p, p + 5);
    for (let i = 0; kind === CODE && i < count; i++) found[first + i] = { at: at + i * n, n };
  }
  return found;
}

function chancesOf(logits) {
  const most = Math.max(...logits), weights = Array.from(logits, (x) => Math.exp(x - most)), sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** What the network says of every coded column: {column, code, value, text, chance, chances}. `value` is a number, or the number of
    the word shown, of which `chance` is the probability. mean: the decoded row; raw: the parameters that it was made of. */
function decodeRow(schema, mean, raw) {
  return schema.columns.map((column, i) => {
    const found = { column, code: mean[i], chance: null, chances: null };
    if (column.classes === 0) {
      found.value = schema.coding === null ? mean[i] * schema.scale : decodeNumber(column, schema.coding, mean[i]);
    } else if (Number.isNaN(mean[i])) {
      found.value = -1; // a condition that is missing
    } else if (column.kind === "yes_no") {
      found.value = mean[i] >= 0.5 ? 1 : 0;
      if (!column.given) found.chances = [1 - mean[i], mean[i]];
    } else {
      found.value = clip(Math.round(mean[i]), 0, column.classes - 1);
      const where = schema.where[i];
      if (where) found.chances = chancesOf(raw.subarray(where.at, where.at + where.n));
    }
    if (found.chances) found.chance = found.chances[found.value];
    found.text = valueText(column, found.value);
    return found;
  });
}

// ---- rows of the reader's own: from cells to codes (csrc/io/columns_code.c) ----

/** Where the standard normal distribution has the part p below it, by halving: it is asked for a few cells at a time. */
function normalQuantile(p) {
  let low = -10, high = 10;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalBelow(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function quantileCode(column, v) {
  const { values, below, at, rows } = column, last = values.length - 1;
  const unit = Math.max(column.spread > 0 ? column.spread / 1.349 : column.deviation, 2.2250738585072014e-308);
  const code = (i) => normalQuantile((below[i] + 0.5 * at[i]) / rows);
  if (v < values[0]) return code(0) - (values[0] - v) / unit;
  if (v > values[last]) return code(last) + (v - values[last]) / unit;
  let i = 0;
  while (i < last && values[i + 1] <= v) i++;
  if (v === values[i]) return code(i);
  let from = below[i] + at[i], to = below[i + 1];
  if (from === to) (from -= 0.5 * at[i]), (to += 0.5 * at[i + 1]);
  return normalQuantile((from + ((v - values[i]) / (values[i + 1] - values[i])) * (to - from)) / rows);
}

function codeNumber(column, coding, v) {
  if (coding === "quantiles") return clip(quantileCode(column, v), -10, 10);
  if (coding === "standard") return clip((v - column.mean) / (column.deviation || 1), -1e6, 1e6);
  return clip((v - column.median) / (column.spread > 0 ? column.spread / 1.349 : column.deviation || 1), -10, 10);
}

/** The code of a cell: NaN if it is empty; undefined: it is nothing that the column has. */
function codeCell(column, coding, text) {
  if (/^\s*$|^(nan|na|null|none|n\/a|\?)$/i.test(text)) return NaN;
  if (column.classes === 0) {
    const zone = /[T ]\d\d:\d\d/.test(text) ? `${text.trim().replace(" ", "T")}Z` : text.trim();
    const v = column.type === "time" ? Date.parse(zone) / 1000 : Number(text);
    return Number.isFinite(v) ? codeNumber(column, coding, v) : undefined;
  }
  const same = (word) => word === text.trim() || (text.trim() !== "" && word !== "" && Number(word) === Number(text));
  const code = column.words.findIndex(same);
  return code >= 0 ? code : column.other ? column.classes - 1 : undefined;
}

/** The rows of a CSV text as lists of cells; separated by commas, semicolons or tabs. */
function csvRows(text) {
  const first = text.split("\n", 1)[0].replace(/"[^"]*"/g, "");
  const separator = [";", "\t", ","].find((mark) => first.includes(mark)) ?? ",";
  const rows = [[]], cell = new RegExp(` *(?:"((?:[^"]|"")*)"|([^${separator}\\r\\n]*)) *(${separator}|\\r?\\n|$)`, "y");
  for (let match; cell.lastIndex < text.length && (match = cell.exec(text));) {
    rows.at(-1).push(match[1] === undefined ? match[2].trim() : match[1].replaceAll('""', '"'));
    if (match[3] !== separator) rows.push([]);
  }
  return rows.filter((row) => row.some((found) => found !== ""));
}

/** One line of CSV. */
function csvLine(cells) {
  return cells.map((cell) => (/[",;\r\n]|^\s|\s$|^$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",");
}
