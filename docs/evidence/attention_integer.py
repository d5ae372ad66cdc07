#!/usr/bin/env python3
"""Attention by integer products: what each definition of scores and of the weighted sum costs in accuracy (ADR 0016).
Needs numpy. Chunks and spans as in docs/NUMERICS.md; everything against binary64 over keys and values as they were
before any rounding.

Three tables: the error of scores by definition and kind of key; the probability mass that a definition of the weights
loses, by kind of row (rows built to lose most among them); the error of whole rows of attention. Ends with status 1
when a bound that ADR 0016 states does not hold."""
import numpy as np

CHUNK, SPAN = 64, 16
rng = np.random.default_rng(11)
F, D64 = np.float32, np.float64


def f32(a):
    return np.asarray(a).astype(F)


def f16(a):
    return f32(f32(a).astype(np.float16))


def fma(a, b, c):
    """One rounding: binary64 holds the product of two fp32 exactly (its own rounding of the sum is 2^-29 of ours)."""
    return f32(np.asarray(a, D64) * np.asarray(b, D64) + np.asarray(c, D64))


def codes(x, block, largest):
    """docs/NUMERICS.md, "quantize_wide", in blocks along the last dimension."""
    b = f32(x).reshape(*x.shape[:-1], -1, block)
    top = np.abs(b).max(-1, keepdims=True)
    safe = np.where(top >= F(2.0**-100), top, F(1))
    q = np.where(top >= F(2.0**-100), np.rint(b * (F(largest) / safe)), 0).astype(np.int64)
    assert np.abs(q).max() <= largest
    return q, np.where(top >= F(2.0**-100), top / F(largest), 0).astype(F)[..., 0]


# Scores: [rows, positions] from q [rows, D] and k [positions, D].


def chain(q, k):
    s = np.zeros((len(q), len(k)), F)
    for d in range(q.shape[1]):
        s = fma(q[:, d, None], k[None, :, d], s)
    return s


def in_codes(q, k, block, largest):
    (qc, qs), (kc, ks) = codes(q, block, largest), codes(k, block, largest)
    s = np.zeros((len(q), len(k)), F)
    for b in range(qc.shape[1]):
        dot = qc[:, b] @ kc[:, b].T
        assert np.abs(dot).max() < 2**31
        s = fma(f32(qs[:, b, None] * ks[None, :, b]), f32(dot), s)
    return s


def q8(q, k):
    (qc, qs), (kc, ks) = codes(q, 32, 127), codes(k, 32, 127)
    ks = f16(ks)
    s = np.zeros((len(q), len(k)), F)
    for b in range(qc.shape[1]):
        s = fma(ks[None, :, b], f32(f32(qc[:, b] @ kc[:, b].T) * qs[:, b, None]), s)
    return s


SCORES = {
    "fp32 chain, f32 keys": chain,
    "fp32 chain, f16 keys": lambda q, k: chain(q, f16(k)),
    "whole heads, 4095": lambda q, k: in_codes(q, k, q.shape[1], 4095),
    "blocks of 64, 5792": lambda q, k: in_codes(q, k, 64, 5792),
    "blocks of 32, 8191": lambda q, k: in_codes(q, k, 32, 8191),
    "q8 of today": q8,
}


# Weighted sums of a chunk. `weigh` gives the weights that a definition in effect uses, for p [rows, 64] (largest 1 or
# 0 for what is not visible) and scales of the values [64], and the sum's fp32 steps follow from groups.


def grouped(group, largest):
    """p * (scale of the position's values) in codes of 0..largest, by groups of positions with the group's own largest."""

    def weigh(p, scale):
        y = f32(p * scale).reshape(len(p), -1, group)
        top = y.max(-1, keepdims=True)
        live = top >= F(2.0**-100)
        safe = np.where(live, top, F(1))
        unit = f32(safe * f32(1 / F(largest)))
        c = np.where(live, np.rint(y * f32(F(largest) / safe)), 0)
        assert c.max() <= largest
        return c.reshape(p.shape), np.repeat(unit[..., 0], group, 1)

    weigh.group, weigh.largest = group, largest
    return weigh


def limbs(p, scale):
    """Two limbs of 12 bits, one scale for the chunk."""
    return grouped(CHUNK, 2**23)(p, scale)


limbs.group, limbs.largest = CHUNK, 2**23

WEIGHTS = {  # name: (weigh, largest code of a value); None: fp32
    "fp32": (None, 0),
    "chunk, 12 bits": (grouped(64, 4095), 4095),
    "chunk, 15 bits": (grouped(64, 32767), 1023),
    "32, 14 bits": (grouped(32, 16383), 4095),
    "16, 15 bits": (grouped(16, 32767), 4095),
    "8, 15 bits": (grouped(8, 32767), 4095),
    "8, 16 bits": (grouped(8, 65535), 4095),
    "chunk, two limbs of 12 bits": (limbs, 4095),
    "chunk, 16 bits, q8 values": (grouped(64, 65535), 127),
}
BOUND = 1e-4
HOLD = ("8, 16 bits", "chunk, two limbs of 12 bits")  # what the bound leaves
for name, (weigh, largest) in WEIGHTS.items():  # a group's sum is an exact int32 (limbs: each limb's)
    if weigh and weigh is not limbs:
        assert weigh.group * weigh.largest * largest < 2**31, name


