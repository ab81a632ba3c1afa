// The small charts: calibration, threshold, costs, luck; and the tables of gates and months.

const plainTicks = format => ([a, b], most) => niceTicks(a, b, most).map(v => [v, format(v)]);
const nearest = (xs, x) => [...xs.keys()].reduce((best, i) => Math.abs(xs[i] - x) < Math.abs(xs[best] - x) ? i : best, 0);
const percentTicks = span => v => percent(v, span < 0.05 ? 1 : 0);

function smallChart(stage, spec) {
  const host = h("div.small");
  stage.append(host);
  return new Chart(host, spec);
}

function drawCalibration(body, models) {
  tabs(body, models, (stage, m) => {
    const [low, high] = padded(extent([m.claimed]), 0.08), line = look(m.name).token;
    const format = percentTicks(high - low), counts = m.count ?? [];
    const most = Math.max(1, ...counts);
    const share = {share: 3, format, title: "realised share", range: () => padded(extent([m.realised, m.low ?? [], m.high ?? [], m.claimed]), 0.05),
      paint: pen => {
        const {g, X, Y} = pen;
        if (m.low && m.high) area(pen, m.claimed, m.low, m.high, colour("band"));
        rule(g, colour("soft"), X(low), Y(low), X(high), Y(high), [4, 4]);
        if (known(m.base_rate)) rule(g, colour("faint"), pen.left, Y(m.base_rate), pen.right, Y(m.base_rate), [1, 3]);
        trace(pen, m.claimed, m.realised, {colour: colour(line), width: 1.5});
        m.claimed.forEach((p, i) => known(m.realised[i]) && dot(g, X(p), Y(m.realised[i]), 3 + 4 * Math.sqrt((counts[i] ?? 0) / most), colour(line), colour("panel")));
      }};
    const bars = {px: 34, plain: true, format: String, title: "predictions", range: () => [0, most], paint: ({g, X, Y, bottom}) => {
      g.fillStyle = colour("control");
      m.claimed.forEach((p, i) => g.fillRect(X(p) - 4, Y(counts[i]), 8, bottom - Y(counts[i])));
    }};
    smallChart(stage, {
      label: `Calibration of ${m.name}`, domain: [low, high], ticks: plainTicks(format), panels: m.count ? [share, bars] : [share],
      hover: x => {
        const i = nearest(m.claimed, x);
        const rows = [["claimed", percent(m.claimed[i])], ["realised", percent(m.realised[i]), line], ["predictions", known(counts[i]) ? count(counts[i]) : null]];
        if (m.low && m.high) rows.splice(2, 0, ["luck alone", between(m.low[i], m.high[i], percent)]);
        return {x: m.claimed[i], head: `bin ${i + 1} of ${m.claimed.length}`, rows};
      },
    });
    facts(stage, [["calibration error", percent(m.ece, 2)], ["a perfect model's, 95 %", percent(m.ece_null, 2)], ["base rate", percent(m.base_rate)], ["measured on", m.zone]]);
  }, "Model");
}

function drawThresholds(body, settings) {
  tabs(body, settings, (stage, s) => {
    const at = s.threshold, domain = padded(extent([at]), 0.02);
    const marks = pen => (s.marks ?? []).forEach(mark => rule(pen.g, colour(look(mark.name).token), Math.round(pen.X(mark.at)) + 0.5, pen.top - 6, Math.round(pen.X(mark.at)) + 0.5, pen.bottom + 6, [4, 3]));
    const names = Object.values((s.marks ?? []).reduce((all, mark) => ({...all, [mark.at]: [...all[mark.at] ?? [], mark.name]}), {}));
    const panels = [{share: 2, zero: 0, title: "net return", format: v => percent(v, 0),
      range: () => padded(extent([s.net_return, s.low ?? [], s.high ?? [], [0]])), paint: pen => {
        if (s.low && s.high) area(pen, at, s.low, s.high, colour("band"));
        marks(pen);
        trace(pen, at, s.net_return, {colour: colour("accent"), width: 2});
      }}];
    if (s.trades) panels.push({share: 1, title: "trades", format: count, range: () => [0, extent([s.trades])[1] * 1.1 || 1], paint: pen => {
      marks(pen);
      trace(pen, at, s.trades, {colour: colour("control"), width: 2});
    }});
    smallChart(stage, {
      label: `Net return and trades by threshold, ${s.name}`, domain, ticks: plainTicks(v => fixed(v, 2)), panels,
      hover: x => {
        const i = nearest(at, x);
        const rows = [["net return", signed(percent(s.net_return[i])), "accent"], ["trades", known(s.trades?.[i]) ? count(s.trades[i]) : null]];
        if (s.low && s.high) rows.splice(1, 0, [s.band ?? "band", between(s.low[i], s.high[i], percent)]);
        if (known(s.trades?.[i]) && s.trades[i] < 30) rows.push(["", "too few to judge"]);
        return {x: at[i], head: `confidence at least ${fixed(at[i], 3)}`, rows};
      },
    });
    const served = (s.marks ?? []).map(mark => h("span", {}, swatch(mark.name), `${mark.name} ${fixed(mark.at)}`));
    stage.append(h("p.key", {}, names.length ? served : null, s.zone ? h("span", {}, `measured on ${s.zone}`) : null, s.band ? h("span", {}, `band: ${s.band}`) : null));
  }, "Gates");
}

