#!/usr/bin/env python3
"""bench/peers/run.py - Whimbrel next to its peers on the same weights, in turns in one run.

For each model: first the answers (perplexities agree; Whimbrel's bits depend on neither its level nor the cut of the
prompt nor the company), then rounds in which every program does the same work, who goes first alternating. The machine's
limits are measured between all runs; a pair of runs counts only when they did not change and nobody else used the
machine, and is repeated otherwise, a bounded number of times. docs/BENCHMARKS.md has the method.

Python's standard library only."""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import report
from figures import MOST_BUSY, Pairs, Timing, mean_limits, share_of_limit, summary
from machine import Failure, Machine, Watch, first_output_seconds, resident_memory
from models import describe, generate
from programs import IkLlamaCpp, LlamaCpp, Whimbrel, Work, this_machine_has

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "whimbrel"
LIMIT_SECONDS = 0.3
ATTEMPTS = 3  # rounds per wanted pair, at most
LEAST_PAIRS = 3  # of a row, for a final table
DEPTH, DEPTH_DECODE, DEPTH_REPETITIONS = 4096, 64, 3  # filling the depth takes most of the time
COMPANY_DEPTH, COMPANY_DECODE = 128, 64
# The programs quantise activations in different ways, so their perplexities differ a little; a wrong kernel makes them
# differ a lot. A random model amplifies the small difference: its logits hang by every rounding.
TOLERANCE, RANDOM_TOLERANCE = 0.02, 0.04
START_PROMPT = "The whimbrel is a bird that breeds in the far north and spends winter on"
RANDOM_START_PROMPT = START_PROMPT[:12]  # a token a byte
START_CONTEXT = 512
MEMORY_TOKENS = 256  # most of the run, also after a slow start


def say(text):
    print(text, file=sys.stderr, flush=True)


@dataclasses.dataclass
class Part:
    """A value that a unit's run gives, and how its row reads."""
    key: str
    title: str
    unit: str = "tokens/s"
    kinds: tuple = ("int8",)  # limits that must not change within a pair
    larger_is_better: bool = True


@dataclasses.dataclass
class Unit:
    """Work that every contestant does once a round."""
    key: str
    parts: dict  # of the run's result: Part
    ours: object
    peers: list
    repetitions: int
    work: Work = None
    own_share: bool = True  # peers' shares make sense: the limits were measured at their level
    warm_up: bool = False  # ours runs once before


DECODE_KINDS = ("read", "int8")


def units_for(args, whimbrel, peers, avx2_pair, packed=None):
    """What is timed, by name of row group."""
    alone = Unit("alone", {"prefill": Part("prefill", f"prefill of {args.prefill}"),
                           "decode": Part("decode", f"decode of {args.decode}", kinds=DECODE_KINDS)},
                 whimbrel, peers, args.repetitions, Work(args.prefill, args.decode))
    units = [alone]
    if avx2_pair:
        units.append(Unit("avx2", {"prefill": Part("prefill_avx2", f"prefill of {args.prefill}, AVX2 only")},
                          avx2_pair[0], [avx2_pair[1]], args.repetitions, Work(args.prefill, 0), own_share=False))
    for n in (4, 8):
        units.append(Unit(f"company{n}", {"decode": Part(f"decode_{n}", f"decode, {n} sequences", kinds=DECODE_KINDS)},
                          whimbrel, peers, args.repetitions, Work(0, COMPANY_DECODE, n, COMPANY_DEPTH)))
    units.append(Unit("depth", {"prefill": Part("prefill_depth", f"prefill of {args.prefill} at {DEPTH}"),
                                "decode": Part("decode_depth", f"decode of {DEPTH_DECODE} at {DEPTH}", kinds=DECODE_KINDS)},
                      whimbrel, peers, min(args.repetitions, DEPTH_REPETITIONS), Work(args.prefill, DEPTH_DECODE, 1, DEPTH)))
    for ours, key, title in ((whimbrel, "start", "process start to first token"), (packed, "start_packed", "the same, packed weights on disk")):
        if ours or key == "start":
            units.append(Unit(key, {"seconds": Part(key, title, "s", larger_is_better=False)}, ours, peers, args.repetitions,
                              warm_up=key == "start_packed"))
    return [unit for unit in units if not args.rows or unit.key.rstrip("48").split("_")[0] in args.rows]


# --- answers --------------------------------------------------------------------------------------------------------------


