// Boot: each block that the payload holds is drawn in its section; the others stay hidden or say why.

let priceChart = null;
function showTrade({book, i}) {
  priceChart.choose(book, i);
  document.getElementById("price").scrollIntoView({block: "start"});
}

function drawHeader(body, header) {
  const {costs = {}} = header, bp = v => known(v) ? fixed(v * BP, 1) + " bp" : null;
  const loud = header.in_sample && h("p.alarm", {role: "alert"}, h("b", {}, "In-sample. "),
    header.seen ? `${capital(header.seen)}, so part of what follows is memory, not skill. ` : "",
    "No figure marked in-sample is evidence. ",
    known(header.in_sample_until) && `Everything up to ${stamp(header.in_sample_until)} is shaded.`);
  const verdicts = (header.verdicts ?? []).map(v => h(`article.verdict.tone-${v.tone ?? "open"}`, {},
    h("h3", {}, swatch(v.name), v.name), h("strong", {}, v.word), v.sentence && h("p", {}, v.sentence)));
  put(body, loud, h("div.verdicts", {}, verdicts), known(header.looks) && h("p.note", {}, looked(header.looks)),
    header.note && h("p.note", {}, header.note + "."));
  const span = known(header.first) && known(header.last) ? `${day(header.first)} to ${day(header.last)}` : null;
  const side = Object.entries({fee: costs.fee, maker: costs.maker_fee, slippage: costs.slippage});
  const paid = side.filter(([, v]) => known(v)).map(([name, v]) => `${name} ${bp(v)}`).join(", ");
  const market = [header.market, header.timeframe].filter(Boolean).join(" ");
  facts(body, [["market", market], ["bundle", header.bundle], ["zone", header.zone], ["dates", span],
    ["bars", count(header.bars)], ["costs a side", paid], ["round trip", bp(costs.round_trip)],
    ["barriers", header.barriers], ["exposure a trade", percent(header.exposure, 0) ?? undefined], ["funding", header.funding],
    ["confidence is read as", header.mode], ["trials in the ledger", count(header.trials)],
    ["data", header.fingerprint], ["code", header.code]]);
}
const capital = text => text[0].toUpperCase() + text.slice(1);
function looked(times) {
  if (times === 0) return "The sealed test zone has not been looked at.";
  if (times === 1) return "The sealed test zone has been looked at once. It can prove something only once.";
  return `The sealed test zone has been looked at ${times} times. After the first look it proves less each time.`;
}

function drawCards(body, cards) {
  const lines = text => text.split("\n").map(line => h("div", {}, line || " "));
  tabs(body, cards, (stage, card) => put(stage, h("pre", {tabIndex: 0}, lines(card.text))), "Report card of");
}

const BLOCKS = {
  header: drawHeader,
  table: drawComparison,
  equity: drawEquity,
  price: (body, bars) => { priceChart = new PriceChart(body, bars, PAYLOAD.trades ?? []); },
  trades: drawTrades,
  calibration: drawCalibration,
  thresholds: drawThresholds,
  costs: drawCosts,
  luck: drawLuck,
  gates: drawGates,
  months: drawMonths,
  cards: drawCards,
};

function boot() {
  document.querySelector("main").prepend(h("h1", {}, document.title));
  learnNames();
  applyTheme();
  for (const [name, draw] of Object.entries(BLOCKS)) {
    const section = document.getElementById(name), body = section.querySelector(".body"), block = PAYLOAD[name];
    const empty = block === undefined || block === null || block.length === 0, why = PAYLOAD.missing?.[name];
    if (empty && !why) continue;
    section.hidden = false;
    put(document.getElementById("nav"), h("a", {href: "#" + name}, section.dataset.name));
    if (empty) put(body, h("p.missing", {}, why)); else draw(body, block);
  }
  for (const pair of document.querySelectorAll(".pair")) pair.hidden = [...pair.children].every(section => section.hidden);
}
boot();
