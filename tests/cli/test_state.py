"""test_state.py - a text that was saved with what was computed of it goes on as if nothing had been between."""

import os
import tempfile

import program
from program import LIMIT, MODEL, MODEL_FILE, UNSUPPORTED, USAGE, ProgramTest, run

PROMPT = " ".join(f"Whimbrel number {i} flew {i * 7} miles." for i in range(12))


class State(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "text.state")

    def answer(self, *arguments, **options):
        return self.json_of("run", MODEL, "--logits-hash", "--ignore-end", *arguments, **options)

    def save(self, n, *arguments):
        return self.answer("-p", PROMPT, "-n", n, "--save-state", self.path, *arguments)

    def assert_same(self, have, tokens, hashes):
        self.assertEqual(have["tokens"], tokens)
        self.assertEqual(have["logits_hashes"], hashes)

    def goes_on(self, prompt, n, arguments, rest_arguments):
        whole = self.answer("-p", prompt, "-n", n + 4, *arguments)
        first = self.answer("-p", prompt, "-n", n, "--save-state", self.path, *arguments)
        self.assert_same(first, whole["tokens"][:n], whole["logits_hashes"][:n])
        rest = self.answer("-n", 4, "--load-state", self.path, *arguments, *rest_arguments)
        self.assert_same(rest, whole["tokens"][n:], whole["logits_hashes"][n:])
        return rest

    def test_goes_on(self):
        for kv in ("f16", "q8"):
            for arguments in ([], ["--lookup", 4, "--threads", 1]):
                rest = self.goes_on(PROMPT, 9, ["--kv", kv], arguments)
                n = rest["prompt_tokens"]  # the full pages of 64 are not computed again, what is behind them is
                self.assertEqual(rest["timing"]["prompt_tokens_computed"], n - (n - 1) // 64 * 64)

    def test_on_another_device(self):
        short = PROMPT[:250]  # a page and some tokens
        self.goes_on(short, 2, [], ["--isa", "ref"])
        if os.path.exists(self.beside("whimbrel-backend-host2.so")):
            self.goes_on(short, 2, [], ["--device", "host2"])

    def beside(self, name):
        return os.path.join(os.path.dirname(program.WHIMBREL), name)

    def test_a_prompt_behind_it(self):
        more = " In short:"
        self.save(1)
        begin = self.answer("-p", PROMPT, "-n", 1)
        whole = self.answer("-p", PROMPT + begin["text"] + more, "-n", 8)
        rest = self.answer("-p", more, "-n", 8, "--load-state", self.path)
        self.assert_same(rest, whole["tokens"], whole["logits_hashes"])

    def test_saved_again(self):
        whole = self.answer("-p", PROMPT, "-n", 18)
        self.save(6)
        second = self.answer("-n", 6, "--load-state", self.path, "--save-state", self.path)
        third = self.answer("-n", 6, "--load-state", self.path)
        self.assertEqual(second["tokens"] + third["tokens"], whole["tokens"][6:])

    def test_equal_texts_are_equal_files(self):
        self.save(5)
        with open(self.path, "rb") as file:
            first = file.read()
        self.save(5, "--threads", 1, "--prompt-chunk", 7, "--lookup", 4)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), first)

    def test_damaged(self):
        self.save(2)
        with open(self.path, "rb") as file:
            whole = file.read()
        load = ["run", MODEL, "-n", 2, "--load-state", self.path]

        def write(data):
            with open(self.path, "wb") as file:
                file.write(data)

        write(whole[:-1])
        self.assert_fails(run(*load), MODEL_FILE, self.path, "make it again")
        write(whole[:50])
        self.assert_fails(run(*load), MODEL_FILE, self.path, "not a saved sequence")
        write(whole[:3000] + bytes([whole[3000] ^ 4]) + whole[3001:])
        self.assert_fails(run(*load), MODEL_FILE, self.path, "damaged")
        write(whole[:8] + b"\x02" + whole[9:])
        self.assert_fails(run(*load), UNSUPPORTED, self.path, "version 2 of the format")
        write(whole)
        self.assert_fails(run(*load, "--kv", "q8"), UNSUPPORTED, self.path, "another model")
        self.assert_fails(run(*load, "--ctx", 64), LIMIT, self.path, "larger context")
        self.assert_fails(run(*load[:-1], MODEL), MODEL_FILE, MODEL, "not a saved sequence")
        self.assert_fails(run(*load[:-1], self.path + ".missing"), MODEL_FILE, "missing")
        self.assert_fails(run(*load, "--chat", "-p", "x"), USAGE, "--chat")

    def test_nothing_half_written(self):
        self.assert_fails(run("run", MODEL, "-p", "x", "-n", 1, "--quiet", "--save-state", "/nowhere/x.state", "-o", os.devnull),
                          program.IO, "/nowhere/x.state")
        self.save(1)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["text.state"])


if __name__ == "__main__":
    program.main(needs_model=True)
