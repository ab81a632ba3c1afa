// A sweep: the best combos, and heat maps through any of them.

const AXES = [["threshold", "confidence"], ["k_up", "target, ATR"], ["k_down", "stop, ATR"], ["hold", "hold, bars"]];
const GRID = AXES.map(([name]) => PAYLOAD.grid[name]), SHAPE = GRID.map(axis => axis.length);
const FIGURES = [
  {name: "Sharpe", key: "sharpe", text: v => signed(fixed(v)), tone: sense},
  {name: "Return", key: "total_return", text: v => signed(percent(v)), tone: sense},
  {name: "Drawdown", key: "max_drawdown", text: v => percent(v), tone: sense},
  {name: "Trades", key: "trades", text: count, tone: () => "accent"},
  {name: "Win rate", key: "win_rate", text: v => percent(v, 0), tone: () => "accent"},
  {name: "bp a trade", key: "expectancy_bp", text: points, tone: sense},
];
const WAYS = ["through this combo", "median of the rest", "worst of the rest"];
const FEW = 30;
const at = place => place.reduce((row, i, axis) => row * SHAPE[axis] + i, 0);
const figure = (key, place) => PAYLOAD.figures[key][at(place)];
const state = {figure: FIGURES[0], way: 0, place: PAYLOAD.best ?? [0, 0, 0, 0]};

function rest(i, j) {  // every choice on the axes other than i and j
  const others = [0, 1, 2, 3].filter(axis => axis !== i && axis !== j), found = [];
  for (let a = 0; a < SHAPE[others[0]]; a++) for (let b = 0; b < SHAPE[others[1]]; b++) found.push([[others[0], a], [others[1], b]]);
  return found;
}
function summed(i, j, row, column) {
  const place = [...state.place], {key} = state.figure;
  place[i] = row;
  place[j] = column;
  if (state.way === 0) return {v: figure(key, place), few: figure("trades", place) < FEW, place};
  const all = rest(i, j).map(choice => {
    for (const [axis, k] of choice) place[axis] = k;
    return figure(key, place);
  }).filter(known).sort((a, b) => a - b);
  const n = all.length, middle = n ? (all[(n - 1) >> 1] + all[n >> 1]) / 2 : null;
  const back = [...state.place];
  back[i] = row;
  back[j] = column;
  return {v: state.way === 1 ? middle : n ? all[0] : null, few: false, place: back};
}
function heatMap(i, j) {
  const {text, tone} = state.figure, cells = GRID[i].map((_, row) => GRID[j].map((_, column) => summed(i, j, row, column)));
  const most = Math.max(1e-9, ...cells.flat().map(cell => Math.abs(cell.v ?? 0)));
  const cell = ({v, few, place}) => {
    const chosen = place.every((k, axis) => k === state.place[axis]) && state.way === 0;
    const name = AXES.map(([, axis], k) => `${axis} ${GRID[k][place[k]]}`).join(", ");
    const node = h(`td.click${few ? ".faded" : ""}${chosen ? ".chosen" : ""}`, {title: name, onclick: () => move(place)}, shown(text(v)));
    const strength = Math.round(4 + 62 * Math.abs(v ?? 0) / most);
    if (known(v) && tone(v)) node.style.background = `color-mix(in srgb, var(--${tone(v)}) ${strength}%, transparent)`;
    return node;
  };
  return h("div.heat", {}, h("h3", {}, AXES[i][1], h("span.soft", {}, " down, "), AXES[j][1], h("span.soft", {}, " across")),
    h("div.scroll", {tabIndex: 0}, h("table.cells", {},
      h("thead", {}, h("tr", {}, h("th"), GRID[j].map(v => h("th", {scope: "col"}, String(v))))),
      h("tbody", {}, cells.map((row, r) => h("tr", {}, h("th", {scope: "row"}, String(GRID[i][r])), row.map(cell)))))));
}
const stage = h("div.maps"), readout = h("div");
function drawMaps() {
  stage.replaceChildren();
  readout.replaceChildren();
  facts(readout, [...AXES.map(([, name], axis) => [name, String(GRID[axis][state.place[axis]])]),
    ...FIGURES.map(({name, key, text}) => [name, text(figure(key, state.place))])]);
  for (let i = 0; i < 4; i++) for (let j = i + 1; j < 4; j++) {
    if (SHAPE[i] > 1 && SHAPE[j] > 1) put(stage, heatMap(i, j));
  }
  const long = SHAPE.findIndex(size => size > 1);
  if (!stage.children.length) put(stage, heatMap(long < 1 ? 0 : long === 3 ? 2 : 0, long < 1 ? 1 : long));
}
function move(place) {
  state.place = place;
  drawMaps();
}

function drawHead(body) {
  const bp = v => known(v) ? fixed(1e4 * v, 1) + " bp" : null, {header} = PAYLOAD;
  put(body, header.in_sample > 0 && h("p.alarm", {role: "alert"}, h("b", {}, "In-sample. "), "Good for choosing, proof of nothing: ", header.seen, ". What is chosen here has yet to be judged on bars that nobody chose on."));
  put(body, PAYLOAD.sentences.map(text => h("p.finding", {}, text)), PAYLOAD.notes.map(text => h("p.note", {}, text)));
  facts(body, [["bundle", header.bundle], ["market", header.market], ["zone", header.zone], ["from", header.first], ["to", header.last],
    ["bars", count(header.bars)], ["combos", count(PAYLOAD.figures.trades.length)], ["gates", header.gates], ["confidence is read as", header.mode],
    ["fee", bp(header.fee)], ["maker", bp(header.maker_fee)], ["slippage", bp(header.slippage)], ["exposure a trade", percent(header.exposure, 0)]]);
}
function drawBest(body) {
  if (!PAYLOAD.top.length) return void put(body, h("p.missing", {}, "No combo made a trade."));
  const heads = [...AXES.map(([, name]) => name), ...FIGURES.map(({name}) => name), "near: median", "worst"];
  const line = row => h(`tr.click${row.trades < FEW ? ".few" : ""}`, {onclick: () => { move(row.place); document.getElementById("heat").scrollIntoView(); }},
    AXES.map(([name]) => h("td", {}, String(row[name]))), FIGURES.map(({key, text}) => h("td", {}, shown(text(row[key])))),
    ["median", "worst"].map(name => h("td", {}, shown(signed(fixed(row.neighbours[name]))))));
  put(body, h("div.scroll", {tabIndex: 0}, h("table.grid", {}, h("thead", {}, h("tr", {}, heads.map(name => h("th", {}, name)))),
    h("tbody", {}, PAYLOAD.top.map(line)))));
}

document.querySelector("main").prepend(h("h1", {}, document.title));
applyTheme();
drawHead(document.querySelector("#header .body"));
drawBest(document.querySelector("#best .body"));
const ways = choice(WAYS, k => { state.way = k; drawMaps(); }, "Other axes");
put(document.querySelector("#heat .body"), h("div.tools", {}, choice(FIGURES.map(f => f.name), k => { state.figure = FIGURES[k]; drawMaps(); }, "Figure"), ways), readout, stage);
ways.choose(0);
