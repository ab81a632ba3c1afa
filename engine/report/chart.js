// A canvas with panels over one horizontal axis: draw, read off, zoom.
//
// spec: label, domain [low, high], ticks(view, most) -> [[x, text]], panels, least (smallest span of a zoom),
//   hover(x) -> {x, head, rows: [[name, text, token]]}, readout (node to show it in, else a tip), click(x),
//   drag(from, to, phase), zoomable, changed(view), align() -> left edge
// panel: share or px (height), range(view) -> [low, high], paint(pen), format(v, decimals), log(view) -> bool,
//   plain (no axis), zero (a value whose line is stronger), title
// pen: {g, X, Y, left, right, top, bottom, view, width}

const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

class Chart {
  constructor(host, spec) {
    Object.assign(this, {host, spec, view: [...spec.domain], frame: 0});
    this.base = h("canvas");
    this.glass = h("canvas.glass", {tabIndex: 0, role: "img", ariaLabel: spec.label});
    this.tip = h("div.tip", {hidden: true});
    this.back = h("button.back", {type: "button", hidden: true, onclick: () => this.reset()}, "Show all");
    host.classList.add("chart");
    host.append(this.base, this.glass, this.tip, this.back);
    new ResizeObserver(() => this.redraw()).observe(host);
    THEME.listeners.push(() => this.redraw());
    this.listen();
  }

