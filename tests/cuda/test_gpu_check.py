"""test_gpu_check.py - scripts/gpu-check, run whole where the emulator stands in for libcuda.so.1: its stages pass, leave
their evidence, and find a device that computes nothing.

usage: test_gpu_check.py SOURCE_FOLDER BUILD_FOLDER EMULATOR FAKE_CUBLASLT"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT, BUILD, EMULATOR, CUBLASLT = map(os.path.abspath, sys.argv[1:5])


class GpuCheck(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.out = os.path.join(self.folder, "evidence")
        os.symlink(EMULATOR, os.path.join(self.folder, "libcuda.so.1"))
        self.python = "there is none"
        self.model = os.path.join(self.folder, "tiny.gguf")
        subprocess.run([os.path.join(BUILD, "bench/make_model"), "tiny", "q4_0", self.model], check=True, capture_output=True)

    def check(self, *arguments, driver=True, **environment):
        command = [sys.executable, os.path.join(ROOT, "scripts/gpu-check"), *arguments, "--build", BUILD, "--out", self.out,
                   "--python", self.python]
        environment = {**os.environ, "WH_TEST_MODEL": self.model, **environment}
        if driver:
            environment["LD_LIBRARY_PATH"] = self.folder
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)

    def evidence(self):
        name = next(n for n in os.listdir(self.out) if n.endswith(".json"))
        with open(os.path.join(self.out, name), encoding="utf-8") as file:
            found = json.load(file)
        with open(os.path.join(self.out, name[:-len("json")] + "md"), encoding="utf-8") as file:
            return found, file.read()

    def test_stages_pass_and_add_up(self):
        result = self.check("device")
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
        result = self.check("emulator")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("fast: not run", self.check("fast").stdout)
        found, table = self.evidence()
        self.assertEqual({name: s["result"] for name, s in found["stages"].items()},
                         {"device": "passed", "emulator": "passed", "fast": "not run"})
        self.assertIn("ptxemu", found["card"])
        self.assertIn("GB/s read", found["stages"]["device"]["output"])
        self.assertIn("same: ", found["stages"]["emulator"]["output"])
        self.assertIn("| emulator | passed |", table)

    def test_a_failure_is_evidence(self):
        result = self.check("verify", PTXEMU="fail=60,fail_code=719,quiet")
        self.assertEqual(result.returncode, 1, result.stdout)
        found, table = self.evidence()
        self.assertEqual(found["stages"]["verify"]["result"], "FAILED")
        self.assertIn("cuda: ", found["stages"]["verify"]["output"])
        self.assertIn("| verify | FAILED |", table)

    def test_fast(self):
        os.symlink(CUBLASLT, os.path.join(self.folder, "libcublasLt.so.13"))
        result = self.check("fast")
        self.assertEqual(result.returncode, 0, result.stdout)
        found, _ = self.evidence()
        self.assertEqual(found["stages"]["fast"]["result"], "passed")
        self.assertIn("rows and more by libcublasLt.so.13", found["stages"]["fast"]["output"])
        self.assertIn("of sum |a b|", found["stages"]["fast"]["output"])

    def test_pytorch(self):
        numbers = {"torch": "0", "compiled": True, "weight_bytes": 4 << 20, "prefill": {"tokens_per_second": 8},
                   "decode": {"tokens_per_second": 4}}
        self.python = os.path.join(self.folder, "python")  # stands in for one that has PyTorch
        with open(self.python, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n[ \"$1\" = -c ] && exit 0\necho a warning\necho\nprintf '%s' \"$2\" > {self.folder}/shape\n"
                       f"[ \"$3\" = --fails ] && exit 1\necho '{json.dumps(numbers)}'\n")
        os.chmod(self.python, 0o755)
        models = ["--models", "tiny:q4_0,tiny:q8_0"]
        result = self.check("pytorch", *models)
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(os.path.join(self.folder, "shape"), encoding="utf-8") as file:
            shape = json.load(file)
        self.assertEqual(shape, {"layers": 3, "embedding": 256, "ff": 768, "heads": 4, "kv_heads": 2, "vocabulary": 2000})
        found, table = self.evidence()
        self.assertEqual(found["stages"]["pytorch"]["models"], {"tiny": numbers})
        self.assertIn("tiny q8_0: PyTorch 0 bf16, compiled: prefill 8.0, decode 4.0 tokens/s", table)
        result = self.check("pytorch", *models, "--torch-options=--fails")
        self.assertEqual(result.returncode, 1, result.stderr)

    def test_no_time(self):
        result = self.check("--minutes", "0")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.count("no time left for it"), 7)  # and tools that are not there
        self.assertFalse(os.path.exists(self.out) and "passed" in self.evidence()[1])

    def test_no_gpu(self):
        result = self.check(driver=False)
        if result.returncode == 0:
            self.skipTest("this machine has one")
        self.assertIn("no GPU that the backend can use", result.stderr)
        self.assertIn("driver", result.stderr)

    def test_arguments(self):
        self.assertIn("no stage frobnicate", self.check("frobnicate").stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
