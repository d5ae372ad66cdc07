"""Makes data/*.golden: logits of tiny random models of every family and weight type, computed by `transformers`.

    pip install numpy==2.4.6 torch==2.6.0 transformers==4.51.3 gguf==0.19.0
    python make_family_goldens.py [data directory]

A golden file holds cases. A case is a model described line by line (metadata, tensors whose bytes follow from their
names, a few tensors given by value), a prompt, and rows of logits. tiny_model.c writes the model's GGUF file from the
same lines. Each row is given for a weight type and a kind of arithmetic:
  real   the dequantised weights, everything in fp32;
  q8a    the same with the inputs of quantised products rounded as docs/NUMERICS.md, "quantize_act", says.
A rounded code that falls the other way because of fp32 error moves others after it, so "q8a" rows are early ones, on
which few codes have an influence. Floats are IEEE bits in hexadecimal.
"""
import math
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

import tiny_weights as tw

N_PROMPT = 70  # more than one attention chunk of 64
ROWS = {"real": (40, 69), "q8a": (3, 12)}  # positions whose logits are kept
N_VOCAB = 192


def hex_floats(values):
    return "".join("%08x" % u for u in np.asarray(values, np.float32).reshape(-1).view(np.uint32).tolist())


class Case:
    """Collects the lines of a case and the values of its tensors for one weight type."""

    def __init__(self, name, arch):
        self.name, self.arch = name, arch
        self.meta = [("string", "general.architecture", arch)]
        self.tensors = []  # (name, role, dims or values)
        tokens = tw.splitmix(tw.fnv1a(name + ".tokens"), N_PROMPT) % np.uint64(N_VOCAB)
        self.tokens = [int(t) for t in tokens]

    def u32(self, key, value):
        self.meta.append(("u32", f"{self.arch}.{key}", value))

    def f32(self, key, value):
        self.meta.append(("f32", f"{self.arch}.{key}", value))

    def bool(self, key, value):
        self.meta.append(("bool", f"{self.arch}.{key}", int(value)))

    def string(self, key, value):
        self.meta.append(("string", f"{self.arch}.{key}", value))

    def weight(self, name, rows, cols):
        self.tensors.append((name, "weight", (rows, cols)))

    def experts(self, name, n_experts, rows, cols):
        self.tensors.append((name, "weight", (n_experts, rows, cols)))

    def router(self, name, *dims):
        """Kept in fp32, as converters do."""
        self.tensors.append((name, "router", dims))

    def norm(self, name, n, role="norm"):
        self.tensors.append((name, role, (n,)))

    def bias(self, name, n):
        self.tensors.append((name, "bias", (n,)))

    def values(self, name, values):
        self.tensors.append((name, "values", np.asarray(values, np.float32)))

    def value_of(self, name, role, dims, dtype):
        seed = tw.fnv1a(self.name + "/" + name)
        if role == "weight":
            return tw.random_matrix(dtype, math.prod(dims[:-1]), dims[-1], seed).reshape(dims)
        if role == "router":
            return tw.random_floats("f32", math.prod(dims), seed).reshape(dims)
        if role == "bias":
            return tw.random_floats("f16", *dims, seed)
        return dims if role == "values" else tw.random_norm(*dims, seed)

    def values_of_all(self, dtype):
        return {name: self.value_of(name, role, dims, dtype) for name, role, dims in self.tensors}

    def lines(self):
        yield f"case {self.name}"
        for kind, key, value in self.meta:
            yield f"meta {kind} {key} " + (hex_floats([value]) if kind == "f32" else str(value))
        for name, role, dims in self.tensors:
            if role == "values":
                yield f"values {name} {hex_floats(dims)}"
            else:
                yield f"tensor {name} {role} " + " ".join(map(str, dims))
        yield "tokens " + " ".join(map(str, self.tokens))


# ---- models: the GGUF side ----


