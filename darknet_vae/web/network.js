"use strict";
/* A network's steps over typed arrays: what graph.py traces, computed in the page. The core computes the same in float32;
   sums are doubles here, which is what JavaScript has. This file also runs alone in a worker. */

const ACTIVATIONS = {
  logistic: (x) => 1 / (1 + Math.exp(-x)),
  loggy: (x) => 2 / (1 + Math.exp(-x)) - 1,
  relu: (x) => (x > 0 ? x : 0),
  elu: (x) => (x >= 0 ? x : Math.expm1(x)),
  selu: (x) => (x >= 0 ? 1.0507 * x : 1.0507 * 1.6732 * Math.expm1(x)),
  relie: (x) => (x > 0 ? x : 0.01 * x),
  ramp: (x) => (x > 0 ? 1.1 * x : 0.1 * x),
  leaky: (x) => (x > 0 ? x : 0.1 * x),
  tanh: Math.tanh,
  plse: (x) => (x < -4 ? 0.01 * (x + 4) : x > 4 ? 0.01 * (x - 4) + 1 : 0.125 * x + 0.5),
  stair: (x) => (Math.floor(x) % 2 === 0 ? Math.floor(x / 2) : x - Math.floor(x) + Math.floor(x / 2)),
  hardtan: (x) => (x < -1 ? -1 : x > 1 ? 1 : x),
  lhtan: (x) => (x < 0 ? 0.001 * x : x > 1 ? 0.001 * (x - 1) + 1 : x),
};

const size = (shape) => shape.reduce((product, n) => product * n, 1);
const asImage = (shape) => (shape.length === 3 ? shape : [shape[0], 1, 1]);

/** y = W x + b, W (outputs, inputs). Four sums, so that additions need not wait for each other. */
function dense(x, w, b, y) {
  const n = x.length, whole = n & ~3;
  for (let o = 0, row = 0; o < y.length; o++, row += n) {
    let s0 = b[o], s1 = 0, s2 = 0, s3 = 0, i = 0;
    for (; i < whole; i += 4) {
      s0 += w[row + i] * x[i];
      s1 += w[row + i + 1] * x[i + 1];
      s2 += w[row + i + 2] * x[i + 2];
      s3 += w[row + i + 3] * x[i + 3];
    }
    for (; i < n; i++) s0 += w[row + i] * x[i];
    y[o] = s0 + s1 + (s2 + s3);
  }
}

/** Which output columns c have 0 <= c * stride + offset < n: from [0] up to [1]. */
function within(offset, stride, n, outputs) {
  const first = offset < 0 ? Math.ceil(-offset / stride) : 0;
  return [first, Math.min(outputs, Math.floor((n - 1 - offset) / stride) + 1)];
}

/** Convolution of x (channels, h, w) with W (filters, channels / groups, size, size). A weight at a time over whole rows:
    the innermost loop then reads and writes one after another. */
function conv(x, [channels, h, w], weights, b, y, [filters, oh, ow], { window, stride, padding, groups }, plane) {
  const part = channels / groups, each = filters / groups;
  for (let f = 0, at = 0; f < filters; f++) {
    plane.fill(b[f]);
    for (let k = 0; k < part; k++) {
      const from = (Math.floor(f / each) * part + k) * h * w;
      for (let i = 0; i < window; i++) {
        const [top, bottom] = within(i - padding, stride, h, oh);
        for (let j = 0; j < window; j++, at++) {
          const [left, right] = within(j - padding, stride, w, ow), weight = weights[at];
          for (let r = top; r < bottom; r++) {
            let source = from + (r * stride + i - padding) * w + left * stride + j - padding;
            for (let to = r * ow + left; to < r * ow + right; to++, source += stride) plane[to] += weight * x[source];
          }
        }
      }
    }
    y.set(plane, f * oh * ow);
  }
}

