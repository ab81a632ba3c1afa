// Tables that sort, and stay quick with tens of thousands of rows: only those in sight exist.
//
// columns: {name, title, value(row) -> number or text, text(row) -> shown text or node, words (left-aligned), width}

const ROW = 30;

class SortTable {
  constructor(host, columns, rows, options = {}) {
    Object.assign(this, {host, columns, rows, options, by: null, down: true, shownFrom: -1});
    const head = i => h("button", {type: "button", onclick: () => this.sort(i)}, columns[i].name);
    this.heads = columns.map(({name, title, words}, i) =>
      h("th", {title: title ?? name, scope: "col", className: words ? "text" : ""}, head(i)));
    this.body = h("tbody");
    this.box = h(options.tall ? "div.scroll.tall-table" : "div.scroll", {tabIndex: 0}, h("table.grid", {},
      options.tall && h("colgroup", {}, columns.map(c => h("col", {width: c.width}))),
      h("thead", {}, h("tr", {}, this.heads)), this.body));
    if (options.tall) this.box.onscroll = () => this.fill();
    put(host, this.box);
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
    const order = this.down ? "descending" : "ascending";
    this.heads.forEach((head, at) => head.setAttribute("aria-sort", at === i ? order : "none"));
    this.arrange();
  }
  arrange() {  // what is not known comes last, whichever way
    if (this.by !== null) {
      const {value} = this.columns[this.by], way = this.down ? -1 : 1;
      const empty = v => v === null || v === undefined || Number.isNaN(v);
      const order = (a, b) => empty(a) || empty(b) ? empty(a) - empty(b) : way * (a < b ? -1 : a > b ? 1 : 0);
      this.rows = this.rows.map(row => [value(row), row]).sort(([a], [b]) => order(a, b)).map(([, row]) => row);
    }
    this.shownFrom = -1;
    this.fill();
  }
  fill() {
    if (!this.options.tall) return this.body.replaceChildren(...this.rows.map(row => this.line(row)));
    const sight = Math.ceil((this.box.clientHeight || 440) / ROW) + 20;
    const from = Math.min(Math.max(0, Math.floor(this.box.scrollTop / ROW) - 10), Math.max(0, this.rows.length - 1));
    if (from === this.shownFrom) return;
    this.shownFrom = from;
    const part = this.rows.slice(from, from + sight);
    const after = this.rows.length - from - part.length;
    this.body.replaceChildren(spacer(from), ...part.map(row => this.line(row)), spacer(after));
  }
  line(row) {
    const line = h("tr", {}, this.columns.map(({words, text}) => h("td", {className: words ? "text" : ""}, shown(text(row)))));
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
const unranked = row => row.kind !== "control" && few(row.trades);
const within = (text, low, high, format = fixed) => text === null ? null
  : h("span", {}, text, known(low) && known(high) && h("small", {}, between(low, high, format)));

const MEANING = {
  Strategy: "What was traded; the mark is its colour in every chart.",
  Rank: "By the lower bound of the paired difference, not by the best figure; none under 30 trades or in-sample.",
  Trades: "Closed trades. Under 30, the other figures are mostly luck and are greyed.",
  Return: "Net return over the whole span, all costs paid.",
  Sharpe: "Mean over spread of daily net returns, per year; below it its 95 % interval.",
  Interval: "The Sharpe interval drawn on one scale; the thin line is zero.",
  "Max DD": "Deepest fall of equity from its peak.",
  "Win rate": "Share of trades that earned more than their costs; below it its 95 % interval.",
  "Break-even": "Win rate at which these barriers and costs neither earn nor lose.",
  "bp a trade": "Expectancy: mean net result of a trade in basis points (0.01 %) of its size; below it its 95 % interval.",
  Fees: "Fees paid, as a share of the starting equity.",
  Funding: "Funding paid for holding a perpetual, as a share of the starting equity; below zero more was received.",
  "In market": "Share of bars with a position, whatever its size.",
};
function comparisonColumns(rows) {
  const lows = rows.map(r => r.sharpe_low ?? r.sharpe ?? null), highs = rows.map(r => r.sharpe_high ?? r.sharpe ?? null);
  const range = padded(extent([lows, highs, [0]]), 0.03);
  const token = r => r.sharpe_low > 0 ? "good" : known(r.sharpe_high) && r.sharpe_high < 0 ? "bad" : "soft";
  const line = r => known(r.sharpe) ? whisker(r.sharpe, r.sharpe_low, r.sharpe_high, range, token(r)) : null;
  const rank = r => unranked(r) || r.in_sample ? null : r.rank ?? null;
  const column = (name, value, text, words) => ({name, title: MEANING[name], value, text, words});
  return [
    column("Strategy", r => r.name, strategyCell, true),
    column("Rank", r => known(rank(r)) ? -rank(r) : null, r => count(rank(r))),
    column("Trades", r => r.trades, r => count(r.trades)),
    column("Return", r => r.total_return, r => signed(percent(r.total_return))),
    column("Sharpe", r => r.sharpe, r => within(fixed(r.sharpe), r.sharpe_low, r.sharpe_high)),
    column("Interval", r => r.sharpe_low, line),
    column("Max DD", r => r.max_drawdown, r => percent(known(r.max_drawdown) ? -Math.abs(r.max_drawdown) : null)),
    column("Win rate", r => r.win_rate, r => within(percent(r.win_rate), r.win_low, r.win_high, v => fixed(100 * v, 0))),
    column("Break-even", r => r.break_even, r => percent(r.break_even)),
    column("bp a trade", r => r.expectancy_bp,
      r => within(points(r.expectancy_bp), r.expectancy_low_bp, r.expectancy_high_bp, v => fixed(v, 1))),
    column("Fees", r => r.fees, r => percent(r.fees)),
    ...rows.some(r => known(r.funding)) ? [column("Funding", r => r.funding, r => signed(percent(r.funding)))] : [],
    column("In market", r => r.exposure, r => percent(r.exposure)),
  ];
}
function strategyCell(row) {
  return h("span.strategy", {}, swatch(row.name), h("span", {}, h("b", {}, row.name),
    row.in_sample && h("em.tag.alarm-tag", {title: "Trained on these bars: this line is no evidence"}, "in-sample"),
    unranked(row) && h("em.tag", {title: "Under 30 trades: not ranked"}, "few trades"),
    row.setting && h("small", {}, row.setting)));
}
function drawComparison(body, rows) {
  const columns = comparisonColumns(rows), kinds = Object.keys(GROUPS).filter(kind => rows.some(row => row.kind === kind));
  const dress = (line, row) => {
    line.dataset.kind = row.kind;
    line.classList.toggle("few", unranked(row));
    line.classList.toggle("in-sample", Boolean(row.in_sample));
  };
  const table = new SortTable(body, columns, kinds.flatMap(kind => rows.filter(row => row.kind === kind)), {dress});
  for (const kind of kinds.length > 1 ? kinds : []) {  // headings, until the reader sorts
    const heading = h("th", {colSpan: columns.length, scope: "rowgroup"}, h("span", {}, GROUPS[kind]));
    table.body.querySelector(`[data-kind=${kind}]`).before(h("tr.group", {}, heading));
  }
  put(document.getElementById("glossary"), columns.map(c => [h("dt", {}, c.name), h("dd", {}, c.title)]));
}