def check_answers(args, model, whimbrel, programs):
    """Perplexities of one text by all programs. Whimbrel's own must be equal at every level."""
    tolerance = RANDOM_TOLERANCE if model.random else TOLERANCE
    chunks = 2 if model.random else args.chunks
    ours = whimbrel.perplexity(model, args.text, chunks)
    found = {whimbrel.name: {"value": ours, "relative_difference": None}}
    for program in programs:
        value = program.perplexity(model, args.text, chunks)
        difference = ours / value - 1
        exact = isinstance(program, Whimbrel) and "fast" not in program.options
        if abs(difference) > (0 if exact else tolerance):
            raise Failure(f"wrong answer, so no speed: {model.name}: perplexity {ours:.6g}, {program.name} has {value:.6g}")
        found[program.name] = {"value": value, "relative_difference": difference}
    return {"perplexity": found, "tolerance": tolerance, "text": str(args.text), "chunks": chunks}


# --- rounds ---------------------------------------------------------------------------------------------------------------


def run_once(program, unit, model):
    """({part: value}, {part: share}, cost) of one process."""
    if unit.key.startswith("start"):
        prompt = RANDOM_START_PROMPT if model.random else START_PROMPT
        return {"seconds": first_output_seconds(program.first_token_command(model, prompt, START_CONTEXT))}, {}, None
    result = program.work(model, unit.work)
    return result.speeds, result.shares, result.cost


def run_round(unit, model, machine, order):
    """{program name: {part: Timing}} and what a token costs; the limits are measured before, between and after."""
    timings, cost = {}, None
    before = machine.measure()
    for program in order:
        watch = Watch()
        values, shares, own_cost = run_once(program, unit, model)
        busy = sum(watch.taken().values())
        after = machine.measure()
        cost = own_cost or cost
        timings[program.name] = {part: Timing(value, before, after, shares.get(part), busy) for part, value in values.items()}
        before = after
    if cost and unit.own_share:
        for by_part in timings.values():
            for part, timing in by_part.items():
                if timing.share is None:
                    timing.share = share_of_limit(part, timing.value, cost, mean_limits(timing.before, timing.after))
    return timings, cost


def run_unit(unit, model, machine, deadline=float("inf")):
    """The unit's rows. Rounds that did not count are repeated only before the deadline."""
    repetitions = unit.repetitions
    pairs = {(part, peer.name): Pairs(unit.parts[part].kinds, unit.parts[part].larger_is_better) for part in unit.parts for peer in unit.peers
             if (unit.key, part) not in peer.lacks}
    contestants, cost = [unit.ours, *unit.peers], None
    if unit.warm_up:
        run_once(unit.ours, unit, model)
    for attempt in range(ATTEMPTS * repetitions):
        fewest = min(len(p.kept) for p in pairs.values())
        if fewest >= repetitions or (attempt >= repetitions and time.monotonic() > deadline):
            break
        say(f"  {unit.key}: {fewest} of {repetitions} pairs, round {attempt + 1}")
        first = attempt % len(contestants)
        timings, cost = run_round(unit, model, machine, contestants[first:] + contestants[:first])
        for (part, peer), collected in pairs.items():
            if len(collected.kept) < repetitions:
                collected.add(timings[unit.ours.name][part], timings[peer][part])
    rows = [{"key": unit.parts[part].key, "title": unit.parts[part].title, "unit": unit.parts[part].unit, "peer": peer,
             "ours": unit.ours.name, "result": collected.result()} for (part, peer), collected in pairs.items()]
    for row in rows:  # products with float weights are measured against the other peak
        if row["result"]["limit"] == "int8" and cost and cost["f32"] > cost["int8"]:
            row["result"]["limit"] = "f32"
    return rows


def memory_rows(model, whimbrel, peers):
    """Resident memory beyond the weights and the attention state, in percent of these two; no speed, so no pairs.

    Resident: anonymous pages and pages of mapped files alike, in the middle of the second half of a run that decodes
    (steady), and at the most (peak, in the record only)."""
    prompt = RANDOM_START_PROMPT if model.random else START_PROMPT
    needed = model.weight_bytes + model.kv_bytes_per_position * START_CONTEXT
    used = {}
    for program in (whimbrel, *peers):
        used[program.name] = resident_memory(program.long_run_command(model, prompt, START_CONTEXT, MEMORY_TOKENS))
        used[program.name]["beyond_percent"] = 100 * (used[program.name]["steady"] / needed - 1)
        used[program.name]["peak_beyond_percent"] = 100 * (used[program.name]["peak"] / needed - 1)
    return {"needed_bytes": needed, "programs": used}