def weighted(p, v, weigh, largest):
    """o [rows, D] of a chunk."""
    o = np.zeros((len(p), v.shape[1]), F)
    if weigh is None:
        for j in range(CHUNK):
            o = fma(p[:, j, None], v[None, j], o)
        return o
    vc, vs = codes(v, v.shape[1], largest)
    c, unit = weigh(p, vs[:, 0])
    c = c.astype(np.int64)
    for g in range(0, CHUNK, weigh.group):
        dot = c[:, g : g + weigh.group] @ vc[g : g + weigh.group, 0]
        if weigh is limbs:  # two exact sums, converted and put together
            low = (c[:, g : g + CHUNK] & 4095) @ vc[g : g + CHUNK, 0]
            dot = fma(f32((dot - low) >> 12), F(4096), f32(low))
        o = fma(unit[:, g, None], f32(dot), o)
    return o


def chunk_states(s):
    """m, p, l of each chunk of scores [rows, positions]; sum64 is a tree."""
    x = s.reshape(len(s), -1, CHUNK)
    m = x.max(-1)
    p = np.exp((x - m[..., None]).astype(D64)).astype(F)
    lanes = p
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = f32(lanes[..., :half] + lanes[..., half:])
    return m, p, lanes[..., 0]


def combine(all_, one):
    if all_ is None:
        return one
    (ma, la, oa), (m, l, o) = all_, one
    top = np.maximum(ma, m)
    a, b = f32(np.exp((ma - top).astype(D64))), f32(np.exp((m - top).astype(D64)))
    return top, fma(la, a, f32(l * b)), fma(oa, a[:, None], f32(o * b[:, None]))


def attention(s, v, weights):
    m, p, l = chunk_states(s)
    total = span = None
    n = m.shape[1]
    for c in range(n):
        o = weighted(p[:, c], v[c * CHUNK : (c + 1) * CHUNK], *weights)
        span = combine(span if c % SPAN else None, (m[:, c], l[:, c], o))
        if c % SPAN == SPAN - 1 or c == n - 1:
            total = combine(total, span)
    return total[2] / total[1][:, None]


def exact(q, k, v):
    s = np.asarray(q, D64) @ np.asarray(k, D64).T
    w = np.exp(s - s.max(1, keepdims=True))
    return (w / w.sum(1, keepdims=True)) @ np.asarray(v, D64)


def lost(s, v_scale, weigh):
    """Of each row: the mass that positions lose, of the row's whole (half the distance of the weights, but for the
    sum); by p itself, and by p times the largest value of its position."""
    m, p, _ = chunk_states(s)
    factor = np.exp((m - m.max(1, keepdims=True)).astype(D64))
    by_p, by_v, whole_p, whole_v = 0, 0, 0, 0
    for c in range(m.shape[1]):
        scale = v_scale[c * CHUNK : (c + 1) * CHUNK]
        pc = p[:, c].astype(D64)
        if weigh is None:
            gone = np.zeros_like(pc)
        else:
            code, unit = weigh(p[:, c], scale)
            gone = np.maximum(pc - code * unit / scale, 0)
        by_p, whole_p = by_p + factor[:, c] * gone.sum(1), whole_p + factor[:, c] * pc.sum(1)
        by_v, whole_v = by_v + factor[:, c] * (gone * scale).sum(1), whole_v + factor[:, c] * (pc * scale).sum(1)
    return (by_p / whole_p).max(), (by_v / whole_v).max()


# Inputs.


def keys(kind, n, d):
    k = rng.standard_normal((n, d))
    if kind == "student 3":
        k = rng.standard_t(3, (n, d))
    if kind == "4 channels x 20":
        k[:, rng.permutation(d)[:4]] *= 20
    if kind == "a channel x 100":
        k[:, rng.integers(d)] *= 100
    if kind == "a channel at 30":  # a constant, as biases of keys are: it moves no probability
        k[:, rng.integers(d)] += 30
    return f32(k)


def queries(rows, k, spread):
    """Scaled so that a row's scores have this standard deviation."""
    q = rng.standard_normal((rows, k.shape[1]))
    s = q @ np.asarray(k, D64).T
    return f32(q * (spread / s.std(1, keepdims=True)))