/** Transposed convolution of x (channels, h, w) with W (channels, filters, size, size). */
function deconv(x, [channels, h, w], weights, b, y, [filters, oh, ow], { window, stride, padding }, plane) {
  for (let f = 0; f < filters; f++) {
    plane.fill(b[f]);
    for (let k = 0; k < channels; k++) {
      let at = (k * filters + f) * window * window;
      for (let i = 0; i < window; i++) {
        const [top, bottom] = within(i - padding, stride, oh, h);
        for (let j = 0; j < window; j++, at++) {
          const [left, right] = within(j - padding, stride, ow, w), weight = weights[at];
          for (let r = top; r < bottom; r++) {
            let to = (r * stride + i - padding) * ow + left * stride + j - padding;
            for (let source = (k * h + r) * w + left; source < (k * h + r) * w + right; source++, to += stride)
              plane[to] += weight * x[source];
          }
        }
      }
    }
    y.set(plane, f * oh * ow);
  }
}

/** The largest value of windows; `padding` is that of both sides together. */
function maxpool(x, [channels, h, w], y, [, oh, ow], { size: window, stride, padding }) {
  const before = Math.floor(padding / 2);
  for (let k = 0, to = 0; k < channels; k++)
    for (let r = 0; r < oh; r++)
      for (let c = 0; c < ow; c++, to++) {
        let most = -Infinity;
        for (let i = 0; i < window; i++) {
          const row = r * stride + i - before;
          if (row < 0 || row >= h) continue;
          for (let j = 0; j < window; j++) {
            const column = c * stride + j - before;
            if (column >= 0 && column < w) most = Math.max(most, x[(k * h + row) * w + column]);
          }
        }
        y[to] = most;
      }
}

function upsample(x, [channels, h, w], y, { stride, scale }) {
  for (let k = 0, to = 0; k < channels; k++)
    for (let r = 0; r < h * stride; r++)
      for (let c = 0; c < w * stride; c++, to++)
        y[to] = scale * x[(k * h + Math.floor(r / stride)) * w + Math.floor(c / stride)];
}

/** The mean of every channel. */
function avgpool(x, y) {
  const n = x.length / y.length;
  for (let k = 0, at = 0; k < y.length; k++) {
    let sum = 0;
    for (let i = 0; i < n; i++, at++) sum += x[at];
    y[k] = sum / n;
  }
}

function add(a, b, { alpha, beta }, y) {
  for (let i = 0; i < y.length; i++) y[i] = alpha * a[i] + beta * b[i];
}

function scaled(x, factors, b, y) {
  const n = y.length / factors.length;
  for (let k = 0, at = 0; k < factors.length; k++) for (let i = 0; i < n; i++, at++) y[at] = factors[k] * x[at] + b[k];
}

/** A coded row for the layers. table (2, n): the column of each value, and how it is made: the number (-3), 1 where it is
    missing (-2), yes or no as 1 or -1 (-1), else 1 for the category of that code; what is missing (NaN) is 0. */
function expand(x, table, y) {
  for (let i = 0; i < y.length; i++) {
    const v = x[table[i]], how = table[y.length + i], missing = Number.isNaN(v);
    y[i] = how === -2 ? +missing : missing ? 0 : how === -3 ? v : how === -1 ? 2 * v - 1 : +(v === how);
  }
}

/** The exponential, of sizes above 30 bounded softly: of the logarithm of a count's mean. */
function boundedExp(x) {
  const over = Math.abs(x) - 30;
  return Math.exp(over > 0 ? Math.sign(x) * (30 + Math.log1p(2 * over) / 2) : x);
}

function largest(x, at, n) {
  let most = 0;
  for (let k = 1; k < n; k++) if (x[at + k] > x[at + most]) most = k;
  return most;
}

function softmax(x, at, n, y, to) {
  const most = x[at + largest(x, at, n)];
  let sum = 0;
  for (let k = 0; k < n; k++) sum += Math.exp(x[at + k] - most);
  for (let k = 0; k < n; k++) y[to + k] = Math.exp(x[at + k] - most) / sum;
}

const [AS_IS, LOGISTIC, EXP, CODE, SOFTMAX, GIVEN] = [0, 1, 2, 3, 4, 5];