  redraw() {
    this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.paint(); });
  }

  // ---- drawing
  paint() {
    const width = this.host.clientWidth, height = this.host.clientHeight;
    if (!width || !height) return;
    const g = sharp(this.base, width, height);
    sharp(this.glass, width, height);
    g.font = FONT;
    const panels = this.place(height);
    const widths = panels.flatMap(p => p.ticks.map(([, text]) => g.measureText(text).width + 12));
    this.left = this.spec.align?.() ?? Math.ceil(Math.max(8, ...widths));
    this.right = width - 10;
    this.floor = height - 24;
    for (const panel of panels) this.paintPanel(g, panel);
    this.paintBottom(g, panels);
    this.panels = panels;
    this.back.hidden = !this.zoomed();
  }
  place(height) {  // heights first, then the range and the ticks that fit
    const specs = this.spec.panels, gap = 26, room = height - 24 - 14 - gap * (specs.length - 1);
    const pixels = specs.reduce((sum, p) => sum + (p.px ?? 0), 0);
    const shares = specs.reduce((sum, p) => sum + (p.px ? 0 : p.share ?? 1), 0);
    let top = 14;
    return specs.map(spec => {
      const tall = spec.px ?? (room - pixels) * (spec.share ?? 1) / shares;
      const log = spec.log?.(this.view) ?? false;
      const range = spec.range(this.view);
      const most = Math.max(2, tall / 32);
      const ticks = spec.plain ? [] : log
        ? logTicks(...range, most).map(v => [v, spec.format(v, places(v))]) : plainTicks(spec.format)(range, most);
      const panel = {spec, top, bottom: top + tall, range, ticks, f: log ? Math.log : v => v};
      top += tall + gap;
      return panel;
    });
  }
  pen(g, {range: [low, high], f, top, bottom}) {
    const {left, right, view} = this, [a, b] = view;
    const X = v => left + (v - a) / (b - a) * (right - left);
    const Y = v => bottom - (f(v) - f(low)) / (f(high) - f(low)) * (bottom - top);
    return {g, X, Y, left, right, top, bottom, view, width: right - left};
  }
  paintPanel(g, panel) {
    const pen = this.pen(g, panel);
    g.textAlign = "right";
    g.textBaseline = "middle";
    for (const [v, text] of panel.ticks) {
      const y = Math.round(pen.Y(v)) + 0.5;
      if (y < panel.top - 1 || y > panel.bottom + 1) continue;
      rule(g, colour(v === panel.spec.zero ? "axis" : "grid"), this.left, y, this.right, y);
      g.fillStyle = colour("soft");
      g.fillText(text, this.left - 8, y);
    }
    g.save();
    g.beginPath();
    g.rect(this.left, panel.top - 6, this.right - this.left, panel.bottom - panel.top + 12);
    g.clip();
    panel.spec.paint(pen);
    g.restore();
    const scale = panel.f === Math.log ? ", log scale" : "";
    if (panel.spec.title) write(g, panel.spec.title + scale, this.left, panel.top - 7, "faint");
  }
  paintBottom(g, panels) {
    rule(g, colour("axis"), this.left, this.floor + 0.5, this.right, this.floor + 0.5);
    const {X} = this.pen(g, panels[0]);
    let free = -Infinity;
    for (const [v, text] of this.spec.ticks(this.view, (this.right - this.left) / 84)) {
      const half = g.measureText(text).width / 2;
      const x = X(v), at = Math.min(Math.max(x, this.left + half), this.right - half + 8);
      if (x < this.left - 1 || x > this.right + 1 || at - half < free) continue;
      rule(g, colour("axis"), Math.round(x) + 0.5, this.floor, Math.round(x) + 0.5, this.floor + 4);
      write(g, text, at, this.floor + 14, "soft", "center");
      free = at + half + 10;
    }
  }

  // ---- zoom
  at(px) {
    const [a, b] = this.view;
    return a + (px - this.left) / (this.right - this.left) * (b - a);
  }
  zoomed() {
    return this.view[0] > this.spec.domain[0] || this.view[1] < this.spec.domain[1];
  }
  zoom(from, to) {  // keeps the span asked for, inside the domain and not below the least
    const [low, high] = this.spec.domain;
    const span = Math.min(high - low, Math.max(to - from, this.spec.least ?? (high - low) / 1e4));
    const start = Math.min(Math.max((from + to - span) / 2, low), high - span);
    this.view = [start, start + span];
    this.tip.hidden = true;
    this.redraw();
    this.spec.changed?.(this.view);
  }
  by(factor, centre = (this.view[0] + this.view[1]) / 2) {
    this.zoom(centre - (centre - this.view[0]) * factor, centre + (this.view[1] - centre) * factor);
  }
  pan(share) {
    const step = share * (this.view[1] - this.view[0]);
    this.zoom(this.view[0] + step, this.view[1] + step);
  }
  reset() {
    this.zoom(...this.spec.domain);
  }

  // ---- the reader's hand
  listen() {
    const {glass, spec} = this;
    let start = null;
    const place = event => Math.min(Math.max(event.offsetX, this.left), this.right);
    glass.onpointerdown = event => {
      start = place(event);
      glass.setPointerCapture(event.pointerId);
      spec.drag?.(this.at(start), this.at(start), "start");
    };
    glass.onpointermove = event => {
      const px = place(event), dragged = start !== null && Math.abs(px - start) > 4;
      if (dragged && spec.drag) spec.drag(this.at(start), this.at(px), "move");
      else if (dragged && spec.zoomable) this.brush(start, px);
      else this.point(px);
    };
    glass.onpointerup = event => {
      const px = place(event), dragged = start !== null && Math.abs(px - start) > 4;
      if (dragged && spec.drag) spec.drag(this.at(start), this.at(px), "end");
      else if (dragged && spec.zoomable) this.zoom(this.at(Math.min(start, px)), this.at(Math.max(start, px)));
      else spec.click?.(this.at(px), event.offsetY);
      start = null;
    };
    glass.onpointercancel = () => { start = null; };
    glass.onpointerleave = () => this.leave();
    if (spec.zoomable) this.listenZoom();
  }
  listenZoom() {
    const keys = {
      "+": () => this.by(0.5), "=": () => this.by(0.5), "-": () => this.by(2), "0": () => this.reset(),
      Escape: () => this.reset(), ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2),
    };
    this.glass.ondblclick = () => this.reset();
    this.glass.onkeydown = event => {
      if (!(event.key in keys) || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      keys[event.key]();
    };
    this.glass.addEventListener("wheel", event => {  // plain scrolling stays the page's
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (!event.ctrlKey && !event.metaKey && !sideways) return;
      event.preventDefault();
      if (sideways) this.pan(event.deltaX / 800); else this.by(Math.exp(event.deltaY / 200), this.at(event.offsetX));
    }, {passive: false});
  }
  clean() {
    const g = this.glass.getContext("2d");
    g.clearRect(0, 0, this.host.clientWidth, this.host.clientHeight);
    return g;
  }
  leave() {
    this.clean();
    this.tip.hidden = true;
    this.spec.readout?.replaceChildren();
  }
  brush(from, to) {
    const g = this.clean();
    this.tip.hidden = true;
    g.fillStyle = colour("brush");
    g.fillRect(Math.min(from, to), 8, Math.abs(to - from), this.floor - 8);
  }
  point(px) {
    const found = this.spec.hover?.(this.at(px));
    if (!found || !this.panels) return this.leave();
    const g = this.clean(), {X} = this.pen(g, this.panels[0]), x = Math.round(X(found.x)) + 0.5;
    rule(g, colour("faint"), x, 8, x, this.floor);
    if (this.spec.readout) return this.spec.readout.replaceChildren(h("b", {}, found.head), ...found.rows.map(
      ([name, text, token]) => h("span", {}, token && h(`i.swatch.${token}`), name, h("b", {}, shown(text)))));
    const rows = found.rows.map(([name, text, token]) => h("tr", {},
      h("td", {}, token && h(`i.swatch.${token}`), name), h("td", {}, shown(text))));
    this.tip.replaceChildren(h("b", {}, found.head), h("table", {}, rows));
    this.tip.hidden = false;
    const room = this.host.clientWidth - this.tip.offsetWidth - 8;
    const beside = x + 14 > room ? x - this.tip.offsetWidth - 14 : x + 14;
    this.tip.style.left = Math.max(0, Math.min(beside, room + 8)) + "px";
  }
}

