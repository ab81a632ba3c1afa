// What each gate is worth, and the calendar of returns.

function drawGates(body, gates) {
  const range = padded(extent([gates.map(x => x.low), gates.map(x => x.high), gates.map(x => x.difference), [0]]));
  const sign = ({low, high}) => known(low) && low > 0 ? "good" : known(high) && high < 0 ? "bad" : "soft";
  const unclear = x => between(x.low, x.high) && "cannot be told from nothing";
  const reading = x => ({good: "helps", bad: "hurts", soft: unclear(x)})[sign(x)];
  const measures = new Set(gates.map(x => x.measure ?? "")), shared = measures.size === 1 ? [...measures][0] : "";
  const amount = x => [shown(signed(fixed(x.difference))), shared ? "" : ` ${x.measure ?? ""}`];
  const pair = x => [swatch(x.strategy), x.strategy, h("span.soft", {}, " against "), x.without];
  new SortTable(body, [
    {name: "Gate", value: x => x.gate, text: x => h("b", {}, x.gate), words: true},
    {name: "With it, against without", value: x => x.strategy, text: pair, words: true},
    {name: shared ? `Difference in ${shared}` : "Difference", value: x => x.difference, text: amount},
    {name: "95 % interval", value: x => x.low, text: x => between(x.low, x.high)},
    {name: "", value: x => x.low, text: x => known(x.difference) ? whisker(x.difference, x.low, x.high, range, sign(x)) : null},
    {name: "Trades removed", value: x => x.removed, text: x => count(x.removed)},
    {name: "Their mean", value: x => x.removed_bp, text: x => known(x.removed_bp) ? points(x.removed_bp) + " bp" : null},
    {name: "Reading", value: reading, text: x => h(`span.${sign(x)}-text`, {}, shown(reading(x))), words: true},
  ], gates);
}

function compounded(returns) {
  const found = returns.filter(known);
  return found.length ? found.reduce((all, v) => all * (1 + v), 1) - 1 : null;
}

function drawMonths(body, books) {
  tabs(body, books, (stage, book) => {
    const [year, month] = book.first.split("-").map(Number), returns = [...book.returns], years = new Map();
    returns.forEach((v, i) => {
      const y = year + Math.floor((month - 1 + i) / 12);
      if (!years.has(y)) years.set(y, new Array(12).fill(undefined));
      years.get(y)[(month - 1 + i) % 12] = v;
    });
    const best = returns.filter(known).sort((a, b) => b - a), most = Math.max(...best.map(Math.abs), 1e-9);
    const rows = [...years].map(([y, row]) => h("tr", {}, h("th", {scope: "row"}, String(y)),
      row.map((v, m) => v === undefined ? h("td") : monthCell(v, most, `${MONTHS[m]} ${y}`)),
      h("td.total", {}, shown(signed(percent(compounded(row)))))));
    put(stage, h("div.scroll", {tabIndex: 0}, h("table.months", {},
      h("thead", {}, h("tr", {}, ["", ...MONTHS, "Year"].map(name => h("th", {}, name)))), h("tbody", {}, rows))));
    const gained = percent(best.filter(v => v > 0).length / best.length, 0);
    facts(stage, [["months", count(best.length)], ["that earned", gained], ["best month", signed(percent(best[0]))],
      ["all of them", signed(percent(compounded(best)))],
      ["without the best two", signed(percent(compounded(best.slice(2))))]]);
  }, "Strategy");
}
function monthCell(v, most, name) {
  const cell = h("td", {title: `${name}: ${signed(percent(v, 2)) ?? "not known"}`}, shown(known(v) ? fixed(100 * v, 1) : null));
  const strength = Math.round(8 + 62 * Math.sqrt(Math.abs(v ?? 0) / most));
  if (sense(v)) cell.style.background = `color-mix(in srgb, var(--${sense(v)}) ${strength}%, transparent)`;
  return cell;
}
