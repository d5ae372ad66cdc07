"""test_draft.py - a draft model changes nothing but the number of runs: tokens, logits, text and stops with --draft and
without, whether the draft model is always right or always wrong; and another vocabulary is refused."""

import json
import os
import tempfile

import gguf_variant
import program
from program import MODEL, MODEL_FILE, USAGE, ProgramTest, run

PROMPT = "The whimbrel is a bird that flies from the Arctic to"
SAMPLED = ["--temp", "0.8", "--top-p", "0.95", "--repeat-penalty", "1.05"]


class Draft(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.tiny = os.path.join(cls.folder.name, "tiny.gguf")
        gguf_variant.write_tiny(MODEL, cls.tiny)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def answer(self, *arguments):
        return self.answer_of(MODEL, "--threads", 2, "--logits-hash", "-p", PROMPT, *arguments)

    def both(self, draft, *arguments, **options):
        """The answer with drafts of the model, after a look that it is the one without."""
        plain = self.answer(*arguments)
        drafted = self.answer("--draft", draft, *options.get("drafting", []), *arguments)
        for key in ("tokens", "text", "logits_hashes", "stop_reason"):
            self.assertEqual(drafted[key], plain[key], key)
        timing = drafted["timing"]
        self.assertLessEqual(timing["accepted_tokens"], timing["drafted_tokens"])
        return drafted

    def test_itself(self):
        for n_draft in (1, 5, 16):
            timing = self.both(MODEL, "-n", 48, "--ignore-end", drafting=["--draft-tokens", n_draft, "--draft-min-p", 0])["timing"]
            self.assertEqual(timing["accepted_tokens"], timing["drafted_tokens"])
            self.assertLessEqual(timing["decode_runs"], 47 // (n_draft + 1) + 1)

    def test_itself_sampled(self):
        for seed in (1, 2):
            timing = self.both(MODEL, "-n", 48, "--ignore-end", "--seed", seed, *SAMPLED)["timing"]
            self.assertGreater(timing["accepted_tokens"], 0)
            self.assertLess(timing["accepted_tokens"], timing["drafted_tokens"])

    def test_a_model_that_knows_nothing(self):
        for sampling in ([], ["--seed", 3, *SAMPLED]):
            timing = self.both(self.tiny, "-n", 48, "--ignore-end", *sampling, drafting=["--draft-min-p", 0])["timing"]
            self.assertGreater(timing["drafted_tokens"], 0)
            self.assertLess(timing["drafted_tokens"], 40)  # it gives up
            self.assertLessEqual(timing["accepted_tokens"], 2)
        self.assertEqual(self.both(self.tiny, "-n", 16)["timing"]["drafted_tokens"], 0)  # nothing is likely enough

    def test_with_lookup(self):
        timing = self.both(MODEL, "-n", 48, "--ignore-end", drafting=["--lookup", 4])["timing"]
        self.assertGreater(timing["accepted_tokens"], 16)

    def test_the_end_of_the_context(self):
        n_prompt = self.answer("-n", 1)["prompt_tokens"]
        for room in (1, 2, 9, 24):
            drafted = self.both(MODEL, "-n", 64, "--ignore-end", "--ctx", n_prompt + room)
            self.assertEqual(drafted["stop_reason"], "context")
            self.assertEqual(len(drafted["tokens"]), room + 1)

    def test_stop_strings(self):
        text = self.answer("-n", 40, "--ignore-end")["text"]
        self.assertEqual(self.both(MODEL, "-n", 40, "--ignore-end", "--stop", text[30:38])["stop_reason"], "stop")

    def test_other_states_chunks_and_levels(self):
        self.both(MODEL, "-n", 24, "--kv", "f32", "--threads", 1)
        self.both(MODEL, "-n", 24, "--kv", "q8")
        self.both(MODEL, "-n", 24, "--prompt-chunk", 3)
        self.both(MODEL, "-n", 8, "--isa", "ref")

    def test_a_conversation(self):
        lines = "Name a bird.\nName another one.\nAnd a fish.\n"

        def turns(*arguments):
            out = self.assert_ok(run("chat", MODEL, "--ctx", 512, "--json", "-n", 32, *arguments, stdin=lines))
            turns = [json.loads(line) for line in out.splitlines()]
            counts = [(turn.pop("decode_runs"), turn.pop("drafted_tokens"), turn.pop("accepted_tokens")) for turn in turns]
            return turns, sum(accepted for _, _, accepted in counts)

        plain, drafted = turns(), turns("--draft", MODEL)
        self.assertEqual(drafted[0], plain[0])
        self.assertEqual(plain[1], 0)
        self.assertGreater(drafted[1], 10)

    def test_another_vocabulary(self):
        other = os.path.join(self.folder.name, "other.gguf")
        gguf_variant.write_tiny(MODEL, other, change_token=777)
        self.assert_fails(run("run", MODEL, "--draft", other, "-p", "x"), USAGE, "different vocabularies", "other.gguf",
                          os.path.basename(MODEL), "token 777", "something else")
        gguf_variant.write_tiny(MODEL, other, drop_tokens=3)
        self.assert_fails(run("chat", MODEL, "--draft", other), USAGE, "different vocabularies", "other.gguf",
                          os.path.basename(MODEL), "49152", "49149")

    def test_bad_arguments(self):
        self.assert_fails(run("run", MODEL, "--draft", "/no/such.gguf", "-p", "x"), MODEL_FILE, "/no/such.gguf")
        for n in (0, 17):
            self.assert_fails(run("run", MODEL, "--draft", MODEL, "--draft-tokens", n, "-p", "x"), USAGE, "--draft-tokens", "16")


if __name__ == "__main__":
    program.main(needs_model=True)
