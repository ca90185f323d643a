"use strict";
/* The plane of latents: points once on one canvas, marks that move on another above it, so that a frame draws a few lines however
   many points there are. */

/** Which two numbers of a latent vector the plane shows: latents i and j, principal axes, or a single latent over nothing. */
class Projection {
  /** kind "latents": {i, j}; "axes": {centre, axes: two vectors}; "line": {i}. */
  constructor(kind, how) {
    Object.assign(this, { kind, ...how });
  }

  /** [x, y]; of a line y is undefined. */
  of(z) {
    if (this.kind === "latents") return [z[this.i], z[this.j]];
    if (this.kind === "line") return [z[this.i], undefined];
    return this.axes.map((axis) => axis.reduce((sum, part, d) => sum + part * (z[d] - this.centre[d]), 0));
  }

  /** z moved so that its projection is (x, y); what the plane does not show of it stays. */
  moved(z, x, y) {
    const found = Float32Array.from(z);
    if (this.kind === "axes") {
      const [a, b] = this.of(z);
      for (let d = 0; d < z.length; d++) found[d] += (x - a) * this.axes[0][d] + (y - b) * this.axes[1][d];
    } else {
      found[this.i] = x;
      if (this.kind === "latents") found[this.j] = y;
    }
    return found;
  }
}

const MARGIN = 14;

