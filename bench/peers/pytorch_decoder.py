#!/usr/bin/env python3
"""pytorch_decoder.py SHAPE - a language model's decoder in PyTorch, for a speed beside Whimbrel's on the same shape.

SHAPE is JSON: layers, embedding, ff, heads, kv_heads, vocabulary. Random bf16 weights; torch.compile with CUDA graphs where
the device is CUDA; a prompt of --prompt tokens in one run, whose last row alone meets the output matrix, then --tokens one by
one over a static cache. Prints JSON: medians of --repetitions of tokens a second, bytes of weights, what it ran on."""

import argparse
import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class Layer(nn.Module):
    def __init__(self, shape, context):
        super().__init__()
        self.heads, self.kv_heads, self.dim = shape["heads"], shape["kv_heads"], shape["embedding"] // shape["heads"]
        width, kv = shape["embedding"], self.kv_heads * self.dim
        self.attention_norm, self.ff_norm = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.qkv = nn.Linear(width, width + 2 * kv, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * shape["ff"], bias=False)
        self.down = nn.Linear(shape["ff"], width, bias=False)
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(1, self.kv_heads, context, self.dim))

    def turn(self, x, angles):
        a, b = x.float().chunk(2, -1)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1).to(x.dtype)

    def forward(self, x, positions, angles, mask):
        rows, width = x.shape
        kv = self.kv_heads * self.dim
        q, k, v = self.qkv(self.attention_norm(x)).split((width, kv, kv), -1)
        q, k, v = (t.view(1, rows, -1, self.dim).transpose(1, 2) for t in (q, k, v))
        self.keys.index_copy_(2, positions, self.turn(k, angles))
        self.values.index_copy_(2, positions, v)
        o = functional.scaled_dot_product_attention(self.turn(q, angles), self.keys, self.values, attn_mask=mask,
                                                    enable_gqa=self.heads != self.kv_heads)
        x = x + self.output(o.transpose(1, 2).reshape(rows, width))
        gate, up = self.gate_up(self.ff_norm(x)).chunk(2, -1)
        return x + self.down(functional.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, shape, context):
        super().__init__()
        self.embedding = nn.Embedding(shape["vocabulary"], shape["embedding"])
        self.layers = nn.ModuleList(Layer(shape, context) for _ in range(shape["layers"]))
        self.norm = nn.RMSNorm(shape["embedding"], eps=1e-5)
        self.logits = nn.Linear(shape["embedding"], shape["vocabulary"], bias=False)
        half = shape["embedding"] // shape["heads"] // 2
        self.register_buffer("frequencies", 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("places", torch.arange(context))

    def forward(self, tokens, positions):
        angles = positions[:, None].float() * self.frequencies.float()
        mask = (self.places[None, :] <= positions[:, None])[None, None]
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, positions, angles, mask)
        return self.logits(self.norm(x[-1:])).argmax(-1)


def timed(device, work):
    if device == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def measure(o, shape):
    torch.manual_seed(1)
    model = Decoder(shape, o.prompt + o.tokens).to(o.device, torch.bfloat16).eval()
    run = torch.compile(model, mode="reduce-overhead") if o.compile else model
    prompt = torch.randint(shape["vocabulary"], (o.prompt,), device=o.device)
    first, places = torch.arange(o.prompt, device=o.device), [torch.tensor([o.prompt + i], device=o.device) for i in range(o.tokens)]

    def prefill():
        run(prompt, first)

    def decode():
        token = prompt[:1]
        for place in places:
            token = run(token, place).clone()  # a graph's output is overwritten by its next run

    for _ in range(3):  # compiles, records
        prefill()
        decode()
    rates = {"prefill": [o.prompt / timed(o.device, prefill) for _ in range(o.repetitions)],
             "decode": [o.tokens / timed(o.device, decode) for _ in range(o.repetitions)]}
    return {"torch": torch.__version__, "device": torch.cuda.get_device_name() if o.device == "cuda" else o.device,
            "compiled": o.compile, "dtype": "bf16", "prompt": o.prompt, "tokens": o.tokens,
            "weight_bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
            **{name: {"tokens_per_second": statistics.median(r)} for name, r in rates.items()}}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("shape", type=json.loads)
    options.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    options.add_argument("--prompt", type=int, default=512)
    options.add_argument("--tokens", type=int, default=64)
    options.add_argument("--repetitions", type=int, default=5)
    options.add_argument("--no-compile", dest="compile", action="store_false")
    o = options.parse_args()
    if o.device == "cuda" and not torch.cuda.is_available():
        sys.exit("pytorch_decoder: PyTorch finds no CUDA device")
    with torch.inference_mode():
        print(json.dumps(measure(o, o.shape)))


main()
