"""test_gpu_predict.py - what scripts/gpu-predict counts by: the emulator's file of counters for a run of a model, and that a
sample of the blocks stands for all.

usage: test_gpu_predict.py BUILD_FOLDER"""

import csv
import os
import subprocess
import sys
import tempfile
import unittest

BUILD = os.path.abspath(sys.argv[1])
COUNTERS = ("instructions", "sectors", "wavefronts")


class Counts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.model = os.path.join(self.folder, "tiny.gguf")
        subprocess.run([os.path.join(BUILD, "bench/make_model"), "tiny", "q4_0", self.model], check=True, capture_output=True)

    def counts(self, sequences, tokens, options=""):
        path = os.path.join(self.folder, "counts.tsv")
        step = [os.path.join(BUILD, "bench/gpu_step"), BUILD, self.model, str(sequences), str(tokens)]
        subprocess.run(step, check=True, env={**os.environ, "PTXEMU": f"counts={path}{options}"}, capture_output=True)
        with open(path, encoding="utf-8") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    def test_kernels_of_a_token_and_of_a_prompt(self):
        token = {line["kernel"] for line in self.counts(1, 1)}
        self.assertIn("linear_single_q4_0", token)
        prompt = self.counts(1, 80)
        self.assertNotIn("linear_single_q4_0", {line["kernel"] for line in prompt})
        for line in prompt:
            self.assertGreater(int(line["launches"]), 0)
            self.assertGreater(int(line["instructions"]), 0)

    def test_a_sample_stands_for_all(self):
        def of_a_launch(lines):
            return {(line["kernel"], line["grid_x"], line["grid_y"], line["grid_z"]): line for line in lines}
        whole, some = of_a_launch(self.counts(1, 80)), of_a_launch(self.counts(1, 80, ",sample=4"))
        compared = 0
        for launch in whole.keys() & some.keys():
            if "linear" not in launch[0]:
                continue  # others look at what numbers and positions there are
            for counter in COUNTERS:
                a, b = (int(line[counter]) / int(line["launches"]) for line in (whole[launch], some[launch]))
                self.assertLess(abs(a - b), 0.3 * a + 1, (launch, counter))
                compared += 1
        self.assertGreater(compared, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
