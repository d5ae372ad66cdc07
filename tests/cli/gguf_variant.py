"""gguf_variant.py - another model with a given GGUF file's vocabulary: tiny, random, or with a token changed."""

import array
import random
import struct

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
U32, STRING, ARRAY = 4, 8, 9
WIDTH, N_LAYERS = 32, 1
SHAPE = {"block_count": N_LAYERS, "embedding_length": WIDTH, "feed_forward_length": WIDTH, "attention.head_count": 2,
         "attention.head_count_kv": 1, "rope.dimension_count": WIDTH // 2}


class Reader:
    def __init__(self, file):
        self.file = file

    def number(self, code):
        return struct.unpack("<" + code, self.file.read(struct.calcsize("<" + code)))[0]

    def text(self):
        return self.file.read(self.number("Q"))

    def value(self, kind):
        """(kind, what pack() takes)"""
        if kind == STRING:
            return kind, self.text()
        if kind == ARRAY:
            element, n = self.number("I"), self.number("Q")
            return kind, (element, [self.value(element)[1] for _ in range(n)])
        return kind, self.number(SCALARS[kind])


def pack(kind, value):
    if kind == STRING:
        return struct.pack("<Q", len(value)) + value
    if kind == ARRAY:
        element, items = value
        return struct.pack("<IQ", element, len(items)) + b"".join(pack(element, item) for item in items)
    return struct.pack("<" + SCALARS[kind], value)


def metadata(path):
    with open(path, "rb") as file:
        reader = Reader(file)
        assert file.read(4) == b"GGUF" and reader.number("I") == 3
        reader.number("Q")
        n = reader.number("Q")
        return {reader.text().decode(): reader.value(reader.number("I")) for _ in range(n)}


def write_tiny(source, path, change_token=None, drop_tokens=0):
    """A llama of random weights with the vocabulary of `source`, one of whose tokens may be another or whose last ones
    may be gone."""
    entries = metadata(source)
    for key, value in SHAPE.items():
        entries["llama." + key] = (U32, value)
    for key in ("tokens", "token_type", "scores"):
        name = "tokenizer.ggml." + key
        if drop_tokens and name in entries:
            element, items = entries[name][1]
            entries[name] = (ARRAY, (element, items[:-drop_tokens]))
    tokens = entries["tokenizer.ggml.tokens"][1][1]
    if change_token is not None:
        tokens[change_token] = b"something else"
    shapes = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(N_LAYERS):
        for name, rows in (("attn_norm", 0), ("attn_q", WIDTH), ("attn_k", WIDTH // 2), ("attn_v", WIDTH // 2),
                           ("attn_output", WIDTH), ("ffn_norm", 0), ("ffn_gate", WIDTH), ("ffn_up", WIDTH), ("ffn_down", WIDTH)):
            shapes[f"blk.{layer}.{name}"] = (rows, WIDTH) if rows else (WIDTH,)
    rng, infos, data = random.Random(1), b"", b""
    for name, shape in shapes.items():
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        infos += pack(STRING, (name + ".weight").encode()) + struct.pack("<I", len(shape))
        infos += b"".join(struct.pack("<Q", d) for d in reversed(shape)) + struct.pack("<IQ", 0, len(data))
        data += array.array("f", [1.0] * n if len(shape) == 1 else [rng.uniform(-0.3, 0.3) for _ in range(n)]).tobytes()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(entries))
    head += b"".join(pack(STRING, key.encode()) + struct.pack("<I", kind) + pack(kind, value)
                     for key, (kind, value) in entries.items())
    head += infos
    with open(path, "wb") as file:
        file.write(head + b"\0" * (-len(head) % 32) + data)
