"use strict";
const EVERY_MS = 2000, OLD_MS = 15000;
const token = location.hash.slice(1);
let heard = 0;

// Everything from the ledger becomes text, never markup.
function made(tag, text, name) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  if (name) node.className = name;
  return node;
}
function number(value, digits = 6) {
  return value === null || value === undefined ? "-" : Number(value).toLocaleString("en", { maximumSignificantDigits: digits });
}
const percent = (value, digits) => `${value > 0 ? "+" : ""}${(100 * value).toFixed(digits)} %`;
const clock = at => new Date(at).toISOString().slice(0, 16).replace("T", " ");
function table(heads, rows) {
  if (!rows.length) return made("p", "none");
  const box = made("div", null, "table"), sheet = made("table"), top = made("tr");
  for (const head of heads) top.append(made("th", head));
  sheet.append(top);
  for (const row of rows) {
    const line = made("tr");
    for (const cell of row) line.append(made("td", cell));
    sheet.append(line);
  }
  box.append(sheet);
  return box;
}
function facts(pairs) {
  const box = made("div", null, "facts");
  for (const [name, value] of pairs) {
    const item = made("div");
    item.append(made("span", name + " "), made("b", value));
    box.append(item);
  }
  return box;
}

// Three to six round values between two, and the digits their percentages need.
function ticks(low, high) {
  const rough = Math.max(high - low, 1e-6) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(times => times * power >= rough), marks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) marks.push(i * step);
  return [marks, Math.max(0, -Math.floor(Math.log10(step) + 1e-9) - 2)];
}

// Growth of each line since the later of their beginnings, so that a simulated and a real account compare.
function chart(lines) {
  const drawn = lines.filter(([, points]) => points.length > 1)
    .map(([name, points]) => [name, points.map(([at, value]) => [Date.parse(at + "Z"), value])]);
  if (!drawn.length) return made("p", "no equity yet");
  const begin = Math.max(...drawn.map(([, points]) => points[0][0]));
  for (const line of drawn) {
    const base = line[1].findLast(([at]) => at <= begin)[1];
    line[1] = line[1].filter(([at]) => at >= begin).map(([at, value]) => [at, value / base - 1]);
  }
  const all = drawn.flatMap(([, points]) => points);
  const [left, right] = [Math.min(...all.map(p => p[0])), Math.max(...all.map(p => p[0]))];
  const [low, high] = [Math.min(0, ...all.map(p => p[1])), Math.max(0, ...all.map(p => p[1]))];
  const drawing = name => document.createElementNS("http://www.w3.org/2000/svg", name);
  const svg = drawing("svg");
  svg.setAttribute("viewBox", "0 0 1000 160");
  svg.setAttribute("preserveAspectRatio", "none");
  const box = made("div"), key = made("div", null, "facts"), plot = made("div", null, "plot"), times = made("div", null, "times");
  const height = v => 155 - (v - low) / Math.max(high - low, 1e-12) * 150;
  const [marks, digits] = ticks(low, high);
  for (const mark of marks) {
    const line = drawing("line"), label = made("span", percent(mark, digits), "tick");
    for (const [name, value] of [["x1", 0], ["x2", 1000], ["y1", height(mark)], ["y2", height(mark)]]) line.setAttribute(name, value);
    line.setAttribute("class", mark === 0 ? "zero" : "grid");
    label.style.top = `${height(mark) / 1.6}%`;
    svg.append(line);
    plot.append(label);
  }
  for (const at of [left, (left + right) / 2, right]) times.append(made("span", clock(at)));
  plot.append(svg);
  for (const [name, points] of drawn) {
    const path = drawing("path");
    const x = at => (at - left) / Math.max(right - left, 1) * 1000, y = height;
    path.setAttribute("d", points.map(([at, v], i) => `${i ? "L" : "M"}${x(at).toFixed(1)} ${y(v).toFixed(1)}`).join(""));
    path.setAttribute("class", name);
    svg.append(path);
    const last = points.length ? points[points.length - 1][1] : 0;
    const item = made("div", `${name} ${percent(last, 2)}`, name);
    item.dataset.growth = last;
    key.append(item);
  }
  box.append(made("h3", `growth since ${clock(begin)} UTC`), key, plot, times);
  return box;
}

