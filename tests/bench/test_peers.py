"""test_peers.py - bench/peers: what counts as a pair, what is read from the programs, what a report says. No timing."""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/peers"))

import figures
import machine
import models
import programs
import report
import run
from figures import Limits, Pairs, Timing
from machine import Failure
from programs import LlamaCpp, Result, Whimbrel, Work

FAST, SLOW = Limits(80e9, 2000e9, 500e9), Limits(80e9, 1000e9, 250e9)
CROWDED = Limits(40e9, 2000e9, 500e9)


def timing(value, before=FAST, after=FAST, share=None, busy=0.0):
    return Timing(value, before, after, share, busy)


class Figures(unittest.TestCase):
    def test_summary(self):
        s = figures.summary([3.0, 1.0, 2.0, 10.0])
        self.assertEqual((s["median"], s["min"], s["max"]), (2.5, 1.0, 10.0))
        self.assertAlmostEqual(s["spread_percent"], 360)
        self.assertEqual(s["samples"], [3.0, 1.0, 2.0, 10.0])

    def test_the_ratio_is_of_pairs_not_of_medians(self):
        pairs = Pairs(("int8",))
        for ours, theirs in [(10, 1), (20, 20), (30, 3)]:
            self.assertTrue(pairs.add(timing(ours), timing(theirs)))
        result = pairs.result()
        self.assertEqual(result["ratio"]["median"], 10)
        self.assertEqual((result["ratio"]["min"], result["ratio"]["max"]), (1, 10))
        self.assertEqual((result["pairs"], result["dropped"], result["steady"]), (3, 0, True))

    def test_of_seconds_fewer_are_better(self):
        pairs = Pairs(("int8",), larger_is_better=False)
        pairs.add(timing(0.5), timing(2.0))
        self.assertEqual(pairs.result()["ratio"]["median"], 4)

    def test_a_pair_across_two_states_does_not_count(self):
        pairs = Pairs(("int8",))
        self.assertFalse(pairs.add(timing(1), timing(1, SLOW, SLOW)))
        self.assertFalse(pairs.add(timing(1), timing(1, FAST, SLOW)))
        self.assertTrue(pairs.add(timing(1, SLOW, SLOW), timing(1, SLOW, SLOW)))
        self.assertTrue(pairs.add(timing(1), timing(1, CROWDED, CROWDED)))  # memory does not matter to a prompt
        self.assertEqual((len(pairs.kept), len(pairs.dropped)), (2, 2))
        self.assertFalse(Pairs(("read", "int8")).add(timing(1), timing(1, CROWDED, CROWDED)))

    def test_the_drift_that_is_allowed(self):
        near, far = Limits(80e9, 2000e9 * 1.149, 1), Limits(80e9, 2000e9 * 1.151, 1)
        self.assertTrue(figures.steady((timing(1), timing(1, FAST, near)), "int8"))
        self.assertFalse(figures.steady((timing(1), timing(1, FAST, far)), "int8"))

    def test_a_busy_machine_does_not_count(self):
        pairs = Pairs(("int8",))
        self.assertFalse(pairs.add(timing(1, busy=0.06), timing(1)))
        self.assertFalse(pairs.add(timing(1), timing(1, busy=0.06)))
        self.assertTrue(pairs.add(timing(1, busy=0.04), timing(1)))

    def test_without_a_good_pair_the_result_says_so(self):
        pairs = Pairs(("int8",))
        self.assertIsNone(pairs.result())
        pairs.add(timing(6), timing(2, SLOW, SLOW))
        result = pairs.result()
        self.assertEqual((result["pairs"], result["dropped"], result["steady"]), (0, 1, False))
        self.assertEqual(result["ratio"]["median"], 3)

    def test_shares(self):
        cost = {"read": 8e9, "int8": 1e9, "f32": 0.5e9}
        self.assertAlmostEqual(figures.share_of_limit("decode", 5, cost, FAST), 0.5)
        self.assertAlmostEqual(figures.share_of_limit("prefill", 500, cost, FAST), 0.75)
        self.assertEqual(figures.share_of_limit("decode", 20, cost, FAST), 1)  # a limit that was passed was none
        self.assertEqual(figures.share_of_limit("prefill", 2000, cost, FAST), 1)
        pairs = Pairs(("read",))
        pairs.add(timing(1, share=0.9), timing(1, share=0.3))
        pairs.add(timing(1, share=0.7), timing(1))
        result = pairs.result()
        self.assertAlmostEqual(result["our_share"]["median"], 0.8)
        self.assertEqual(result["their_share"]["samples"], [0.3])


