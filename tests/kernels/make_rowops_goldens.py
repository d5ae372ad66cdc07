"""Writes data/rowops_dequant.bin: random blocks of every storage type and what another implementation makes of them.

Made with Python 3.11, numpy 2.4.6, gguf 0.19.0:  python make_rowops_goldens.py
Format, little-endian, repeated: u32 dtype number (include/whimbrel/tensor.h), u32 bytes, u32 elements, the blocks'
bytes, the elements as fp32 bits. Scales are finite and of ordinary size; every other bit is random.
"""

import pathlib
import struct

import gguf
import numpy as np

BLOCKS = 12  # per type; a type of 256 gets a quarter of it
# name: number, elements and bytes of a block, offsets of its f16 fields
TYPES = {
    "F16": (1, 32, 64, range(0, 64, 2)),
    "BF16": (2, 32, 64, ()),
    "Q4_0": (16, 32, 18, (0,)),
    "Q4_1": (17, 32, 20, (0, 2)),
    "Q5_0": (18, 32, 22, (0,)),
    "Q5_1": (19, 32, 24, (0, 2)),
    "Q8_0": (20, 32, 34, (0,)),
    "Q2_K": (21, 256, 84, (80, 82)),
    "Q3_K": (22, 256, 110, (108,)),
    "Q4_K": (23, 256, 144, (0, 2)),
    "Q5_K": (24, 256, 176, (0, 2)),
    "Q6_K": (25, 256, 210, (208,)),
    "IQ4_NL": (26, 32, 18, (0,)),
    "IQ4_XS": (27, 256, 136, (0,)),
    "MXFP4": (28, 32, 17, ()),
}


def main():
    rng = np.random.default_rng(20261122)
    out = pathlib.Path(__file__).parent / "data" / "rowops_dequant.bin"
    with open(out, "wb") as f:
        for name, (number, elems, block_bytes, halves) in TYPES.items():
            n = BLOCKS if elems == 32 else BLOCKS // 4
            raw = rng.integers(0, 256, (n, block_bytes), dtype=np.uint8)
            for at in halves:
                value = rng.normal(0, 0.05, n).astype(np.float16)
                raw[:, at : at + 2] = value.view(np.uint8).reshape(n, 2)
            if name == "BF16":
                value = (rng.normal(0, 1, (n, elems)).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
                raw = value.view(np.uint8).reshape(n, block_bytes)
            if name == "MXFP4":
                raw[:, 0] = np.linspace(0, 250, n).astype(np.uint8)
                raw[1, 0] = 1
            y = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[name]).astype(np.float32).reshape(-1)
            assert y.size == n * elems and np.isfinite(y).all(), name
            f.write(struct.pack("<III", number, raw.size, y.size) + raw.tobytes() + y.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
