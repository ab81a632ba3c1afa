/* The market contract as a C programmer would write it: the yardstick of engine/barriers.py. */
#include <stdint.h>
#include <math.h>

typedef struct {
    int64_t wish_time, entry_time, exit_time, entry_bar, exit_bar, bars;
    double units, entry_price, exit_price, entry_fee, exit_fee, funding, pnl, ret, target, stop;
    int8_t side;
    uint8_t reason, ambiguous, open;
} trade_t;

typedef struct {
    double k_up, k_down, fee, maker_fee, slippage, exposure;
    int64_t hold, longest_step_ns;
} terms_t;

enum { TARGET, STOP, TIME, OPEN };

int64_t trade_through(int64_t n, const int64_t *time, const double *open, const double *high, const double *low,
                      const double *close, const int8_t *wish, const double *atr, const terms_t *terms, double cash,
                      trade_t *trades, double *equity, int8_t *position, int64_t *ignored)
{
    int64_t k = 0, t = 0;
    *ignored = 0;
    while (t < n) {
        equity[t] = cash;
        position[t] = 0;
        if (wish[t] == 0 || !(atr[t] > 0.0 && atr[t] < INFINITY) || cash <= 0.0 || t + 1 >= n ||
            time[t + 1] - time[t] > terms->longest_step_ns) {
            t++;
            continue;
        }
        const int64_t e = t + 1, side = wish[t];
        const double price = open[e] * (1.0 + side * terms->slippage);
        const double units = terms->exposure * cash / price, fee = terms->fee * units * price;
        const double target = open[e] + side * terms->k_up * atr[t], stop = open[e] - side * terms->k_down * atr[t];
        const double upper = side > 0 ? target : stop, lower = side > 0 ? stop : target;
        const int64_t due = e + terms->hold, end = due < n ? due : n;
        cash -= side * units * price + fee;
        int64_t x = e;
        while (x < end && low[x] > lower && high[x] < upper)
            x++;
        const double size = side * units;
        for (int64_t j = e; j < x; j++) {
            equity[j] = cash + size * close[j];
            if (equity[j] <= 0.0)
                return -1; /* ruined: not part of the race */
            position[j] = (int8_t)side;
            *ignored += wish[j] != 0;
        }
        if (x >= n)
            break;
        double level = open[x];
        int reason = TIME, ambiguous = 0;
        if (x < end) {
            const int stopped = side > 0 ? low[x] <= stop : high[x] >= stop;
            const int reached = side > 0 ? high[x] >= target : low[x] <= target;
            const int late = side * (level - stop) <= 0.0, lucky = side * (level - target) >= 0.0;
            ambiguous = stopped && reached && !late && !lucky;
            if (late || (stopped && !lucky)) {
                level = late ? level : stop;
                reason = STOP;
            } else {
                level = lucky ? level : target;
                reason = TARGET;
            }
        }
        const double left = reason == TARGET ? level : level * (1.0 - side * terms->slippage);
        const double rate = reason == TARGET ? terms->maker_fee : terms->fee;
        const double ret = (side * (left - price) - terms->fee * price - rate * left) / price;
        trades[k++] = (trade_t){time[t], time[e], time[x], e, x, x - e + (reason != TIME), units, price, left, fee,
                                rate * units * left, 0.0, ret * (units * price), ret, target, stop, (int8_t)side,
                                (uint8_t)reason, (uint8_t)ambiguous, 0};
        cash += size * left - rate * units * left;
        t = x;
    }
    return k;
}
