"""test_pack_cache.py - --pack-cache on a real model: a warm start packs nothing, gives the same logits, and says so; a
cache that cannot be used is one warning and no more."""

import os
import tempfile

import program
from program import MODEL, ProgramTest, run

RUN = ["run", MODEL, "--threads", 2, "-n", 8, "--logits-hash", "-p", "On the shore of the northern sea"]


class PackCache(ProgramTest):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.cache = os.path.join(self.folder.name, "cache")
        self.plain = self.json_of(*RUN)

    def tearDown(self):
        self.folder.cleanup()

    def start(self, *arguments):
        """The weights' story of a start that gives the known logits."""
        result = self.json_of(*RUN, "--pack-cache", self.cache, *arguments)
        for key in ("tokens", "text", "logits_hashes"):
            self.assertEqual(result[key], self.plain[key], key)
        return result["timing"]["weights"]

    def packed_file(self):
        return next(os.path.join(self.cache, name) for name in os.listdir(self.cache) if name.endswith(".pack"))

    def test_cold_warm_and_mapped(self):
        n = self.plain["timing"]["weights"]["packed"]
        if n == 0:
            self.skipTest("no instruction-set level here packs weights")
        self.assertEqual(self.start(), {"packed": n, "from_cache": 0, "in_place": 0, "model_hashed": True, "stored": True})
        warm = {"packed": 0, "from_cache": n, "in_place": 0, "model_hashed": False, "stored": False}
        self.assertEqual(self.start(), warm)
        self.assertEqual(self.start("--map-packed"), warm)
        self.assertEqual(self.start("--isa", "avx2"), warm)
        self.assertEqual(self.start("--isa", "avx2", "--map-packed"), warm)
        plan = self.json_of("inspect", MODEL, "--plan", "--pack-cache", self.cache, "--map-packed")
        self.assertEqual(plan["weights"], warm)
        self.assertGreater(plan["memory"]["cached_weights"], 0)
        self.assertEqual(plan["memory"]["packed_weights"], 0)

    def test_every_verb_takes_it(self):
        self.start()
        for verb, *arguments in (["chat"], ["bench", "-P", 8, "-G", 2, "-r", 1], ["verify", "-n", 1, "-p", "shore"]):
            self.assert_ok(run(verb, MODEL, *arguments, "--pack-cache", self.cache, stdin=""))
        text = "The whimbrel walks along the shore. " * 20
        self.assert_ok(run("eval", MODEL, "--ctx", 64, "--pack-cache", self.cache, stdin=text))

    def test_a_bad_file_is_one_warning(self):
        if not self.start()["stored"]:
            self.skipTest("no instruction-set level here packs weights")
        path = self.packed_file()
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            file.write(b"rotten")
        result = run(*RUN, "--pack-cache", self.cache)
        self.assertEqual(result.returncode, program.OK)
        self.assertEqual(result.stderr.splitlines(),
                         [f"whimbrel: warning: pack cache: {path} is damaged; packing the weights again"])
        self.assertEqual(self.start()["packed"], 0)

    def test_a_folder_that_takes_no_files(self):
        if not self.plain["timing"]["weights"]["packed"]:
            self.skipTest("no instruction-set level here packs weights")
        result = run(*RUN, "--pack-cache", "/proc/self")
        self.assertEqual(result.returncode, program.OK)
        self.assertEqual(len(result.stderr.splitlines()), 1)
        self.assertIn("going on without it", result.stderr)
        self.assertEqual(run(*RUN, "--pack-cache", "/proc/self", "--quiet").stderr, "")


if __name__ == "__main__":
    program.main(needs_model=True)
