#!/usr/bin/env python3
"""Error of x @ w.T with 4-bit weights in blocks of 32, by what becomes of the activations, against binary64 over the same
weights (ADR 0023). Needs numpy.

Relative root mean square error over all outputs, then that of the worst output column alone. By the first measure 13-bit codes must
err less than bf16 activations and int8 codes in every case."""
import numpy as np
from accuracy_16bit import KINDS, M, N, SIZES, activations, chain, f32, quantise, rng, to_bf16

BLOCK = 32


def weights(k):
    """Codes less zero points of 8, and scales, of gaussian weights."""
    w = rng.standard_normal((N, k // BLOCK, BLOCK)) * 0.02
    scale = f32(np.abs(w).max(-1, keepdims=True) / 7.5)
    return np.clip(np.rint(w / scale), -8, 7).astype(np.int64), scale[..., 0]


def decoded(codes, scale):
    return f32(f32(codes) * scale[..., None]).reshape(N, -1)


def integers(x, codes, scale, block, largest):
    """docs/NUMERICS.md, "matmul_blocks" with q13a, and of other blocks and codes."""
    q, s = quantise(x, block, largest)
    q = q.reshape(M, -1)
    y = np.zeros((M, N), np.float32)
    for p in range(codes.shape[1]):
        dot = q[:, p * BLOCK : (p + 1) * BLOCK] @ codes[:, p].T
        assert np.abs(dot).max() < 2**31
        factor = f32(s[:, p * BLOCK // block, None] * scale[None, :, p])
        y = f32(factor.astype(np.float64) * f32(dot).astype(np.float64) + y.astype(np.float64))
    return y


def exact(x, w):
    return x.astype(np.float64) @ w.astype(np.float64).T


DEFINITIONS = {
    "fp32 chain": lambda x, w, c, s: chain(x, w),
    "fp16, exact sums": lambda x, w, c, s: exact(np.clip(x, -65504, 65504).astype(np.float16), w),
    "bf16, exact sums": lambda x, w, c, s: exact(to_bf16(x), w),
    "int8, blocks of 32": lambda x, w, c, s: integers(x, c, s, 32, 127),
    "13 bits, blocks of 128": lambda x, w, c, s: integers(x, c, s, 128, 4095),
}
RIVALS = ("fp16, exact sums", "bf16, exact sums", "int8, blocks of 32")


def main():
    lost = {}
    for title, measure in (
        ("all outputs", lambda e, ref: np.sqrt((e**2).mean() / (ref**2).mean())),
        ("worst column", lambda e, ref: np.sqrt((e**2).mean(0) / (ref**2).mean(0)).max()),
    ):
        print(f"\n{title}\n| activations | K | " + " | ".join(DEFINITIONS) + " |")
        print("|---" * (2 + len(DEFINITIONS)) + "|")
        for kind in KINDS:
            for k in SIZES:
                (c, s), x = weights(k), activations(kind, k)
                w = decoded(c, s)
                ref = exact(x, w)
                e = {n: measure(f(x, w, c, s) - ref, ref) for n, f in DEFINITIONS.items()}
                print(f"| {kind} | {k} | " + " | ".join(f"{v:.1e}" for v in e.values()) + " |")
                for rival in RIVALS:
                    lost.setdefault((title, rival), []).append(kind if e["13 bits, blocks of 128"] >= e[rival] else None)
    for (title, rival), cases in lost.items():
        print(f"{title}: 13 bits are not better than {rival} in {sum(c is not None for c in cases)} of {len(cases)} cases")
    return any(c for rival in RIVALS[1:] for c in lost["all outputs", rival])


if __name__ == "__main__":
    raise SystemExit(main())