# --- time and verdict -----------------------------------------------------------------------------------------------------


# Parts of the limits that programs reach, for the announcement: (int8 peak in prompts, read bandwidth in decoding).
OUR_PACE, PEER_PACE = (0.3, 0.6), (0.12, 0.5)


def seconds_of_run(work, model, limits, pace):
    load = 0.5 + model.weight_bytes / 1e9 + 1.3 * LIMIT_SECONDS
    if work is None:
        return load
    prompt = (work.depth * work.sequences + 2 * work.prompt + 100) * 2 * model.parameters / (pace[0] * limits.int8)
    return load + prompt + work.decode * work.sequences ** 0.5 * model.weight_bytes / (pace[1] * limits.read)


def seconds_of_round(unit, model, limits):
    return seconds_of_run(unit.work, model, limits, OUR_PACE) + len(unit.peers) * seconds_of_run(unit.work, model, limits, PEER_PACE)


def seconds_of_answers(args, model, limits, n_programs):
    return n_programs * seconds_of_run(Work(prompt=256 * (2 if model.random else args.chunks)), model, limits, PEER_PACE)


def reasons_against(document, taken, repetitions):
    """Why this is no final table; empty when it is one."""
    reasons = []
    for key, text in (("others", "other programs"), ("stolen", "the host")):
        if taken[key] > MOST_BUSY / 2:
            reasons.append(f"{text} took {100 * taken[key]:.0f} % of the machine's time")
    least = min(LEAST_PAIRS, repetitions)
    for model in document["models"]:
        for row in model["rows"]:
            r = row["result"]
            if r["pairs"] < least:
                reasons.append(f"{model['name']}, {row['title']} against {row['peer']}: {r['pairs']} of {r['pairs'] + r['dropped']} pairs "
                               f"saw a machine that stood still, {least} are needed")
    return reasons


# --- the program ----------------------------------------------------------------------------------------------------------


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="GGUF files (none, and no --shapes: what scripts/fetch-model gives)")
    parser.add_argument("--shapes", type=lambda s: s.split(","), default=[], help="random models of these shapes, e.g. llama-1.1b")
    parser.add_argument("--types", type=lambda s: s.split(","), default=["q4_0", "q8_0", "q4_k_m", "f16"], help="their weight types")
    parser.add_argument("--rows", type=lambda s: s.split(","), default=[], help="only these: alone,avx2,company,depth,start,memory")
    parser.add_argument("--whimbrel", default=ROOT / "build/release/whimbrel", type=pathlib.Path)
    parser.add_argument("--make-model", default=ROOT / "build/release/bench/make_model", type=pathlib.Path)
    parser.add_argument("--variant", action="append", default=[], metavar="NAME=[PROGRAM] OPTIONS",
                        help="another Whimbrel as a peer, e.g. 'fast=--numerics fast'")
    parser.add_argument("--without-llama", action="store_true", help="no llama.cpp: only --variant peers")
    parser.add_argument("--with-ik", action="store_true", help="also ik_llama.cpp, whose build takes a quarter of an hour")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=0, help="repeat no more rounds after so many minutes (0: no such limit)")
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=128)
    parser.add_argument("--text", default=ROOT / "LICENSE", type=pathlib.Path, help="text of the perplexities")
    parser.add_argument("--chunks", type=int, default=4, help="chunks of 512 tokens of that text")
    for kind in ("json", "markdown", "svg"):
        parser.add_argument(f"--{kind}", type=pathlib.Path, help=f"also write the result to this file")
    args = parser.parse_args(argv)
    if args.without_llama and not args.variant:
        parser.error("--without-llama needs a --variant")
    unknown = set(args.rows) - {"alone", "avx2", "company", "depth", "start", "memory"}
    if unknown:
        parser.error(f"no such rows: {', '.join(sorted(unknown))}")
    return args


def open_models(args, whimbrel):
    models = [describe(whimbrel.program, path, False) for path in args.models]
    for shape in args.shapes:
        for weight_type in args.types:
            say(f"model {shape} {weight_type}")
            models.append(describe(whimbrel.program, generate(args.make_model, shape, weight_type, CACHE / "bench"), True))
    if not models:
        fetched = subprocess.run([ROOT / "scripts/fetch-model"], check=True, capture_output=True, text=True).stdout.strip()
        models.append(describe(whimbrel.program, fetched, False))
    return models


