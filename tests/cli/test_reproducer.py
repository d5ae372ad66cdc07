"""test_reproducer.py - the first node that `verify` finds different is written by itself; computed again from that folder
it differs again on the device that computes wrong, and not on one that is healthy. `host2:wrong:OP` is a device whose
results of an op have a wrong bit."""

import json
import os
import random
import shutil
import subprocess
import tempfile

import byte_model
import program
import test_onnx
from program import DIFFERENT, MODEL_FILE, ProgramTest, run

FLOAT_OPS = ["gather_rows", "rms_norm", "linear", "rope", "kv_append", "attention", "swiglu"]
QUANTISED_OPS = ["rms_norm_quantize", "quantize_act", "swiglu_quantize", "linear"]


class Reproducer(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        rng = random.Random(2)
        cls.floats = byte_model.write(os.path.join(cls.folder.name, "floats.gguf"), layers=2,
                                      weights=lambda mean, deviation: rng.gauss(mean, deviation))
        cls.quantised = os.path.join(cls.folder.name, "quantised.gguf")
        subprocess.run([os.environ["WH_MAKE_MODEL"], "tiny", "q4_0", cls.quantised], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def differ(self, model, device, *more, both=()):
        """The document of a verification that finds a difference."""
        result = run("verify", model, "--device", device, *more, *both, "--against", "cpu", *both, "--json")
        self.assertEqual(result.returncode, DIFFERENT, result.stderr)
        return json.loads(result.stdout)

    def check_op(self, model, op):
        folder = os.path.join(self.folder.name, f"{os.path.basename(model)}-{op}")
        wrong = f"host2:delay:0,wrong:{op}"
        found = self.differ(model, wrong, "-n", 1, "--reproducer", folder)
        self.assertEqual(found["first_difference"]["op"], op)
        self.assertEqual(found["reproducer"], folder)
        again = self.differ(folder, wrong)
        for key in ("node", "op", "element"):
            self.assertEqual(again["first_difference"][key], found["first_difference"][key], key)
        self.assertIsNone(again["reproducer"])  # it is one
        healthy = self.json_of("verify", folder, "--device", "host2:delay:0", "--against", "cpu")
        self.assertTrue(healthy["same"])
        return folder, found

    def test_every_op_of_floats(self):
        for op in FLOAT_OPS:
            with self.subTest(op):
                self.check_op(self.floats, op)

    def test_every_op_of_quantised_weights(self):
        for op in QUANTISED_OPS:
            with self.subTest(op):
                self.check_op(self.quantised, op)

    def test_state_of_earlier_runs(self):
        """A prompt in several runs: attention of the last one reads what the others wrote."""
        folder = os.path.join(self.folder.name, "attention-later")
        more = ["-p", "abcdefghij", "-n", 2, "--reproducer", folder]
        for kv in ("f16", "f32"):
            shutil.rmtree(folder, ignore_errors=True)
            found = self.differ(self.floats, "host2:delay:0,wrong:attention,after:2", *more, "--prompt-chunk", 4, both=["--kv", kv])
            self.assertEqual(found["first_difference"]["op"], "attention")
            self.assertGreaterEqual(found["first_difference"]["position"], 4)
            self.assertEqual(found["reproducer"], folder)
            self.differ(folder, "host2:delay:0,wrong:attention")
            self.assertTrue(self.json_of("verify", folder, "--device", "host2:delay:0", "--against", "cpu")["same"])
            with open(os.path.join(folder, "graph.txt")) as file:
                self.assertEqual(file.read().count(" = kv_append("), 2)

    def test_it_is_small_and_a_model(self):
        folder, _ = self.check_op(self.floats, "swiglu")
        with open(os.path.join(folder, "graph.txt")) as file:
            text = file.read()
        self.assertEqual(text.count(" = swiglu("), 1)
        self.assertEqual(text.count("input"), 2)
        self.assertEqual(len(os.listdir(folder)), 3)
        self.assertIn("swiglu(", self.assert_ok(run("inspect", folder, "--graph")))
        with tempfile.TemporaryDirectory() as outputs:
            self.assert_ok(run("run", folder, "--output", outputs))
            self.assertEqual(os.listdir(outputs), ["out0.npy"])

    def test_a_network(self):
        path, folder = os.path.join(self.folder.name, "m.onnx"), os.path.join(self.folder.name, "network")
        with open(path, "wb") as file:
            file.write(test_onnx.model())
        found = self.differ(path, "host2:delay:0,wrong:mul", "--reproducer", folder, both=["--dim", "n=3"])
        self.assertEqual(found["reproducer"], folder)
        again = self.differ(folder, "host2:delay:0,wrong:mul")
        self.assertEqual(again["first_difference"]["node"], found["first_difference"]["node"])
        self.assertTrue(self.json_of("verify", folder, "--device", "host2:delay:0", "--against", "cpu")["same"])

    def test_text(self):
        with tempfile.TemporaryDirectory() as folder:
            result = run("verify", self.floats, "-n", 1, "--device", "host2:delay:0,wrong:linear", "--against", "cpu", cwd=folder)
            self.assertEqual(result.returncode, DIFFERENT)
            made = os.listdir(folder)
            self.assertEqual(len(made), 1)
            self.assertTrue(made[0].startswith("reproducer-blk.0."))
            self.assertIn(f"  the node by itself: {made[0]}, which verify takes for a model\n", result.stdout)

    def test_differences_that_are_no_faults(self):
        with tempfile.TemporaryDirectory() as folder:
            result = run("verify", self.floats, "-n", 1, "--kv", "f16", "--against", "--kv", "f32", cwd=folder)
            self.assertEqual((result.returncode, os.listdir(folder)), (DIFFERENT, []))

    def test_what_cannot_be_written_is_told(self):
        result = run("verify", self.floats, "-n", 1, "--device", "host2:delay:0,wrong:linear", "--reproducer", "/nowhere/x", "--against", "cpu")
        self.assertEqual(result.returncode, DIFFERENT)
        self.assertIn("could not be written by itself: /nowhere/x: No such file or directory\n", result.stdout)

    def test_hostile_folders(self):
        folder, _ = self.check_op(self.floats, "linear")
        graph = os.path.join(folder, "graph.txt")
        with open(graph) as file:
            text = file.read()
        weight = next(name for name in os.listdir(folder) if name.endswith("weight.npy"))

        def changed(new):
            other = os.path.join(self.folder.name, "changed")
            shutil.rmtree(other, ignore_errors=True)
            shutil.copytree(folder, other)
            with open(os.path.join(other, "graph.txt"), "w") as file:
                file.write(new)
            return other

        name = weight[:-len(".npy")]
        for bad in ("../" + name, "/etc/passwd", "", ".hidden"):
            result = run("verify", changed(text.replace(f'"{name}"', f'"{bad}"')))
            self.assert_fails(result, MODEL_FILE)
        self.assert_fails(run("verify", changed(text.replace('input "', 'input "../'))), MODEL_FILE, "'../", "no name of a file")
        self.assert_fails(run("verify", changed(text[:len(text) // 2])), MODEL_FILE, "graph.txt", "line")
        other = changed(text)
        with open(os.path.join(other, weight), "r+b") as file:
            file.truncate(200)
        self.assert_fails(run("verify", other), MODEL_FILE, weight)
        os.remove(os.path.join(other, weight))
        self.assert_fails(run("verify", other), MODEL_FILE, weight)


if __name__ == "__main__":
    program.main()
