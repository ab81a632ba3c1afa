// The price: bars at any zoom, trades between their barriers, and the regime underneath.

class PriceChart {
  constructor(body, bars, books) {
    Object.assign(this, {bars, books, n: bars.time.length, chosen: null});
    for (const book of books) this.locate(book);
    this.book = books.find(book => book.ret.length) ?? books[0] ?? null;
    const host = h("div.taller"), strip = h("div.strip"), names = books.map(book => `${book.name} ${count(book.ret.length)}`);
    this.evidence = h("div.evidence", {ariaLive: "polite"});
    this.readout = h("p.readout");
    this.chart = new Chart(host, this.spec());
    this.map = new Chart(strip, this.mapSpec());
    this.picker = choice(names, at => this.pick(books[at]), "Trades of");
    put(body, books.length > 1 && h("div.tools", {}, h("span.label", {}, "Trades of"), this.picker),
      this.book && this.evidence, this.readout, host, strip, tradeKey(), bars.note && hint(bars.note), hint(ZOOM));
    if (this.book) this.picker.choose(books.indexOf(this.book));
  }

  index(t) {
    return Math.max(0, below(this.bars.time, t) - 1);
  }
  locate(book) {
    book.from = Int32Array.from(book.entry_time, t => this.index(t));
    book.to = Int32Array.from(book.exit_time, t => this.index(t));
  }
  pick(book) {
    this.book = book;
    this.chosen = null;
    this.evidence.replaceChildren(hint("Choose a trade, here or in the list below, to read the evidence it was taken on."));
    this.chart.redraw();
    this.map.redraw();
  }
  choose(book, i, zoom = true) {  // the trade the reader wants to see
    this.picker.choose(this.books.indexOf(book));
    this.chosen = i;
    const margin = Math.max(12, 1.5 * (book.to[i] - book.from[i]));
    if (zoom) this.chart.zoom(book.from[i] - margin, book.to[i] + margin);
    this.evidence.replaceChildren(...tradeEvidence(book, i));
  }

  ticks(view, most) {
    const time = this.bars.time, [a, b] = [Math.max(0, Math.ceil(view[0])), Math.min(this.n - 1, Math.floor(view[1]))];
    if (b <= a) return [[a, stamp(time[a])]];
    return timeTicks(time[a], time[b], most).map(([t, text]) => [below(time, t - 1), text]);
  }
  spec() {
    const {bars} = this, paint = pen => this.paintPrice(pen);
    const scale = {range: view => this.range(view), log: view => this.steep(view)};
    const panels = [{share: 1, title: "price", format: fixed, paint, ...scale}];
    if (bars.regime) panels.push({px: 18, plain: true, range: () => [0, 1], paint: pen => this.paintRegime(pen)});
    return {
      label: "Price, trades and regime", zoomable: true, least: 8, domain: [-0.5, this.n - 0.5], panels,
      ticks: (view, most) => this.ticks(view, most), changed: () => this.map.redraw(), readout: this.readout,
      hover: x => this.hover(Math.min(this.n - 1, Math.max(0, Math.round(x)))),
      click: x => {
        const [a, b] = this.chart.view, near = (b - a) / 160;
        const i = this.under(Math.round(x))[0] ?? this.under(x - near, x + near)[0];
        if (i !== undefined) { this.choose(this.book, i, false); this.chart.redraw(); }
      },
    };
  }
  extremes([a, b]) {
    const from = Math.max(0, Math.floor(a)), to = Math.min(this.n, Math.ceil(b) + 1);
    return [extent([this.bars.low], from, to)[0], extent([this.bars.high], from, to)[1]];
  }
  steep(view) {  // several-fold moves need a scale of ratios
    const [low, high] = this.extremes(view);
    return high > 4 * low;
  }
  range(view) {
    const [low, high] = this.extremes(view);
    return this.steep(view) ? [low * 0.9, high * 1.1] : padded([low, high], 0.07);
  }
  under(from, to = from) {  // trades that were open at a bar, or between two
    const {book} = this;
    return book ? [...book.from.keys()].filter(i => book.from[i] <= to && from <= book.to[i]) : [];
  }
  hover(i) {
    const {time, open, high, low, close, regime} = this.bars;
    const rows = Object.entries({open, high, low, close}).map(([name, column]) => [name, price(column[i])]);
    if (coded(regime, i)) rows.push(["regime", coded(regime, i), "block.regime" + rank(regime.words, regime.code[i])]);
    for (const t of this.under(i).slice(0, 3)) {
      const result = [signed(percent(this.book.ret[t], 2)), coded(this.book.outcome, t)].filter(Boolean).join(" ");
      rows.push([`trade ${t + 1}`, result, sense(this.book.ret[t])]);
    }
    return {x: i, head: stamp(time[i]), rows};
  }