function drawCosts(body, {multiple, curves, round_trip_bp}) {
  const lines = curves.map(curve => ({...curve, shown: true}));
  const measures = [["net return", "net_return", v => percent(v, 0)], ["Sharpe", "sharpe", v => fixed(v, 1)]].filter(([, key]) => lines.some(l => l[key]));
  let [title, key, format] = measures[0];
  const visible = () => lines.filter(l => l.shown && l[key]);
  const host = h("div.small");
  const panel = {zero: 0, get title() { return title; }, format: v => format(v), range: () => padded(extent([...visible().map(l => l[key]), [0]])),
    paint: pen => visible().forEach(l => {
      const style = look(l.name);
      trace(pen, multiple, l[key], {...style, width: 2});
      multiple.forEach((m, i) => known(l[key][i]) && dot(pen.g, pen.X(m), pen.Y(l[key][i]), 3.5, style.colour, colour("panel")));
    })};
  const chart = new Chart(host, {
    label: "Result by multiple of the assumed costs", domain: padded(extent([multiple]), 0.05), panels: [panel],
    ticks: () => [...multiple].map(m => [m, "×" + m]),
    hover: x => {
      const i = nearest(multiple, x), cost = known(round_trip_bp) ? ` · ${fixed(multiple[i] * round_trip_bp, 1)} bp a round trip` : "";
      return {x: multiple[i], head: `costs ×${multiple[i]}${cost}`, rows: visible().map(l => [l.name, key === "sharpe" ? fixed(l[key][i]) : signed(percent(l[key][i])), look(l.name).token])};
    },
  });
  const pickMeasure = choice(measures.map(([name]) => name), at => { [title, key, format] = measures[at]; chart.redraw(); }, "Measure");
  body.append(h("div.tools", {}, legend(lines, () => chart.redraw()), measures.length > 1 ? pickMeasure : null), host);
  pickMeasure.choose(0);
  const edges = lines.filter(l => "break_even_bp" in l).map(l => [`${l.name} breaks even at`, known(l.break_even_bp) ? fixed(l.break_even_bp, 1) + " bp" : null]);
  facts(body, [["assumed round trip", known(round_trip_bp) ? fixed(round_trip_bp, 1) + " bp" : null], ...edges]);
}

function drawLuck(body, controls) {
  tabs(body, controls, (stage, c) => {
    const draws = [...c.draws].filter(known), own = known(c.value) ? [c.value] : [];
    const [low, high] = padded(extent([draws, own]), 0.05), bins = 48, tally = new Array(bins).fill(0);
    draws.forEach(v => tally[Math.min(bins - 1, Math.floor((v - low) / (high - low) * bins))]++);
    const edge = i => low + i * (high - low) / bins, token = look(c.name).token, upper = [...draws].sort((a, b) => a - b)[Math.floor(0.95 * draws.length)];
    const format = v => fixed(v, high - low < 1 ? 2 : 1);
    smallChart(stage, {
      label: `Random strategies against ${c.name}`, domain: [low, high], ticks: plainTicks(format),
      panels: [{title: `random strategies by ${c.measure ?? "result"}`, format: count, range: () => [0, Math.max(...tally) * 1.18], paint: ({g, X, Y, left, right, top, bottom}) => {
        tally.forEach((n, i) => {
          g.fillStyle = colour(edge(i + 0.5) > upper ? "control-strong" : "control");
          g.fillRect(X(edge(i)) + 0.5, Y(n), Math.max(1, X(edge(i + 1)) - X(edge(i)) - 1), bottom - Y(n));
        });
        if (!known(c.value)) return;
        const x = Math.round(X(c.value)), flip = x > (left + right) / 2;
        g.fillStyle = colour(token);
        g.fillRect(x - 1, top - 2, 2.5, bottom - top + 2);
        write(g, `${c.name} ${fixed(c.value)}`, x + (flip ? -8 : 8), top + 6, "ink", flip ? "right" : "left");
      }}],
      hover: x => {
        const i = Math.min(bins - 1, Math.max(0, Math.floor((x - low) / (high - low) * bins)));
        return {x: edge(i + 0.5), head: `${format(edge(i))} to ${format(edge(i + 1))}`, rows: [["random strategies", count(tally[i])]]};
      },
    });
    const place = known(c.share_below) ? percent(c.share_below) : null;
    facts(stage, [["better than", place && place + " of them"], ["random strategies", count(draws.length)], [`95 % of them stay below (darker beyond)`, draws.length ? fixed(upper) : null]]);
  }, "Strategy");
}

