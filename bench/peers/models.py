"""models.py - the model files that are timed: given ones, or random ones of a shape and weight type made in the cache."""

import dataclasses
import hashlib
import json
import pathlib

from machine import Failure, output_of

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Model:
    path: pathlib.Path
    random: bool
    name: str
    weight_bytes: int = 0
    parameters: int = 0
    kv_bytes_per_position: float = 0.0  # of 16-bit keys and values


def kv_bytes_per_position(metadata):
    """Keys and values of all layers, 16 bits each, from a GGUF file's metadata; every layer keeps every position."""
    arch = metadata["general.architecture"]
    heads, embedding = int(metadata[f"{arch}.attention.head_count"]), int(metadata[f"{arch}.embedding_length"])
    kv_heads = int(metadata.get(f"{arch}.attention.head_count_kv", heads))
    key = int(metadata.get(f"{arch}.attention.key_length", embedding // heads))
    value = int(metadata.get(f"{arch}.attention.value_length", embedding // heads))
    return int(metadata[f"{arch}.block_count"]) * kv_heads * (key + value) * 2


def describe(whimbrel, path, random):
    _, out = output_of([whimbrel, "inspect", path, "--json"])
    document = json.loads(out)
    info = document["model"]
    try:
        kv = kv_bytes_per_position(document["metadata"])
    except (KeyError, ValueError) as error:
        raise Failure(f"{path}: its attention state has no known size ({error})") from error
    return Model(pathlib.Path(path), random, pathlib.Path(path).stem, info["weight_bytes"], info["parameters"], kv)


def generate(make_model, shape, weight_type, folder):
    """The path of a random model; made again only when the generator's source has changed."""
    if not make_model.exists():
        raise Failure(f"{make_model} is not built; run cmake --build --preset release")
    path, stamp = folder / f"{shape}-{weight_type}.gguf", folder / f"{shape}-{weight_type}.made"
    source = hashlib.sha256((ROOT / "bench/make_model.c").read_bytes()).hexdigest()
    if not path.exists() or not stamp.exists() or stamp.read_text() != source:
        folder.mkdir(parents=True, exist_ok=True)
        output_of([make_model, shape, weight_type, path])
        stamp.write_text(source)
    return path
