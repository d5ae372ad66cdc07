#!/usr/bin/env python3
"""Writes data/gguf_py.gguf with the format's reference writer: the reader must read it, and our writer must
reproduce it byte for byte. Made with gguf 0.19.0 and numpy 2.4.6 (PyPI):

    python tests/formats/make_gguf_py.py
"""
import pathlib

import gguf
import numpy as np

path = pathlib.Path(__file__).parent / "data" / "gguf_py.gguf"
path.parent.mkdir(exist_ok=True)
w = gguf.GGUFWriter(path, "llama")
w.add_uint8("u8", 200)
w.add_int8("i8", -100)
w.add_uint16("u16", 60000)
w.add_int16("i16", -30000)
w.add_uint32("u32", 4000000000)
w.add_int32("i32", -2000000000)
w.add_uint64("u64", 2**63 - 1)
w.add_int64("i64", -(2**63))
w.add_float32("f32", 0.1)
w.add_float64("f64", 0.1)
w.add_bool("true", True)
w.add_bool("false", False)
w.add_string("string", "naïve 漢字")
w.add_array("ints", [1, -2, 3])
w.add_array("floats", [0.5, 0.25])
w.add_array("bools", [True, False, True])
w.add_array("strings", ["<s>", "Ġthe", "</s>"])

rng = np.random.default_rng(20240607)
x = rng.standard_normal((3, 64)).astype(np.float32)
w.add_tensor("f32.weight", x)
w.add_tensor("f16.weight", x.astype(np.float16))
for t in (gguf.GGMLQuantizationType.BF16, gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0):
    w.add_tensor(f"{t.name.lower()}.weight", gguf.quantize(x, t), raw_dtype=t)
w.add_tensor("cube", np.arange(2 * 3 * 5, dtype=np.int32).reshape(2, 3, 5))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
print(path.stat().st_size, "bytes")