class Plane {
  /** on: {hover(z), leave(), pin(z, point), tile(z)}; `z()` gives the latents shown. */
  constructor(box, on) {
    this.box = box;
    this.on = on;
    this.points = box.querySelector("#points");
    this.marks = box.querySelector("#marks");
    this.n = 0;
    this.tiles = null;
    this.only = null;
    new ResizeObserver(() => this.resize()).observe(box);
    box.addEventListener("pointermove", (event) => this.moved(event));
    box.addEventListener("pointerdown", (event) => this.pressed(event));
    for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, (event) => this.released(event));
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    box.addEventListener("dblclick", () => this.zoom(0));
    this.fingers = new Map();
    box.addEventListener("pointerleave", () => this.dragging || on.leave());
    box.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Points: z (n * latent) and how to project them. limits: [x0, x1, y0, y1], or null for those of the points. */
  show(projection, z, n, latent, limits) {
    Object.assign(this, { projection, n });
    this.x = new Float32Array(n);
    this.y = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const [x, y] = projection.of(z.subarray(i * latent, (i + 1) * latent));
      this.x[i] = x;
      // Over a line points are spread by their number: where many lie is then visible.
      this.y[i] = y === undefined ? ((i * 0.6180339887) % 1) * 1.6 - 0.8 : y;
    }
    this.whole = this.limits = limits || this.own();
    this.resize();
  }

  /** Closer by a factor, with the place at a pixel staying where it is; 0: all of it. */
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [x, y] = this.place(px, py), [x0, x1, y0, y1] = this.limits, line = this.projection.kind === "line";
    const near = factor ? [x + (x0 - x) / factor, x + (x1 - x) / factor, y + (y0 - y) / factor, y + (y1 - y) / factor] : this.whole;
    if (near[1] - near[0] > 4 * (this.whole[1] - this.whole[0]) || near[1] - near[0] < 1e-4 * (this.whole[1] - this.whole[0])) return;
    this.limits = line ? [near[0], near[1], y0, y1] : near;
    this.on.zoomed();
    this.draw();
  }

  own() {
    const ends = [this.x, this.y].map((values) => {
      let low = Infinity, high = -Infinity;
      for (const value of values) (low = Math.min(low, value)), (high = Math.max(high, value));
      const more = 0.04 * (high - low) || 1;
      return [low - more, high + more];
    });
    if (this.projection.kind === "line") ends[1] = [-1, 1];
    return ends.flat();
  }

  coloured(colours) {
    this.colours = colours;
    this.draw();
  }

  resize() {
    const { width, height } = this.box.getBoundingClientRect(), ratio = devicePixelRatio || 1;
    if (!width || !this.limits) return;
    for (const canvas of [this.points, this.marks]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    Object.assign(this, { width, height, ratio });
    this.draw();
  }

  /** From the plane to pixels of the page, and back. */
  pixel(x, y) {
    const [x0, x1, y0, y1] = this.limits;
    return [
      MARGIN + ((x - x0) / (x1 - x0)) * (this.width - 2 * MARGIN),
      this.height - MARGIN - ((y - y0) / (y1 - y0)) * (this.height - 2 * MARGIN),
    ];
  }

  place(px, py) {
    const [x0, x1, y0, y1] = this.limits;
    return [
      x0 + ((px - MARGIN) / (this.width - 2 * MARGIN)) * (x1 - x0),
      y0 + ((this.height - MARGIN - py) / (this.height - 2 * MARGIN)) * (y1 - y0),
    ];
  }

  context(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return context;
  }

  draw() {
    if (!this.width || !this.colours) return;
    const context = this.context(this.points), style = getComputedStyle(this.box);
    const [ink, paper] = [style.getPropertyValue("--muted"), style.getPropertyValue("--card")];
    if (this.tiles) this.drawTiles(context);
    this.drawAxes(context, ink);
    const radius = this.n > 20000 ? 1.2 : this.n > 5000 ? 1.6 : this.n > 1000 ? 2.2 : 3.2;
    context.globalAlpha = this.n > 5000 ? 0.7 : 0.85;
    // Groups one after another change the colour seldom; the order within is that of the rows.
    for (let i = 0; i < this.n; i++) {
      const faint = this.only !== null && this.colours.group(i) !== this.only;
      context.fillStyle = faint ? "rgb(128 128 128 / 18%)" : this.colours.colour(i);
      const [px, py] = this.pixel(this.x[i], this.y[i]);
      if (radius < 2) context.fillRect(px - radius, py - radius, 2 * radius, 2 * radius);
      else {
        context.beginPath();
        context.arc(px, py, radius, 0, 7);
        context.fill();
      }
    }
    context.globalAlpha = 1;
    this.drawNames(context, style.getPropertyValue("--ink"), paper);
    this.mark();
  }

  drawTiles(context) {
    const { pictures, across, down } = this.tiles;
    const w = (this.width - 2 * MARGIN) / across, h = (this.height - 2 * MARGIN) / down;
    context.imageSmoothingEnabled = false;
    pictures.forEach((picture, k) => {
      const column = k % across, row = Math.floor(k / across);
      // With a gap: images that fill their height would run into each other.
      if (picture) context.drawImage(picture, MARGIN + column * w, MARGIN + row * h, w - 1.5, h - 1.5);
    });
    if (this.n) {
      context.fillStyle = getComputedStyle(this.box).getPropertyValue("--card");
      context.globalAlpha = 0.45;
      context.fillRect(0, 0, this.width, this.height);
      context.globalAlpha = 1;
    }
  }

  drawAxes(context, ink) {
    const [x0, x1, y0, y1] = this.limits, [px, py] = this.pixel(0, 0);
    context.strokeStyle = ink;
    context.globalAlpha = 0.35;
    context.lineWidth = 1;
    context.beginPath();
    if (x0 < 0 && x1 > 0) context.moveTo(Math.round(px) + 0.5, 0), context.lineTo(Math.round(px) + 0.5, this.height);
    if (y0 < 0 && y1 > 0) context.moveTo(0, Math.round(py) + 0.5), context.lineTo(this.width, Math.round(py) + 0.5);
    context.stroke();
    context.globalAlpha = 1;
    context.fillStyle = ink;
    context.font = "12px system-ui, sans-serif";
    const [across, up] = this.names || ["", ""], text = (value) => Number(value.toPrecision(2)).toString();
    context.textBaseline = "bottom";
    context.textAlign = "left";
    context.fillText(text(x0), 4, this.height - 3);
    context.textAlign = "right";
    context.fillText(text(x1), this.width - 4, this.height - 3);
    context.textAlign = "center";
    context.fillText(across, this.width / 2, this.height - 3);
    if (!up) return;
    context.textBaseline = "top";
    context.textAlign = "left";
    context.fillText(`${up}  ${text(y1)}`, 4, 4);
  }

  /** The name of a group at the median of its points: colours alone are not what tells them apart. */
  drawNames(context, ink, paper) {
    if (!Array.isArray(this.colours.legend) || this.projection.kind === "line") return;
    const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
    context.font = "600 14px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    for (const { name, group } of this.colours.legend) {
      if (group < 0 || (this.only !== null && group !== this.only)) continue;
      const members = [];
      for (let i = 0; i < this.n; i++) if (this.colours.group(i) === group) members.push(i);
      const at = this.pixel(middle(members.map((i) => this.x[i])), middle(members.map((i) => this.y[i])));
      const far = middle(members.map((i) => Math.hypot(...this.pixel(this.x[i], this.y[i]).map((value, k) => value - at[k]))));
      if (far > 0.2 * this.width) continue; // all over the plane: no place is theirs
      const shown = name.length > 18 ? `${name.slice(0, 17)}…` : name;
      const half = context.measureText(shown).width / 2 + 4;
      at[0] = Math.max(half, Math.min(this.width - half, at[0])); // a name at the edge stays whole
      if (members.length < 3) at[1] += at[1] < 40 ? 16 : -16; // it would hide the point
      context.lineWidth = 4;
      context.strokeStyle = paper;
      context.strokeText(shown, ...at);
      context.fillStyle = ink;
      context.fillText(shown, ...at);
    }
  }

  /** What moves: the latents shown, the chosen row, both ends of the way and the way. */
  mark(now = this.now) {
    this.now = now;
    if (!this.width || !now) return;
    const context = this.context(this.marks), style = getComputedStyle(this.box);
    const [ink, card, accent] = ["--ink", "--card", "--accent"].map((name) => style.getPropertyValue(name));
    const at = (z) => {
      const [x, y] = this.projection.of(z);
      return this.pixel(x, y === undefined ? 0 : y);
    };
    const ends = [["A", now.a], ["B", now.b]].filter(([, z]) => z);
    if (ends.length === 2) {
      context.strokeStyle = accent;
      context.lineWidth = 2;
      context.setLineDash([6, 4]);
      context.beginPath();
      context.moveTo(...at(now.a));
      context.lineTo(...at(now.b));
      context.stroke();
      context.setLineDash([]);
    }
    for (const [name, z] of ends) {
      const [px, py] = at(z);
      context.fillStyle = accent;
      context.beginPath();
      context.arc(px, py, 9, 0, 7);
      context.fill();
      context.fillStyle = card;
      context.font = "600 12px system-ui, sans-serif";
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(name, px, py + 0.5);
    }
    // The chosen row in a square, the latents shown as a ring with a dot; both with a halo, so that they show on any points.
    const outlined = (draw) => {
      for (const [colour, width] of [[card, 6], [ink, 2.5]]) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.beginPath();
        draw();
        context.stroke();
      }
    };
    if (now.point >= 0) {
      const [px, py] = this.pixel(this.x[now.point], this.y[now.point]);
      outlined(() => context.rect(px - 8, py - 8, 16, 16));
    }
    const [px, py] = at(now.z);
    outlined(() => context.arc(px, py, 6, 0, 7));
    context.fillStyle = ink;
    context.fillRect(px - 1, py - 1, 2, 2);
  }

  // ---- pointer and keys ----

  /** The point nearest to a pixel, if it is within `reach` pixels; -1: none is. */
  near(px, py, reach) {
    let found = -1, best = reach * reach;
    for (let i = 0; i < this.n; i++) {
      if (this.only !== null && this.colours.group(i) !== this.only) continue;
      const [x, y] = this.pixel(this.x[i], this.y[i]), distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance < best) (best = distance), (found = i);
    }
    return found;
  }

  at(event) {
    const box = this.box.getBoundingClientRect();
    return [event.clientX - box.left - this.box.clientLeft, event.clientY - box.top - this.box.clientTop];
  }

  /** The wheel zooms with Ctrl, as on a touchpad, and once the plane has been clicked; else it scrolls the page. */
  wheel(event) {
    if (!event.ctrlKey && document.activeElement !== this.box) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), ...this.at(event));
  }

  /** Two fingers zoom by the ratio of their distances. */
  pinch(event) {
    const before = [...this.fingers.values()];
    this.fingers.set(event.pointerId, this.at(event));
    const [[ax, ay], [bx, by]] = [...this.fingers.values()], distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
    this.zoom(distance([ax, ay], [bx, by]) / Math.max(distance(...before), 1), (ax + bx) / 2, (ay + by) / 2);
  }

  released(event) {
    this.fingers.delete(event.pointerId);
    this.dragging = false;
  }

  moved(event) {
    if (this.fingers.size === 2) return this.pinch(event);
    const where = this.place(...this.at(event));
    if (this.dragging) this.on.pin(where, -1);
    else if (event.pointerType !== "touch") this.on.hover(where);
  }

  pressed(event) {
    if (event.button) return;
    const pixel = this.at(event), point = this.near(...pixel, event.pointerType === "touch" ? 14 : 8);
    this.fingers.set(event.pointerId, pixel);
    this.dragging = this.fingers.size === 1;
    this.box.setPointerCapture(event.pointerId);
    if (!this.dragging) return;
    this.on.pin(this.place(...pixel), point);
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (steps) {
      const [x0, x1, y0, y1] = this.limits, [x, y] = this.projection.of(this.now.z), part = event.shiftKey ? 0.1 : 0.02;
      this.on.pin([x + steps[0] * part * (x1 - x0), (y ?? 0) + steps[1] * part * (y1 - y0)], -1);
    } else if ("+-0".includes(event.key)) this.zoom({ "+": 1.25, "-": 0.8, 0: 0 }[event.key]);
    else if (event.key === "Enter" || event.key === " ") {
      const [x, y] = this.projection.of(this.now.z), point = this.near(...this.pixel(x, y ?? 0), Infinity);
      if (point >= 0) this.on.pin([x, y], point);
    } else if (!this.on.key(event.key)) return;
    event.preventDefault();
  }
}
