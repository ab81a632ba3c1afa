// Every trade with its evidence: the list, its filters, and what is said of one trade.

const BP = 1e4;

function tradeColumns() {
  const number = (name, title, width, key, text) =>
    ({name, title, width, value: ({book, i}) => book[key]?.[i] ?? null, text: ({book, i}) => text(book[key]?.[i])});
  const word = (name, title, width, get) => ({name, title, width, words: true, value: get, text: get});
  return [
    {...word("Strategy", "Who traded", 132, t => t.book.name), text: t => [swatch(t.book.name), t.book.name]},
    number("Entry", "Open of the bar entered, UTC", 142, "entry_time", stamp),
    word("Side", "Long earns when the price rises", 56, t => t.book.side[t.i] > 0 ? "long" : "short"),
    number("Paid", "Entry price, slippage included", 84, "entry_price", price),
    number("Left at", "Exit price, slippage included", 84, "exit_price", price),
    word("Outcome", "What ended the trade", 82, t => coded(t.book.outcome, t.i)),
    number("Net bp", "Net result in basis points, costs included", 74, "ret", v => known(v) ? points(v * BP) : null),
    number("Bars", "Bars held", 52, "bars", count),
    number("p", "Calibrated probability, at the decision, that this side was right", 60, "p", v => fixed(v, 3)),
    number("Confidence", "What the strategy compares with its threshold", 94, "confidence", v => fixed(v, 3)),
    number("Turbulent", "Belief in the most volatile regime at the decision", 86, "belief", v => fixed(v, 3)),
    number("Auditor", "The auditor's probability that the trade earns more than its costs", 72, "audit", v => fixed(v, 3)),
    word("Why taken", "The gates that let it pass", 168, t => coded(t.book.reason, t.i)),
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
  const filters = tradeFilters(books, test => {
    const kept = all.filter(test);
    table.show(kept);
    summary.replaceChildren(...tally(kept, all.length));
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
    apply(t => tests.every(([, , test], k) => !chosen[k] || test(t, chosen[k])) && (!needle || words(t).includes(needle)));
  };
  const search = h("input", {type: "search", placeholder: "Date or word, such as 2023-05", oninput: changed});
  search.ariaLabel = "Filter trades";
  const picks = tests.map(([all, names]) => h("select", {ariaLabel: all, onchange: changed},
    [all, ...names].map((name, i) => h("option", {value: i ? name : ""}, name))));
  changed();
  return [search, ...picks];
}

function tally(trades, of) {  // what the trades in sight come to, and whether they are enough to say anything
  const returns = trades.map(t => t.book.ret[t.i]).filter(known);
  const words = [`${count(trades.length)} of ${count(of)} trades`];
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
    ["auditor", share("audit")], ["why taken", coded(book.reason, i)],
  ]);
  return [h("h3", {}, swatch(book.name), `${book.name}, trade ${i + 1} of ${book.ret.length}: `,
    `${book.side[i] > 0 ? "long" : "short"}, `, h(`span.${token}-text`, {}, result),
    book.ambiguous?.[i] ? h("em.tag", doubt, "ambiguous bar") : null), said];
}
