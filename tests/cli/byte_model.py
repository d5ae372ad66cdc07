"""byte_model.py - a model of a few kilobytes whose tokens are bytes and whose answer is always "aaaa...": lengths of
prompts and answers are known without running it."""

import array
import struct

from gguf_variant import ARRAY, STRING, U32, pack

I32, F32 = 5, 6
WIDTH, ANSWER = 32, 3 + ord("a")
N_TOKENS = 3 + 256
UNKNOWN, CONTROL, BYTE = 2, 3, 6
PLAIN_TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


def write(path, context=512, metadata=(), layers=1, template=PLAIN_TEMPLATE, weights=None):
    """A llama of `layers` layers that add nothing to the embedding; `metadata`: (key, kind, value) more.
    `weights(mean, deviation)`: what its matrices are of instead of zeros."""
    tokens = [b"<unk>", b"<s>", b"</s>"] + [b"<0x%02X>" % i for i in range(256)]
    entries = [("general.architecture", STRING, b"llama"), ("general.name", STRING, b"bytes")]
    entries += [("llama." + key, U32, value) for key, value in (
        ("block_count", layers), ("embedding_length", WIDTH), ("feed_forward_length", WIDTH), ("context_length", context),
        ("attention.head_count", 2), ("attention.head_count_kv", 1), ("rope.dimension_count", WIDTH // 2))]
    entries += [("llama.attention.layer_norm_rms_epsilon", F32, 1e-5), ("tokenizer.ggml.model", STRING, b"llama"),
                ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
                ("tokenizer.ggml.scores", ARRAY, (F32, [0.0] * N_TOKENS)),
                ("tokenizer.ggml.token_type", ARRAY, (I32, [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256)),
                ("tokenizer.ggml.bos_token_id", U32, 1), ("tokenizer.ggml.eos_token_id", U32, 2),
                ("tokenizer.chat_template", STRING, template.encode())]
    entries += [(key, kind, value.encode() if isinstance(value, str) else value) for key, kind, value in metadata]

    def ones(rows):
        return [1.0] * (rows * WIDTH)

    def zeros(rows):
        if weights:
            return [weights(0, 0.1) for _ in range(rows * WIDTH)]
        return [0.0] * (rows * WIDTH)

    output = zeros(N_TOKENS)
    output[ANSWER * WIDTH:(ANSWER + 1) * WIDTH] = [1.0] * WIDTH
    tensors = [("token_embd", (N_TOKENS, WIDTH), ones(N_TOKENS)), ("output_norm", (WIDTH,), [1.0] * WIDTH),
               ("output", (N_TOKENS, WIDTH), output)]
    for layer in range(layers):
        for name, rows in (("attn_norm", 0), ("attn_q", WIDTH), ("attn_k", WIDTH // 2), ("attn_v", WIDTH // 2),
                           ("attn_output", WIDTH), ("ffn_norm", 0), ("ffn_gate", WIDTH), ("ffn_up", WIDTH), ("ffn_down", WIDTH)):
            tensors.append((f"blk.{layer}.{name}", (rows, WIDTH) if rows else (WIDTH,), zeros(rows) if rows else [1.0] * WIDTH))
    infos, data = b"", b""
    for name, shape, values in tensors:
        infos += pack(STRING, (name + ".weight").encode()) + struct.pack("<I", len(shape))
        infos += b"".join(struct.pack("<Q", d) for d in reversed(shape)) + struct.pack("<IQ", 0, len(data))
        data += array.array("f", values).tobytes()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries))
    head += b"".join(pack(STRING, key.encode()) + struct.pack("<I", kind) + pack(kind, value) for key, kind, value in entries)
    head += infos
    with open(path, "wb") as file:
        file.write(head + b"\0" * (-len(head) % 32) + data)
    return path