def announce(args, models, units, machine, n_programs):
    limits = machine.measure()
    answers = sum(seconds_of_answers(args, model, limits, n_programs) for model in models)
    rounds = sum(seconds_of_round(unit, model, limits) * unit.repetitions for model in models for unit in units)
    least, most = (answers + rounds) / 60, (answers + ATTEMPTS * rounds) / 60
    if args.minutes:
        most = min(most, max(least, args.minutes))
    say(f"{len(models)} models, {len(units)} kinds of work: about {least:.0f} minutes, at most {most:.0f} when the machine keeps changing")


def run_model(args, model, machine, units, whimbrel, programs, peers, deadline):
    say(f"{model.name}: comparing answers")
    result = {"name": model.name, "path": str(model.path), "random": model.random, "weight_bytes": model.weight_bytes,
              "parameters": model.parameters, "checks": check_answers(args, model, whimbrel, programs), "rows": []}
    for unit in units:
        result["rows"] += run_unit(unit, model, machine, deadline)
    if not args.rows or "memory" in args.rows:
        say("  memory")
        result["memory"] = memory_rows(model, whimbrel, peers)
    return result


def write_outputs(args, document):
    if args.json:
        args.json.write_text(json.dumps(document, indent=1) + "\n")
    print(report.text_table(document), end="")
    for path, make in ((args.markdown, report.markdown), (args.svg, report.svg)):
        if path and document["final"]:
            path.write_text(make(document))
        elif path:
            say(f"{path} is not written: the table is not final")


def main(argv):
    args = parse_arguments(argv)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="packed-", dir=CACHE) as pack_folder:
        return compare(args, pack_folder)


def compare(args, pack_folder):
    whimbrel = Whimbrel(args.whimbrel, args.threads)
    machine = Machine(args.whimbrel, args.threads, LIMIT_SECONDS)
    peers = [Whimbrel.variant(text, args.whimbrel, args.threads) for text in args.variant]
    avx2_pair = None
    if not args.without_llama:
        peers.append(LlamaCpp(CACHE / "llama.cpp-build", args.threads, say))
        peers[-1].build()
        if args.with_ik:
            peers.append(IkLlamaCpp(CACHE / "ik-llama.cpp-build", args.threads, say, "ik_llama.cpp"))
            peers[-1].build()
        if this_machine_has("avx512") and (not args.rows or "avx2" in args.rows):  # elsewhere "alone" is that
            narrow = LlamaCpp(CACHE / "llama.cpp-build-avx2", args.threads, say, "llama.cpp avx2", LlamaCpp.AVX2)
            narrow.build()
            avx2_pair = (Whimbrel(args.whimbrel, args.threads, "whimbrel avx2", ["--isa", "avx2"]), narrow)
    programs = [*peers, *(avx2_pair or ())]
    models = open_models(args, whimbrel)
    packed = Whimbrel(args.whimbrel, args.threads, "whimbrel, packed before", ["--pack-cache", pack_folder])
    units = units_for(args, whimbrel, peers, avx2_pair, packed)
    announce(args, models, units, machine, 1 + len(programs))
    document = {"date": datetime.date.today().isoformat(), "threads": args.threads, "repetitions": args.repetitions,
                "machine": machine.describe(), "programs": {p.name: p.describe() for p in (whimbrel, *programs)}, "models": []}
    for program in programs:
        if isinstance(program, LlamaCpp):
            document["programs"][program.name]["instruction_sets"] = program.instruction_sets(models[0])
    watch = Watch()
    deadline = time.monotonic() + 60 * args.minutes if args.minutes else float("inf")
    for model in models:
        document["models"].append(run_model(args, model, machine, units, whimbrel, programs, peers, deadline))
    taken = watch.taken()
    document["limits"] = {kind: summary([limits.of(kind) for limits in machine.limits]) for kind in ("read", "int8", "f32")}
    document["taken"] = taken
    document["reasons"] = reasons_against(document, taken, args.repetitions)
    document["final"] = not document["reasons"]
    write_outputs(args, document)
    return 0 if document["final"] else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Failure, subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"bench/peers: {error}")
