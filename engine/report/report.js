// Boot: each block that the payload holds is drawn in its section; the others stay hidden or say why.

let priceChart = null;
function showTrade({book, i}) {
  priceChart.choose(book, i);
  document.getElementById("price").scrollIntoView({block: "start"});
}

function drawHeader(body, header) {
  const {costs = {}} = header, bp = v => known(v) ? fixed(v * BP, 1) + " bp" : null;
  document.querySelector("main").prepend(h("h1", {}, document.title));
  const loud = header.in_sample ? h("p.alarm", {role: "alert"}, h("b", {}, "In-sample. "),
    "The model has seen bars of this span while it was trained, so part of what follows is memory, not skill. No figure marked in-sample is evidence.",
    known(header.in_sample_until) ? ` Everything up to ${stamp(header.in_sample_until)} is shaded.` : "") : null;
  const looks = known(header.looks) && h("p.note", {}, header.looks === 0 ? "The sealed test zone has not been looked at."
    : `The sealed test zone has been looked at ${header.looks === 1 ? "once" : header.looks + " times"}. ${header.looks > 1 ? "After the first look it proves less each time." : "It can prove something only once."}`);
  const verdicts = (header.verdicts ?? []).map(v => h(`article.verdict.tone-${v.tone ?? "open"}`, {},
    h("h3", {}, swatch(v.name), v.name), h("strong", {}, v.word), v.sentence ? h("p", {}, v.sentence) : null));
  body.append(...[loud, h("div.verdicts", {}, verdicts), looks || null].filter(Boolean));
  const span = known(header.first) && known(header.last) ? `${day(header.first)} to ${day(header.last)}` : null;
  const side = [["fee", bp(costs.fee)], ["maker", bp(costs.maker_fee)], ["slippage", bp(costs.slippage)]].filter(([, v]) => v !== null).map(([k, v]) => `${k} ${v}`).join(", ");
  facts(body, [["market", [header.market, header.timeframe].filter(Boolean).join(" ") || null], ["bundle", header.bundle], ["zone", header.zone], ["dates", span], ["bars", count(header.bars)],
    ["costs a side", side || null], ["round trip", bp(costs.round_trip)], ["confidence is read as", header.mode], ["trials in the ledger", count(header.trials)], ["data", header.fingerprint], ["code", header.code]]);
}

function drawCards(body, cards) {
  tabs(body, cards, (stage, card) => stage.append(h("pre", {tabIndex: 0}, card.text)), "Report card of");
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
  learnNames();
  applyTheme();
  for (const [name, draw] of Object.entries(BLOCKS)) {
    const section = document.getElementById(name), body = section.querySelector(".body"), block = PAYLOAD[name];
    const empty = block === undefined || block === null || block.length === 0, why = PAYLOAD.missing?.[name];
    if (empty && !why) continue;
    section.hidden = false;
    document.getElementById("nav").append(h("a", {href: "#" + name}, section.dataset.name));
    if (empty) body.append(h("p.missing", {}, why)); else draw(body, block);
  }
  document.querySelectorAll(".pair").forEach(pair => { pair.hidden = ![...pair.children].some(section => !section.hidden); });
}
boot();