def common_meta(c, config):
    c.u32("block_count", config.num_hidden_layers)
    c.u32("context_length", config.max_position_embeddings)
    c.u32("embedding_length", config.hidden_size)
    c.u32("feed_forward_length", config.intermediate_size)
    c.u32("attention.head_count", config.num_attention_heads)
    if config.num_key_value_heads != config.num_attention_heads:
        c.u32("attention.head_count_kv", config.num_key_value_heads)
    if head_dim(config) * config.num_attention_heads != config.hidden_size:
        c.u32("attention.key_length", head_dim(config))
        c.u32("attention.value_length", head_dim(config))
    c.f32("attention.layer_norm_rms_epsilon", config.rms_norm_eps)
    c.f32("rope.freq_base", config.rope_theta)
    partial = getattr(config, "partial_rotary_factor", 1.0)
    if partial != 1.0:
        c.u32("rope.dimension_count", int(head_dim(config) * partial))


def n_experts(config):
    return getattr(config, "num_local_experts", None) or getattr(config, "num_experts", 0)


def expert_ff(config):
    return getattr(config, "moe_intermediate_size", config.intermediate_size)


def expert_meta(c, config):
    c.u32("expert_count", n_experts(config))
    c.u32("expert_used_count", config.num_experts_per_tok)
    if c.arch != "llama":
        c.u32("expert_feed_forward_length", config.moe_intermediate_size)
    if c.arch == "qwen2moe":
        c.u32("expert_shared_feed_forward_length", config.shared_expert_intermediate_size)
    if getattr(config, "norm_topk_prob", c.arch != "qwen2moe") != (c.arch != "qwen2moe"):
        c.bool("expert_weights_norm", config.norm_topk_prob)


