// Which values of an axis deserve a label.

function niceTicks(low, high, most) {
  const raw = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find(m => m * power >= raw * 0.999) * power;
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(i * step);
  return out;
}

function logTicks(low, high, most) {
  const out = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const m of [1, 2, 5]) out.push(m * 10 ** power);
  }
  const inside = out.filter(v => v >= low && v <= high);
  return inside.length >= 3 ? inside : niceTicks(low, high, most).filter(v => v > 0);
}

function places(step) {  // decimals that tell neighbouring labels apart, and no more
  let digits = 0;
  while (digits < 8 && Math.abs(Math.round(step * 10 ** digits) / (step * 10 ** digits) - 1) > 1e-6) digits++;
  return digits;
}

// labels of a plain axis; format(value, decimals)
const plainTicks = format => ([a, b], most) => {
  const ticks = niceTicks(a, b, most);
  return ticks.map(v => [v, format(v, places(ticks[1] - ticks[0] || 1))]);
};

const HOUR = 3600, DAY = 86400;
const STEPS = [60, 300, 900, 1800, HOUR, 2 * HOUR, 4 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY];
function timeTicks(low, high, most) {  // [seconds, label] on round hours, days, months or years
  const want = (high - low) / Math.max(1, most);
  const step = STEPS.find(s => s >= want);
  return step ? clockTicks(low, high, step) : monthTicks(low, high, want / (30.44 * DAY));
}
function clockTicks(low, high, step) {
  const monday = step === 7 * DAY ? 4 * DAY : 0;
  const out = [];
  for (let t = Math.ceil((low - monday) / step) * step + monday; t <= high; t += step) {
    const text = iso(t);
    const date = `${+text.slice(8, 10)} ${MONTHS[+text.slice(5, 7) - 1]}`;
    out.push([t, step < DAY && t % DAY ? text.slice(11, 16) : date]);
  }
  return out;
}
function monthTicks(low, high, want) {
  const step = [1, 2, 3, 4, 6, 12, 24, 60, 120, 240].find(m => m >= want) ?? 600;
  const start = new Date(1000 * low);
  const out = [];
  for (let m = Math.floor((12 * start.getUTCFullYear() + start.getUTCMonth()) / step) * step; ; m += step) {
    const t = Date.UTC(Math.floor(m / 12), m % 12) / 1000;
    if (t > high) return out;
    if (t >= low) out.push([t, m % 12 ? MONTHS[m % 12] : String(m / 12)]);
  }
}

function below(sorted, value) {  // how many of a sorted column are at or below a value
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1; else high = middle;
  }
  return low;
}
function nearest(xs, x) {
  const far = i => Math.abs(xs[i] - x);
  return [...xs.keys()].reduce((best, i) => far(i) < far(best) ? i : best, 0);
}

function extent(columns, from = 0, to = Infinity) {  // lowest and highest known value
  let low = Infinity, high = -Infinity;
  for (const column of columns) {
    for (let i = from; i < Math.min(to, column.length); i++) {
      const v = column[i];
      if (v !== null && v < low) low = v;
      if (v !== null && v > high) high = v;
    }
  }
  return low <= high ? [low, high] : [0, 1];
}

function padded([low, high], share = 0.06) {
  const room = (high - low || Math.abs(high) || 1) * share;
  return [low - room, high + room];
}