  // ---- drawing
  paintPrice(pen) {
    const until = PAYLOAD.header?.in_sample_until;
    if (known(until) && until >= this.bars.time[0]) shadeInSample(pen, this.index(until) + 0.5);
    const wide = pen.width / (pen.view[1] - pen.view[0]);
    const crowd = this.under(...pen.view);
    if (wide >= 1.2) crowd.forEach(i => this.paintZone(pen, i, wide));
    if (wide >= 3) this.paintCandles(pen, wide); else this.paintColumns(pen);
    crowd.forEach(i => this.paintTrade(pen, i, wide, crowd.length));
  }
  paintCandles({g, X, Y, view}, wide) {
    const {open, high, low, close} = this.bars;
    const body = Math.max(1, Math.min(22, Math.floor(wide * 0.7))), half = body / 2;
    const line = colour("candle"), paper = colour("panel");
    for (let i = Math.max(0, Math.floor(view[0])); i <= Math.min(this.n - 1, Math.ceil(view[1])); i++) {
      const x = Math.round(X(i)) + 0.5, rose = close[i] >= open[i];
      rule(g, line, x, Y(high[i]), x, Y(low[i]));
      const [y0, y1] = [Y(open[i]), Y(close[i])].map(Math.round).sort((a, b) => a - b);
      const top = y0, tall = Math.max(1, y1 - y0);
      g.fillStyle = rose ? paper : line;
      g.fillRect(x - half, top, body, tall);
      if (rose) g.strokeRect(x - half, top + 0.5, body, Math.max(tall - 1, 0.5));
    }
  }
  paintColumns({g, X, Y, view, left, right}) {  // many bars a pixel: each column from its lowest to its highest price
    const {high, low} = this.bars, per = (view[1] - view[0]) / (right - left);
    g.fillStyle = colour("candle");
    for (let x = Math.floor(left); x < right; x++) {
      const [from, to] = this.column(x - left, per, view);
      const top = Y(extent([high], from, to)[1]), bottom = Y(extent([low], from, to)[0]);
      g.fillRect(x, top, 1, Math.max(1, bottom - top));
    }
  }
  paintRegime({g, left, right, top, bottom, view}) {
    const {words, code} = this.bars.regime, per = (view[1] - view[0]) / (right - left);
    const paints = words.map((_, i) => colour("regime" + rank(words, i)));
    g.fillStyle = colour("grid");
    g.fillRect(left, top, right - left, bottom - top);
    for (let x = Math.floor(left); x < right; x++) {  // each column shows the shares of its bars, calm at the foot
      const [from, to] = this.column(x - left, per, view), tally = new Array(words.length).fill(0);
      for (let i = from; i < to; i++) if (code[i] in tally) tally[code[i]]++;
      let foot = bottom;
      tally.forEach((n, i) => {
        const tall = n / (to - from) * (bottom - top);
        g.fillStyle = paints[i];
        g.fillRect(x, foot - tall, 1, tall);
        foot -= tall;
      });
    }
  }
  column(x, per, view) {  // the bars of one screen column
    const from = Math.min(this.n - 1, Math.max(0, Math.round(view[0] + x * per)));
    return [from, Math.min(this.n, Math.max(from + 1, Math.round(view[0] + (x + 1) * per)))];
  }
  paintZone({g, X, Y}, i, wide) {
    const {book} = this, x0 = X(book.from[i]) - wide / 2, x1 = X(book.to[i]) + wide / 2, entry = Y(book.entry_price[i]);
    for (const [column, token] of [["target", "good"], ["stop", "bad"]]) {
      if (!known(book[column]?.[i])) continue;
      const edge = Y(book[column][i]);
      g.fillStyle = colour(token + (i === this.chosen ? "-zone" : "-haze"));
      g.fillRect(x0, Math.min(edge, entry), x1 - x0, Math.abs(edge - entry));
      rule(g, colour(token), x0, Math.round(edge) + 0.5, x1, Math.round(edge) + 0.5, [3, 3]);
    }
  }
  paintTrade({g, X, Y}, i, wide, crowd) {
    const {book} = this, [x0, x1] = [X(book.from[i]), X(book.to[i])];
    const [y0, y1] = [Y(book.entry_price[i]), Y(book.exit_price[i])];
    const paint = colour(sense(book.ret[i]) || "soft"), rim = colour("panel");
    if (wide < 1.2 && crowd > 120) return void (g.fillStyle = paint, g.fillRect(x0 - 1, y0 - 3, 2.5, 6));
    g.strokeStyle = paint;
    g.lineWidth = i === this.chosen ? 2.5 : 1.5;
    g.beginPath();
    g.moveTo(x0, y0);
    g.lineTo(x1, y1);
    g.stroke();
    const size = wide < 1.2 ? 4 : 6;
    arrow(g, x0, y0, book.side[i] > 0 ? size : -size, paint, rim);
    ending(g, x1, y1, coded(book.outcome, i), paint, rim, size - 2);
  }

