#!/usr/bin/env python3
"""onnx_start.py - what comes before an ONNX model's steady state: import, session, first answer, memory, new shapes.

    VENV/bin/python bench/onnx_start.py --library build/release/api/libwhimbrel.so    (VENV: see onnx_speed.py)

Whimbrel and ONNX Runtime in turns, each in a fresh process, medians over the processes. Times are of the processor (user
and system) unless --wall; memory is the growth of the peak resident set from before the session to after the last run. A
new shape is a run with a shape that was not met before less one with the same shape again, of which it is also a share."""

import argparse
import ctypes as C
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from onnx_speed import MODELS, OnnxRuntime, Whimbrel, decoding, image, language, text_image, tokens

# Inputs of other shapes than the model's own, for models that take any.
SHAPES = {
    "ppocr-det": [lambda h=h, w=w: {"x": text_image(h, w, 8)} for h, w in ((352, 320), (320, 384), (256, 320), (320, 288))],
    "ppocr-rec": [lambda w=w: {"x": text_image(48, w, 1)} for w in (336, 304, 352, 288)],
    "minilm-16": [lambda n=n: tokens(n) for n in (17, 20, 15, 24)],
    "minilm-128": [lambda n=n: tokens(n) for n in (127, 120, 100, 129)],
    "ppocr-cls": [lambda n=n: {"x": np.repeat(text_image(48, 192, 1), n, 0)} for n in (6, 5, 4, 3, 2)],
    "magika": [lambda n=n: {"bytes": np.random.default_rng(1).integers(0, 257, (n, 2048)).astype(np.int32)} for n in (4, 3, 2)],
    "whisper-decoder": [lambda p=p: decoding(6, 64, 4, p, 1, 500) for p in (32, 33, 40, 50)],
    "llm-4bit-step": [lambda p=p: language(p, 1) for p in (65, 66, 80, 100)],
    "boosting-100": [lambda n=n: {"X": np.random.default_rng(n).standard_normal((n, 10), dtype=np.float32)} for n in (99, 60, 50, 40)],
    "resnet50": [lambda n=n: {"image": np.repeat(image(224, 224), n, 0)} for n in (2,)],
}


def now(options):
    if options.wall:
        return time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measured(options, work):
    begin = now(options)
    result = work()
    return result, (now(options) - begin) * 1e3


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def probe(options):
    """In a process of its own."""
    name, inputs = options.models[0], MODELS[options.models[0]][1]()
    others = [make() for make in SHAPES.get(name, [])]
    if options.probe == "ort":
        import onnxruntime  # noqa: F401  its load is not the session's
        make = lambda: OnnxRuntime(options.path, options.threads)  # noqa: E731
    else:
        C.CDLL(options.library)
        make = lambda: Whimbrel(options.library, options.path, options.threads)  # noqa: E731
    before = peak()
    engine, session = measured(options, make)
    engine.set_inputs(inputs)
    first = session + measured(options, engine.run)[1]
    row = {"session_ms": session, "first_ms": first, "memory_mib": peak() - before}
    news, shares = [], []
    for other in others:
        engine.set_inputs(other)
        new = measured(options, engine.run)[1]
        again = statistics.median(measured(options, engine.run)[1] for _ in range(5))
        news.append(new - again)
        shares.append((new - again) / again)
    if others:
        row |= {"new_shape_ms": statistics.median(news), "new_shape_share": statistics.median(shares),
                "memory_shapes_mib": peak() - before}
    if options.probe == "whimbrel":
        model = C.c_void_p()
        row["import_ms"] = measured(options, lambda: engine.call("wh_model_open", options.path.encode(), None,
                                                                 C.byref(model)))[1]
    print(json.dumps(row))


def compare(name, options):
    path, rows = MODELS[name][0](options), {"whimbrel": [], "ort": []}
    for i in range(options.rounds):
        for engine in list(rows)[::1 if i % 2 else -1]:
            command = [sys.executable, __file__, "--probe", engine, "--path", path, "--library", options.library,
                       "--threads", str(options.threads), name] + (["--wall"] if options.wall else [])
            rows[engine].append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    return {k: {key: statistics.median(r[key] for r in v) for key in v[0]} for k, v in rows.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)} (all)")
    p.add_argument("--library", default="build/release/api/libwhimbrel.so")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--wall", action="store_true", help="time of the clock")
    p.add_argument("--json", help="where to write the rows")
    p.add_argument("--cache", default=os.path.join(tempfile.gettempdir(), "whimbrel-onnx-models"))
    p.add_argument("--probe", help=argparse.SUPPRESS)
    p.add_argument("--path", help=argparse.SUPPRESS)
    options = p.parse_args()
    options.models = options.models or list(MODELS)
    if options.probe:
        probe(options)
        return
    os.makedirs(options.cache, exist_ok=True)
    rows = {}
    for name in options.models:
        rows[name] = compare(name, options)
        for engine, row in rows[name].items():
            print(f"{name:14} {engine:9}" + "".join(f"  {k} {v:.4g}" for k, v in row.items()), flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
