#!/usr/bin/env python3
"""check_bits.py WHIMBREL [MODEL ...] - real models have one answer: the outputs' bytes are compared between the highest
instruction-set level on two threads and every lower level, one and three threads, host2 (a device that shares no memory), the
emulated GPU, and rows of a batch run alone.

host2 has plain kernels and the emulated GPU interprets each instruction: there inputs are small, models of random weights have
fewer layers, and two do not run: magika, whose input has 2048 bytes, and ResNet-50, whose 100 MB host2 locks and unlocks around
each operation. Exit status 1: bytes differ."""

import json
import os
import subprocess
import sys
import tempfile

import check_models
import model_builders
import numpy as np
import onnx
from check_models import fetch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))
import onnx_models  # noqa: E402  after its folder

MODELS = {}


def model(f):
    MODELS[f.__name__] = f
    return f


def floats(seed, *shape):
    return np.random.default_rng(seed).random(shape, np.float32)


def ints(seed, high, *shape, dtype=np.int64):
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def open_sides(path):
    """Pictures of any size for a network that ends in an average over them."""
    net = onnx.load(path)
    for d, name in zip(net.graph.input[0].type.tensor_type.shape.dim[2:], ("h", "w")):
        d.dim_param = name
    onnx.save(net, path)


# Each yields (path, inputs, whether rows of a batch can be run alone, whether it is small enough for host2 and the emulated GPU).


@model
def ocr(d):
    for name, large, small in (("det", (2, 3, 96, 160), (1, 3, 32, 32)), ("rec", (2, 3, 48, 160), (1, 3, 48, 16)), ("cls", (2, 3, 48, 192), (1, 3, 16, 32))):
        yield fetch(name), {"x": floats(1, *large)}, True, False
        yield fetch(name), {"x": floats(2, *small)}, False, True


@model
def vad(d):
    for name in ("vad", "vad_ifless"):
        state = floats(2, 2, 1, 128) - 0.5
        yield fetch(name), {"input": floats(1, 1, 576) - 0.5, "state": state, "sr": np.array(16000, np.int64)}, False, True


@model
def magika(d):
    yield fetch("magika"), {"bytes": ints(1, 257, 2, 2048, dtype=np.int32)}, True, False


@model
def minilm(d):
    """Its floats stay off host2 for time; its codes (below) do not."""
    path = os.path.join(d, "minilm2.onnx")
    model_builders.bert(model_builders.safetensors(fetch("minilm")), 2, 12, path)
    mask = np.ones((2, 5), np.int64)
    mask[0, 2:] = 0
    yield path, {"input_ids": ints(1, 30000, 2, 5), "attention_mask": mask}, True, False


@model
def codes(d):
    """What `quantize` makes; int8-dynamic takes one range for all rows of a batch."""
    path = os.path.join(d, "minilm.onnx")
    model_builders.bert(model_builders.safetensors(fetch("minilm")), 1, 12, path)
    for kind in ("int8-dynamic", "int8", "int4"):
        result = os.path.join(d, kind + ".onnx")
        subprocess.run([sys.argv[1], "quantize", path, result, "--type", kind, "--quiet"], check=True, capture_output=True)
        yield result, {"input_ids": ints(1, 30000, 2, 4), "attention_mask": np.ones((2, 4), np.int64)}, kind != "int8-dynamic", True


@model
def resnet50(d):
    path = os.path.join(d, "resnet50.onnx")
    onnx_models.resnet50(path)
    open_sides(path)
    yield path, {"image": floats(1, 2, 3, 20, 16)}, True, False


@model
def mobilenet_v3(d):
    path = os.path.join(d, "mobilenet.onnx")
    onnx_models.mobilenet_v3(path)
    open_sides(path)
    yield path, {"image": floats(1, 2, 3, 64, 96)}, True, False
    yield path, {"image": floats(2, 1, 3, 20, 24)}, False, True


@model
def vit(d):
    for layers, side, n, small in ((2, 96, 2, False), (1, 32, 1, True)):
        path = os.path.join(d, f"vit{layers}.onnx")
        model_builders.vit(path, layers=layers, side=side)
        yield path, {"pixels": floats(1, n, 3, side, side)}, not small, small


@model
def detector(d):
    for side in (64, 32):
        path = os.path.join(d, f"detector{side}.onnx")
        model_builders.detector(path, side=side)
        yield path, {"images": floats(1, 1, 3, side, side)}, False, side == 32


