"""Weights of the tiny test models: generated block bytes and their values.

tiny_model.c generates the same bytes. The dequantisers follow the GGUF block layouts and are independent of the C
code; make_family_goldens.py checks them against the `gguf` package.
"""
import numpy as np

U64 = np.uint64
MASK = (1 << 64) - 1


def fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def splitmix(seed, n):
    """Outputs 0..n-1 of splitmix64 started at `seed`."""
    with np.errstate(over="ignore"):
        z = U64(seed) + (np.arange(n, dtype=U64) + U64(1)) * U64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
        return z ^ (z >> U64(31))


def f16_field(exponent, mask=0x3FF, sign=0):
    """Base and random bits of an fp16 with a magnitude in [2^exponent, 2^(exponent+1)); below 2^-14 subnormal."""
    if exponent < -14:
        return 1 << (24 + exponent), mask & 0x8000 | (1 << (24 + exponent)) - 1
    return sign << 15 | (exponent + 15) << 10, mask


ANY_SIGN = 0x83FF


# elements and bytes of a block, fields that are overwritten: (offset, bytes, base, mask of random bits)
BLOCKS = {
    "q4_0": (32, 18, [(0, 2, *f16_field(-7, ANY_SIGN))]),
    "q4_1": (32, 20, [(0, 2, *f16_field(-7)), (2, 2, *f16_field(-4, sign=1))]),
    "q5_0": (32, 22, [(0, 2, *f16_field(-8, ANY_SIGN))]),
    "q5_1": (32, 24, [(0, 2, *f16_field(-8)), (2, 2, *f16_field(-4, sign=1))]),
    "q8_0": (32, 34, [(0, 2, *f16_field(-11, ANY_SIGN))]),
    "q2_k": (256, 84, [(80, 2, *f16_field(-8, 0xFF)), (82, 2, *f16_field(-8))]),
    "q3_k": (256, 110, [(108, 2, *f16_field(-10, ANY_SIGN))]),
    "q4_k": (256, 144, [(0, 2, *f16_field(-13)), (2, 2, *f16_field(-10))]),
    "q5_k": (256, 176, [(0, 2, *f16_field(-14)), (2, 2, *f16_field(-10))]),
    "q6_k": (256, 210, [(208, 2, *f16_field(-15, ANY_SIGN))]),
    "iq4_nl": (32, 18, [(0, 2, *f16_field(-11, ANY_SIGN))]),
    "iq4_xs": (256, 136, [(0, 2, *f16_field(-15, ANY_SIGN))]),
    "mxfp4": (32, 17, [(0, 1, 121, 1)]),
}
FLOATS = ("f32", "f16", "bf16")
DTYPES = FLOATS + tuple(BLOCKS)


def random_blocks(dtype, n_elems, seed):
    """uint8[n_blocks, block_bytes]"""
    elems, n_bytes, fields = BLOCKS[dtype]
    n_blocks = n_elems // elems
    words = n_bytes // 8 + 1
    z = splitmix(seed, n_blocks * (words + len(fields))).reshape(n_blocks, -1)
    blocks = np.ascontiguousarray(z[:, :words]).view(np.uint8)[:, :n_bytes].copy()
    for i, (offset, size, base, mask) in enumerate(fields):
        value = U64(base) | (z[:, words + i] & U64(mask))
        for k in range(size):
            blocks[:, offset + k] = (value >> U64(8 * k)).astype(np.uint8)
    return blocks


def random_floats(dtype, n, seed):
    """Uniform with a standard deviation of about 1/14; exact in `dtype`."""
    z = splitmix(seed, n)
    if dtype == "f32":
        return (z >> U64(48)).astype(np.uint16).view(np.int16).astype(np.float32) * np.float32(2.0**-18)
    return (z >> U64(56)).astype(np.uint8).view(np.int8).astype(np.float32) * np.float32(2.0**-10)


def random_norm(n, seed):
    """1 +- 1/4 in steps of 1/64: exact in every float type."""
    return np.float32(1) + ((splitmix(seed, n) >> U64(32)) % U64(33)).astype(np.float32) / 64 - np.float32(0.25)


# ---- dequantisers: uint8[n_blocks, block_bytes] -> float32[n_blocks, elements] ----


def f16_at(b, offset):
    return np.ascontiguousarray(b[:, offset : offset + 2]).view(np.float16).astype(np.float32)


def nibbles(q):
    """Low nibbles of all bytes, then high nibbles."""
    return np.concatenate([q & 15, q >> 4], axis=-1)


def bits32(b, offset):
    """The 32 bits of a little-endian word as 0 or 1."""
    word = np.ascontiguousarray(b[:, offset : offset + 4]).view("<u4")
    return (word >> np.arange(32, dtype=np.uint32)) & 1


IQ4_VALUES = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
MXFP4_VALUES = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)


