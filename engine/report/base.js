"use strict";
// What every block uses: the payload, numbers in words, DOM nodes, colours, light and dark.

const TYPED = {f32: Float32Array, u32: Uint32Array, i32: Int32Array, u8: Uint8Array, i8: Int8Array};
const PAYLOAD = JSON.parse(document.getElementById("payload").textContent, (_, value) => {
  const kind = value && typeof value === "object" && Object.keys(value)[0];
  if (!(kind in TYPED)) return value;
  const raw = atob(value[kind]);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new TYPED[kind](bytes.buffer);
});

// ---- numbers: null where nothing is known, so that no cell can ever say NaN
const known = v => v !== null && v !== undefined && Number.isFinite(v);
const decimal = (v, digits) => v.toLocaleString("en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits})
  .replace(/^-(0\.?0*)$/, "$1").replace("-", "−");
const fixed = (v, digits = 2) => known(v) ? decimal(v, digits) : null;
const count = v => fixed(v, 0);
const percent = (v, digits = 1) => known(v) ? decimal(100 * v, digits) + " %" : null;
const percentAxis = (v, digits) => percent(v, Math.max(0, digits - 2));
const signed = text => text !== null && /[1-9]/.test(text) && text[0] !== "−" ? "+" + text : text;
const points = v => signed(fixed(v, 1));
const price = v => known(v) ? decimal(v, Math.min(8, Math.max(0, 5 - Math.floor(Math.log10(Math.abs(v) || 1))))) : null;
const coded = (column, i) => column?.words[column.code[i]] ?? null;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const iso = t => new Date(1000 * t).toISOString();
const day = t => known(t) ? iso(t).slice(0, 10) : null;
const stamp = t => known(t) ? iso(t).slice(0, 16).replace("T", " ") : null;

// ---- nodes: text always goes in as text, never as markup
function h(tag, props = {}, ...kids) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (key in node) node[key] = value; else node.setAttribute(key, value);
  }
  return put(node, ...kids);
}
function put(node, ...kids) {
  node.append(...kids.flat(2).filter(kid => kid !== null && kid !== undefined && kid !== false));
  return node;
}
const unknown = () => h("span.unknown", {title: "not known"}, "–");
const shown = text => text === null || text === undefined || text === "" ? unknown() : text;

const MOST_BUTTONS = 5;
function choice(names, pick, label) {  // one of several, as a row of buttons, or a menu where there are many
  if (names.length > MOST_BUTTONS) {
    const options = names.map(name => h("option", {}, name));
    const menu = h("select", {ariaLabel: label, onchange: () => pick(menu.selectedIndex)}, options);
    menu.choose = at => pick(menu.selectedIndex = at);
    return menu;
  }
  const group = h("div.choice", {role: "group", ariaLabel: label});
  const choose = at => {
    [...group.children].forEach((button, i) => button.setAttribute("aria-pressed", i === at));
    pick(at);
  };
  names.forEach((name, i) => group.append(h("button", {type: "button", onclick: () => choose(i)}, name)));
  group.choose = choose;
  return group;
}
function tabs(body, items, draw, label) {  // one item at a time, with buttons where there are several
  const stage = h("div.stage");
  const group = choice(items.map(item => item.name), at => { stage.replaceChildren(); draw(stage, items[at]); }, label);
  if (items.length > 1) put(body, group);
  put(body, stage);
  group.choose(0);
  return group;
}
function facts(stage, pairs) {
  const known = pairs.filter(([, text]) => text !== undefined);
  put(stage, h("dl.facts", {}, known.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, shown(text))))));
}

// ---- intervals on a common scale
const between = (low, high, format = fixed) => known(low) && known(high) ? `${format(low)} to ${format(high)}` : null;
function whisker(value, low, high, [from, to], token) {
  const at = v => 100 * (Math.min(Math.max(v, from), to) - from) / (to - from);
  const mark = (tag, left, width) => {
    const node = h(tag);
    node.style.left = left + "%";
    if (width !== undefined) node.style.width = width + "%";
    return node;
  };
  return h("span.whisker", {ariaHidden: "true"},
    from < 0 && to > 0 && mark("s", at(0)),
    known(low) && known(high) && mark(`i.${token}`, at(low), at(high) - at(low)),
    known(value) && mark(`b.${token}`, at(value)));
}

// ---- colours: one per strategy, the same in every block; controls are grey
const PAINT = new Map();
function colour(name) {
  if (!PAINT.has(name)) PAINT.set(name, getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim());
  return PAINT.get(name);
}
const HUES = 6;
const IDENTITY = new Map();
function learnNames() {
  let hue = 0, grey = 0;
  for (const {name, kind} of [...(PAYLOAD.equity?.curves ?? []), ...(PAYLOAD.table ?? [])]) {
    if (IDENTITY.has(name)) continue;
    const at = kind === "control" ? grey++ : hue++;
    IDENTITY.set(name, kind === "control"
      ? {token: "control", dash: [[], [6, 4], [2, 3], [8, 3, 2, 3]][at % 4]}
      : {token: "hue" + at % HUES, dash: [[], [5, 3], [2, 2]][Math.floor(at / HUES) % 3]});
  }
}
function look(name) {
  if (!IDENTITY.has(name)) IDENTITY.set(name, {token: "hue" + IDENTITY.size % HUES, dash: []});
  const {token, dash} = IDENTITY.get(name);
  return {colour: colour(token), dash, token};
}
const swatch = name => h(`i.swatch.${look(name).token}${look(name).dash.length ? ".dashed" : ""}`);
const sense = v => !known(v) || v === 0 ? "" : v > 0 ? "good" : "bad";

// ---- light and dark: the system's choice until the reader makes one
const DARK = matchMedia("(prefers-color-scheme: dark)");
const THEME = {chosen: null, listeners: []};
function applyTheme() {
  const dark = THEME.chosen ?? DARK.matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  PAINT.clear();
  document.getElementById("theme").textContent = dark ? "Light" : "Dark";
  THEME.listeners.forEach(listener => listener());
}
DARK.addEventListener("change", applyTheme);
document.getElementById("theme").onclick = () => {
  THEME.chosen = document.documentElement.dataset.theme !== "dark";
  applyTheme();
};
