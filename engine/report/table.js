// Tables that sort, and stay quick with tens of thousands of rows: only those in sight exist.
//
// columns: {name, title, value(row) -> number or text, text(row) -> shown text or node, words (left-aligned), width}

const ROW = 30;

class SortTable {
  constructor(host, columns, rows, options = {}) {
    Object.assign(this, {host, columns, rows, options, by: null, down: true, shownFrom: -1});
    this.heads = columns.map((column, i) => h(column.words ? "th.text" : "th", {title: column.title ?? "", scope: "col"},
      h("button", {type: "button", onclick: () => this.sort(i)}, column.name)));
    this.body = h("tbody");
    const table = h("table.grid", {}, options.tall ? h("colgroup", {}, columns.map(c => h("col", {width: c.width}))) : null,
      h("thead", {}, h("tr", {}, this.heads)), this.body);
    this.box = h(options.tall ? "div.scroll.tall-table" : "div.scroll", {tabIndex: 0}, table);
    if (options.tall) this.box.onscroll = () => this.fill();
    host.append(this.box);
    this.fill();
  }

  show(rows) {
    this.rows = rows;
    this.box.scrollTop = 0;
    this.arrange();
  }
  sort(i) {  // first click: largest first for numbers, A to Z for words; second click: the other way
    this.down = this.by === i ? !this.down : !this.columns[i].words;
    this.by = i;
    this.heads.forEach((head, at) => head.setAttribute("aria-sort", at !== i ? "none" : this.down ? "descending" : "ascending"));
    this.arrange();
  }
  arrange() {  // what is not known comes last, whichever way
    if (this.by !== null) {
      const {value} = this.columns[this.by], way = this.down ? -1 : 1;
      const keyed = this.rows.map(row => [value(row), row]);
      const empty = v => v === null || v === undefined || Number.isNaN(v);
      keyed.sort(([a], [b]) => empty(a) || empty(b) ? empty(a) - empty(b) : way * (a < b ? -1 : a > b ? 1 : 0));
      this.rows = keyed.map(([, row]) => row);
    }
    this.shownFrom = -1;
    this.fill();
  }
  fill() {
    if (!this.options.tall) return this.body.replaceChildren(...this.rows.map(row => this.line(row)));
    const from = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 10), seen = Math.ceil((this.box.clientHeight || 420) / ROW) + 20;
    const first = Math.min(from - from % 2, Math.max(0, this.rows.length - 1));
    if (first === this.shownFrom) return;
    this.shownFrom = first;
    const part = this.rows.slice(first, first + seen);
    this.body.replaceChildren(spacer(first), ...part.map(row => this.line(row)), spacer(this.rows.length - first - part.length));
  }
  line(row) {
    const cells = this.columns.map(column => h(column.words ? "td.text" : "td", {}, shown(column.text(row))));
    const line = h("tr", {}, cells);
    this.options.dress?.(line, row);
    return line;
  }
}
function spacer(rows) {
  const row = h("tr.spacer");
  row.style.height = rows * ROW + "px";
  return row;
}

// ---- the comparison
const GROUPS = {profile: "Profiles", grid: "Gate grid", control: "Controls"};
const FEW = 30;
const few = row => row.kind !== "control" && known(row.trades) && row.trades < FEW;
const interval = (low, high, format) => known(low) && known(high) ? h("small", {}, `${format(low)} to ${format(high)}`) : null;
const within = (text, small) => text === null ? null : h("span", {}, text, small);
const inPercent = digits => v => decimal(100 * v, digits);