class Readings(unittest.TestCase):
    def test_cpu_ticks(self):
        self.assertEqual(machine.parse_cpu_ticks("cpu  100 20 30 4000 500 6 7 88 9 0\ncpu0 1 1 1\n"), (163, 88))
        self.assertEqual(machine.parse_cpu_ticks("cpu 1 2 3 4 5 6 7"), (19, 0))

    def test_status(self):
        text = "Name:\tx\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\nRssAnon:\t  150 kB\nRssFile:\t   50 kB\nThreads:\t2\n"
        self.assertEqual(machine.parse_status(text), {"now": 204800, "peak": 307200, "anonymous": 153600, "file": 51200})
        self.assertIsNone(machine.parse_status("Name:\tx\nState:\tZ (zombie)\n"))

    def test_resident_memory_of_a_program(self):
        script = "import time; block = bytearray(64 << 20); time.sleep(0.5)"
        used = machine.resident_memory([sys.executable, "-c", script])
        self.assertTrue(64 << 20 < used["steady"] < 200 << 20, used)
        self.assertGreaterEqual(used["peak"], used["steady"])
        with self.assertRaises(Failure):
            machine.resident_memory([sys.executable, "-c", "raise SystemExit(3)"])

    def test_first_output(self):
        self.assertGreater(machine.first_output_seconds([sys.executable, "-c", "print(1)"]), 0)
        for script in ("pass", "print(1); raise SystemExit(1)"):
            with self.assertRaises(Failure):
                machine.first_output_seconds([sys.executable, "-c", script])

    def test_a_program_that_fails_is_named_with_its_last_words(self):
        with self.assertRaisesRegex(Failure, "ended with 4: alas"):
            machine.output_of([sys.executable, "-c", "import sys; print('alas', file=sys.stderr); sys.exit(4)"])

    def test_llama_bench(self):
        text = json.dumps([{"n_prompt": 512, "n_gen": 0, "avg_ts": 400.5}, {"n_prompt": 0, "n_gen": 128, "avg_ts": 60.25}])
        self.assertEqual(programs.parse_llama_bench(text), {"prefill": 400.5, "decode": 60.25})

    def test_batched_bench(self):
        row = {"pp": 128, "tg": 64, "pl": 4, "speed_tg": 91.5}
        text = "main: n_kv_max = 768\n" + json.dumps({**row, "pl": 1}) + "\n" + json.dumps(row) + "\n"
        self.assertEqual(programs.parse_batched_bench(text, Work(0, 64, 4, 128)), {"decode": 91.5})
        with self.assertRaises(Failure):
            programs.parse_batched_bench(text, Work(0, 64, 8, 128))

    def test_batched_table(self):
        text = ("|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |\n"
                "|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|\n"
                "|   128 |     64 |    4 |    768 |    2.226 |   229.97 |    2.549 |   100.42 |    4.776 |   160.81 |\n")
        self.assertEqual(programs.parse_batched_table(text, Work(0, 64, 4, 128)), {"decode": 100.42})
        with self.assertRaises(Failure):
            programs.parse_batched_table(text, Work(0, 64, 8, 128))

    def test_perplexity(self):
        self.assertEqual(programs.parse_perplexity("x\nFinal estimate: PPL = 18.3914 +/- 0.86\n"), 18.3914)
        self.assertEqual(programs.parse_perplexity("Final estimate: PPL over 4 chunks for n_ctx=512 = 15.9512 +/- 0.86\n"), 15.9512)
        with self.assertRaises(Failure):
            programs.parse_perplexity("error: no such file")

    def test_system_info(self):
        text = "0.1 I system_info: n_threads = 2 / 2 | CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 | REPACK = 1 | \n"
        self.assertEqual(programs.parse_system_info(text), ["SSE3", "AVX2", "REPACK"])
        self.assertEqual(programs.parse_system_info("nothing"), [])

    def test_whimbrel_bench(self):
        document = {"answer_checked": True, "decode_bytes_per_token": 5.0, "prefill_int8_ops_per_token": 6.0, "prefill_f32_ops_per_token": 7.0,
                    "decode": {"tokens_per_second": {"median": 80.0}, "share_of_read_bandwidth": 0.8}}
        result = programs.parse_whimbrel_bench(json.dumps({"results": [document]}))
        self.assertEqual(result.speeds, {"decode": 80.0})
        self.assertEqual(result.shares, {"decode": 0.8})
        self.assertEqual(result.cost, {"read": 5.0, "int8": 6.0, "f32": 7.0})
        document["answer_checked"] = False
        with self.assertRaises(Failure):
            programs.parse_whimbrel_bench(json.dumps({"results": [document]}))

    def test_attention_state(self):
        metadata = {"general.architecture": "llama", "llama.attention.head_count": "32", "llama.attention.head_count_kv": "4",
                    "llama.embedding_length": "2048", "llama.block_count": "22"}
        self.assertEqual(models.kv_bytes_per_position(metadata), 22 * 4 * 128 * 2)
        metadata["llama.attention.key_length"] = "192"
        self.assertEqual(models.kv_bytes_per_position(metadata), 22 * 4 * 256 * 2)

    def test_generated_models_follow_their_generator(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            tool = folder / "make"
            tool.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[3], 'a').write('made')\n")
            tool.chmod(0o755)
            path = models.generate(tool, "shape", "q4_0", folder)
            models.generate(tool, "shape", "q4_0", folder)
            self.assertEqual(path.read_text(), "made")
            (folder / "shape-q4_0.made").write_text("another source")
            models.generate(tool, "shape", "q4_0", folder)
            self.assertEqual(path.read_text(), "mademade")
            with self.assertRaises(Failure):
                models.generate(folder / "none", "shape", "q4_0", folder)

    def test_variants(self):
        variant = Whimbrel.variant("fast=--numerics fast", sys.executable, 2)
        self.assertEqual((variant.name, variant.options, str(variant.program)), ("fast", ["--numerics", "fast"], sys.executable))
        other = Whimbrel.variant(f"old={sys.executable} --isa 'avx2'", "/nowhere", 2)
        self.assertEqual((other.options, str(other.program)), (["--isa", "avx2"], sys.executable))
        for text in ("fast", "=--x", "fast="):
            with self.assertRaises(Failure):
                Whimbrel.variant(text, sys.executable, 2)