  // ---- the whole history in a strip, with the window on it
  mapSpec() {
    let grip = null;
    const whole = [-0.5, this.n - 0.5];
    return {
      label: "The whole history: drag to choose what is shown above", domain: whole,
      align: () => this.chart.left, ticks: (view, most) => this.ticks(view, most),
      panels: [{plain: true, log: () => this.steep(whole), range: () => this.range(whole), paint: pen => {
        this.paintColumns(pen);
        this.paintWindow(pen);
      }}],
      drag: (from, to, phase) => {
        const view = this.chart.view;
        if (phase === "start") grip = this.chart.zoomed() && from >= view[0] && from <= view[1] ? [...view] : null;
        else if (grip) this.chart.zoom(grip[0] + to - from, grip[1] + to - from);
        else this.chart.zoom(Math.min(from, to), Math.max(from, to));
      },
    };
  }
  paintWindow({g, X, left, right, top, bottom}) {
    const [a, b] = this.chart.view;
    g.fillStyle = colour("veil");
    g.fillRect(left, top - 6, X(a) - left, bottom - top + 12);
    g.fillRect(X(b), top - 6, right - X(b), bottom - top + 12);
    g.strokeStyle = colour("accent");
    g.lineWidth = 1.5;
    g.strokeRect(X(a), top - 5, Math.max(3, X(b) - X(a)), bottom - top + 10);
  }
}

const rank = (words, code) => Math.round(code / Math.max(1, words.length - 1) * 3);  // one of four tones

function arrow(g, x, y, size, paint, rim) {  // up for a long entry, down for a short one
  g.beginPath();
  g.moveTo(x, y);
  g.lineTo(x - 0.8 * Math.abs(size), y + 1.6 * size);
  g.lineTo(x + 0.8 * Math.abs(size), y + 1.6 * size);
  g.closePath();
  g.fillStyle = paint;
  g.strokeStyle = rim;
  g.lineWidth = 2;
  g.stroke();
  g.fill();
}
function ending(g, x, y, outcome, paint, rim, r) {  // disc: target; cross: stop; square: time
  if (outcome === "stop") {
    for (const [stroke, width] of [[rim, 5], [paint, 2.5]]) {
      Object.assign(g, {strokeStyle: stroke, lineWidth: width});
      g.beginPath();
      g.moveTo(x - r, y - r); g.lineTo(x + r, y + r); g.moveTo(x + r, y - r); g.lineTo(x - r, y + r);
      g.stroke();
    }
  } else if (outcome === "target") dot(g, x, y, r, paint, rim);
  else {
    g.fillStyle = rim;
    g.fillRect(x - r - 1, y - r - 1, 2 * r + 2, 2 * r + 2);
    g.fillStyle = paint;
    g.fillRect(x - r, y - r, 2 * r, 2 * r);
  }
}
function tradeKey() {
  const signs = {"▲": "long entry", "▼": "short entry", "●": "target reached", "✕": "stopped", "■": "time ran out"};
  const key = h("p.key", {}, Object.entries(signs).map(([sign, text]) => h("span", {}, h("b", {}, sign), " " + text)),
    h("span", {}, h("i.swatch.good"), "earned"), h("span", {}, h("i.swatch.bad"), "lost, costs included"));
  const regimes = PAYLOAD.price.regime?.words ?? [];
  return put(key, regimes.map((word, i) => h("span", {}, h(`i.swatch.block.regime${rank(regimes, i)}`), word)));
}
