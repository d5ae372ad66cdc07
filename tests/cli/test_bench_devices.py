"""test_bench_devices.py - `bench` of several devices side by side: one answer, times in turns, each with its own limits; and what
a GPU's energy is."""

import os
import subprocess
import tempfile

import program
from program import DIFFERENT, USAGE, ProgramTest, run

WORK = ["-P", 16, "-G", 4, "-r", 1, "-t", 1]


class Case(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.model = os.path.join(cls.folder.name, "tiny.gguf")
        subprocess.run([os.environ["WH_MAKE_MODEL"], "tiny", "q4_0", cls.model], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()


class SideBySide(Case):
    def test_json(self):
        results = self.json_of("bench", self.model, *WORK, "--device", "cpu,host2:delay:0", "--isa", "ref")["results"]
        self.assertEqual([r["device"]["name"] for r in results], ["cpu", "host2"])
        self.assertEqual(results[0]["answer_hash"], results[1]["answer_hash"])
        for r in results:
            self.assertEqual(len(r["decode"]["samples"]), 1)
            self.assertGreater(r["machine"]["read_bytes_per_second"]["median"], 0)
            self.assertAlmostEqual(r["decode_times_first"], r["decode"]["tokens_per_second"]["median"] /
                                   results[0]["decode"]["tokens_per_second"]["median"], places=5)
        alone = self.json_of("bench", self.model, *WORK)["results"]
        self.assertEqual(alone[0]["answer_hash"], results[0]["answer_hash"])
        self.assertNotIn("decode_times_first", alone[0])

    def test_text(self):
        out = self.assert_ok(run("bench", self.model, *WORK, "--device", "cpu,host2:delay:0"))
        self.assertIn("side by side, in turns, with one answer (", out)
        self.assertRegex(out, r"\n  cpu +[\d.]+ +1\.00 +[\d.]+ +1\.00\n  host2:delay:0 +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+\n$")

    def test_a_model_that_is_split(self):
        out = self.assert_ok(run("bench", self.model, *WORK, "--device", "host2:delay:0", "--gpu-layers", 1))
        self.assertIn("\n  1 of 3 layers on host2; the limits are those of cpu\n", out)

    def test_a_wrong_answer_gets_no_speed(self):
        result = run("bench", self.model, *WORK, "--device", "cpu,host2:wrong:linear")
        self.assert_fails(result, DIFFERENT, "no speed", "cpu and host2:wrong:linear disagree", "whimbrel verify", "--against cpu")
        self.assertEqual(result.stdout, "")

    def test_arguments(self):
        for text in ("cpu,", ",cpu", "cpu,,host2"):
            self.assert_fails(run("bench", self.model, "--device", text), USAGE, "--device", "commas")
        self.assert_fails(run("bench", self.model, "--device", ",".join(["cpu"] * 9)), USAGE, "at most 8")
        self.assert_fails(run("bench", self.model, "--device", "cpu,abacus"), USAGE, "abacus")
        self.assert_fails(run("bench", "m.onnx", "--device", "cpu,host2"), USAGE, "ONNX")


class Energy(Case):
    """What a GPU takes, of a management library that knows `host2`."""

    def results(self, **environment):
        environment = {**os.environ, "LD_LIBRARY_PATH": os.environ["WH_FAKE_NVML"], **environment}
        return self.json_of("bench", self.model, *WORK, "--device", "host2:delay:100", env=environment)["results"]

    def test_joules_per_token(self):
        gpu = self.results()[0]
        for s in gpu["decode"]["samples"]:  # in steps of a millisecond
            self.assertAlmostEqual(s["joules_per_token"] * s["tokens_per_second"], 50, delta=10)
        self.assertGreater(gpu["decode"]["joules_per_token"], 0)
        self.assertIsNone(self.json_of("bench", self.model, *WORK, "--device", "cpu")["results"][0]["decode"]["joules_per_token"])
        environment = {**os.environ, "LD_LIBRARY_PATH": os.environ["WH_FAKE_NVML"]}
        out = self.assert_ok(run("bench", self.model, *WORK, "--device", "host2:delay:100", env=environment))
        self.assertRegex(out, r"\n  energy: [\d.e-]+ J for a decoded token\n")

    def test_nobody_tells(self):
        for environment in ({"LD_LIBRARY_PATH": "/nowhere"}, {"FAKE_NVML": "broken"}, {"FAKE_NVML": "silent"}):
            with self.subTest(environment):
                self.assertIsNone(self.results(**environment)[0]["decode"]["joules_per_token"])


if __name__ == "__main__":
    program.main()
