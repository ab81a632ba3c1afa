"""Kernels of the streaming predictor: a causal Transformer in which every layer looks back on a band of bars.

Every number is made by the same additions and multiplications in the same order, whether bars come one at a time
or thousands at once: a column is a bar, no sum runs over columns, and no operation but +, -, *, / and the square
root is used. IEEE arithmetic does the rest: the bits of an answer depend neither on how many bars were asked about
together, nor on the machine.
"""

from __future__ import annotations

import numpy as np
from numba import njit

COLUMNS = 256  # bars worked on at once, fastest of 16..512: a layer's columns stay in the second cache
LIMIT = np.float32(5.0)  # deviations at which a feature is cut off, as in training
ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
EPSILON = np.float32(1e-5)  # under the root of a layer norm
GELU_1, GELU_3 = np.float32(-1.5957691216057308), np.float32(0.044715)  # -2 sqrt(2/pi); Hendrycks & Gimpel 2016

LOWEST, HIGHEST = np.float32(-87.0), np.float32(87.0)
PER_LN2, LN2, LN2_REST = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
E2, E3, E4 = np.float32(5.0000001201e-1), np.float32(1.6666665459e-1), np.float32(4.1665795894e-2)
E5, E6, E7 = np.float32(8.3334519073e-3), np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)
BIAS, FRACTION = np.int32(127), np.int32(23)  # of a float32's exponent


@njit(cache=True)
def exponential(x):  # type: ignore[no-untyped-def]
    """Return e to the x in float32, to one unit in the last place (Cephes); beyond 87 it stops changing."""
    x = x if x > LOWEST else LOWEST  # also where x is no number
    x = x if x < HIGHEST else HIGHEST
    whole = np.floor(x * PER_LN2 + HALF)
    r = x - whole * LN2 - whole * LN2_REST
    tail = ((((E7 * r + E6) * r + E5) * r + E4) * r + E3) * r + E2
    power = np.int32((np.int32(whole) + BIAS) << FRACTION).view(np.float32)
    return (tail * (r * r) + r + ONE) * power


@njit(cache=True)
def linear(out, weights, bias, x, n):  # type: ignore[no-untyped-def]
    """Write ``weights @ x + bias`` of n columns, two of an even number of rows at a time."""
    m, d = weights.shape
    even = d - d % 4
    for j in range(0, m, 2):
        o, p, v, w = out[j, :n], out[j + 1, :n], weights[j], weights[j + 1]
        for r in range(n):
            o[r] = bias[j]
            p[r] = bias[j + 1]
        for i in range(0, even, 4):
            x0, x1, x2, x3 = x[i, :n], x[i + 1, :n], x[i + 2, :n], x[i + 3, :n]
            v0, v1, v2, v3 = v[i], v[i + 1], v[i + 2], v[i + 3]
            w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
            for r in range(n):
                a, b, c, e = x0[r], x1[r], x2[r], x3[r]
                o[r] += (v0 * a + v1 * b) + (v2 * c + v3 * e)
                p[r] += (w0 * a + w1 * b) + (w2 * c + w3 * e)
        for i in range(even, d):
            x0 = x[i, :n]
            for r in range(n):
                o[r] += v[i] * x0[r]
                p[r] += w[i] * x0[r]


@njit(cache=True)
def standard(out, x, gain, bias, n):  # type: ignore[no-untyped-def]
    """Write the layer norm of n columns."""
    mean, scale = np.zeros(n, np.float32), np.zeros(n, np.float32)
    share = ONE / np.float32(len(x))
    for i in range(len(x)):
        row = x[i]
        for r in range(n):
            mean[r] += row[r]
    for r in range(n):
        mean[r] *= share
    for i in range(len(x)):
        row = x[i]
        for r in range(n):
            away = row[r] - mean[r]
            scale[r] += away * away
    for r in range(n):
        scale[r] = np.divide(ONE, np.sqrt(scale[r] * share + EPSILON))
    for i in range(len(x)):
        row, o, g, b = x[i], out[i], gain[i], bias[i]
        for r in range(n):
            o[r] = (row[r] - mean[r]) * scale[r] * g + b


@njit(cache=True)
def weigh(score, ask, keys, fall, head, col, n):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Write a head's scores of the band's bars, a row for each bar further back, two of them at a time."""
    heads, band = fall.shape
    size = len(keys) // heads
    low, scale = head * size, np.divide(ONE, np.sqrt(np.float32(size)))
    for age in range(0, band, 2):
        s, z, first = score[age, :n], score[age + 1, :n], col - age - 1
        for r in range(n):
            s[r] = ZERO
            z[r] = ZERO
        for c in range(low, low + size, 4):
            q0, q1, q2, q3 = ask[c, :n], ask[c + 1, :n], ask[c + 2, :n], ask[c + 3, :n]
            k0, k1, k2, k3 = keys[c, first:], keys[c + 1, first:], keys[c + 2, first:], keys[c + 3, first:]
            for r in range(n):
                a, b, e, f = q0[r], q1[r], q2[r], q3[r]
                s[r] += (a * k0[r + 1] + b * k1[r + 1]) + (e * k2[r + 1] + f * k3[r + 1])
                z[r] += (a * k0[r] + b * k1[r]) + (e * k2[r] + f * k3[r])
        for r in range(n):
            s[r] = s[r] * scale + fall[head, age]
            z[r] = z[r] * scale + fall[head, age + 1]


@njit(cache=True)
def soften(score, share, n):  # type: ignore[no-untyped-def]
    """Turn scores into weights, e to the score less the highest, and write one over their sum to ``share``."""
    for r in range(n):
        share[r] = score[0, r]
    for age in range(1, len(score)):
        s = score[age]
        for r in range(n):
            share[r] = s[r] if s[r] > share[r] else share[r]
    for age in range(len(score)):
        s = score[age]
        for r in range(n):
            s[r] = exponential(s[r] - share[r])
    for r in range(n):
        share[r] = ZERO
    for age in range(len(score)):
        s = score[age]
        for r in range(n):
            share[r] += s[r]
    for r in range(n):
        share[r] = np.divide(ONE, share[r])


@njit(cache=True)
def gather(out, score, share, values, head, col, n):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Write a head's weighted means of the band's values, two rows at a time."""
    low = head * len(out)
    for c in range(0, len(out), 2):
        o, p, v, w = out[c, :n], out[c + 1, :n], values[low + c], values[low + c + 1]
        for r in range(n):
            o[r] = ZERO
            p[r] = ZERO
        for age in range(0, len(score), 4):
            s0, s1, s2, s3 = score[age, :n], score[age + 1, :n], score[age + 2, :n], score[age + 3, :n]
            x, y = v[col - age - 3 :], w[col - age - 3 :]
            for r in range(n):
                a, b, e, f = s0[r], s1[r], s2[r], s3[r]
                o[r] += (a * x[r + 3] + b * x[r + 2]) + (e * x[r + 1] + f * x[r])
                p[r] += (a * y[r + 3] + b * y[r + 2]) + (e * y[r + 1] + f * y[r])
        for r in range(n):
            o[r] *= share[r]
            p[r] *= share[r]