class Builds(unittest.TestCase):
    """How a peer is fetched and built. Nothing is downloaded here."""

    def peer(self, folder="/nowhere", kind=LlamaCpp, **options):
        return kind(folder, 2, lambda text: None, **options)

    def test_only_the_peer_itself_comes_as_source(self):
        for kind in (LlamaCpp, programs.IkLlamaCpp):
            command = self.peer(kind=kind).download_command("/tmp/x")
            name = kind.PACKAGE.split("=")[0]
            self.assertEqual(command[command.index("--no-binary") + 1], name)
            self.assertNotIn(":all:", command)
            self.assertEqual(command[-1], kind.PACKAGE)

    def test_amx_in_cpuinfo(self):
        self.assertTrue(programs.has_part_of("amx", "processor\t: 0\nflags\t\t: fpu avx512_vnni amx_bf16 amx_tile amx_int8\n"))
        self.assertFalse(programs.has_part_of("amx", "processor\t: 0\nflags\t\t: fpu avx512_vnni\nmodel name\t: amx\n"))
        self.assertFalse(programs.has_part_of("avx512", ""))

    def test_amx_concerns_a_native_build_alone(self):
        for kind, amx in ((LlamaCpp, "corrected"), (programs.IkLlamaCpp, "left out")):
            self.assertEqual(self.peer(kind=kind, amx=True).build_options, ("-DGGML_NATIVE=ON", *programs.AMX_OPTIONS[amx]))
        self.assertEqual(self.peer(amx=False).build_options, LlamaCpp.NATIVE)
        self.assertEqual(self.peer(amx=True, build_options=LlamaCpp.AVX2).build_options, LlamaCpp.AVX2)

    def test_tiles_are_written_before_they_are_loaded(self):
        path, load, line = programs.TILES_WRITTEN
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / path
            file.parent.mkdir(parents=True)
            file.write_text("{\n" + load + "}\n")
            LlamaCpp.have_tiles_written(pathlib.Path(folder))
            self.assertEqual(file.read_text(), "{\n" + line + load + "}\n")
            file.write_text("{}\n")
            with self.assertRaisesRegex(Failure, "has changed"):
                LlamaCpp.have_tiles_written(pathlib.Path(folder))

    def test_a_build_with_amx_from_before_is_built_again(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "bin").mkdir()
            for target in LlamaCpp.TARGETS:
                (folder / "bin" / target).touch()
            cache = folder / "CMakeCache.txt"
            cache.write_text("GGML_NATIVE:BOOL=ON\nCMAKE_C_FLAGS:STRING=\n")
            built = []
            peer = self.peer(folder, amx=True)
            peer.fetch = lambda temporary: built.append(temporary) or temporary
            peer.have_tiles_written = built.append
            with unittest.mock.patch.object(programs, "output_of", lambda command: built.append(command)):
                peer.build()
                self.assertEqual(len(built), 4)
                self.assertTrue(set(peer.build_options) <= set(built[2]))
                (folder / "bin").mkdir(parents=True)
                for target in LlamaCpp.TARGETS:
                    (folder / "bin" / target).touch()
                cache.write_text("GGML_NATIVE:BOOL=ON\nPEER_TILES:UNINITIALIZED=written-before-loaded\n")
                peer.build()
                self.peer(folder, amx=False).build()
            self.assertEqual(len(built), 4)
            self.assertEqual(peer.describe()["amx"], "corrected")

    def test_the_report_says_what_was_done_about_amx(self):
        document = {"programs": {"whimbrel": {}, "llama.cpp": {"amx": "corrected"}, "ik_llama.cpp": {"amx": "left out"}}}
        self.assertIn("llama.cpp built with one line", report.builds_line(document))
        self.assertIn("ik_llama.cpp built without AMX", report.builds_line(document))
        self.assertIsNone(report.builds_line({"programs": {"llama.cpp": {"amx": None}}}))


