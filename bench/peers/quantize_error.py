#!/usr/bin/env python3
"""quantize_error.py WHIMBREL LIBGGML - errors of `whimbrel quantize` beside those of ggml's quantiser (a shared library
with ggml_quantize_chunk), on the same random weights, type by type, read by the same decoder. Needs NumPy."""

import ctypes
import os
import struct
import subprocess
import sys
import tempfile

import numpy

ROWS, COLUMNS = 64, 2048
TYPES = {"q8_0": 8, "q6_k": 14, "q5_k": 13, "q5_1": 7, "q5_0": 6, "q4_k": 12, "q4_1": 3, "q4_0": 2, "iq4_nl": 20, "iq4_xs": 23,
         "mxfp4": 39, "q3_k": 11, "q2_k": 10}
STRING = 8


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def write(path, tensors, kind="model"):
    """tensors: name, GGUF's number of the type, shape, bytes"""
    infos, data = b"", b""
    for name, number, shape, raw in tensors:
        infos += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", d) for d in reversed(shape))
        infos += struct.pack("<IQ", number, len(data))
        data += raw + b"\0" * (-len(raw) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1) + text("general.type") + struct.pack("<I", STRING) + text(kind) + infos
    with open(path, "wb") as file:
        file.write(head + b"\0" * (-len(head) % 32) + data)


def weights(name):
    random = numpy.random.default_rng(1)
    shape = (ROWS, COLUMNS)
    draw = {"normal": random.standard_normal, "Laplace": lambda size: random.laplace(size=size),
            "Student's t, 4": lambda size: random.standard_t(4, size=size)}[name]
    return (draw(shape) * 0.02).astype(numpy.float32)


def error(x, y, importance):
    w = importance if importance is not None else 1
    return float(numpy.sqrt((w * (y.astype(float) - x) ** 2).sum() / (w * x.astype(float) ** 2).sum()))


def main():
    program, library = sys.argv[1], ctypes.CDLL(sys.argv[2], mode=os.RTLD_LAZY)
    pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p) if a is not None else None
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    importance = (numpy.random.default_rng(2).random(COLUMNS) ** 3 + 0.01).astype(numpy.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = lambda name: os.path.join(folder, name)

        def quantize(source, target, *options):
            subprocess.run([program, "quantize", path(source), path(target), "--requantize", "-q", *options], check=True,
                           stdout=subprocess.DEVNULL)

        def floats(source):
            quantize(source, "floats", "--type", "f32")
            with open(path("floats"), "rb") as file:
                return numpy.frombuffer(file.read()[-4 * ROWS * COLUMNS:], numpy.float32).reshape(ROWS, COLUMNS)

        write(path("importance"), [("w.weight.in_sum2", 0, (1, COLUMNS), importance.tobytes())], "imatrix")
        print("| weights | importance | " + " | ".join(TYPES) + " |")
        for name in ("normal", "Laplace", "Student's t, 4"):
            x = weights(name)
            write(path("model"), [("w.weight", 0, x.shape, x.tobytes())])
            for w in (None, importance):
                row = []
                for kind, number in TYPES.items():
                    quantize("model", "ours", "--type", kind, *(["--importance", path("importance")] if w is not None else []))
                    ours = error(x, floats("ours"), w)
                    blocks = numpy.zeros(4 * x.size, numpy.uint8)
                    n = library.ggml_quantize_chunk(number, pointer(x), pointer(blocks), ctypes.c_int64(0), ctypes.c_int64(ROWS),
                                                    ctypes.c_int64(COLUMNS), pointer(w))
                    write(path("theirs"), [("w.weight", number, x.shape, blocks[:n].tobytes())])
                    theirs = error(x, floats("theirs"), w)
                    row.append(f"{100 * ours:.3g} / {100 * theirs:.3g}")
                print(f"| {name} | {'yes' if w is not None else 'no'} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
