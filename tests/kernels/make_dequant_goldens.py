#!/usr/bin/env python3
"""Writes data/linear_q_dequant.bin: random blocks of each quantised type and the values that the `gguf` package gives
for them, an implementation that shares nothing with ours. Needs numpy==2.4.6 gguf==0.19.0.

File, little-endian: per type { char name[8], u32 rows, u32 k, u32 row_bytes, u8 blocks[rows][row_bytes] (padded to a
multiple of 4 in all), f32 values[rows][k] }, until the end.
"""
import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

ROWS, K = 3, 512
# Byte offsets of a block's fp16 fields.
F16_AT = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}


def main():
    rng = np.random.default_rng(20240229)
    out = bytearray()
    for name, offsets in F16_AT.items():
        kind = GGMLQuantizationType[name]
        block_elems, block_bytes = GGML_QUANT_SIZES[kind]
        n_blocks = ROWS * K // block_elems
        blocks = rng.integers(0, 256, (n_blocks, block_bytes), dtype=np.uint8)
        for at in offsets:
            scale = rng.normal(0, 0.05, n_blocks).astype(np.float16)
            scale[rng.integers(n_blocks)] = np.float16(3e-7)  # subnormal
            blocks[:, at:at + 2] = scale.view(np.uint8).reshape(n_blocks, 2)
        if name == "MXFP4":
            blocks[:, 0] = rng.integers(120, 128, n_blocks)
            blocks[0, 0], blocks[1, 0] = 0, 1  # the two exponents whose scales are subnormal
        rows = blocks.reshape(ROWS, -1)
        values = dequantize(rows, kind).astype("<f4")
        assert values.shape == (ROWS, K) and np.isfinite(values).all()
        raw = rows.tobytes()
        out += struct.pack("<8sIII", name.lower().encode(), ROWS, K, rows.shape[1])
        out += raw + bytes(-len(raw) % 4) + values.tobytes()
    path = pathlib.Path(__file__).parent / "data" / "linear_q_dequant.bin"
    path.write_bytes(out)
    print(path, len(out))


if __name__ == "__main__":
    main()