class FakeProgram:
    lacks = frozenset()

    def __init__(self, name, speed, cost=None, perplexity=10.0):
        self.name, self.speed, self.cost, self.value, self.runs = name, speed, cost, perplexity, 0

    def work(self, model, work):
        self.runs += 1
        return Result({"prefill": self.speed, "decode": self.speed / 10}, {}, self.cost)

    def perplexity(self, model, text, chunks):
        return self.value


class FakeMachine:
    """Gives the limits in turn, the last one for ever."""

    def __init__(self, limits):
        self.left = list(limits)

    def measure(self):
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


class Driver(unittest.TestCase):
    def setUp(self):
        self.addCleanup(setattr, run, "Watch", run.Watch)
        run.Watch = type("Calm", (), {"taken": lambda self: {"others": 0.0, "stolen": 0.0}})
        self.args = run.parse_arguments(["m.gguf"])
        self.model = models.Model(pathlib.Path("m.gguf"), False, "m", 8_000_000, 1_000_000, 100)

    def rows(self, limits, repetitions=3, **options):
        ours, peer = FakeProgram("whimbrel", 100.0, {"read": 4e9, "int8": 10e9, "f32": 0.0}), FakeProgram("peer", 20.0)
        unit = run.units_for(self.args, ours, [peer], None)[0]
        unit.repetitions = repetitions
        with contextlib.redirect_stderr(io.StringIO()):
            return run.run_unit(unit, self.model, FakeMachine(limits), **options), ours, peer

    def test_a_steady_machine_needs_no_more_rounds_than_pairs(self):
        rows, ours, peer = self.rows([FAST])
        self.assertEqual((ours.runs, peer.runs), (3, 3))
        self.assertEqual([row["key"] for row in rows], ["prefill", "decode"])
        for row in rows:
            self.assertEqual(row["result"]["ratio"]["median"], 5)
            self.assertEqual((row["result"]["pairs"], row["result"]["dropped"]), (3, 0))
        self.assertAlmostEqual(rows[0]["result"]["our_share"]["median"], 0.5)
        self.assertAlmostEqual(rows[1]["result"]["our_share"]["median"], 0.5)
        self.assertAlmostEqual(rows[0]["result"]["their_share"]["median"], 0.1)

    def test_a_change_costs_a_round(self):
        rows, ours, _ = self.rows([FAST, FAST, SLOW, FAST])
        self.assertEqual(ours.runs, 4)
        self.assertEqual([row["result"]["dropped"] for row in rows], [1, 1])

    def test_a_crowded_memory_spares_the_prompt(self):
        rows, _, _ = self.rows([FAST, CROWDED, CROWDED, FAST])
        self.assertEqual([row["result"]["dropped"] for row in rows], [0, 1])

    def test_rounds_are_bounded_and_the_table_is_not_final(self):
        rows, ours, _ = self.rows([FAST, SLOW] * 100)
        self.assertEqual(ours.runs, run.ATTEMPTS * 3)
        self.assertEqual([row["result"]["pairs"] for row in rows], [0, 0])
        document = {"models": [{"name": "m", "rows": rows}]}
        reasons = run.reasons_against(document, {"others": 0, "stolen": 0}, 3)
        self.assertEqual(len(reasons), 2)
        self.assertIn("prefill", reasons[0])

    def test_after_the_deadline_no_round_is_repeated(self):
        _, ours, _ = self.rows([FAST, SLOW] * 100, deadline=0)
        self.assertEqual(ours.runs, 3)

    def test_a_busy_machine_gives_no_final_table(self):
        document = {"models": []}
        self.assertEqual(run.reasons_against(document, {"others": 0.02, "stolen": 0.02}, 5), [])
        self.assertEqual(len(run.reasons_against(document, {"others": 0.03, "stolen": 0.03}, 5)), 2)

    def test_wrong_answers_get_no_speed(self):
        ours = FakeProgram("whimbrel", 1.0, perplexity=10.0)
        good = run.check_answers(self.args, self.model, ours, [FakeProgram("peer", 1.0, perplexity=10.15)])
        self.assertAlmostEqual(good["perplexity"]["peer"]["relative_difference"], 10 / 10.15 - 1)
        with self.assertRaisesRegex(Failure, "wrong answer"):
            run.check_answers(self.args, self.model, ours, [FakeProgram("peer", 1.0, perplexity=10.3)])

    def test_another_level_must_have_the_same_bits(self):
        class Narrow(Whimbrel):
            def __init__(self, value, options):
                self.value, self.options, self.name = value, options, "narrow"

            def perplexity(self, model, text, chunks):
                return self.value

        ours = FakeProgram("whimbrel", 1.0, perplexity=10.0)
        run.check_answers(self.args, self.model, ours, [Narrow(10.0, ["--isa", "avx2"])])
        with self.assertRaises(Failure):
            run.check_answers(self.args, self.model, ours, [Narrow(10.0 + 1e-9, ["--isa", "avx2"])])
        run.check_answers(self.args, self.model, ours, [Narrow(10.0 + 1e-3, ["--numerics", "fast"])])

    def test_rows_can_be_chosen(self):
        args = run.parse_arguments(["m.gguf", "--rows", "company,start"])
        units = run.units_for(args, None, [], (None, None))
        self.assertEqual([unit.key for unit in units], ["company4", "company8", "start"])
        everything = run.units_for(self.args, None, [], (None, None))
        self.assertEqual([unit.key for unit in everything], ["alone", "avx2", "company4", "company8", "depth", "start"])
        with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
            run.parse_arguments(["--rows", "everything"])

    def test_what_a_peer_cannot_time_has_no_row(self):
        ours, peer = FakeProgram("ours", 100.0), FakeProgram("peer", 20.0)
        peer.lacks = frozenset({("depth", "prefill")})
        parts = {"prefill": run.Part("p", "prefill"), "decode": run.Part("d", "decode")}
        for key, titles in (("depth", ["decode"]), ("alone", ["prefill", "decode"])):
            unit = run.Unit(key, parts, ours, [peer], 2, Work(512, 128))
            self.assertEqual([row["title"] for row in run.run_unit(unit, self.model, FakeMachine([FAST]))], titles)

    def test_a_start_with_packed_weights_runs_once_before(self):
        units = run.units_for(self.args, None, [], None, FakeProgram("packed", 1.0))
        self.assertEqual([(unit.key, unit.warm_up) for unit in units[-2:]], [("start", False), ("start_packed", True)])
        args = run.parse_arguments(["m.gguf", "--rows", "start"])
        self.assertEqual(len(run.units_for(args, None, [], None, FakeProgram("packed", 1.0))), 2)
        ours, peer = FakeProgram("packed", 100.0), FakeProgram("peer", 20.0)
        unit = run.units_for(self.args, ours, [peer], None)[0]
        unit.repetitions, unit.warm_up = 3, True
        with contextlib.redirect_stderr(io.StringIO()):
            run.run_unit(unit, self.model, FakeMachine([FAST]))
        self.assertEqual((ours.runs, peer.runs), (4, 3))

    def test_float_weights_are_measured_against_the_fp32_peak(self):
        ours, peer = FakeProgram("whimbrel", 100.0, {"read": 4e9, "int8": 0.0, "f32": 10e9}), FakeProgram("peer", 20.0)
        unit = run.units_for(self.args, ours, [peer], None)[0]
        unit.repetitions = 3
        with contextlib.redirect_stderr(io.StringIO()):
            rows = run.run_unit(unit, self.model, FakeMachine([FAST]))
        self.assertEqual([row["result"]["limit"] for row in rows], ["f32", "read"])

    def test_time_grows_with_the_work(self):
        units = {unit.key: unit for unit in run.units_for(self.args, FakeProgram("whimbrel", 1), [FakeProgram("peer", 1)], None)}
        seconds = {key: run.seconds_of_round(unit, self.model, FAST) for key, unit in units.items()}
        self.assertLess(seconds["start"], seconds["alone"])
        self.assertLess(seconds["alone"], seconds["depth"])


