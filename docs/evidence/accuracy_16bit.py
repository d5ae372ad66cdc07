#!/usr/bin/env python3
"""Error of x @ w.T with 16-bit weights, by definition of the product, against binary64 (ADR 0013). Needs numpy.

Relative root mean square error over all outputs, where it must be below that of bf16 operands in every case; then
that of the worst output column alone, where an outlier that meets a small weight cannot hide behind large outputs."""
import numpy as np

M, N = 32, 48
rng = np.random.default_rng(7)


def f32(a):
    return a.astype(np.float32)


def to_bf16(a):
    u = f32(a).view(np.uint32).astype(np.uint64)
    return ((u + 0x7FFF + ((u >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def weights(kind, k):
    w = rng.standard_normal((N, k)) * 0.02
    return f32(w.astype(np.float16)) if kind == "f16" else to_bf16(w)


def student(k, freedom):
    return rng.standard_t(freedom, (M, k))


def activations(kind, k):
    x = rng.standard_normal((M, k))
    if kind.startswith("student"):
        x = student(k, int(kind[-1]))
    channels = rng.permutation(k)
    if kind == "1% x 20":
        x[:, channels[: max(1, k // 100)]] *= 20
    if kind == "one x 1000":
        x[:, channels[0]] *= 1000
    return f32(x)


def blocks_of(a, block):
    pad = -a.shape[1] % block
    return np.pad(a, ((0, 0), (0, pad))).reshape(a.shape[0], -1, block)


def quantise(a, block, largest):
    """docs/NUMERICS.md, "quantize_wide": codes and scales, every step in fp32."""
    b = f32(blocks_of(a, block))
    top = np.abs(b).max(-1, keepdims=True)
    live = top >= np.float32(2.0**-100)
    safe = np.where(live, top, np.float32(1))
    q = np.where(live, np.rint(b * (np.float32(largest) / safe)), 0).astype(np.int64)
    assert np.abs(q).max() <= largest
    return q, np.where(live, top / np.float32(largest), 0).astype(np.float32)[..., 0]


def fixed(x, w, block, largest):
    (xq, xs), (wq, ws) = quantise(x, block, largest), quantise(w, block, largest)
    y = np.zeros((M, N), np.float32)
    for b in range(xq.shape[1]):
        dot = xq[:, b] @ wq[:, b].T
        assert np.abs(dot).max() < 2**31
        scale = f32(xs[:, b, None] * ws[None, :, b])
        # one rounding of the sum: binary64 holds the product of two fp32 exactly
        y = f32(scale.astype(np.float64) * f32(dot).astype(np.float64) + y.astype(np.float64))
    return y


def chain(x, w):
    """fp32, chunks of 512, fma."""
    y = np.zeros((M, N), np.float32)
    for k0 in range(0, x.shape[1], 512):
        a = np.zeros((M, N), np.float32)
        for k in range(k0, min(k0 + 512, x.shape[1])):
            a = f32(x[:, k, None].astype(np.float64) * w[None, :, k].astype(np.float64) + a.astype(np.float64))
        y = f32(y + a)
    return y


def bf16_operands(x, w):
    return to_bf16(x).astype(np.float64) @ to_bf16(w).astype(np.float64).T


DEFINITIONS = {
    "fp32 chain": chain,
    "bf16 operands, exact sums": bf16_operands,
    "blocks of 128, 4095": lambda x, w: fixed(x, w, 128, 4095),
    "blocks of 32, 8191": lambda x, w: fixed(x, w, 32, 8191),
}
KINDS = ("gauss", "student 3", "student 2", "1% x 20", "one x 1000")
SIZES = (576, 1536, 2048, 4096, 8192)


def main():
    worse = []
    for title, measure in (
        ("all outputs", lambda e, ref: np.sqrt((e**2).mean() / (ref**2).mean())),
        ("worst column", lambda e, ref: np.sqrt((e**2).mean(0) / (ref**2).mean(0)).max()),
    ):
        worse.append(0)
        for kind in ("f16", "bf16"):
            print(f"\n{title}, {kind} weights")
            print("| activations | K | " + " | ".join(DEFINITIONS) + " |")
            print("|---" * (2 + len(DEFINITIONS)) + "|")
            for acts in KINDS:
                for k in SIZES:
                    w, x = weights(kind, k), activations(acts, k)
                    ref = x.astype(np.float64) @ w.astype(np.float64).T
                    e = {n: measure(f(x, w) - ref, ref) for n, f in DEFINITIONS.items()}
                    print(f"| {acts} | {k} | " + " | ".join(f"{v:.1e}" for v in e.values()) + " |")
                    worse[-1] += e["blocks of 128, 4095"] >= e["bf16 operands, exact sums"]
    n = 2 * len(KINDS) * len(SIZES)
    print(f"\nof {n} cases, blocks of 128 are not better than bf16 operands in {worse[0]}, by the worst column in {worse[1]}")
    return worse[0] != 0


if __name__ == "__main__":
    raise SystemExit(main())