function decision(row) {
  const side = { 1: "long", "-1": "short" }[row.side] || "-";
  const belief = row.belief ? `${row.belief.map(share => (100 * share).toFixed(0)).join(" / ")} %` : "-";
  return [row.bar, side, row.reason, number(row.p_up, 4), number(row.confidence, 4), belief, number(row.audit, 4), row.vetoes.join(", ") || "-"];
}
// Whether a bot runs is the first thing to know: what it last did says nothing while nothing runs.
function running(scene) {
  if (scene.pid) return [`running as process ${scene.pid}`, "up"];
  return scene.mode === "replay" ? ["REPLAY: no bot is running, this is what it did on recorded bars", "past"]
    : ["NOT RUNNING: nothing watches the market or what is held", "down"];
}
function symbolBlock(each, scene) {
  const block = made("section");
  block.dataset.symbol = each.symbol;
  block.append(made("h2", scene.pid ? `${each.symbol}: ${each.state}` : `${each.symbol}: ${each.state} when last seen`));
  const held = each.side ? `${each.side > 0 ? "long" : "short"} ${number(each.units)} from ${number(each.entry_price, 8)}` : "flat";
  block.append(facts([
    ["simulated", held], ["at the exchange", number(each.exchange_units, 8)], ["target", number(each.target, 8)],
    ["stop", number(each.stop, 8)], ["last bar", each.last_bar || "-"], ["trades", each.trades],
  ]));
  block.append(chart([["simulated", each.simulated], ["real", scene.account]]));
  block.append(made("h3", "open orders"), table(["leg", "side", "quantity", "kind", "price"],
    each.standing_orders.map(o => [o.leg, o.side > 0 ? "buy" : "sell", number(o.quantity, 8), o.kind, number(o.price, 10)])));
  block.append(made("h3", "last decisions"),
    table(["bar", "side", "reason", "p up", "confidence", "regime", "p(right)", "vetoes"], each.decisions.slice(0, 12).map(decision)));
  block.append(made("h3", "last trades"), table(["entered", "left", "side", "by", "simulated in", "out", "real in", "out"],
    each.done.slice(0, 12).map(t => [t.entered, t.left, t.side, t.reason, number(t.entry_price, 8), number(t.exit_price, 8),
      number(t.exchange_entry, 8), number(t.exchange_exit, 8)])));
  block.append(made("h3", "events"), table(["at", "kind", "message"], each.events.slice(0, 12).map(e => [e.at, e.kind, e.message])));
  return block;
}
function draw(scene) {
  document.getElementById("title").textContent = `${scene.mode} bot, ${scene.profile} of ${scene.bundle}` + (scene.exchange ? ` at ${scene.exchange}` : "");
  const [state, kind] = running(scene), banner = document.getElementById("running");
  banner.textContent = state;
  banner.className = kind;
  document.getElementById("when").textContent = `seen ${scene.at}`;
  const alarms = scene.alarms.map(text => made("p", text));
  document.getElementById("alarms").replaceChildren(...(alarms.length || !scene.pid ? alarms : [made("p", "no alarm", "calm")]));
  document.getElementById("symbols").replaceChildren(...scene.symbols.map(each => symbolBlock(each, scene)));
  document.getElementById("account").replaceChildren(facts([["worth", number(scene.equity, 10)]]));
  document.getElementById("events").replaceChildren(table(["at", "kind", "message"], scene.events.map(e => [e.at, e.kind, e.message])));
}
async function look() {
  const when = document.getElementById("when");
  try {
    const answer = await fetch("scene.json", { headers: { Authorization: `Bearer ${token}` } });
    if (!answer.ok) throw new Error(await answer.text());
    draw(await answer.json());
    heard = Date.now();
    when.className = "";
  } catch (why) {
    if (Date.now() - heard > OLD_MS || !heard) { when.className = "old"; when.textContent = `no news: ${why.message}`; }
  }
  setTimeout(look, EVERY_MS);
}
look();
