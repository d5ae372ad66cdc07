"""test_lookup.py - drafts change nothing but the number of runs: tokens, logits and stops with --lookup and without."""

import json

import program
from program import MODEL, USAGE, ProgramTest, run

CODE = """def test_add_0():
    assert add(0, 1) == 1

def test_add_1():
    assert add(1, 2) == 3

def test_add_2():
    assert add(2, 3) == 5

def test_add_3():"""
SAMPLED = ["--temp", "0.8", "--top-p", "0.95", "--repeat-penalty", "1.05", "--frequency-penalty", "0.01"]


class Lookup(ProgramTest):
    def answer(self, *arguments):
        return self.answer_of(MODEL, "--threads", 2, "--logits-hash", "-p", CODE, *arguments)

    def both(self, lookup, *arguments):
        """The answer with drafts, after a look that it is the one without."""
        plain, drafted = self.answer(*arguments), self.answer("--lookup", lookup, *arguments)
        for key in ("tokens", "text", "logits_hashes", "stop_reason"):
            self.assertEqual(drafted[key], plain[key], key)
        self.assertEqual(plain["timing"]["drafted_tokens"], 0)
        self.assertLessEqual(drafted["timing"]["accepted_tokens"], drafted["timing"]["drafted_tokens"])
        return drafted

    def test_greedy(self):
        for lookup in (4, 8):
            timing = self.both(lookup, "-n", 64, "--ignore-end")["timing"]
            self.assertGreater(timing["accepted_tokens"], 16)  # a test of drafts that are taken ...
            self.assertLess(timing["accepted_tokens"], timing["drafted_tokens"])  # ... and of drafts that are not

    def test_sampled_with_penalties(self):
        for lookup, seed in ((4, 1), (8, 2)):
            timing = self.both(lookup, "-n", 64, "--ignore-end", "--seed", seed, *SAMPLED)["timing"]
            self.assertGreater(timing["accepted_tokens"], 0)
            self.assertLess(timing["accepted_tokens"], timing["drafted_tokens"])

    def test_every_length(self):
        whole = self.answer("-n", 24, "--ignore-end")
        for n in range(1, 24, 3):
            drafted = self.answer("-n", n, "--ignore-end", "--lookup", 16)
            self.assertEqual(drafted["tokens"], whole["tokens"][:n])
            self.assertEqual(drafted["logits_hashes"], whole["logits_hashes"][:n])

    def test_the_end_of_the_context(self):
        n_prompt = self.answer("-n", 1)["prompt_tokens"]
        for room in (1, 2, 9, 24):
            drafted = self.both(16, "-n", 64, "--ignore-end", "--ctx", n_prompt + room)
            self.assertEqual(drafted["stop_reason"], "context")
            self.assertEqual(len(drafted["tokens"]), room + 1)  # the last one needs no position

    def test_stop_strings(self):
        self.assertEqual(self.both(8, "-n", 64, "--stop", "add(8")["stop_reason"], "stop")

    def test_drafts_longer_than_prompt_runs(self):
        self.both(8, "-n", 24, "--prompt-chunk", 3)

    def test_another_state_type_and_thread_count(self):
        self.both(8, "-n", 24, "--kv", "f32", "--threads", 1)

    def test_a_conversation(self):
        lines = "Count: 1 2 3 4 5 1 2 3 4 5\nSay that again, word for word.\nAnd again.\n"

        def turns(*arguments):
            out = self.assert_ok(run("chat", MODEL, "--threads", 2, "--ctx", 512, "--json", "-n", 48, *arguments, stdin=lines))
            turns = [json.loads(line) for line in out.splitlines()]
            counts = [(turn.pop("decode_runs"), turn.pop("drafted_tokens"), turn.pop("accepted_tokens")) for turn in turns]
            return turns, sum(accepted for _, _, accepted in counts)

        plain, drafted = turns(), turns("--lookup", 8)
        self.assertEqual(len(plain[0]), 3)
        self.assertEqual(drafted[0], plain[0])
        self.assertEqual(plain[1], 0)
        self.assertGreater(drafted[1], 0)

    def test_out_of_range(self):
        for n in (0, 17):
            self.assert_fails(run("run", MODEL, "--lookup", n, "-p", "x"), USAGE, "--lookup", "16")


if __name__ == "__main__":
    program.main(needs_model=True)
