// The small charts of evidence: calibration, threshold, costs, luck.

function smallChart(stage, spec) {
  const host = h("div.small");
  put(stage, host);
  return new Chart(host, spec);
}
const few = n => known(n) && n < 30;

// ---- claimed against realised probability
function drawCalibration(body, models) {
  tabs(body, models, (stage, m) => {
    const domain = padded(extent([m.claimed]), 0.08), most = Math.max(1, ...m.count ?? []);
    const share = {
      share: 3, format: percentAxis, title: "realised share", paint: pen => paintCalibration(pen, m, domain, most),
      range: () => padded(extent([m.realised, m.low ?? [], m.high ?? [], m.claimed]), 0.05),
    };
    const tally = {px: 34, plain: true, title: "predictions", range: () => [0, most], paint: ({g, X, Y, bottom}) => {
      g.fillStyle = colour("control");
      m.claimed.forEach((p, i) => g.fillRect(X(p) - 4, Y(m.count[i]), 8, bottom - Y(m.count[i])));
    }};
    const hover = x => {
      const i = nearest(m.claimed, x);
      const rows = [["claimed", percent(m.claimed[i])], ["realised", percent(m.realised[i]), "accent"]];
      if (m.low && m.high) rows.push(["by luck alone", between(m.low[i], m.high[i], percent)]);
      rows.push(["predictions", count(m.count?.[i])]);
      return {x: m.claimed[i], head: `bin ${i + 1} of ${m.claimed.length}`, rows};
    };
    const panels = m.count ? [share, tally] : [share];
    smallChart(stage, {label: `Calibration of ${m.name}`, domain, ticks: plainTicks(percentAxis), panels, hover});
    facts(stage, [["calibration error", percent(m.ece, 2)], ["a perfect model's, 95 %", percent(m.ece_null, 2)],
      ["base rate", percent(m.base_rate)], ["measured on", m.zone]]);
  }, "Model");
}
function paintCalibration(pen, m, [low, high], most) {
  const {g, X, Y, left, right} = pen;
  if (m.low && m.high) area(pen, m.claimed, m.low, m.high, colour("band"));
  rule(g, colour("soft"), X(low), Y(low), X(high), Y(high), [4, 4]);
  if (known(m.base_rate)) rule(g, colour("faint"), left, Y(m.base_rate), right, Y(m.base_rate), [1, 3]);
  trace(pen, m.claimed, m.realised, {colour: colour("accent")});
  m.claimed.forEach((p, i) => {
    const radius = 3 + 4 * Math.sqrt((m.count?.[i] ?? 0) / most);
    if (known(m.realised[i])) dot(g, X(p), Y(m.realised[i]), radius, colour("accent"), colour("panel"));
  });
}

// ---- net result by confidence threshold
function drawThresholds(body, settings) {
  tabs(body, settings, (stage, s) => {
    const at = s.threshold, band = s.low && s.high, served = new Map();
    for (const mark of s.marks ?? []) served.set(mark.at, [...served.get(mark.at) ?? [], mark.name]);
    const marks = ({g, X, left, right, top, bottom}, named) => served.forEach((names, v) => {
      const x = Math.round(X(v)) + 0.5, flip = x > (left + right) / 2;
      rule(g, colour("soft"), x, top - 6, x, bottom + 6, [4, 3]);
      if (named) write(g, names.join(", "), x + (flip ? -6 : 6), top + 2, "soft", flip ? "right" : "left");
    });
    const panels = [{
      share: 2, zero: 0, title: "net return", format: percentAxis,
      range: () => padded(extent([s.net_return, s.low ?? [], s.high ?? [], [0]])),
      paint: pen => {
        if (band) area(pen, at, s.low, s.high, colour("band"));
        marks(pen, true);
        trace(pen, at, s.net_return, {colour: colour("accent"), width: 2});
      },
    }];
    if (s.trades) panels.push({
      share: 1, title: "trades", format: fixed, range: () => [0, extent([s.trades])[1] * 1.1 || 1],
      paint: pen => {
        marks(pen, false);
        trace(pen, at, s.trades, {colour: colour("control-strong"), width: 2});
      },
    });
    const hover = x => {
      const i = nearest(at, x), rows = [["net return", signed(percent(s.net_return[i])), "accent"]];
      if (band) rows.push([s.band ?? "band", between(s.low[i], s.high[i], percent)]);
      rows.push(["trades", count(s.trades?.[i])], ...few(s.trades?.[i]) ? [["too few to judge", ""]] : []);
      return {x: at[i], head: `confidence at least ${fixed(at[i], 3)}`, rows};
    };
    const label = `Net return and trades by confidence threshold, ${s.name}`;
    smallChart(stage, {label, domain: padded(extent([at]), 0.02), ticks: plainTicks(fixed), panels, hover});
    facts(stage, [["measured on", s.zone], ["band", s.band],
      ...[...served].map(([v, names]) => [`threshold of ${names.join(", ")}`, fixed(v)])]);
  }, "Gates");
}