class Reports(unittest.TestCase):
    def document(self, final=True):
        pairs = Pairs(("read", "int8"))
        for ours, theirs in [(4321.0, 1000.0), (4000.0, 1000.0), (4500.0, 900.0)]:
            pairs.add(timing(ours, share=0.875), timing(theirs))
        row = {"key": "decode", "title": "decode <of> 128", "unit": "tokens/s", "peer": "llama.cpp", "ours": "whimbrel", "result": pairs.result()}
        limits = {kind: figures.summary([80e9, 82e9]) for kind in ("read", "int8", "f32")}
        checks = {"perplexity": {"whimbrel": {"value": 18.3808, "relative_difference": None},
                                 "llama.cpp": {"value": 18.3914, "relative_difference": -0.000576}}}
        memory = {"needed_bytes": 108e6, "programs": {"whimbrel": {"beyond_percent": 2.5}, "llama.cpp": {"beyond_percent": 31.0}}}
        return {"date": "2026-01-02", "threads": 2, "repetitions": 3, "final": final, "reasons": [] if final else ["it was busy"],
                "machine": {"cpu": "A & B", "isa": "avx2"}, "limits": limits,
                "models": [{"name": "model", "checks": checks, "rows": [row], "memory": memory}]}

    def test_results_of_one_machine_are_merged(self):
        both = report.merged([self.document(), self.document(final=False)])
        self.assertEqual((len(both["models"]), both["final"], both["reasons"]), (2, False, ["it was busy"]))
        self.assertEqual(both["limits"]["read"], {"median": 81e9, "min": 80e9, "max": 82e9})
        other = self.document()
        other["machine"]["isa"] = "avx512"
        with self.assertRaises(SystemExit):
            report.merged([self.document(), other])

    def test_table(self):
        text = report.text_table(self.document())
        for words in ("A & B, 2 threads", "-0.06 %", "4321", "4.32", "4.00 to  5.00", "88 %", "read bandwidth 81.0 GB/s", "whimbrel 2.5 %"):
            self.assertIn(words, text)
        self.assertNotIn("PROVISIONAL", text)
        text = report.text_table(self.document(final=False))
        self.assertTrue(text.startswith("PROVISIONAL"))
        self.assertIn("not final: it was busy", text)

    def test_markdown(self):
        lines = report.markdown(self.document()).splitlines()
        row, = [line for line in lines if line.startswith("| decode")]
        self.assertEqual(row, "| decode <of> 128, tokens/s | 4321 | 1000 (llama.cpp) | 4.32 | 4.00 to 5.00 | 88 % of read bandwidth |")
        widths = {line.count("|") for line in lines if line.startswith("|")}
        self.assertEqual(widths, {7})

    def test_chart(self):
        tree = xml.etree.ElementTree.fromstring(report.svg(self.document()))
        space = "{http://www.w3.org/2000/svg}"
        bar, = tree.iter(space + "rect")
        even = [line for line in tree.iter(space + "line") if line.get("class") == "even"][0]
        start = float(bar.get("x"))
        self.assertAlmostEqual(float(bar.get("width")) / (float(even.get("x1")) - start), 4.321, delta=0.01)
        texts = ["".join(t.itertext()) for t in tree.iter(space + "text")]
        self.assertIn("decode <of> 128", texts)
        self.assertTrue(any("4.32×" in t and "4321 against 1000" in t for t in texts), texts)
        for text in tree.iter(space + "text"):
            self.assertLess(float(text.get("x")), float(tree.get("width")))
        self.assertNotIn("provisional", report.svg(self.document()))
        self.assertIn("(provisional)", report.svg(self.document(final=False)))

    def test_numbers(self):
        self.assertEqual([report.number(x) for x in (3025.4, 55.44, 4.321, 0.0594)], ["3025", "55.4", "4.32", "0.059"])


if __name__ == "__main__":
    unittest.main()
