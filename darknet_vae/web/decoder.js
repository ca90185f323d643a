"use strict";
/* The arrays of the page, and decoding with them: in the page while that is quick, else in a worker. */

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
