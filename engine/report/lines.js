// Equity and drawdown of everything compared.

function drawEquity(body, {time, curves}) {
  const lines = curves.map(curve => ({
    ...curve, shown: curve.kind !== "grid",
    growth: Float64Array.from(curve.equity, v => v === null ? NaN : v / curve.equity[0]),
    fall: curve.drawdown ?? falls(curve.equity),
  }));
  const [lowest, highest] = extent(lines.filter(line => line.shown).map(line => line.growth));
  let log = lowest > 0 && highest / lowest > 5;
  const visible = () => lines.filter(line => line.shown);
  const window = ([a, b]) => [Math.max(0, below(time, a) - 1), below(time, b) + 1];
  const paintLines = column => pen => {
    shadeInSample(pen, PAYLOAD.header?.in_sample_until, column === "growth");
    for (const kind of ["control", "grid", "profile"]) {
      for (const line of visible().filter(l => l.kind === kind)) {
        trace(pen, time, line[column], {...look(line.name), width: kind === "profile" ? 2 : 1.3});
      }
    }
  };
  const host = h("div");
  const chart = new Chart(host, {
    label: "Growth of one unit and drawdown", zoomable: true, least: 20 * (time[1] - time[0]) || 1,
    domain: [time[0], time[time.length - 1]], ticks: ([a, b], most) => timeTicks(a, b, most),
    panels: [
      {share: 3, zero: 1, log: () => log, title: "growth of 1, after costs", format: fixed,
        range: view => {
          const [low, high] = extent(visible().map(l => l.growth), ...window(view));
          return log ? [Math.max(low, 1e-3) * 0.97, high * 1.03] : padded([low, high], 0.04);
        }, paint: paintLines("growth")},
      {share: 1.2, zero: 0, title: "below the last peak", format: percentAxis,
        range: view => [extent(visible().map(l => l.fall), ...window(view))[0] * 1.05 - 0.005, 0],
        paint: paintLines("fall")},
    ],
    hover: x => {
      const i = Math.min(time.length - 1, Math.max(0, below(time, x) - 1));
      const state = ({growth, fall}) => known(growth[i]) ? `${signed(percent(growth[i] - 1))} (${percent(fall[i])})` : null;
      const ordered = visible().sort((a, b) => b.growth[i] - a.growth[i]);
      return {x: time[i], head: stamp(time[i]), rows: ordered.map(line => [line.name, state(line), look(line.name).token])};
    },
  });
  host.classList.add("tall");
  const scale = choice(["linear", "log"], at => { log = at === 1; chart.redraw(); }, "Scale of the equity axis");
  put(body, h("div.tools", {}, legend(lines, () => chart.redraw()), scale), host, hint(ZOOM));
  scale.choose(log ? 1 : 0);
  return chart;
}

function falls(equity) {
  let peak = -Infinity;
  return Float64Array.from(equity, v => v === null ? NaN : v / (peak = Math.max(peak, v)) - 1);
}

function legend(lines, changed) {
  const flip = (line, button) => {
    line.shown = !line.shown;
    button.setAttribute("aria-pressed", line.shown);
    changed();
  };
  return h("div.legend", {role: "group", ariaLabel: "Curves shown"}, lines.map(line => {
    const last = line.growth?.[line.growth.length - 1];
    const button = h("button.chip", {type: "button", title: "show or hide", onclick: () => flip(line, button)},
      swatch(line.name), line.name, known(last) ? h("small", {}, signed(percent(last - 1))) : null);
    button.setAttribute("aria-pressed", line.shown);
    return button;
  }));
}

function shadeInSample({g, X, left, right, top, bottom}, until, named = true) {
  const edge = known(until) ? Math.min(X(until), right) : left;
  if (edge <= left) return;
  g.fillStyle = colour("alarm-bg");
  g.fillRect(left, top - 6, edge - left, bottom - top + 12);
  if (named && edge - left > 60) write(g, "in-sample", left + 6, bottom - 2, "alarm");
}

const ZOOM = matchMedia("(pointer: coarse)").matches ? "Drag across to zoom."
  : "Drag to zoom, double-click for all; Ctrl + wheel or + and − zoom by steps, the arrow keys move.";
const hint = text => h("p.hint", {}, text);
