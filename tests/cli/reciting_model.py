"""reciting_model.py - a llama of some kilobytes with a vocabulary of one's own, whose answer is known: after the token
`starts_with` come the tokens of `recital`, and then its EOS."""

import array
import struct

from gguf_variant import ARRAY, STRING, U32, pack

I32, F32, BOOL = 5, 6, 7
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
UNK, BOS, EOS, FIRST_BYTE = 0, 1, 2, 3
TOKENS = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)] + [("<0x%02X>" % i, BYTE) for i in range(256)]


def byte(character):
    return FIRST_BYTE + ord(character)


def write(path, more=(), recital=(), starts_with=None, template=None, metadata=(), context=512):
    """`more`: (text, type) of tokens behind the 259 that each such model has; `recital`: ids; `metadata`: (key, kind,
    value), in front of what is written by default."""
    tokens = TOKENS + list(more)
    width = (len(tokens) + 31) // 32 * 32
    given = {key for key, _, _ in metadata}
    entries = list(metadata) + [e for e in [
        ("general.architecture", STRING, b"llama"), ("general.name", STRING, b"reciting"),
        ("llama.block_count", U32, 1), ("llama.embedding_length", U32, width), ("llama.feed_forward_length", U32, 32),
        ("llama.context_length", U32, context), ("llama.attention.head_count", U32, 2), ("llama.attention.head_count_kv", U32, 1),
        ("llama.rope.dimension_count", U32, width // 2), ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        ("tokenizer.ggml.model", STRING, b"llama"), ("tokenizer.ggml.add_space_prefix", BOOL, False),
        ("tokenizer.ggml.bos_token_id", U32, BOS), ("tokenizer.ggml.eos_token_id", U32, EOS),
    ] if e[0] not in given]
    entries += [("tokenizer.ggml.tokens", ARRAY, (STRING, [text.encode() for text, _ in tokens])),
                ("tokenizer.ggml.scores", ARRAY, (F32, [0.0] * len(tokens))),
                ("tokenizer.ggml.token_type", ARRAY, (I32, [kind for _, kind in tokens]))]
    if template is not None:
        entries.append(("tokenizer.chat_template", STRING, template.encode()))
    # Each token's embedding has a place of its own, and the output row of what follows it looks there.
    follows = {}
    for before, after in zip([starts_with, *recital], recital):
        follows[before] = after
    embedding, output = [0.0] * (len(tokens) * width), [0.0] * (len(tokens) * width)
    for i in range(len(tokens)):
        embedding[i * width + i] = 1.0
        output[follows.get(i, EOS) * width + i] = 4.0
    head_rows, kv_rows = width, width // 2
    tensors = [("token_embd", (len(tokens), width), embedding), ("output", (len(tokens), width), output),
               ("output_norm", (width,), [1.0] * width)]
    for name, shape in (("attn_norm", (width,)), ("ffn_norm", (width,)), ("attn_q", (head_rows, width)), ("attn_k", (kv_rows, width)),
                        ("attn_v", (kv_rows, width)), ("attn_output", (width, width)), ("ffn_gate", (32, width)),
                        ("ffn_up", (32, width)), ("ffn_down", (width, 32))):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        tensors.append(("blk.0." + name, shape, [1.0 if len(shape) == 1 else 0.0] * count))
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