def k_scales(s):
    """The 8 six-bit scales and 8 six-bit minimums that Q4_K and Q5_K pack into 12 bytes."""
    sc = np.concatenate([s[:, 0:4] & 63, (s[:, 8:12] & 15) | (s[:, 0:4] >> 6) << 4], axis=1)
    mn = np.concatenate([s[:, 4:8] & 63, (s[:, 8:12] >> 4) | (s[:, 4:8] >> 6) << 4], axis=1)
    return sc.astype(np.float32), mn.astype(np.float32)


def planes2(q):
    """uint8[n, 64] of 2-bit codes -> [n, 256]: per 32 bytes, bits 0-1 of all, then 2-3, 4-5, 6-7."""
    q = q.reshape(len(q), 2, 1, 32)
    return ((q >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)) & 3).reshape(len(q), 256)


def dequantise_blocks(dtype, b):
    n = len(b)
    if dtype == "q4_0":
        return f16_at(b, 0) * (nibbles(b[:, 2:18]).astype(np.float32) - 8)
    if dtype == "q4_1":
        return f16_at(b, 0) * nibbles(b[:, 4:20]).astype(np.float32) + f16_at(b, 2)
    if dtype == "q5_0":
        return f16_at(b, 0) * ((nibbles(b[:, 6:22]) | bits32(b, 2) << 4).astype(np.float32) - 16)
    if dtype == "q5_1":
        return f16_at(b, 0) * (nibbles(b[:, 8:24]) | bits32(b, 4) << 4).astype(np.float32) + f16_at(b, 2)
    if dtype == "q8_0":
        return f16_at(b, 0) * np.ascontiguousarray(b[:, 2:34]).view(np.int8).astype(np.float32)
    if dtype == "q2_k":
        d, dmin = f16_at(b, 80), f16_at(b, 82)
        scales = d * (b[:, :16] & 15).astype(np.float32)
        mins = dmin * (b[:, :16] >> 4).astype(np.float32)
        q = planes2(b[:, 16:80]).reshape(n, 16, 16).astype(np.float32)
        return (scales[:, :, None] * q - mins[:, :, None]).reshape(n, 256)
    if dtype == "q3_k":
        s = b[:, 96:108].astype(np.int32)
        low = np.concatenate([s[:, 0:8] & 15, s[:, 0:8] >> 4], axis=1)
        high = np.concatenate([s[:, 8:12] >> 2 * i & 3 for i in range(4)], axis=1)
        scales = f16_at(b, 108) * ((low | high << 4) - 32).astype(np.float32)
        bit = (b[:, None, 0:32] >> np.arange(8, dtype=np.uint8).reshape(1, 8, 1) & 1).reshape(n, 256)
        q = planes2(b[:, 32:96]).astype(np.float32) - 4 + 4 * bit.astype(np.float32)
        return (scales[:, :, None] * q.reshape(n, 16, 16)).reshape(n, 256)
    if dtype in ("q4_k", "q5_k"):
        sc, mn = k_scales(b[:, 4:16])
        at = 16 if dtype == "q4_k" else 48
        q = nibbles(b[:, at : at + 128].reshape(n, 4, 32)).reshape(n, 8, 32)
        if dtype == "q5_k":
            q = q | (b[:, None, 16:48] >> np.arange(8, dtype=np.uint8).reshape(1, 8, 1) & 1) << 4
        scales, mins = f16_at(b, 0) * sc, f16_at(b, 2) * mn
        return (scales[:, :, None] * q.astype(np.float32) - mins[:, :, None]).reshape(n, 256)
    if dtype == "q6_k":
        low = nibbles(b[:, 0:128].reshape(n, 2, 64)).reshape(n, 2, 4, 32)
        high = b[:, 128:192].reshape(n, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1) & 3
        q = (low | high << 4).reshape(n, 16, 16).astype(np.float32) - 32
        scales = f16_at(b, 208) * np.ascontiguousarray(b[:, 192:208]).view(np.int8).astype(np.float32)
        return (scales[:, :, None] * q).reshape(n, 256)
    if dtype == "iq4_nl":
        return f16_at(b, 0) * IQ4_VALUES[nibbles(b[:, 2:18])]
    if dtype == "iq4_xs":
        high = np.ascontiguousarray(b[:, 2:4]).view("<u2").astype(np.int32)
        low = np.stack([b[:, 4:8] & 15, b[:, 4:8] >> 4], axis=2).reshape(n, 8).astype(np.int32)
        ls = low | (high >> 2 * np.arange(8) & 3) << 4
        scales = f16_at(b, 0) * (ls - 32).astype(np.float32)
        q = IQ4_VALUES[nibbles(b[:, 8:136].reshape(n, 8, 16))]
        return (scales[:, :, None] * q).reshape(n, 256)
    if dtype == "mxfp4":
        return np.ldexp(MXFP4_VALUES[nibbles(b[:, 1:17])], b[:, 0:1].astype(np.int32) - 128).astype(np.float32)
    raise ValueError(dtype)


def random_matrix(dtype, rows, cols, seed):
    if dtype in FLOATS:
        return random_floats(dtype, rows * cols, seed).reshape(rows, cols)
    return dequantise_blocks(dtype, random_blocks(dtype, rows * cols, seed)).reshape(rows, cols)