// ---- intervals on a common scale, in HTML
const between = (low, high, format = fixed) => known(low) && known(high) ? `${format(low)} to ${format(high)}` : null;
function whisker(value, low, high, [from, to], token) {
  const at = v => (100 * (Math.min(Math.max(v, from), to) - from) / (to - from)).toFixed(2) + "%";
  const span = h("span.whisker", {ariaHidden: "true"});
  if (from < 0 && to > 0) span.append(place(h("s"), at(0)));
  if (known(low) && known(high)) span.append(place(h(`i.${token}`), at(low), at(high)));
  if (known(value)) span.append(place(h(`b.${token}`), at(value)));
  return span;
}
function place(node, left, right) {
  node.style.left = left;
  if (right) node.style.width = `calc(${right} - ${left})`;
  return node;
}
function facts(stage, pairs) {
  stage.append(h("dl.facts", {}, pairs.filter(([, text]) => text !== undefined).map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, shown(text))))));
}

function drawGates(body, gates) {
  const range = padded(extent([gates.map(x => x.low), gates.map(x => x.high), gates.map(x => x.difference), [0]]));
  const reading = ({low, high}) => !known(low) || !known(high) ? null : low > 0 ? "helps" : high < 0 ? "hurts" : "cannot be told from nothing";
  const sign = ({low, high}) => low > 0 ? "good" : high < 0 ? "bad" : "soft";
  const head = ["Gate", "With and without it", "Difference", "95 % interval", "", "Trades removed", "Their mean", "Reading"];
  const rows = gates.map(x => h("tr", {},
    h("td.text", {}, h("b", {}, x.gate)), h("td.text", {}, swatch(x.strategy), x.strategy, h("span.soft", {}, " against "), x.without),
    h("td", {}, shown(signed(fixed(x.difference))), h("small", {}, " " + (x.measure ?? ""))), h("td", {}, shown(between(x.low, x.high))),
    h("td", {}, whisker(x.difference, x.low, x.high, range, sign(x))), h("td", {}, shown(count(x.removed))),
    h("td", {}, shown(known(x.removed_bp) ? points(x.removed_bp) + " bp" : null)), h(`td.text.${sign(x)}-text`, {}, shown(reading(x)))));
  body.append(h("div.scroll", {tabIndex: 0}, h("table.grid", {}, h("thead", {}, h("tr", {}, head.map((text, i) => h(i < 2 || i === 7 ? "th.text" : "th", {}, text)))), h("tbody", {}, rows))));
}

function drawMonths(body, books) {
  tabs(body, books, (stage, book) => {
    const [year, month] = book.first.split("-").map(Number), all = [...book.returns];
    const most = Math.max(...all.filter(known).map(Math.abs), 1e-9), years = new Map();
    all.forEach((v, i) => {
      const y = year + Math.floor((month - 1 + i) / 12);
      if (!years.has(y)) years.set(y, new Array(12).fill(undefined));
      years.get(y)[(month - 1 + i) % 12] = v;
    });
    const cell = (v, title) => {
      if (v === undefined) return h("td");
      const node = h("td", {title}, known(v) ? decimal(100 * v, 1) : unknown());
      if (known(v) && v !== 0) node.style.background = `color-mix(in srgb, var(--${sense(v)}) ${Math.round(8 + 62 * Math.sqrt(Math.abs(v) / most))}%, transparent)`;
      return node;
    };
    const total = row => row.some(known) ? row.filter(known).reduce((product, v) => product * (1 + v), 1) - 1 : null;
    const rows = [...years].map(([y, row]) => h("tr", {}, h("th", {scope: "row"}, String(y)), row.map((v, m) => cell(v, `${MONTHS[m]} ${y}: ${signed(percent(v, 2)) ?? "not known"}`)), h("td.total", {}, shown(signed(percent(total(row)))))));
    stage.append(h("div.scroll", {tabIndex: 0}, h("table.months", {}, h("thead", {}, h("tr", {}, h("th"), MONTHS.map(m => h("th", {}, m)), h("th", {}, "Year"))), h("tbody", {}, rows))));
    const best = all.filter(known).sort((a, b) => b - a), gain = all.filter(known).length;
    facts(stage, [["months", count(gain)], ["that earned", percent(best.filter(v => v > 0).length / (gain || 1), 0)], ["best month", signed(percent(best[0]))], ["without the best two", gain > 2 ? signed(percent(total(best.slice(2)))) : null]]);
  }, "Strategy");
}