/** The mean of distributions from their parameters x, part by part; table (parts, 5): kind, at, first, count, size. */
function mean(x, condition, table, y) {
  for (let p = 0; p < table.length; p += 5) {
    const [kind, at, first, count, n] = table.subarray(p, p + 5);
    for (let i = 0; i < count; i++) {
      if (kind === AS_IS) y[first + i] = x[at + i];
      else if (kind === LOGISTIC) y[first + i] = ACTIVATIONS.logistic(x[at + i]);
      else if (kind === EXP) y[first + i] = boundedExp(x[at + i]);
      else if (kind === CODE) y[first + i] = largest(x, at + i * n, n);
      else if (kind === SOFTMAX) softmax(x, at + i * n, n, y, first + i * n);
      else if (kind === GIVEN) y[first + i] = condition[at + i];
    }
  }
}

/** Of the first half; larger ones are bounded softly. */
function boundLogVariance(x, limit, y) {
  for (let i = 0; i < y.length; i++) {
    const over = Math.abs(x[i]) - limit;
    y[i] = i < y.length / 2 && over > 0 ? Math.sign(x[i]) * (limit + Math.log1p(2 * over) / 2) : x[i];
  }
}

/** Value 0 is the input, step i gives value i + 1, and value CONDITION is the coded row that a [condition] reads. */
const CONDITION = -1;

class Network {
  /** graph: {inputs, condition, steps}; array: from a reference in it to a typed array. */
  constructor(graph, array) {
    this.steps = graph.steps.map((step) => {
      const found = { ...step };
      for (const name of ["weights", "biases", "table"]) found[name] = step[name] ? array(step[name]) : null;
      return found;
    });
    this.shapes = [graph.inputs, ...graph.steps.map((step) => step.shape)];
    // Memory is taken once: decoding makes no garbage.
    this.values = this.shapes.map((shape) => new Float32Array(size(shape)));
    this.condition = new Float32Array(graph.condition ? size(graph.condition) : 0).fill(NaN);
    this.planes = this.steps.map(({ op, shape }) =>
      op === "conv" || op === "deconv" ? new Float64Array(size(asImage(shape)) / asImage(shape)[0]) : null,
    );
  }

  /** The values of the last step, valid until the next run. condition: where the graph has one. */
  run(x, condition = null) {
    this.values[0].set(x);
    if (condition) this.condition.set(condition);
    this.steps.forEach((step, i) => this.step(step, i + 1));
    return this.values[this.steps.length];
  }

  value(number) {
    return number === CONDITION ? this.condition : this.values[number];
  }

  step({ op, inputs, activation, weights, biases, table, numbers }, to) {
    const x = this.value(inputs[0]), y = this.values[to];
    const from = asImage(inputs[0] < 0 ? [x.length] : this.shapes[inputs[0]]);
    const shape = asImage(this.shapes[to]), plane = this.planes[to - 1];
    if (op === "dense") dense(x, weights, biases, y);
    else if (op === "conv") conv(x, from, weights, biases, y, shape, numbers, plane);
    else if (op === "deconv") deconv(x, from, weights, biases, y, shape, numbers, plane);
    else if (op === "maxpool") maxpool(x, from, y, shape, numbers);
    else if (op === "avgpool") avgpool(x, y);
    else if (op === "upsample") upsample(x, from, y, numbers);
    else if (op === "scale") scaled(x, weights, biases, y);
    else if (op === "add") add(x, this.value(inputs[1]), numbers, y);
    else if (op === "expand") expand(x, table, y);
    else if (op === "mean") mean(x, this.condition, table, y);
    else if (op === "bound_log_variance") boundLogVariance(x, numbers.limit, y);
    else if (op === "concat") inputs.reduce((at, i) => (y.set(this.value(i), at), at + this.value(i).length), 0);
    else if (op === "reshape" || op === "activate") y.set(x);
    else throw new Error(`unknown step ${op}`);
    const f = ACTIVATIONS[activation];
    if (f) for (let i = 0; i < y.length; i++) y[i] = f(y[i]);
  }
}

// In a worker: the network arrives first, then inputs with numbers; results go back with the same numbers.
if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  let network = null, shown = [];
  self.onmessage = ({ data }) => {
    if (data.graph) {
      network = new Network(data.graph, (a) => a);
      shown = data.shown;
    } else {
      network.run(data.x, data.condition);
      self.postMessage({ id: data.id, values: shown.map((i) => network.values[i].slice()) });
    }
  };
}