// ---- result by multiple of the assumed costs
const MEASURES = [
  {key: "expectancy_bp", name: "per trade", title: "mean of a trade, basis points", axis: fixed, text: v => points(v) + " bp"},
  {key: "net_return", name: "net return", title: "net return", axis: percentAxis, text: v => signed(percent(v))},
  {key: "sharpe", name: "Sharpe", title: "Sharpe", axis: fixed, text: v => fixed(v)},
];
function drawCosts(body, {multiple, curves, round_trip_bp}) {
  const lines = curves.map(curve => ({...curve, shown: true})), bp = v => known(v) ? fixed(v, 1) + " bp" : null;
  const measures = MEASURES.filter(({key}) => lines.some(line => line[key]));
  let measure = measures[0];
  const visible = () => lines.filter(line => line.shown && line[measure.key]);
  const panel = {
    zero: 0, get title() { return measure.title; }, format: (v, digits) => measure.axis(v, digits),
    range: () => padded(extent([...visible().map(line => line[measure.key]), [0]])),
    paint: pen => visible().forEach(line => {
      const style = look(line.name), values = line[measure.key], {g, X, Y} = pen;
      trace(pen, multiple, values, {...style, width: 2});
      multiple.forEach((m, i) => known(values[i]) && dot(g, X(m), Y(values[i]), 3.5, style.colour, colour("panel")));
    }),
  };
  const host = h("div.small");
  const chart = new Chart(host, {
    label: "Result by multiple of the assumed costs", domain: padded(extent([multiple]), 0.05), panels: [panel],
    ticks: () => [...multiple].map(m => [m, "×" + m]),
    hover: x => {
      const i = nearest(multiple, x);
      const cost = known(round_trip_bp) ? `: ${bp(multiple[i] * round_trip_bp)} a round trip` : "";
      const value = line => known(line[measure.key][i]) ? measure.text(line[measure.key][i]) : null;
      return {x: multiple[i], head: `costs ×${multiple[i]}${cost}`,
        rows: visible().map(line => [line.name, value(line), look(line.name).token])};
    },
  });
  const pick = choice(measures.map(({name}) => name), at => { measure = measures[at]; chart.redraw(); }, "Measure");
  put(body, h("div.tools", {}, legend(lines, () => chart.redraw()), measures.length > 1 && pick), host);
  pick.choose(0);
  const edge = v => known(v) && v <= 0 ? "no cost: it loses before them" : bp(v);
  const edges = lines.filter(line => "break_even_bp" in line).map(l => [`${l.name} breaks even at`, edge(l.break_even_bp)]);
  facts(body, [["assumed round trip", bp(round_trip_bp)], ...edges]);
}

// ---- the strategy among random ones
function drawLuck(body, controls) {
  const BINS = 48;
  tabs(body, controls, (stage, c) => {
    const draws = [...c.draws].filter(known).sort((a, b) => a - b), upper = draws[Math.floor(0.95 * draws.length)];
    const [low, high] = padded(extent([draws, known(c.value) ? [c.value] : []]), 0.05), width = (high - low) / BINS;
    const [axis, text] = /return/.test(c.measure) ? [percentAxis, v => percent(v)] : [fixed, v => fixed(v)];
    const edge = i => low + i * width, bin = v => Math.min(BINS - 1, Math.max(0, Math.floor((v - low) / width)));
    const tally = new Array(BINS).fill(0);
    draws.forEach(v => tally[bin(v)]++);
    const paint = ({g, X, Y, left, right, top, bottom}) => {
      tally.forEach((n, i) => {
        g.fillStyle = colour(edge(i + 0.5) > upper ? "control-strong" : "control");
        g.fillRect(X(edge(i)) + 0.5, Y(n), Math.max(1, X(edge(i + 1)) - X(edge(i)) - 1), bottom - Y(n));
      });
      if (!known(c.value)) return;
      const x = Math.round(X(c.value)), flip = x > (left + right) / 2;
      g.fillStyle = look(c.name).colour;
      g.fillRect(x - 1, top - 2, 2.5, bottom - top + 2);
      write(g, `${c.name} ${text(c.value)}`, x + (flip ? -8 : 8), top + 4, "ink", flip ? "right" : "left");
    };
    smallChart(stage, {
      label: `Random strategies against ${c.name}`, domain: [low, high], ticks: plainTicks(axis),
      panels: [{
        title: `random strategies, by ${c.measure ?? "result"}`, format: fixed, paint,
        range: () => [0, Math.max(...tally) * 1.18],
      }],
      hover: x => ({x: edge(bin(x) + 0.5), head: between(edge(bin(x)), edge(bin(x) + 1), text),
        rows: [["random strategies", count(tally[bin(x)])]]}),
    });
    const place = known(c.share_below) ? `${percent(c.share_below)} of them` : null;
    facts(stage, [["better than", place], ["random strategies", count(draws.length)],
      ["95 % of them stay below (darker beyond)", text(upper)]]);
  }, "Strategy");
}
