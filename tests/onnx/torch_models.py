#!/usr/bin/env python3
"""torch_models.py - a ViT, a detector of YOLO's shape, and an encoder and decoder of Whisper's, in torch, with fixed random weights.

export(folder) writes each by both of torch's exporters (TorchScript's and the one of torch.export) and yields what to run.
`scripts/onnx-models --torch` does it. As a program, torch_models.py FOLDER writes the small ones with torch's answers, as
ONNX's own tests have them; what it made with torch 2.6.0, onnxscript 0.3.2, onnx_ir 0.1.3 and protobuf 6.31.1 is checked in
under data/torch.
"""

import os
import sys
import tempfile
import warnings

import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F


class Mlp(nn.Sequential):
    def __init__(self, width, inner):
        super().__init__(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))


class ViT(nn.Module):
    """Patches by a convolution, a class token, positions, blocks of torch's own attention."""

    def __init__(self, width=64, heads=4, layers=2, side=32, patch=8, classes=10):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.1 * torch.randn(1, (side // patch) ** 2 + 1, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2 * layers + 1)])
        self.attention = nn.ModuleList([nn.MultiheadAttention(width, heads, batch_first=True) for _ in range(layers)])
        self.mlps = nn.ModuleList([Mlp(width, 4 * width) for _ in range(layers)])
        self.head = nn.Linear(width, classes)

    def forward(self, image):
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        for i, (attention, mlp) in enumerate(zip(self.attention, self.mlps)):
            h = self.norms[2 * i](x)
            x = x + attention(h, h, h, need_weights=False)[0]
            x = x + mlp(self.norms[2 * i + 1](x))
        return self.head(self.norms[-1](x)[:, 0])


class Unit(nn.Sequential):
    """Convolution, batch norm, SiLU."""

    def __init__(self, n, m, kernel=1, stride=1):
        norm = nn.BatchNorm2d(m)
        nn.init.uniform_(norm.running_mean, -0.2, 0.2)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
        super().__init__(nn.Conv2d(n, m, kernel, stride, kernel // 2, bias=False), norm, nn.SiLU())


class Stage(nn.Module):
    """YOLOv8's C2f: the halves of a convolution, a residual of one, all of them concatenated."""

    def __init__(self, n, m):
        super().__init__()
        self.first, self.last = Unit(n, m), Unit(m + m // 2, m)
        self.inner = nn.Sequential(Unit(m // 2, m // 2, 3), Unit(m // 2, m // 2, 3))

    def forward(self, x):
        a, b = self.first(x).chunk(2, 1)
        return self.last(torch.cat([a, b, b + self.inner(b)], 1))


class Pyramid(nn.Module):
    """SPPF: three max pools of 5 x 5, one behind the other."""

    def __init__(self, n):
        super().__init__()
        self.first, self.last = Unit(n, n // 2), Unit(2 * n, n)

    def forward(self, x):
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.last(torch.cat(parts, 1))


class Detector(nn.Module):
    """Two scales with a path up; boxes as distances, by a softmax over bins, from a grid of points."""

    def __init__(self, width=16, classes=4, bins=8):
        super().__init__()
        self.classes, self.bins = classes, bins
        self.stem = nn.Sequential(Unit(3, width, 3, 2), Unit(width, width, 3, 2), Stage(width, width))
        self.down = nn.Sequential(Unit(width, 2 * width, 3, 2), Stage(2 * width, 2 * width), Pyramid(2 * width))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.join = Stage(3 * width, width)
        self.heads = nn.ModuleList([nn.Conv2d(n, 4 * bins + classes, 1) for n in (width, 2 * width)])

    def forward(self, image):
        fine = self.stem(image)
        coarse = self.down(fine)
        fine = self.join(torch.cat([self.up(coarse), fine], 1))
        found = []
        for head, x, stride in zip(self.heads, (fine, coarse), (4, 8)):
            h, w = x.shape[2:]
            y = head(x).flatten(2)
            box, score = y.split([4 * self.bins, self.classes], 1)
            box = box.view(-1, 4, self.bins, h * w).softmax(2)
            box = (box * torch.arange(self.bins, dtype=torch.float32, device=x.device).view(1, 1, -1, 1)).sum(2)
            ys, xs = torch.meshgrid(torch.arange(h, device=x.device), torch.arange(w, device=x.device), indexing="ij")
            points = torch.stack([xs.flatten(), ys.flatten()]).float() + 0.5
            corners = torch.cat([points - box[:, :2], points + box[:, 2:]], 1) * stride
            found.append(torch.cat([corners, score.sigmoid()], 1))
        return torch.cat(found, 2)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.v, self.out = (nn.Linear(width, width) for _ in range(3))
        self.k = nn.Linear(width, width, bias=False)

    def split(self, x):
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, keys, values, mask=None):
        y = F.scaled_dot_product_attention(self.split(self.q(x)), keys, values, attn_mask=mask)
        return self.out(y.transpose(1, 2).flatten(2))

    def cache(self, x):
        return self.split(self.k(x)), self.split(self.v(x))


class Encoder(nn.Module):
    def __init__(self, mels=16, width=48, heads=4, layers=2, frames=24):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(mels, width, 3, padding=1), nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("positions", torch.sin(torch.arange(frames)[:, None] * torch.exp(torch.linspace(0, -5, width))))
        self.attention = nn.ModuleList([Attention(width, heads) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2 * layers + 1)])
        self.mlps = nn.ModuleList([Mlp(width, 4 * width) for _ in range(layers)])
        self.cross = nn.ModuleList([Attention(width, heads) for _ in range(layers)])

    def forward(self, mel):
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        for i, (attention, mlp) in enumerate(zip(self.attention, self.mlps)):
            h = self.norms[2 * i](x)
            x = x + attention(h, *attention.cache(h))
            x = x + mlp(self.norms[2 * i + 1](x))
        x = self.norms[-1](x)
        return tuple(t for c in self.cross for t in c.cache(x))  # keys and values that the decoder attends to


class Decoder(nn.Module):
    """One step: tokens behind a cache, which comes back longer."""

    def __init__(self, width=48, heads=4, layers=2, vocab=60, most=32):
        super().__init__()
        self.words, self.positions = nn.Embedding(vocab, width), nn.Parameter(0.1 * torch.randn(most, width))
        self.attention = nn.ModuleList([Attention(width, heads) for _ in range(layers)])
        self.cross = nn.ModuleList([Attention(width, heads) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3 * layers + 1)])
        self.mlps = nn.ModuleList([Mlp(width, 4 * width) for _ in range(layers)])

    def forward(self, tokens, *caches):
        n = len(self.attention)
        before, encoded = caches[: 2 * n], caches[2 * n :]
        past, t = before[0].shape[2], tokens.shape[1]
        x = self.words(tokens) + self.positions[past : past + t]
        mask = torch.arange(past + t) <= torch.arange(past, past + t)[:, None]
        after = []
        for i in range(n):
            h = self.norms[3 * i](x)
            new = self.attention[i].cache(h)
            keys, values = (torch.cat([before[2 * i + k], new[k]], 2) for k in range(2))
            after += [keys, values]
            x = x + self.attention[i](h, keys, values, mask)
            x = x + self.cross[i](self.norms[3 * i + 1](x), encoded[2 * i], encoded[2 * i + 1])
            x = x + self.mlps[i](self.norms[3 * i + 2](x))
        return (F.linear(self.norms[-1](x), self.words.weight), *after)


def cases(large):
    """A name, a module, its inputs by name, the dims that stay open, and inputs of another shape."""
    torch.manual_seed(7)
    random = torch.randn
    vit = dict(width=192, heads=3, side=96, patch=16, layers=4) if large else dict(width=16, heads=2, side=16, patch=8, layers=1)
    side = vit["side"]
    yield "vit", ViT(**vit), {"image": random(2, 3, side, side)}, {"image": {0: "batch"}}, {"image": random(3, 3, side, side)}
    size = 128 if large else 32
    yield ("detector", Detector(32 if large else 6), {"image": random(1, 3, size, size)}, {"image": {2: "height", 3: "width"}},
           {"image": random(1, 3, size + 32, size - 16)})
    width, heads, layers = (64, 4, 2) if large else (16, 2, 1)
    encoder = Encoder(16, width, heads, layers)
    yield "encoder", encoder, {"mel": random(1, 16, 40)}, {"mel": {2: "frames"}}, {"mel": random(1, 16, 30)}
    names = ["tokens"] + [f"{kv}_{kind}_{i}" for kind in ("past", "encoded") for i in range(layers) for kv in "kv"]

    def step(t, past):
        caches = [random(1, heads, past, width // heads) for _ in range(2 * layers)]
        return dict(zip(names, [torch.randint(60, (1, t)), *caches, *(t.detach() for t in encoder(random(1, 16, 40)))]))

    opened = {"tokens": {1: "tokens"}} | {n: {2: "past" if "past" in n else "encoded"} for n in names[1:]}
    yield "decoder", Decoder(width, heads, layers), step(2, 3), opened, step(1, 5)


def write(module, inputs, opened, path, dynamo):
    warnings.simplefilter("ignore")
    arguments = tuple(inputs.values())
    if not dynamo:
        torch.onnx.export(module, arguments, path, dynamo=False, opset_version=17, dynamic_axes=opened, input_names=list(inputs))
        return
    shapes = tuple({d: torch.export.Dim.AUTO for d in opened.get(name, ())} for name in inputs)
    if isinstance(module, Decoder):
        shapes = (shapes[0], shapes[1:])  # its caches are one parameter
    program = torch.onnx.export(module, arguments, dynamo=True, dynamic_shapes=shapes, input_names=list(inputs), verbose=False)
    program.save(path, external_data=False)


def outputs_of(module, inputs):
    with torch.no_grad():
        y = module(*inputs.values())
    return [t.numpy() for t in (y if isinstance(y, (tuple, list)) else (y,))]


def export(folder, large=True):
    """Yields a path, inputs by name and torch's outputs, for two shapes."""
    for name, module, inputs, dims, others in cases(large):
        module.eval()
        for exporter in ("script", "export"):
            path = os.path.join(folder, f"{name}_{exporter}.onnx")
            write(module, inputs, dims, path, exporter == "export")
            yield path, [({k: v.numpy() for k, v in r.items()}, outputs_of(module, r)) for r in (inputs, others)]


def save_bare(path, to):
    """Without what exporters note beside a graph: names of nodes, where each came from, shapes."""
    model = onnx.load(path)
    for graph in (model.graph, *model.functions):
        del graph.value_info[:]
        for item in (graph, *graph.node):
            del item.metadata_props[:]
            item.doc_string = ""
        for node in graph.node:
            node.name = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del model.metadata_props[:]
    onnx.save(model, to)


def main(folder):
    with tempfile.TemporaryDirectory() as scratch:
        for path, runs in export(scratch, large=False):
            case = os.path.join(folder, os.path.basename(path)[:-5])
            os.makedirs(case, exist_ok=True)
            save_bare(path, os.path.join(case, "model.onnx"))
            for i, (inputs, outputs) in enumerate(runs):
                data = os.path.join(case, f"test_data_set_{i}")
                os.makedirs(data, exist_ok=True)
                for kind, values in (("input", inputs.values()), ("output", outputs)):
                    for k, v in enumerate(values):
                        with open(os.path.join(data, f"{kind}_{k}.pb"), "wb") as f:
                            f.write(numpy_helper.from_array(v).SerializeToString())


if __name__ == "__main__":
    main(sys.argv[1])