@model
def whisper(d, heads=4, layers=2, width=64):
    encoder, decoder = os.path.join(d, "encoder.onnx"), os.path.join(d, "decoder.onnx")
    model_builders.whisper_encoder(encoder)
    model_builders.whisper_decoder(decoder)
    yield encoder, {"mel": floats(1, 2, 40, 100)}, True, False
    yield encoder, {"mel": floats(2, 1, 40, 12)}, False, True
    feeds = {"ids": ints(1, 120, 1, 2)}
    for name in (i.name for i in onnx.load(decoder, load_external_data=False).graph.input if i.name != "ids"):
        feeds[name] = floats(len(feeds), 1, heads, 5 if name.startswith("past") else 6, width // heads) - 0.5
    yield decoder, feeds, False, True


@model
def llm(d):
    for level, n_past, n in ((0, 0, 5), (0, 6, 1), (4, 0, 5), (4, 6, 1)):  # accuracy_level
        path = os.path.join(d, f"llm_{level}.onnx")
        past, kv_heads, size = model_builders.small_llm(path, accuracy_level=level)
        cache = {k: floats(i, 1, kv_heads, n_past, size) - 0.5 for i, k in enumerate(past)}
        yield path, {"input_ids": ints(1, 200, 1, n), "attention_mask": np.ones((1, n_past + n), np.int64), **cache}, False, True


@model
def trees(d):
    path = os.path.join(d, "trees.onnx")
    onnx_models.boosting(path)
    yield path, {"X": floats(1, 4, 10) * 4 - 2}, True, True


class Program:
    def __init__(self, path):
        self.path = path
        devices = json.loads(subprocess.run([path, "devices", "--json"], check=True, capture_output=True).stdout)["devices"]
        folder = os.path.dirname(os.path.abspath(path))
        levels = devices[0]["isa_levels"].split()
        self.ways = [(f"--isa {level}", ["--isa", level, "--threads", "2"]) for level in levels[:-1]]
        self.ways += [(f"{n} threads", ["--threads", str(n)]) for n in (1, 3)]
        has = {name: os.path.exists(os.path.join(folder, f"whimbrel-backend-{name}.so")) for name in ("host2", "cuda")}
        self.slow_ways = [("host2", ["--device", "host2"])] if has["host2"] else []
        self.slow_ways += [("cuda:emulated", ["--device", "cuda:emulated"])] if has["cuda"] else []
        self.left_out = [name for name, there in has.items() if not there]

    def run(self, model, inputs, options):
        """The outputs, by the names of their files."""
        with tempfile.TemporaryDirectory() as d:
            np.savez(os.path.join(d, "in.npz"), **inputs)
            command = [self.path, "run", model, "--inputs", os.path.join(d, "in.npz"), "--output", os.path.join(d, "out.npz"), "--quiet", *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(done.stderr.strip() or f"exit status {done.returncode}")
            with np.load(os.path.join(d, "out.npz")) as out:
                return {name: out[name] for name in out.files}


def same(a, b):
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a)


def rows_differ(program, path, inputs, whole):
    """Whether a row that is run alone has other bytes than within its batch."""
    n = len(next(iter(inputs.values())))
    for i in range(n):
        alone = program.run(path, {k: v[i : i + 1] for k, v in inputs.items()}, ["--threads", "2"])
        if not same(alone, {k: v[i : i + 1] for k, v in whole.items()}):
            return True
    return False


def main():
    program, failed = Program(os.path.abspath(sys.argv[1])), 0
    for name in program.left_out:
        print(f"{name}: its backend is not built; left out")
    for name in sys.argv[2:] or MODELS:
        with tempfile.TemporaryDirectory() as d:
            for path, inputs, has_rows, is_small in MODELS[name](d):
                whole = program.run(path, inputs, ["--threads", "2"])
                ways = program.ways + (program.slow_ways if is_small else [])
                different = [way for way, options in ways if not same(whole, program.run(path, inputs, options))]
                different += ["rows alone"] if has_rows and rows_differ(program, path, inputs, whole) else []
                failed += bool(different)
                shape = "x".join(map(str, next(iter(inputs.values())).shape))
                tried = ", ".join([way for way, _ in ways] + ["rows alone"] * has_rows)
                told = "differ: " + ", ".join(different) if different else "one answer: " + tried
                print(f"{'FAILED' if different else 'ok    '} {name}, {os.path.basename(path)[-28:]}, {shape}: {told}", flush=True)
    print(f"{failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    try:
        main()
    except check_models.NoPackage as e:
        print(f"check_bits: skipped: {e}", file=sys.stderr)
        sys.exit(77)