@njit(cache=True)
def bend(hidden, n):  # type: ignore[no-untyped-def]
    """Apply GELU in its tanh form to n columns."""
    for j in range(len(hidden)):
        row = hidden[j]
        for r in range(n):
            u = row[r]
            row[r] = np.divide(u, ONE + exponential(GELU_1 * (u + GELU_3 * u * u * u)))


@njit(cache=True)
def add(x, y, n):  # type: ignore[no-untyped-def]
    """Add n columns to others."""
    for c in range(len(x)):
        to, more = x[c], y[c]
        for r in range(n):
            to[r] += more[r]


@njit(cache=True)
def make_room(ring, band, n):  # type: ignore[no-untyped-def]
    """Return the column that n bars may be written from, once the last ``band - 1`` bars lie before it."""
    keys, values, place = ring
    col = place[0]
    if col + n > keys.shape[2]:
        for layer in range(keys.shape[0]):
            for c in range(keys.shape[1]):
                for k in range(band - 1):
                    keys[layer, c, k] = keys[layer, c, col - band + 1 + k]
                    values[layer, c, k] = values[layer, c, col - band + 1 + k]
        col = band - 1
    place[0] = col + n
    return col


@njit(cache=True)
def encode(x, network, ring, work, n):  # type: ignore[no-untyped-def]
    """Lead the states of n bars through every layer; their keys and values go into the ring."""
    y, z, ask, hidden, score, share = work
    d, heads = len(x), len(network.fall)
    col = make_room(ring, len(score), n)
    for layer in range(len(network.norms)):
        norms, keys, values = network.norms[layer], ring.keys[layer], ring.values[layer]
        standard(y, x, norms[0], norms[1], n)
        linear(ask, network.attend[layer], network.attend_bias[layer], y, n)
        for c in range(d):
            for r in range(n):
                keys[c, col + r] = ask[d + c, r]
                values[c, col + r] = ask[2 * d + c, r]
        for head in range(heads):
            weigh(score, ask, keys, network.fall, head, col, n)
            soften(score, share, n)
            gather(y[head * d // heads : (head + 1) * d // heads], score, share, values, head, col, n)
        linear(z, network.mix[layer], network.mix_bias[layer], y, n)
        add(x, z, n)
        standard(y, x, norms[2], norms[3], n)
        linear(hidden, network.widen[layer], network.widen_bias[layer], y, n)
        bend(hidden, n)
        linear(z, network.narrow[layer], network.narrow_bias[layer], hidden, n)
        add(x, z, n)


@njit(cache=True, nogil=True)
def advance(bars, network, ring, out):  # type: ignore[no-untyped-def]
    """Show the next bars to the network: ``out[i]`` is the logit and the calibrated probability at ``bars[i]``."""
    d, count, columns = len(network.head), bars.shape[1], min(COLUMNS, len(bars))
    seen, x = np.empty((count, columns), np.float32), np.empty((d, columns), np.float32)
    y, z = np.empty((d, columns), np.float32), np.empty((d, columns), np.float32)
    ask, hidden = np.empty((3 * d, columns), np.float32), np.empty((network.widen.shape[1], columns), np.float32)
    score, share = np.empty((network.fall.shape[1], columns), np.float32), np.empty(columns, np.float32)
    for first in range(0, len(bars), columns):
        n = min(columns, len(bars) - first)
        for i in range(count):
            for r in range(n):
                v = np.divide(bars[first + r, i] - network.mean[i], network.deviation[i])
                v = v if v > -LIMIT else -LIMIT
                seen[i, r] = v if v < LIMIT else LIMIT
        linear(x, network.embed, network.embed_bias, seen, n)
        encode(x, network, ring, (y, z, ask, hidden, score, share), n)
        standard(y, x, network.norm[0], network.norm[1], n)
        for r in range(n):
            share[r] = network.line[0]
        for c in range(d):
            for r in range(n):
                share[r] += network.head[c] * y[c, r]
        for r in range(n):
            out[first + r, 0] = share[r]
            out[first + r, 1] = np.divide(ONE, ONE + exponential(-(network.line[1] * share[r] + network.line[2])))