def head_dim(config):
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def rope_meta(c, config):
    s = getattr(config, "rope_scaling", None)
    kind = s.get("rope_type", s.get("type")) if s else "default"
    if kind == "linear":
        c.string("rope.scaling.type", "linear")
        c.f32("rope.scaling.factor", s["factor"])
    elif kind == "yarn":
        c.string("rope.scaling.type", "yarn")
        c.f32("rope.scaling.factor", s["factor"])
        c.u32("rope.scaling.original_context_length", s["original_max_position_embeddings"])
    elif kind == "llama3":
        # per-frequency factors of Llama 3.1: long wavelengths are interpolated, short ones kept
        n, low, high = head_dim(config), s["low_freq_factor"], s["high_freq_factor"]
        factors = []
        for i in range(n // 2):
            turns = s["original_max_position_embeddings"] * config.rope_theta ** (-2 * i / n) / (2 * math.pi)
            keep = min(max((turns - low) / (high - low), 0), 1)
            factors.append(1 / ((1 - keep) / s["factor"] + keep))
        c.values("rope_freqs.weight", factors)
    elif kind == "longrope":
        original = config.original_max_position_embeddings
        c.u32("rope.scaling.original_context_length", original)
        stretch = config.max_position_embeddings / original
        c.f32("rope.scaling.attn_factor", math.sqrt(1 + math.log(stretch) / math.log(original)))
        c.values("rope_factors_long.weight", s["long_factor"])
        c.values("rope_factors_short.weight", s["short_factor"])


def add_tensors(c, config, norm_role="norm"):
    d, ff, hd = config.hidden_size, config.intermediate_size, head_dim(config)
    n_q, n_kv = config.num_attention_heads * hd, config.num_key_value_heads * hd
    attention_bias = getattr(config, "attention_bias", False)
    c.weight("token_embd.weight", N_VOCAB, d)
    for i in range(config.num_hidden_layers):
        p = f"blk.{i}."
        c.norm(p + "attn_norm.weight", d, norm_role)
        if c.arch == "phi3":
            c.weight(p + "attn_qkv.weight", n_q + 2 * n_kv, d)
            if attention_bias:
                c.bias(p + "attn_qkv.bias", n_q + 2 * n_kv)
        else:
            for part, n in (("q", n_q), ("k", n_kv), ("v", n_kv)):
                c.weight(p + f"attn_{part}.weight", n, d)
                if c.arch.startswith("qwen2") or attention_bias:
                    c.bias(p + f"attn_{part}.bias", n)
        if c.arch in ("qwen3", "qwen3moe", "gemma3"):
            c.norm(p + "attn_q_norm.weight", hd, norm_role)
            c.norm(p + "attn_k_norm.weight", hd, norm_role)
        c.weight(p + "attn_output.weight", d, n_q)
        if attention_bias:
            c.bias(p + "attn_output.bias", d)
        if c.arch.startswith("gemma"):
            c.norm(p + "post_attention_norm.weight", d, norm_role)
            c.norm(p + "post_ffw_norm.weight", d, norm_role)
        c.norm(p + "ffn_norm.weight", d, norm_role)
        if n_experts(config):
            add_expert_tensors(c, config, p)
            continue
        if c.arch == "phi3":
            c.weight(p + "ffn_up.weight", 2 * ff, d)
            if getattr(config, "mlp_bias", False):
                c.bias(p + "ffn_up.bias", 2 * ff)
        else:
            for part in ("gate", "up"):
                c.weight(p + f"ffn_{part}.weight", ff, d)
                if getattr(config, "mlp_bias", False):
                    c.bias(p + f"ffn_{part}.bias", ff)
        c.weight(p + "ffn_down.weight", d, ff)
        if getattr(config, "mlp_bias", False):
            c.bias(p + "ffn_down.bias", d)
    c.norm("output_norm.weight", d, norm_role)
    if not config.tie_word_embeddings:
        c.weight("output.weight", N_VOCAB, d)


def add_expert_tensors(c, config, p):
    d, ff, n = config.hidden_size, expert_ff(config), n_experts(config)
    c.router(p + "ffn_gate_inp.weight", n, d)
    c.experts(p + "ffn_gate_exps.weight", n, ff, d)
    c.experts(p + "ffn_up_exps.weight", n, ff, d)
    c.experts(p + "ffn_down_exps.weight", n, d, ff)
    if c.arch == "qwen2moe":
        ff = config.shared_expert_intermediate_size
        c.router(p + "ffn_gate_inp_shexp.weight", d)
        c.weight(p + "ffn_gate_shexp.weight", ff, d)
        c.weight(p + "ffn_up_shexp.weight", ff, d)
        c.weight(p + "ffn_down_shexp.weight", d, ff)


# ---- models: the transformers side ----


def unpermute(rows, n_heads):
    """Llama's files keep the two elements of a rotated pair side by side; transformers keeps halves."""
    shape = rows.shape
    return rows.reshape(n_heads, shape[0] // n_heads // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


HF_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


MIXTRAL_PARTS = {"gate": "w1", "up": "w3", "down": "w2"}


def hf_expert_state(c, layer, stem, v):
    """(key, value) of each of an expert layer's matrices."""
    mixtral = c.arch == "llama"
    layer += ".block_sparse_moe" if mixtral else ".mlp"
    part = stem.split("_")[1]
    if stem == "ffn_gate_inp":
        yield f"{layer}.gate.weight", v
    elif stem == "ffn_gate_inp_shexp":
        yield f"{layer}.shared_expert_gate.weight", v.reshape(1, -1)
    elif stem.endswith("_shexp"):
        yield f"{layer}.shared_expert.{part}_proj.weight", v
    else:
        name = MIXTRAL_PARTS[part] if mixtral else part + "_proj"
        for e, matrix in enumerate(v):
            yield f"{layer}.experts.{e}.{name}.weight", matrix


def hf_state(c, config, values):
    state = {}
    for name, v in values.items():
        if name.startswith("rope_"):
            continue
        parts = name.split(".")
        stem, end = parts[-2], parts[-1]
        if "norm" in stem and c.arch.startswith("gemma"):
            v = v - np.float32(1)
        if c.arch == "llama" and stem in ("attn_q", "attn_k"):
            heads = config.num_attention_heads if stem == "attn_q" else config.num_key_value_heads
            v = unpermute(v, heads)
        if "_inp" in stem or stem.endswith("exps") or stem.endswith("shexp"):
            for key, matrix in hf_expert_state(c, f"model.layers.{parts[1]}", stem, v):
                state[key] = torch.from_numpy(np.ascontiguousarray(matrix))
            continue
        if parts[0] == "blk":
            hf = HF_NAMES.get(stem)
            if stem == "ffn_norm":
                hf = "pre_feedforward_layernorm" if c.arch.startswith("gemma") else "post_attention_layernorm"
            if stem == "ffn_up" and c.arch == "phi3":
                hf = "mlp.gate_up_proj"
            key = f"model.layers.{parts[1]}.{hf}.{end}"
        else:
            key = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight",
                   "output": "lm_head.weight"}[stem]
        state[key] = torch.from_numpy(np.ascontiguousarray(v))
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    return state


def quantise_act(x):
    """What docs/NUMERICS.md, "quantize_act", makes of x[rows, k], as fp32."""
    rows, k = x.shape
    out = np.empty_like(x)
    for g in range(0, k, 256):
        block = x[:, g : g + 256].reshape(rows, -1, 32)
        a = np.abs(block).max(axis=2, keepdims=True)
        top = a.max(axis=1, keepdims=True)
        shift = sum((a * np.float32(2.0**s) <= top).astype(np.float32) for s in (1, 2, 3))
        scale = np.float32(127) / top * np.exp2(shift)
        q = np.rint(block * scale)
        assert np.abs(q).max() <= 127 and top.min() > 2.0**-100
        out[:, g : g + 256] = (q * (top / np.float32(127) * np.exp2(-shift))).reshape(rows, -1)
    return out


def quantised_linear(self, x):
    if x.numel() == 0:  # an expert that no token chose
        return torch.nn.functional.linear(x, self.weight, self.bias)
    flat = quantise_act(x.reshape(-1, x.shape[-1]).numpy())
    return torch.nn.functional.linear(torch.from_numpy(flat).reshape(x.shape), self.weight, self.bias)


def logits(c, config, dtype, kind):
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    add_biases(model, c, config)
    missing, unexpected = model.load_state_dict(hf_state(c, config, c.values_of_all(dtype)), strict=False)
    assert not missing and not unexpected, (missing, unexpected)
    if kind == "q8a":
        for name, module in model.named_modules():
            is_router = name.endswith((".mlp.gate", ".block_sparse_moe.gate", ".shared_expert_gate"))
            if isinstance(module, torch.nn.Linear) and not is_router:
                module.forward = quantised_linear.__get__(module)
    # a row is a function of the tokens up to it; with LongRoPE the tokens behind it would change it
    n_tokens = [row + 1 for row in ROWS[kind]] if is_longrope(config) else [N_PROMPT]
    with torch.no_grad():
        out = [model(torch.tensor([c.tokens[:n]]), use_cache=False).logits[0] for n in n_tokens]
    assert all(torch.isfinite(o).all() for o in out)
    return {row: next(o for o in out if len(o) > row)[row].numpy() for row in ROWS[kind]}


def is_longrope(config):
    return (getattr(config, "rope_scaling", None) or {}).get("type") == "longrope"


def add_biases(model, c, config):
    """transformers' Phi-3 has no biases; the family's files may have."""
    if c.arch != "phi3" or not getattr(config, "attention_bias", False):
        return
    for layer in model.model.layers:
        for linear in (layer.self_attn.qkv_proj, layer.self_attn.o_proj, layer.mlp.gate_up_proj, layer.mlp.down_proj):
            linear.bias = torch.nn.Parameter(torch.zeros(linear.out_features))


def config_of(kind, **options):
    base = dict(vocab_size=N_VOCAB, hidden_size=256, intermediate_size=256, num_hidden_layers=2,
                num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-6,
                tie_word_embeddings=False, bos_token_id=0, eos_token_id=1, pad_token_id=None)
    return AutoConfig.for_model(kind, **{**base, **options})


# ---- cases ----


def llama(name, norm_role="norm", window=0, **options):
    c = Case(name, "llama")
    config = config_of("mistral" if window else "llama", **{"rope_theta": 10000.0, **options},
                       **({"sliding_window": window} if window else {}))
    common_meta(c, config)
    if window:
        c.u32("attention.sliding_window", window)
    rope_meta(c, config)
    add_tensors(c, config, norm_role)
    return c, config


def qwen(name, arch, **options):
    c = Case(name, arch)
    config = config_of(arch, **{"rope_theta": 1000000.0, **options})
    common_meta(c, config)
    rope_meta(c, config)
    add_tensors(c, config)
    return c, config


def mixtral(name, **options):
    c = Case(name, "llama")
    config = config_of("mixtral", **{"rope_theta": 1000000.0, "num_local_experts": 8, "num_experts_per_tok": 2,
                                     **options})
    common_meta(c, config)
    expert_meta(c, config)
    add_tensors(c, config)
    return c, config


def qwen_moe(name, arch, **options):
    c = Case(name, arch)
    base = dict(rope_theta=1000000.0, num_experts=12, num_experts_per_tok=3, moe_intermediate_size=256,
                decoder_sparse_step=1, mlp_only_layers=[])
    if arch == "qwen2moe":
        base.update(shared_expert_intermediate_size=512, norm_topk_prob=False)
    else:
        base.update(head_dim=64, norm_topk_prob=True)
    config = config_of(arch.replace("moe", "_moe"), **{**base, **options})
    common_meta(c, config)
    expert_meta(c, config)
    add_tensors(c, config)
    return c, config


def gemma2(name, **options):
    c = Case(name, "gemma2")
    config = config_of("gemma2", **{"head_dim": 64, "tie_word_embeddings": True, "rope_theta": 10000.0,
                                    "sliding_window": 24, "query_pre_attn_scalar": 48,
                                    "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0, **options})
    common_meta(c, config)
    c.u32("attention.sliding_window", config.sliding_window)
    c.f32("attention.scale", config.query_pre_attn_scalar**-0.5)
    c.f32("attn_logit_softcapping", config.attn_logit_softcapping)
    c.f32("final_logit_softcapping", config.final_logit_softcapping)
    add_tensors(c, config)
    return c, config


def gemma3(name, **options):
    c = Case(name, "gemma3")
    config = config_of("gemma3_text", **{"head_dim": 64, "tie_word_embeddings": True, "rope_theta": 1000000.0,
                                         "rope_local_base_freq": 10000.0, "sliding_window": 20,
                                         "num_hidden_layers": 3, "sliding_window_pattern": 3,
                                         "query_pre_attn_scalar": 64,
                                         "rope_scaling": {"rope_type": "linear", "factor": 8.0}, **options})
    common_meta(c, config)
    c.u32("attention.sliding_window", config.sliding_window)
    if config.sliding_window_pattern != 6:
        c.u32("attention.sliding_window_pattern", config.sliding_window_pattern)
    rope_meta(c, config)
    add_tensors(c, config)
    return c, config


def phi3(name, **options):
    c = Case(name, "phi3")
    config = config_of("phi3", **{"rope_theta": 10000.0, "sliding_window": 30, **options})
    common_meta(c, config)
    if config.sliding_window:
        c.u32("attention.sliding_window", config.sliding_window)
    rope_meta(c, config)
    add_tensors(c, config)
    return c, config


def longrope(original):
    n = 24  # half of the rotated 48 of 64
    return dict(partial_rotary_factor=0.75, sliding_window=None, original_max_position_embeddings=original,
                rope_scaling={"type": "longrope",
                              "short_factor": [1 + i / 32 for i in range(n)],
                              "long_factor": [1 + i * i / 16 for i in range(n)]})


SMALL = dict(hidden_size=64, intermediate_size=96)  # 16 elements per head; float weights only
SMALL_MOE = dict(**SMALL, head_dim=16, moe_intermediate_size=48, shared_expert_intermediate_size=80)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}


def files():
    """file name -> [(case, config, weight types)]"""
    every = tw.DTYPES
    f32 = ("f32",)
    yield "llama", [(*llama("llama"), every)]
    yield "qwen2", [(*qwen("qwen2", "qwen2", tie_word_embeddings=True), every)]
    yield "qwen3", [(*qwen("qwen3", "qwen3", head_dim=128, num_attention_heads=2, num_key_value_heads=1), every)]
    yield "mixtral", [(*mixtral("mixtral"), ("f32", "f16", "q8_0", "q4_k", "q6_k"))]
    yield "qwen2moe", [(*qwen_moe("qwen2moe", "qwen2moe"), ("f32", "bf16", "q4_0", "q5_1", "q5_k")),
                       (*qwen_moe("qwen2moe_normalised", "qwen2moe", norm_topk_prob=True, **SMALL_MOE), f32)]
    yield "qwen3moe", [(*qwen_moe("qwen3moe", "qwen3moe"), every),
                       (*qwen_moe("qwen3moe_as_they_are", "qwen3moe", norm_topk_prob=False, **SMALL_MOE), f32),
                       (*qwen_moe("qwen3moe_all_used", "qwen3moe", num_experts_per_tok=4, num_experts=4, **SMALL_MOE), f32)]
    yield "gemma2", [(*gemma2("gemma2"), every)]
    yield "gemma3", [(*gemma3("gemma3"), every)]
    yield "phi3", [(*phi3("phi3"), every)]
    yield "variants", [
        (*llama("llama_one_kv_head_per_head_tied", num_key_value_heads=4, tie_word_embeddings=True, **SMALL), f32),
        (*llama("llama_one_kv_head", num_key_value_heads=1, **SMALL), f32),
        (*llama("llama_biases", attention_bias=True, mlp_bias=True, **SMALL), f32),
        (*llama("llama_window", window=16, **SMALL), f32),
        (*llama("llama_norms_f16", norm_role="norm_f16", **SMALL), ("f16",)),
        (*llama("llama_norms_bf16", norm_role="norm_bf16", **SMALL), ("bf16",)),
        (*llama("llama_linear", rope_scaling={"rope_type": "linear", "factor": 4.0}, **SMALL), f32),
        (*llama("llama_yarn", rope_scaling=YARN, **SMALL), f32),
        (*llama("llama_llama3", rope_scaling=LLAMA3, rope_theta=500000.0, **SMALL), f32),
        (*qwen("qwen2_yarn", "qwen2", rope_scaling=YARN, **SMALL), f32),
        (*qwen("qwen3_tied", "qwen3", head_dim=32, tie_word_embeddings=True, **SMALL), f32),
        (*gemma3("gemma3_period_of_six", num_hidden_layers=7, sliding_window_pattern=6, head_dim=16,
                 query_pre_attn_scalar=16, **SMALL), f32),
        (*phi3("phi3_longrope_short", **longrope(256)), f32),
        (*phi3("phi3_longrope_long", **longrope(64)), f32),
        (*phi3("phi3_biases", attention_bias=True, mlp_bias=True, **SMALL), f32),
    ]


def kinds(config, dtype):
    if dtype not in tw.BLOCKS:
        return ("real",)
    # a router that sees rounded activations may choose other experts: then no bound holds
    return ("q8a",) if n_experts(config) else ("real", "q8a")


def check_dequantisers():
    for dtype in tw.BLOCKS:
        blocks = tw.random_blocks(dtype, 1 << 16, tw.fnv1a(dtype))
        want = gguf.quants.dequantize(blocks.reshape(-1), gguf.GGMLQuantizationType[dtype.upper()])
        assert np.array_equal(tw.dequantise_blocks(dtype, blocks), want.reshape(len(blocks), -1)), dtype


def main():
    assert (torch.__version__.split("+")[0], transformers.__version__) == ("2.6.0", "4.51.3")
    torch.set_num_threads(1)
    check_dequantisers()
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data"
    data.mkdir(exist_ok=True)
    for file_name, cases in files():
        out = ["# made by make_family_goldens.py: transformers 4.51.3, torch 2.6.0"]
        for case, config, dtypes in cases:
            out += case.lines()
            for dtype in dtypes:
                for kind in kinds(config, dtype):
                    rows = logits(case, config, dtype, kind)
                    out += [f"logits {dtype} {kind} {row} {hex_floats(rows[row])}" for row in ROWS[kind]]
            out.append("end")
        (data / f"{file_name}.golden").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
