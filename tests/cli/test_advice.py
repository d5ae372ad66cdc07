"""test_advice.py - options that do not do what was meant are told: more threads than cores, more context than trained,
--map-packed without kept weights; and helps that say each verb's own defaults."""

import json
import os
import re
import tempfile

import byte_model
import program
from program import OK, ProgramTest, run
from terminal import talk

U32, F32, STRING = 4, 6, 8
RUN = ["-p", "x", "-n", 1]


class Case(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.model = byte_model.write(os.path.join(cls.folder.name, "bytes.gguf"))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def at_terminal(self, *arguments):
        code, shown = talk(arguments)
        self.assertEqual(code, OK, shown)
        return shown


class Notes(Case):
    def test_threads(self):
        device = json.loads(run("devices", "--json").stdout)["devices"][0]
        few = self.at_terminal("run", self.model, *RUN, "-t", 1)
        self.assertNotIn("wait for each other", few)
        n = 4 * device["cores"]
        shown = self.at_terminal("run", self.model, *RUN, "-t", n)
        self.assertRegex(shown, rf"\[{n} threads for [\d.]+ cores?: they wait for each other")
        self.assert_ok(run("run", self.model, *RUN, "-t", n))  # nobody reads notes in a pipe

    def test_context(self):
        def note(*arguments, model=self.model):
            return re.findall(r"\[a context of (\d+) positions, but the model was trained for (\d+)",
                              self.at_terminal("run", model, *RUN, *arguments))
        self.assertEqual(note(), [])
        self.assertEqual(note("-c", 512), [])
        self.assertEqual(note("-c", 513), [("513", "512")])
        # A file of a stretched model may state the length before stretching; within the stretched one all is well.
        scaling = [("llama.rope.scaling.type", STRING, "yarn"), ("llama.rope.scaling.factor", F32, 4.0),
                   ("llama.rope.scaling.original_context_length", U32, 512)]
        stretched = byte_model.write(os.path.join(self.folder.name, "yarn.gguf"), metadata=scaling)
        self.assertEqual(note("-c", 2048, model=stretched), [])
        self.assertEqual(note("-c", 2049, model=stretched), [("2049", "2048")])
        whole = byte_model.write(os.path.join(self.folder.name, "whole.gguf"), context=2048, metadata=scaling)
        self.assertEqual(note("-c", 2048, model=whole), [])

    def test_map_packed(self):
        result = run("run", self.model, *RUN, "--map-packed")
        self.assertEqual(result.returncode, OK)
        if self.json_of("run", self.model, *RUN)["timing"]["weights"]["packed"] == 0:
            self.assertEqual(result.stderr, "")
            self.skipTest("no instruction-set level here packs weights")
        self.assertEqual(len(result.stderr.splitlines()), 1)
        self.assertRegex(result.stderr, "whimbrel: warning: --map-packed does nothing.*--pack-cache DIR")
        cache = os.path.join(self.folder.name, "cache")
        self.assertIn("the next start maps them", self.at_terminal("run", self.model, *RUN, "--map-packed", "--pack-cache", cache))
        self.assertNotIn("next start", self.at_terminal("run", self.model, *RUN, "--map-packed", "--pack-cache", cache))


class Helps(ProgramTest):
    def option(self, verb, name):
        """The option's text in the verb's help, on one line."""
        text = self.assert_ok(run(verb, "--help"))
        block = re.search(rf"\n  (?:-\w, |    )--{name} .*\n(?:  {{15,}}\S.*\n)*", text).group()
        return " ".join(block.split())

    def test_defaults_of_the_context(self):
        for verb, words in (("run", "what the prompt and -n need"), ("chat", "the model's, at most 4096"), ("eval", "default 512"),
                            ("inspect", "the model's, at most 4096"), ("verify", "what the tokens need"),
                            ("bench", "what -D, -P and -G need")):
            self.assertIn(words, self.option(verb, "ctx"), verb)

    def test_where_packed_weights_are_kept(self):
        for verb in ("run", "chat"):
            self.assertIn("cache folder", self.option(verb, "pack-cache"))
        for verb in ("eval", "bench", "verify", "inspect"):
            self.assertIn("default: none are kept", self.option(verb, "pack-cache"))


class HelpsAreTrue(Case):
    def test_the_context_of_run_is_what_it_needs(self):
        self.assertEqual(self.json_of("run", self.model, "-p", "x" * 30, "-n", 20)["context"], 64)
        self.assertEqual(self.json_of("run", self.model, "-p", "x" * 30, "-n", 2000, "--stop", "aaa")["context"], 512)

    def test_a_chunk_of_eval(self):
        result = json.loads(run("eval", self.model, "--json", stdin="x" * 1100).stdout)
        self.assertEqual(result["chunk_tokens"], 512)


class Windows(Case):
    def test_the_plan_tells_of_layers_that_hold_more_than_they_see(self):
        path = os.path.join(self.folder.name, "window.gguf")
        byte_model.write(path, layers=3, metadata=[("llama.attention.sliding_window", U32, 48)])
        plan = self.json_of("inspect", path, "--plan", "--ctx", 100)
        self.assertEqual(plan["attention"], {"layers": 3, "windowed_layers": 3, "window": 48})
        text = self.assert_ok(run("inspect", path, "--plan", "--ctx", 100))
        self.assertIn("3 of 3 layers look at the last 48 positions only, but hold all 100\n", text)
        self.assertNotIn("look at the last", self.assert_ok(run("inspect", path, "--plan", "--ctx", 48)))
        self.assertNotIn("look at the last", self.assert_ok(run("inspect", self.model, "--plan", "--ctx", 100)))
        self.assertEqual(self.json_of("inspect", self.model, "--plan")["attention"],
                         {"layers": 1, "windowed_layers": 0, "window": 0})


if __name__ == "__main__":
    program.main()