function sharp(canvas, width, height) {  // one canvas pixel per device pixel
  const ratio = window.devicePixelRatio || 1;
  const [w, t] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== t) Object.assign(canvas, {width: w, height: t});
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  return g;
}

function rule(g, paint, x0, y0, x1, y1, dash = []) {
  g.strokeStyle = paint;
  g.lineWidth = 1;
  g.setLineDash(dash);
  g.beginPath();
  g.moveTo(x0, y0);
  g.lineTo(x1, y1);
  g.stroke();
  g.setLineDash([]);
}

function write(g, text, x, y, token = "soft", align = "left") {
  g.font = FONT;
  g.fillStyle = colour(token);
  g.textAlign = align;
  g.textBaseline = "middle";
  g.fillText(text, x, y);
}

function trace(pen, xs, ys, style = {}) {  // a line that keeps each screen column's extremes; unknown values break it
  const {g, X, Y, view} = pen;
  const from = Math.max(0, below(xs, view[0]) - 1), to = Math.min(xs.length, below(xs, view[1]) + 1);
  g.strokeStyle = style.colour;
  g.lineWidth = style.width ?? 1.5;
  g.lineJoin = "round";
  g.setLineDash(style.dash ?? []);
  g.beginPath();
  let column = null, low = 0, high = 0, drawing = false;
  for (let i = from; i < to; i++) {
    if (!known(ys[i])) { drawing = false; continue; }
    const x = X(xs[i]), y = Y(ys[i]);
    if (Math.round(x) !== column || !drawing) {
      if (drawing && low !== high) { g.lineTo(column, low); g.lineTo(column, high); }
      if (drawing) g.lineTo(x, y); else g.moveTo(x, y);
      [column, low, high, drawing] = [Math.round(x), y, y, true];
    } else {
      low = Math.min(low, y);
      high = Math.max(high, y);
      if (i === to - 1 || !known(ys[i + 1])) { g.lineTo(x, low); g.lineTo(x, high); }
    }
  }
  g.stroke();
  g.setLineDash([]);
}

function area(pen, xs, low, high, paint) {
  const {g, X, Y} = pen;
  g.fillStyle = paint;
  g.beginPath();
  const rows = [...xs.keys()].filter(i => known(low[i]) && known(high[i]));
  rows.forEach(i => g.lineTo(X(xs[i]), Y(high[i])));
  rows.reverse().forEach(i => g.lineTo(X(xs[i]), Y(low[i])));
  g.fill();
}

function dot(g, x, y, radius, paint, rim) {
  g.beginPath();
  g.arc(x, y, radius, 0, 2 * Math.PI);
  g.fillStyle = paint;
  g.fill();
  if (rim) { g.lineWidth = 1.5; g.strokeStyle = rim; g.stroke(); }
}
