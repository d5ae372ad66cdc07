#!/usr/bin/env python3
"""onnx_start.py - what comes before an ONNX model's steady state: import, session, first answer, memory, new shapes.

    VENV/bin/python bench/onnx_start.py --library build/release/api/libwhimbrel.so    (VENV: see onnx_speed.py)

Whimbrel and ONNX Runtime in turns, each in a fresh process, medians over the processes. Times are of the processor (user
and system) unless --wall; memory is the growth of the peak resident set from before the session to after the last run. A
new shape is a run with a shape that was not met before less one with the same shape again, of which it is also a share:
the median of several, after runs of the model's own shape."""

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
from onnx_speed import MODELS, OnnxRuntime, Whimbrel, decoding, image, language, silero_inputs, text_image, tokens

def rows(name, x, counts):
    return [lambda n=n: {name: np.ascontiguousarray(np.repeat(x(), n, 0))} for n in counts]


# Inputs of other shapes than the model's own, for models that take any: they grow and shrink.
BATCHES = (6, 5, 4, 7, 3, 8, 2, 10, 9)
IMAGES = rows("image", lambda: image(224, 224), (2, 4, 3, 5))
SHAPES = {
    "ppocr-det": [lambda h=h, w=w: {"x": text_image(h, w, 8)}
                  for h, w in ((352, 320), (320, 384), (256, 320), (320, 288), (384, 384), (288, 256), (416, 320), (352, 352))],
    "ppocr-rec": [lambda w=w: {"x": text_image(48, w, 1)} for w in (336, 304, 352, 288, 384, 256, 400, 368)],
    "minilm-16": [lambda n=n: tokens(n) for n in (17, 20, 15, 24, 18, 12, 28, 21, 10)],
    "minilm-128": [lambda n=n: tokens(n) for n in (127, 120, 100, 129, 140, 110, 150)],
    "minilm-int8-16": [lambda n=n: tokens(n) for n in (17, 20, 15, 24, 18, 12, 28, 21, 10)],
    "minilm-int8-128": [lambda n=n: tokens(n) for n in (127, 120, 100, 129, 140, 110, 150)],
    "ppocr-cls": rows("x", lambda: text_image(48, 192, 1), BATCHES),
    "magika": [lambda n=n: {"bytes": np.random.default_rng(1).integers(0, 257, (n, 2048)).astype(np.int32)} for n in (4, 3, 2, 5)],
    "mobilenet-v3": IMAGES,
    "resnet50": IMAGES[:1],
    "resnet50-qdq": IMAGES[:1],
    "silero-vad": [lambda n=n: {k: np.repeat(v, n, 1 if k == "state" else 0) if v.ndim else v for k, v in silero_inputs().items()}
                   for n in BATCHES],
    "whisper-decoder": [lambda p=p: decoding(6, 64, 4, p, 1, 500) for p in (32, 33, 40, 50, 34, 20, 60, 45, 37)],
    "llm-4bit-step": [lambda p=p: language(p, 1) for p in (65, 66, 80, 100, 67, 40, 90, 72, 110)],
    "llm-4bit-prompt": [lambda n=n: language(0, n) for n in (65, 66, 80, 100, 67, 40)],
    "boosting-100": [lambda n=n: {"X": np.random.default_rng(n).standard_normal((n, 10), dtype=np.float32)}
                     for n in (99, 60, 50, 40, 120, 80, 110, 30, 105)],
}
WARM_RUNS = 5  # of the model's own shape, before the first new one


def now(options):
    if options.wall:
        return time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measured(options, work):
    begin = now(options)
    result = work()
    return result, (now(options) - begin) * 1e3


def given(options, engine, inputs):
    """A run whose inputs are set before, which the waiting threads may sleep through."""
    engine.set_inputs(inputs)
    return measured(options, engine.run)[1]


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
    for _ in range(WARM_RUNS if others else 0):
        engine.run()
    for other in others:
        new, *again = [given(options, engine, other) for _ in range(6)]
        again = statistics.median(again)
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
    path, probes = MODELS[name][0](options), {"whimbrel": [], "ort": []}
    for i in range(options.rounds):
        for engine in list(probes)[::1 if i % 2 else -1]:
            command = [sys.executable, __file__, "--probe", engine, "--path", path, "--library", options.library,
                       "--threads", str(options.threads), name] + (["--wall"] if options.wall else [])
            probes[engine].append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    return {k: {key: statistics.median(r[key] for r in v) for key in v[0]} for k, v in probes.items()}


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
    results = {}
    for name in options.models:
        results[name] = compare(name, options)
        for engine, row in results[name].items():
            print(f"{name:14} {engine:9}" + "".join(f"  {k} {v:.4g}" for k, v in row.items()), flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
