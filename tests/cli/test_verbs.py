"""test_verbs.py - the verbs on a real model: what they print, where they stop, what they refuse."""

import json
import math
import os
import re
import signal
import subprocess
import tempfile
import time

import program
from program import DIFFERENT, INTERRUPTED, IO, LIMIT, MODEL, USAGE, ProgramTest, isa_levels, run

PROMPT = "The capital of France is"
FAST = ["--threads", "2", "--ctx", "256"]  # a small context: little memory to clear


class Run(ProgramTest):
    def generate(self, *arguments, **options):
        return self.json_of("run", MODEL, *FAST, *arguments, **options)

    def test_json_and_text_agree(self):
        result = self.generate("-p", PROMPT, "-n", 12)
        text = self.assert_ok(run("run", MODEL, *FAST, "-p", PROMPT, "-n", 12))
        self.assertEqual(text.rstrip("\n"), result["text"].rstrip("\n"))
        self.assertIn("Paris", result["text"])
        self.assertEqual(len(result["tokens"]), 12)
        self.assertEqual(result["stop_reason"], "length")

    def test_prompt_sources_agree(self):
        expected = self.assert_ok(run("run", MODEL, *FAST, "-p", PROMPT, "-n", 4))
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(PROMPT + "\n")
            file.flush()
            self.assertEqual(self.assert_ok(run("run", MODEL, *FAST, "-f", file.name, "-n", 4)), expected)
        self.assertEqual(self.assert_ok(run("run", MODEL, *FAST, "-n", 4, stdin=PROMPT + "\n")), expected)
        self.assertEqual(self.assert_ok(run("run", MODEL, *FAST, "-f", "-", "-n", 4, stdin=PROMPT)), expected)

    def test_chat_answers(self):
        result = self.generate("--chat", "-p", "What is the capital of France?", "-n", 40)
        self.assertIn("Paris", result["text"])
        self.assertEqual(result["stop_reason"], "end")
        self.assertNotIn("<|im_end|>", result["text"])
        other = self.generate("--chat", "--system", "You speak only Italian.", "-p", "Hello!", "-n", 4)
        self.assertNotEqual(other["prompt_tokens"], self.generate("--chat", "-p", "Hello!", "-n", 1)["prompt_tokens"])

    def test_stop_string_is_left_out(self):
        free = self.generate("-p", "1 2 3 4 5 6", "-n", 24)["text"]
        self.assertIn(" 9", free)
        stopped = self.generate("-p", "1 2 3 4 5 6", "-n", 24, "--stop", "nowhere", "--stop", " 9")
        self.assertEqual(stopped["text"], free.split(" 9")[0])
        self.assertEqual(stopped["stop_reason"], "stop")

    def test_stop_string_across_tokens(self):
        free = self.generate("-p", "1 2 3 4 5 6", "-n", 24)["text"]
        stop = free[3:9]  # begins and ends inside tokens
        self.assertEqual(self.generate("-p", "1 2 3 4 5 6", "-n", 24, "--stop", stop)["text"], free[: free.index(stop)])

    def test_sampling_depends_on_the_seed_only(self):
        def sample(seed, *more):
            return self.generate("-p", "Once upon a time", "-n", 16, "--temp", "1.2", "--seed", seed, *more)["tokens"]
        self.assertEqual(sample(1), sample(1, "--threads", "1", "--prompt-chunk", "3"))
        self.assertNotEqual(sample(1), sample(2))

    def test_penalties_change_the_answer(self):
        plain = self.generate("-p", "again again again again", "-n", 12)["tokens"]
        self.assertNotEqual(plain, self.generate("-p", "again again again again", "-n", 12, "--repeat-penalty", "5")["tokens"])
        self.assertNotEqual(plain, self.generate("-p", "again again again again", "-n", 12, "--frequency-penalty", "9")["tokens"])

    def test_logits_hashes(self):
        text = self.assert_ok(run("run", MODEL, *FAST, "-p", PROMPT, "-n", 3, "--logits-hash"))
        lines = [line.split() for line in text.splitlines() if line.startswith("step ")]
        self.assertEqual([line[1] for line in lines], ["0", "1", "2"])
        self.assertEqual([line[2] for line in lines], self.generate("-p", PROMPT, "-n", 3, "--logits-hash")["logits_hashes"])
        self.assertEqual(len({line[2] for line in lines}), 3)

    def test_prompt_longer_than_the_context(self):
        self.assert_fails(run("run", MODEL, "--ctx", 16, "-p", "one two " * 20), LIMIT, "16", "--ctx")

    def test_context_fills_up(self):
        full = run("run", MODEL, "--ctx", 24, "-p", "1 2 3 4", "-n", 100, "--ignore-end", "--json")
        self.assert_fails(full, LIMIT, "the context of 24 positions is full", "--ctx")
        result = json.loads(full.stdout)
        self.assertEqual(result["stop_reason"], "context")
        self.assertEqual(result["prompt_tokens"] + len(result["tokens"]), 24 + 1)  # the last one needs no position

    def test_empty_prompt(self):
        self.assert_fails(run("run", MODEL, "-p", ""), USAGE, "empty")

    def test_any_bytes_are_a_prompt(self):
        result = subprocess.run([program.WHIMBREL, "run", MODEL, *FAST, "-n", "4", "--json"], input=bytes(range(256)),
                                capture_output=True, timeout=program.TIMEOUT_S)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertGreater(json.loads(result.stdout)["prompt_tokens"], 0)

    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            self.assert_fails(run("run", MODEL, *FAST, "-p", PROMPT, "-n", 4, stdout=full), IO, "No space left on device")

    def test_reader_that_goes_away(self):
        with subprocess.Popen([program.WHIMBREL, "run", MODEL, *FAST, "-p", PROMPT, "-n", "200", "--ignore-end"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            process.stdout.read(1)
            process.stdout.close()
            self.assertEqual(process.wait(60), IO)
            self.assertIn("Broken pipe", process.stderr.read())

    def test_tokens_are_streamed(self):
        with subprocess.Popen([program.WHIMBREL, "run", MODEL, "--threads", "1", "-p", PROMPT, "-n", "2000", "--ignore-end"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.assertTrue(os.read(process.stdout.fileno(), 1))
            self.assertIsNone(process.poll())  # the first text is there long before the last
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            self.assertEqual(process.wait(60), INTERRUPTED)
            self.assertTrue(rest.endswith(b"\n"))
            self.assertEqual(process.stderr.read(), b"whimbrel: interrupted\n")

    def test_output_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "answer")
            expected = self.assert_ok(run("run", MODEL, *FAST, "-p", PROMPT, "-n", 4))
            self.assertEqual(self.assert_ok(run("run", MODEL, *FAST, "-p", PROMPT, "-n", 4, "-o", path)), "")
            with open(path) as file:
                self.assertEqual(file.read(), expected)


class Inspect(ProgramTest):
    def test_metadata_and_tensors(self):
        result = self.json_of("inspect", MODEL)
        text = self.assert_ok(run("inspect", MODEL))
        self.assertEqual(result["metadata"]["general.architecture"].strip('"'), result["model"]["architecture"])
        self.assertEqual(sum(t["bytes"] for t in result["tensors"]), result["model"]["weight_bytes"])
        for tensor in result["tensors"]:
            self.assertIn(tensor["name"], text)
            self.assertGreater(math.prod(tensor["shape"]), 0)
        self.assertNotIn("graph", result)

    def test_graph(self):
        source = self.assert_ok(run("inspect", MODEL, "--graph", "--source"))
        optimised = self.assert_ok(run("inspect", MODEL, "--graph"))
        self.assertNotEqual(source, optimised)
        self.assertEqual(optimised, self.assert_ok(run("inspect", MODEL, "--optimised")))
        self.assertEqual(self.json_of("inspect", MODEL, "--graph")["graph"], optimised)

    def test_plan_and_kernels(self):
        result = self.json_of("inspect", MODEL, "--plan", "--kernels", "--isa", "ref", "--ctx", 128)
        memory = result["memory"]
        self.assertLessEqual(memory["activations_lower_bound"], memory["activations"])
        self.assertLessEqual(memory["activations"], memory["activations_unshared"])
        self.assertGreater(memory["kv_state"], 0)
        self.assertEqual(result["context"], 128)
        self.assertTrue(all(i["kernel"] and i["reason"] for i in result["instructions"]))
        text = self.assert_ok(run("inspect", MODEL, "--plan", "--kernels", "--isa", "ref", "--ctx", 128))
        self.assertIn(f"kernels ({len(result['instructions'])} instructions)", text)
        for kernel in {i["kernel"] for i in result["instructions"]}:
            self.assertIn(kernel, text)

    def test_kernels_say_how_weights_are_asked_for(self):
        if isa_levels()[-1] == "ref":
            self.skipTest("reference kernels leave it to the processor")
        reasons = {i["reason"] for i in self.json_of("inspect", MODEL, "--kernels", "--prefetch", "nontemporal")["instructions"]
                   if i["kernel"].startswith("linear_q")}
        self.assertEqual(len(reasons), 1)
        self.assertIn("non-temporal prefetch (as asked for)", reasons.pop())

    def test_larger_context_takes_more_memory(self):
        def kv_state(*arguments):
            return self.json_of("inspect", MODEL, "--plan", *arguments)["memory"]["kv_state"]
        small = kv_state("--ctx", 1024)
        self.assertAlmostEqual(kv_state("--ctx", 2048) / small, 2, delta=0.2)  # memory comes in large pages
        self.assertAlmostEqual(kv_state("--ctx", 1024, "--kv", "f32") / small, 2, delta=0.2)
        self.assertAlmostEqual(kv_state("--ctx", 1024, "--kv", "q8") / small, 34 / 64, delta=0.1)

    def test_hashes_of_weights(self):
        tensors = self.json_of("inspect", MODEL, "--hashes")["tensors"]
        hashes = [t["hash"] for t in tensors]
        self.assertTrue(all(re.fullmatch("[0-9a-f]{32}", h) for h in hashes))
        self.assertEqual(len(set(hashes)), len(hashes))  # no two weights of a real model are alike
        self.assertNotIn("hash", self.json_of("inspect", MODEL, "--tensors")["tensors"][0])

    def test_plan_predicts_what_a_run_takes(self):
        for context, chunk in ((1024, 512), (4096, 512), (1024, 64)):
            engine = ["--ctx", context, "--prompt-chunk", chunk]
            predicted = self.json_of("inspect", MODEL, "--plan", *engine)["memory"]["peak"]
            used = self.json_of("run", MODEL, "-p", "The tide", "-n", 8, *engine)["memory_bytes"]
            self.assertLess(abs(predicted - used) / used, 0.02, (context, chunk, predicted, used))
            short = self.json_of("run", MODEL, "-p", "The tide", "-n", 8, "--ctx", context)["memory_bytes"]
            self.assertLess(short, used)  # left alone, it makes room for no more than the prompt


class Verify(ProgramTest):
    def test_same(self):
        other = isa_levels()[:2][-1]  # the lowest with vector instructions, where there is one
        result = self.json_of("verify", MODEL, "--threads", 2, "--against", "--threads", 1, "--isa", other)
        self.assertTrue(result["same"])
        self.assertIsNone(result["first_difference"])
        self.assertGreater(result["nodes_compared"], 100)
        self.assertEqual(result["b"]["threads"], 1)

    def test_same_in_other_chunks(self):
        result = self.json_of("verify", MODEL, "--prompt-chunk", 7, "--against", "--prompt-chunk", 64)
        self.assertTrue(result["same"])
        self.assertGreater(result["outputs_compared"], 64 * 100)  # rows of the prompt were compared, too

    def test_same_with_a_quantised_state(self):
        other = isa_levels()[:2][-1]
        result = self.json_of("verify", MODEL, "--kv", "q8", "--against", "--kv", "q8", "--isa", other, "--prompt-chunk", 7)
        self.assertTrue(result["same"])
        self.assertEqual((result["a"]["kv"], result["b"]["kv"]), ("q8", "q8"))

    def test_difference_is_found_and_named(self):
        result = run("verify", MODEL, "--kv", "f16", "--against", "--kv", "f32", "--json")
        self.assert_fails(result, DIFFERENT, "differ")
        first = json.loads(result.stdout)["first_difference"]
        self.assertEqual(first["op"], "attention")  # the first to read what the two store differently
        self.assertNotEqual(first["a"], first["b"])
        self.assertGreaterEqual(first["elements_different"], 1)
        text = run("verify", MODEL, "--kv", "f16", "--against", "--kv", "f32")
        self.assert_fails(text, DIFFERENT, first["node"])
        self.assertIn(f"element {first['element']}: A has {first['a']}, B has {first['b']}", text.stdout)


class Eval(ProgramTest):
    TEXT = " ".join(f"Day {i}: the tide came in at {i % 12} and the birds left the shore." for i in range(60))

    def evaluate(self, *arguments):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(self.TEXT)
            file.flush()
            return self.json_of("eval", MODEL, "-f", file.name, *arguments)

    def test_perplexity_does_not_depend_on_the_machine(self):
        other = isa_levels()[:2][-1]
        a = self.evaluate("--ctx", 128, "--threads", 2)
        b = self.evaluate("--ctx", 128, "--threads", 1, "--prompt-chunk", 13, "--isa", other)
        self.assertEqual(a["perplexity"], b["perplexity"])
        self.assertEqual(a["tokens_scored"], a["chunks"] * (64 - 1))
        self.assertTrue(1 < a["perplexity"] < 100, a["perplexity"])

    def test_chunks_limit(self):
        self.assertEqual(self.evaluate("--ctx", 64, "--chunks", 2)["chunks"], 2)

    def test_too_short(self):
        self.assert_fails(run("eval", MODEL, stdin="Hello."), USAGE, "512", "--ctx")


class Bench(ProgramTest):
    def test_a_short_one(self):
        start = time.monotonic()
        result = self.json_of("bench", MODEL, "-P", 64, "-G", 8, "-r", 2)["results"][0]
        self.assertTrue(result["answer_checked"])
        for test in ["prefill", "decode"]:
            speed = result[test]["tokens_per_second"]
            self.assertTrue(0 < speed["min"] <= speed["median"] <= speed["max"])
        for part, share in (("prefill", "share_of_peak"), ("decode", "share_of_read_bandwidth")):
            self.assertTrue(0 < result[part][share] <= 1, result[part])
            self.assertIn(result[part]["limit_raised"], range(0, result["repetitions"] + 1))
        self.assertLess(time.monotonic() - start, 120)

    def test_company_and_depth(self):
        results = {(s, d): self.json_of("bench", MODEL, "-P", 16, "-G", 4, "-r", 1, "--sequences", s, "--depth", d)["results"][0]
                   for s, d in [(1, 0), (3, 0), (1, 120), (3, 120)]}
        for (sequences, depth), result in results.items():
            self.assertTrue(result["answer_checked"])
            self.assertEqual((result["sequences"], result["depth"]), (sequences, depth))
            sample, = result["decode"]["samples"]
            self.assertGreater(sample["tokens_per_second"], 0)
            for side in ["before", "after"]:
                self.assertGreater(min(value for key, value in sample[side].items() if key.endswith("_per_second")), 0)
        # Weights are shared by the sequences; attention state is not, and grows with depth.
        cost = {key: result["decode_bytes_per_token"] for key, result in results.items()}
        self.assertGreater(cost[1, 120] - cost[1, 0], 0.01 * cost[1, 0])
        self.assertGreater(cost[3, 120] - cost[3, 0], 0.01 * cost[1, 0])
        self.assertLess(cost[3, 0], cost[1, 0] / 2)

    def test_context_too_small(self):
        self.assert_fails(run("bench", MODEL, "-P", 512, "--ctx", 128), USAGE, "512", "--ctx")
        self.assert_fails(run("bench", MODEL, "-P", 64, "-G", 8, "--depth", 100, "--ctx", 128), USAGE, "164", "--ctx")


if __name__ == "__main__":
    program.main(needs_model=True)