def rows_of(kind, n=8192, rows=8):
    if kind == "uniform, 32768":
        return np.zeros((2, 32768), F)
    if kind == "one":
        s = np.full((rows, n), -100.0)
        s[np.arange(rows), rng.integers(n, size=rows)] = 0
        return f32(s)
    spread = float(kind.split()[-1])
    s = rng.standard_normal((rows, n)) * spread
    if kind.startswith("sink"):
        s[:, 0] = spread * spread / 2 + np.log(n) + np.linspace(-2, 4, rows)  # half of the mass and around
    return f32(s)


def built(group, largest, scale):
    """One position of weight 1, the group's others just below half a code; nothing else in sight."""
    s = np.full((1, CHUNK), -200.0)
    s[0, :group] = np.log(0.4999 / largest / np.asarray(scale[:group], D64) * scale[0])
    s[0, 0] = 0
    return f32(s)


def table(title, columns):
    print(f"\n{title}\n| | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")


def line(name, values):
    print(f"| {name} | " + " | ".join(values) + " |")


def main():
    kinds = ("gauss", "student 3", "4 channels x 20", "a channel x 100", "a channel at 30")
    for d in (64, 128):
        table(f"error of scores with a standard deviation of 3, heads of {d}: root mean square / largest", kinds)
        data = [(k, queries(16, k, 3.0)) for k in (keys(kind, 2048, d) for kind in kinds)]
        for name, f in SCORES.items():
            cells = []
            for k, q in data:
                e = f(q, k) - np.asarray(q, D64) @ np.asarray(k, D64).T
                cells.append(f"{np.sqrt((e**2).mean()):.1e} / {np.abs(e).max():.1e}")
            line(name, cells)

    ones = np.ones(32768, F)
    kinds = ("gauss, spread 1", "gauss, spread 3", "gauss, spread 6", "sink, others 1", "sink, others 3", "one", "uniform, 32768")
    table("largest lost mass of a row, by kind; the last column is the row built against the definition", kinds + ("spread 3, values of uneven size (mass times size)", "built"))
    uneven = f32(np.exp(rng.standard_normal(8192)))
    wrong = []
    rows = {kind: rows_of(kind) for kind in kinds}
    for name, (weigh, _) in WEIGHTS.items():
        if weigh is None:
            continue
        cells = [lost(rows[kind], ones, weigh)[0] for kind in kinds]
        cells.append(lost(rows["gauss, spread 3"], uneven, weigh)[1])
        cells.append(lost(built(weigh.group, weigh.largest, ones), ones, weigh)[0])
        bound = (weigh.group - 1) / (2 * weigh.largest)
        line(f"{name} (bound {bound:.1e})", [f"{c:.1e}" for c in cells])
        if not 0.98 * bound / (1 + bound) < cells[-1] or max(cells) > bound * 1.01:
            wrong.append(f"{name}: the bound is not the largest loss")
        if (max(cells) <= BOUND) != (name in HOLD):
            wrong.append(f"{name}: on the other side of {BOUND}")

    n = 4096
    table(f"relative error of a row, {n} positions, heads of 128, largest of 16 rows (f32 keys and values: binary64)",
          ("gauss", "outliers in K and V", "sink with small V", "spread 6"))
    data = []
    for kind in ("gauss", "outliers", "sink", "spread"):
        k = keys("4 channels x 20" if kind == "outliers" else "gauss", n, 128)
        v = keys("4 channels x 20" if kind == "outliers" else "gauss", n, 128)
        q = queries(16, k, 6.0 if kind == "spread" else 2.0)
        if kind == "sink":
            k[0] = 0
            k[0, 0] = 12.0
            q[:, 0] = f32(np.linspace(0.7, 1.1, 16))
            v[0] *= F(0.02)
        data.append((q, k, v))
    for name, f, rounded, weights in [
        ("fp32, f32 cache", chain, f32, WEIGHTS["fp32"]),
        ("fp32, f16 cache (today)", SCORES["fp32 chain, f16 keys"], f16, WEIGHTS["fp32"]),
        ("scores by whole heads, 4095; fp32 sums of f16 values", SCORES["whole heads, 4095"], f16, WEIGHTS["fp32"]),
        ("scores by blocks of 64, 5792; the same", SCORES["blocks of 64, 5792"], f16, WEIGHTS["fp32"]),
        ("scores by blocks of 32, 8191; the same", SCORES["blocks of 32, 8191"], f16, WEIGHTS["fp32"]),
    ] + [
        (f"scores by blocks of 32, 8191; weights by {w}", SCORES["blocks of 32, 8191"], f32, (weigh, largest))
        for w, (weigh, largest) in WEIGHTS.items()
        if largest > 127
    ]:
        cells = []
        for q, k, v in data:
            ref = exact(q, k, v)
            e = attention(f(q, k), rounded(v), weights) - ref
            cells.append(f"{(np.linalg.norm(e, axis=1) / np.linalg.norm(ref, axis=1)).max():.1e}")
        line(name, cells)
    for w in wrong:
        print(f"does not hold: {w}")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