function comparisonColumns(rows) {
  const range = padded(extent([rows.map(r => r.sharpe_low ?? r.sharpe ?? null), rows.map(r => r.sharpe_high ?? r.sharpe ?? null), [0]]), 0.03);
  const sharpeLine = r => known(r.sharpe) ? whisker(r.sharpe, r.sharpe_low, r.sharpe_high, range, r.sharpe_low > 0 ? "good" : r.sharpe_high < 0 ? "bad" : "soft") : null;
  const number = (name, title, key, text) => ({name, title, value: r => r[key], text});
  return [
    {name: "Strategy", title: "What was traded; the mark is its colour in every chart", words: true, value: r => r.name, text: strategyCell},
    {name: "Rank", title: "Order by the lower bound of the paired difference, not by the best figure. Nothing is ranked under 30 trades or in-sample.",
      value: r => few(r) || r.in_sample || !known(r.rank) ? null : -r.rank, text: r => few(r) || r.in_sample ? null : count(r.rank)},
    number("Trades", "Closed trades. Under 30 the other figures are mostly luck and are greyed", "trades", r => count(r.trades)),
    number("Return", "Net return over the whole span, all costs paid", "total_return", r => signed(percent(r.total_return))),
    number("Sharpe", "Mean over spread of daily net returns, per year; below: its 95 % interval", "sharpe", r => within(fixed(r.sharpe), interval(r.sharpe_low, r.sharpe_high, fixed))),
    {name: "Interval", title: "The Sharpe interval on one scale; the thin line is zero", value: r => r.sharpe_low, text: sharpeLine},
    number("Max DD", "Deepest fall of equity from its peak", "max_drawdown", r => percent(known(r.max_drawdown) ? -Math.abs(r.max_drawdown) : null)),
    number("Win rate", "Share of trades that earned more than their costs; below: its 95 % interval", "win_rate", r => within(percent(r.win_rate), interval(r.win_low, r.win_high, inPercent(0)))),
    number("Break-even", "Win rate at which these barriers and costs neither earn nor lose", "break_even", r => percent(r.break_even)),
    number("Expectancy", "Mean net result of a trade in basis points (0.01 %) of what was traded; below: its 95 % interval", "expectancy_bp",
      r => within(known(r.expectancy_bp) ? points(r.expectancy_bp) + " bp" : null, interval(r.expectancy_low_bp, r.expectancy_high_bp, v => fixed(v, 1)))),
    number("Fees", "Fees, slippage and funding paid, as a share of the starting equity", "fees", r => percent(r.fees)),
    number("Exposure", "Share of bars with a position", "exposure", r => percent(r.exposure)),
  ];
}
function strategyCell(row) {
  const tags = [row.in_sample ? h("em.tag.alarm-tag", {title: "The model was trained on these bars: this line is no evidence"}, "in-sample") : null,
    few(row) ? h("em.tag", {title: "Under 30 trades: not ranked"}, "few trades") : null];
  return h("span.strategy", {}, swatch(row.name), h("span", {}, h("b", {}, row.name), tags, row.setting ? h("small", {}, row.setting) : null));
}
function drawComparison(body, rows) {
  const columns = comparisonColumns(rows), order = Object.keys(GROUPS);
  const sorted = [...rows].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  const table = new SortTable(body, columns, sorted, {dress: (line, row) => {
    line.dataset.kind = row.kind;
    line.classList.toggle("few", few(row));
    line.classList.toggle("in-sample", Boolean(row.in_sample));
  }});
  const group = () => {  // headings between the kinds, while the table is in its own order
    if (table.by !== null) return;
    for (const kind of order) {
      const first = table.body.querySelector(`[data-kind=${kind}]`);
      if (first && order.some(other => other !== kind && rows.some(r => r.kind === other))) {
        first.before(h("tr.group", {}, h("th", {colSpan: columns.length, scope: "rowgroup"}, h("span", {}, GROUPS[kind]))));
      }
    }
  };
  group();
  document.getElementById("glossary").append(...columns.flatMap(c => [h("dt", {}, c.name), h("dd", {}, c.title)]));
  return table;
}

