#!/usr/bin/env python3
"""accuracy_winograd.py - errors of 3x3 convolutions as direct sums and by minimal filtering, both as docs/NUMERICS.md has them
("conv"), relative to sums in binary64: root mean square and largest over largest. For ADR 0021. Needs NumPy.

An fma is emulated in binary64: the product is exact there, the addition is rounded twice, which differs from one
rounding in about one of 2^29 cases."""

import numpy as np

F, TILES, CHUNK = np.float32, 2000, 512


def chain(v, u):
    """The chain over axis 0, chunks included."""
    y, a = np.zeros(v.shape[1:], F), np.zeros(v.shape[1:], F)
    for k in range(len(v)):
        a = (v[k].astype(np.float64) * u[k] + a).astype(F)
        if k % CHUNK == CHUNK - 1 or k == len(v) - 1:
            y, a = y + a, np.zeros_like(a)
    return y


def windows(d):
    """[2][2] of the tile's windows, as [c * 9, n]."""
    return [[d[:, i:i + 3, j:j + 3].reshape(-1, d.shape[3]) for j in range(2)] for i in range(2)]


def both(f, x, axes):
    """f over the first of two axes, then over the second."""
    for axis in axes:
        x = np.stack(f(np.moveaxis(x, axis, 0)))
        x = np.moveaxis(x, 0, axis)
    return x


def elements(d):
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def weights(g):
    s = g[0] + g[2]
    return [g[0], F(0.5) * (s + g[1]), F(0.5) * (s - g[1]), g[2]]


def sums(m):
    return [(m[0] + m[1]) + m[2], (m[1] - m[2]) - m[3]]


def main():
    rng = np.random.default_rng(1)
    print(f"{'channels':8} {'inputs':8} {'direct rms':>12} {'filtered rms':>12} {'direct max':>12} {'filtered max':>12}")
    for c in (16, 64, 256, 512):
        for kind in ("gauss", "relu", "heavy"):
            d, g = rng.standard_normal((c, 4, 4, TILES)), rng.standard_normal((c, 3, 3, TILES)).astype(F)
            d = np.maximum(d, 0) if kind == "relu" else d * np.exp(1.5 * rng.standard_normal(d.shape)) if kind == "heavy" else d
            d = d.astype(F)
            w = g.reshape(-1, TILES)
            exact = np.array([[(x.astype(np.float64) * w).sum(0) for x in row] for row in windows(d)])
            direct = np.array([[chain(x, w) for x in row] for row in windows(d)])
            filtered = both(sums, chain(both(elements, d, (1, 2)), both(weights, g, (1, 2))), (0, 1))
            rows = [np.sqrt(((y - exact) ** 2).mean() / (exact ** 2).mean()) for y in (direct, filtered)]
            rows += [np.abs(y - exact).max() / np.abs(exact).max() for y in (direct, filtered)]
            print(f"{c:8} {kind:8} " + " ".join(f"{e:12.1e}" for e in rows))


if __name__ == "__main__":
    main()
