// Every trade with its evidence: the list, its filters, and what is said of one trade.

const BP = 1e4;

function tradeColumns() {
  const number = (name, title, width, key, text) =>
    ({name, title, width, value: ({book, i}) => book[key]?.[i] ?? null, text: ({book, i}) => text(book[key]?.[i])});
  const word = (name, title, width, get) => ({name, title, width, words: true, value: get, text: get});
  return [
    {...word("Strategy", "Who traded", 160, t => t.book.name), text: t => [swatch(t.book.name), t.book.name]},
    number("Entry", "Open of the bar entered, UTC", 132, "entry_time", stamp),
    word("Side", "Long earns when the price rises", 48, t => t.book.side[t.i] > 0 ? "long" : "short"),
    number("Paid", "Entry price, slippage included", 78, "entry_price", price),
    number("Left at", "Exit price, slippage included", 78, "exit_price", price),
    word("Outcome", "What ended the trade", 70, t => coded(t.book.outcome, t.i)),
    number("Net bp", "Net result in basis points, costs included", 66, "ret", v => known(v) ? points(v * BP) : null),
    number("Bars", "Bars held", 46, "bars", count),
    number("p", "Calibrated probability, at the decision, that this side was right", 54, "p", v => fixed(v, 3)),
    number("Confidence", "What the strategy compares with its threshold", 84, "confidence", v => fixed(v, 3)),
    number("Turbulent", "Belief in the most volatile regime at the decision", 72, "belief", v => fixed(v, 3)),
    number("Auditor", "The auditor's probability that the trade earns more than its costs", 62, "audit", v => fixed(v, 3)),
    word("Let pass by", "The gates that let it pass", 118, t => coded(t.book.reason, t.i)),
  ];
}

function drawTrades(body, books) {
  const all = books.flatMap(book => Array.from(book.ret, (_, i) => ({book, i})));
  const table = new SortTable(h("div"), tradeColumns(), all, {tall: true, dress: (line, trade) => {
    line.lastChild.title = coded(trade.book.reason, trade.i) ?? "";
    line.children[6].classList.add((sense(trade.book.ret[trade.i]) || "soft") + "-text");
    if (!PAYLOAD.price) return;
    line.classList.add("click");
    line.tabIndex = 0;
    line.onclick = () => showTrade(trade);
    line.onkeydown = event => { if (event.key === "Enter") showTrade(trade); };
  }});
  const summary = h("p.summary", {ariaLive: "polite"});
  const filters = tradeFilters(books, (test, strategy) => {
    const kept = all.filter(test), own = all.filter(t => !strategy || t.book.name === strategy);
    table.show(kept);
    summary.replaceChildren(...tally(kept, own.length));
  });
  put(body, h("div.tools", {}, filters), books.map(book => book.note && hint(book.note)), summary, table.host);
}

function tradeFilters(books, apply) {
  const outcomes = new Set(books.flatMap(book => [...new Set(book.outcome?.code)].map(code => book.outcome.words[code])));
  const tests = [
    ["All strategies", books.map(b => b.name), (t, v) => t.book.name === v],
    ["All outcomes", [...outcomes], (t, v) => coded(t.book.outcome, t.i) === v],
    ["Both sides", ["long", "short"], (t, v) => (t.book.side[t.i] > 0) === (v === "long")],
    ["Won and lost", ["won", "lost"], (t, v) => (t.book.ret[t.i] > 0) === (v === "won")],
  ];
  const words = ({book, i}) => [book.name, stamp(book.entry_time[i]), stamp(book.exit_time[i]), coded(book.outcome, i),
    coded(book.reason, i)].join(" ").toLowerCase();
  const changed = () => {
    const needle = search.value.trim().toLowerCase();
    const chosen = picks.map(pick => pick.value);
    const fits = t => tests.every(([, , test], k) => !chosen[k] || test(t, chosen[k]));
    apply(t => fits(t) && (!needle || words(t).includes(needle)), chosen[0]);
  };
  const search = h("input", {type: "search", placeholder: "Date or word, such as 2023-05", oninput: changed});
  search.ariaLabel = "Filter trades";
  const picks = tests.map(([all, names]) => h("select", {ariaLabel: all, onchange: changed},
    [all, ...names].map((name, i) => h("option", {value: i ? name : ""}, name))));
  if (books.length) picks[0].value = books[0].name;  // of all, overlapping, most trades would count several times
  changed();
  return [search, ...picks];
}

function tally(trades, of) {  // what the trades in sight come to, and whether they are enough to say anything
  const returns = trades.map(t => t.book.ret[t.i]).filter(known);
  const strategies = new Set(trades.map(t => t.book.name)).size;
  const words = [`${count(trades.length)} of ${count(of)} trades`];
  if (strategies > 1) words[0] += ` of ${strategies} strategies that overlap: most count several times`;
  if (returns.length) {
    const mean = returns.reduce((sum, v) => sum + v, 0) / returns.length;
    words.push(`won ${percent(returns.filter(v => v > 0).length / returns.length, 0)}`, `mean ${points(mean * BP)} bp`);
  }
  return [words.join(" · "), few(trades.length) ? h("em.tag", {}, "too few to conclude anything") : ""];
}

function tradeEvidence(book, i) {
  const at = (time, paid) => `${stamp(time[i]) ?? "–"} at ${price(paid[i]) ?? "–"}`;
  const said = h("div"), share = key => fixed(book[key]?.[i], 3), token = sense(book.ret[i]) || "soft";
  const result = `${signed(percent(book.ret[i], 2)) ?? "–"} after costs, ${coded(book.outcome, i) ?? "end not known"}`;
  const doubt = {title: "Stop and target lay in the same bar: the stop was assumed to come first"};
  facts(said, [
    ["decided at the close of", stamp(book.wish_time?.[i])],
    ["entry", at(book.entry_time, book.entry_price)], ["exit", at(book.exit_time, book.exit_price)],
    ["target", price(book.target?.[i])], ["stop", price(book.stop?.[i])],
    ["p", share("p")], ["confidence", share("confidence")], ["turbulent", share("belief")],
    ["auditor", share("audit")], ["let pass by", coded(book.reason, i)],
  ]);
  return [h("h3", {}, swatch(book.name), `${book.name}, trade ${i + 1} of ${book.ret.length}: `,
    `${book.side[i] > 0 ? "long" : "short"}, `, h(`span.${token}-text`, {}, result),
    book.ambiguous?.[i] ? h("em.tag", doubt, "ambiguous bar") : null), said];
}