// ---- the trades
const BP = 1e4;
function tradeColumns() {
  const number = (name, title, width, key, text) => ({name, title, width, value: ({book, i}) => book[key]?.[i] ?? null, text: t => text(t.book[key]?.[t.i])});
  const word = (name, title, width, key) => ({name, title, width, words: true, value: ({book, i}) => coded(book[key], i), text: ({book, i}) => coded(book[key], i)});
  return [
    {name: "Strategy", width: 150, words: true, value: t => t.book.name, text: t => h("span", {}, swatch(t.book.name), t.book.name)},
    number("Entry", "Open of the bar entered, UTC", 132, "entry_time", stamp),
    number("Side", "Long earns when the price rises", 62, "side", v => v > 0 ? "long" : "short"),
    number("Paid", "Entry price, slippage included", 92, "entry_price", price),
    number("Left at", "Exit price, slippage included", 92, "exit_price", price),
    word("Outcome", "What ended the trade", 92, "outcome"),
    {...number("Net bp", "Net result in basis points, costs included", 80, "ret", v => known(v) ? points(v * BP) : null)},
    number("Bars", "Bars held", 58, "bars", count),
    number("p", "Calibrated probability, at the decision, that this side was right", 66, "p", v => fixed(v, 3)),
    number("Confidence", "What the strategy compares with its threshold", 98, "confidence", v => fixed(v, 3)),
    number("Turbulent", "Belief in the most volatile regime at the decision", 90, "belief", v => fixed(v, 3)),
    number("Auditor", "The auditor's probability that the trade earns more than its costs", 80, "audit", v => fixed(v, 3)),
    word("Why taken", "The gates that let it pass", 230, "reason"),
  ];
}
function tradeEvidence(book, i) {
  const lower = known(book.p?.[i]) ? [`${percent(book.p[i])} claimed`] : [];
  const said = [["decided at the close of", stamp(book.wish_time?.[i])], ["entry", `${stamp(book.entry_time[i])} at ${price(book.entry_price[i])}`],
    ["exit", `${stamp(book.exit_time[i])} at ${price(book.exit_price[i])}`], ["target", price(book.target?.[i])], ["stop", price(book.stop?.[i])],
    ["p", fixed(book.p?.[i], 3)], ["confidence", fixed(book.confidence?.[i], 3)], ["turbulent", fixed(book.belief?.[i], 3)], ["auditor", fixed(book.audit?.[i], 3)], ["why taken", coded(book.reason, i)]];
  const verdict = `${signed(percent(book.ret[i], 2)) ?? "–"} after costs: ${coded(book.outcome, i) ?? "outcome not known"}`;
  const pairs = h("div");
  facts(pairs, said);
  return [h("h3", {}, swatch(book.name), `${book.name}, trade ${i + 1} of ${book.ret.length}: ${book.side[i] > 0 ? "long" : "short"}, `, h(`span.${sense(book.ret[i]) || "soft"}-text`, {}, verdict),
    book.ambiguous?.[i] ? h("em.tag", {title: "Stop and target lay in the same bar: the stop was assumed to come first"}, "ambiguous bar") : null, lower.length ? h("span.soft", {}, " " + lower) : null), ...pairs.childNodes];
}
function drawTrades(body, books) {
  const all = books.flatMap(book => Array.from(book.ret, (_, i) => ({book, i})));
  const picks = {}, search = h("input", {type: "search", placeholder: "Date or word, such as 2023-05", ariaLabel: "Filter trades", oninput: () => apply()});
  const summary = h("p.summary", {ariaLive: "polite"});
  const table = new SortTable(h("div"), tradeColumns(), all, {tall: true, dress: (line, trade) => {
    line.classList.add("click");
    line.children[6].classList.add((sense(trade.book.ret[trade.i]) || "soft") + "-text");
    if (PAYLOAD.price) line.onclick = () => showTrade(trade);
  }});
  const pick = (name, words, test) => {
    const options = [name, ...words].map((text, i) => h("option", {value: i ? text : ""}, text));
    picks[name] = {node: h("select", {ariaLabel: name, onchange: () => apply()}, options), test};
    return picks[name].node;
  };
  const texts = t => [t.book.name, stamp(t.book.entry_time[t.i]), stamp(t.book.exit_time[t.i]), coded(t.book.outcome, t.i), coded(t.book.reason, t.i)].join(" ").toLowerCase();
  const apply = () => {
    const needle = search.value.trim().toLowerCase(), active = Object.values(picks).filter(p => p.node.value);
    const kept = all.filter(t => active.every(p => p.test(t, p.node.value)) && (!needle || texts(t).includes(needle)));
    table.show(kept);
    summary.replaceChildren(...tally(kept, all.length));
  };
  body.append(h("div.tools", {}, search,
    pick("All strategies", books.map(b => b.name), (t, v) => t.book.name === v),
    pick("All outcomes", [...new Set(books.flatMap(b => b.outcome?.words ?? []))], (t, v) => coded(t.book.outcome, t.i) === v),
    pick("Both sides", ["long", "short"], (t, v) => (t.book.side[t.i] > 0) === (v === "long")),
    pick("Won and lost", ["won", "lost"], (t, v) => (t.book.ret[t.i] > 0) === (v === "won"))), summary, table.host);
  apply();
  return table;
}
function tally(trades, of) {
  const returns = trades.map(t => t.book.ret[t.i]).filter(known), mean = returns.reduce((sum, v) => sum + v, 0) / returns.length;
  const words = [`${count(trades.length)} of ${count(of)} trades`];
  if (returns.length) words.push(`won ${percent(returns.filter(v => v > 0).length / returns.length, 0)}`, `mean ${points(mean * BP)} bp`);
  return [words.join(" · "), trades.length < FEW && trades.length ? h("em.tag", {}, "too few to conclude anything") : null].filter(Boolean);
}
