"""test_placement.py - which layers run where: on `host2`, a device of as much memory as its name says, beside the
processor. What fits is found before anything is loaded, an error says how much is missing and how many layers would fit,
and the answer has the same bits wherever the layers are."""

import os
import random
import re
import subprocess
import tempfile

import byte_model
import program
from program import LIMIT, OK, USAGE, ProgramTest, run

N_LAYERS, N_EXPERT_LAYERS = 6, 4
RUN = ["-n", 3, "-t", 1, "-c", 64, "--logits-hash"]


def device(memory):
    return f"host2:delay:0,memory:{memory}"


class Case(ProgramTest):
    PROMPT = ["-p", "abc"]

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        rng = random.Random(1)
        cls.model = byte_model.write(os.path.join(cls.folder.name, "bytes.gguf"), layers=N_LAYERS,
                                     weights=lambda mean, deviation: rng.gauss(mean, deviation))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def hashes(self, *arguments):
        return self.json_of("run", self.model, *self.PROMPT, *RUN, *arguments)["logits_hashes"]

    def placement(self, *arguments):
        """Of each device, by its name."""
        found = self.json_of("inspect", self.model, "--plan", "-c", 64, "-t", 1, *arguments)["devices"]
        return {d["name"]: d for d in found}

    def need(self, *arguments):
        """Bytes that host2 takes for all of the model or a part of it."""
        d = self.placement("--device", device(1 << 40), *arguments)["host2"]
        return d["packed_weights"] + d["kv_state"] + d["activations"]

    def memory_for(self, *arguments):
        """The least memory of a device that has room: it keeps a sixteenth to itself."""
        need = self.need(*arguments)
        return need + need // 15 + 2


class Layers(Case):
    def test_bytes_of_each_device(self):
        whole = self.placement("--device", device(1 << 40))["host2"]
        split = self.placement("--device", device(1 << 40), "--gpu-layers", 2)
        self.assertEqual(whole["layers"], N_LAYERS)
        self.assertEqual((split["cpu"]["layers"], split["host2"]["layers"]), (N_LAYERS - 2, 2))
        self.assertEqual(split["cpu"]["kv_state"], 2 * split["host2"]["kv_state"])
        self.assertIsNone(split["cpu"]["free_bytes"])
        self.assertGreater(split["host2"]["free_bytes"], 1 << 39)
        text = self.assert_ok(run("inspect", self.model, "--plan", "--device", device(1 << 40), "--gpu-layers", 2))
        self.assertRegex(text, r"\n  host2 +2 +\d+ +\d+ +\d+  of [\d.]+ GiB free\n")

    def test_as_many_as_fit(self):
        want = self.hashes()
        for layers in (2, 4, N_LAYERS):
            memory = self.memory_for("--gpu-layers", layers)
            for given, expected in ((memory, layers), (memory - 4096, layers - 1)):
                found = self.placement("--device", device(given), "--gpu-layers", "auto")
                self.assertEqual(found["host2"]["layers"], expected, given)
            self.assertEqual(self.hashes("--device", device(memory), "--gpu-layers", "auto"), want)
        found = self.placement("--device", device(self.memory_for()), "--gpu-layers", "auto")
        self.assertEqual(found["cpu"]["packed_weights"], 0)  # with the embedding, and what follows the layers
        answer = self.json_of("run", self.model, *self.PROMPT, *RUN, "--device", device(1 << 40), "--gpu-layers", 2)
        self.assertEqual([(d["name"], d["layers"]) for d in answer["placement"]], [("cpu", N_LAYERS - 2), ("host2", 2)])

    def test_nothing_fits(self):
        result = run("run", self.model, *self.PROMPT, *RUN, "--device", device(8192), "--gpu-layers", "auto", "--json")
        self.assertEqual(result.returncode, OK, result.stderr)
        self.assertIn("no layer of the model fits on host2", result.stderr)

    def test_what_is_missing_is_told(self):
        memory = self.memory_for("--gpu-layers", 4)
        result = run("run", self.model, *self.PROMPT, *RUN, "--device", device(memory))
        self.assert_fails(result, LIMIT, "host2: ", "of its memory are needed", "of weights", "are free", "are missing",
                          f"4 of the model's {N_LAYERS} layers would fit (--gpu-layers auto)")
        self.assertEqual(result.stdout, "")
        needed, free, missing = (float(re.search(rf"([\d.]+) KiB {words}", result.stderr).group(1))
                                 for words in ("of its", "are free", "are missing"))
        parts = [float(re.search(rf"([\d.]+) KiB of {what}", result.stderr).group(1)) for what in ("weights", "attention", "activations")]
        self.assertAlmostEqual(needed, sum(parts), delta=0.2)
        self.assertAlmostEqual(needed - free, missing, delta=0.2)
        self.assert_fails(run("run", self.model, *self.PROMPT, *RUN, "--device", device(memory), "--gpu-layers", 5), LIMIT,
                          "4 of the model's 6 layers would fit")
        self.assert_ok(run("run", self.model, *self.PROMPT, *RUN, "--device", device(memory), "--gpu-layers", 4))

    def test_a_longer_context_leaves_room_for_fewer(self):
        memory = self.memory_for("--gpu-layers", 4)
        found = self.json_of("inspect", self.model, "--plan", "-c", 128, "-t", 1, "--device", device(memory), "--gpu-layers", "auto")
        self.assertLess(found["devices"][1]["layers"], 4)

    def test_verify_says_what_runs_where(self):
        out = self.assert_ok(run("verify", self.model, "-p", "ab", "-n", 1, "--device", device(1 << 30), "--gpu-layers", 2, "--against", "cpu"))
        self.assertIn(", 2 layers on host2\n", out)
        self.assertIn("same: ", out)

    def test_arguments(self):
        base = ["run", self.model, "-p", "x"]
        for text in ("some", "-1", "1.5", ""):
            self.assert_fails(run(*base, "--device", "host2", "--gpu-layers", text), USAGE, "--gpu-layers", "auto", f"'{text}'")
        self.assert_fails(run(*base, "--device", "cpu", "--gpu-layers", 2), USAGE, "--gpu-layers", "--device")
        self.assert_fails(run(*base, "--device", "host2:memory:some"), USAGE, "memory:some")
        self.assert_fails(run("run", "m.onnx", "--random", "--gpu-layers", 2), USAGE, "language models")

    def test_any_device(self):
        """The best that works: where there is no GPU, the processor, for a named one an error."""
        devices = self.json_of("devices")["devices"]
        if len(devices) > 1:
            self.skipTest("this machine has a GPU")
        found = self.json_of("run", self.model, *self.PROMPT, *RUN, "--device", "auto")
        self.assertEqual(found["device"]["name"], "cpu")
        self.assertEqual(found["logits_hashes"], self.hashes())
        result = run("run", self.model, *self.PROMPT, *RUN, "--gpu-layers", 2)
        self.assertNotEqual(result.returncode, OK)
        self.assertIn("cuda", result.stderr)


def together(*memories):
    return "+".join(device(m) for m in memories)


class Together(Case):
    """Several devices: layers by their free memory, or a part of every layer on each. host2 checks every wait between them."""

    def devices_of(self, *arguments):
        return self.json_of("inspect", self.model, "--plan", "-c", 64, "-t", 1, *arguments)["devices"]

    def layers_of(self, *arguments):
        return [d["layers"] for d in self.devices_of(*arguments)]

    def test_layers_by_free_memory(self):
        big = 1 << 40
        self.assertEqual(self.layers_of("--device", together(big, big)), [3, 3])
        self.assertEqual(self.layers_of("--device", together(big, big // 2)), [4, 2])
        self.assertEqual(self.layers_of("--device", together(big, big, big)), [2, 2, 2])
        self.assertEqual(self.layers_of("--device", together(big, big), "--gpu-layers", 4), [2, 2, 2])
        found = self.devices_of("--device", together(big, big))
        self.assertEqual([d["name"] for d in found], [device(big)] * 2)
        self.assertEqual(found[0]["kv_state"], found[1]["kv_state"])
        text = self.assert_ok(run("inspect", self.model, "--plan", "--device", together(big, big)))
        self.assertIn(f"copy blk.2.ffn_residual from {device(big)}\n", text)

    def test_same_answer(self):
        want = self.hashes()
        big = 1 << 40
        for devices in (together(big, big), together(big, big, big), "cpu+" + device(big)):
            self.assertEqual(self.hashes("--device", devices), want, devices)
            self.assertEqual(self.hashes("--device", devices, "--split-mode", "tensor"), want, devices)
        self.assertEqual(self.hashes("--device", together(big, big), "--gpu-layers", 4), want)
        self.assertEqual(self.hashes("--device", "host2:seed:3+host2:seed:4"), want)
        self.assertEqual(self.hashes("--device", "host2:seed:5+host2:seed:6", "--split-mode", "tensor"), want)

    def test_each_has_room(self):
        """Where the shares by memory do not fit, layers move until they do; else it is said what is missing, and where."""
        whole, three = self.memory_for(), self.memory_for("--gpu-layers", 3)
        self.assertEqual(sum(self.layers_of("--device", together(whole - 4096, three))), N_LAYERS)
        self.assertEqual(self.layers_of("--device", together(1 << 40, three), "--gpu-layers", "auto")[0], 0)
        few = self.memory_for("--gpu-layers", 2)
        found = self.layers_of("--device", together(few, few), "--gpu-layers", "auto")
        self.assertEqual(found, [2, 2, 2])
        self.assertEqual(self.hashes("--device", together(few, few), "--gpu-layers", "auto"), self.hashes())
        result = run("run", self.model, *self.PROMPT, *RUN, "--device", together(few, few))
        self.assert_fails(result, LIMIT, device(few) + ": ", "are missing", "4 of the model's 6 layers would fit (--gpu-layers auto)")

    def test_auto_takes_the_fewest(self):
        whole = self.memory_for()
        found = self.devices_of("--device", together(whole, 1 << 40), "--gpu-layers", "auto")
        self.assertEqual([d["layers"] for d in found], [0, N_LAYERS])
        found = self.devices_of("--device", together(whole - 4096, 1 << 40), "--gpu-layers", "auto")
        self.assertEqual((len(found), sum(d["layers"] for d in found[1:])), (3, N_LAYERS))

    def test_tensors(self):
        big = 1 << 40
        one = self.devices_of("--device", device(big))[0]
        found = self.devices_of("--device", together(big, big), "--split-mode", "tensor")
        self.assertEqual([d["layers"] for d in found], [N_LAYERS] * 2)
        self.assertLess(max(d["packed_weights"] for d in found), one["packed_weights"])
        out = self.json_of("verify", self.model, "-p", "ab", "-n", 1, "--device", together(big, big), "--split-mode", "tensor", "--against", "cpu")
        self.assertTrue(out["same"])
        small = self.memory_for("--gpu-layers", 1)
        self.assert_fails(run("run", self.model, *self.PROMPT, *RUN, "--device", together(big, small), "--split-mode", "tensor"),
                          LIMIT, device(small) + ": ", "are missing")

    def test_a_device_that_fails(self):
        for mode in ("layer", "tensor"):
            for fault in ("fail_copy:3", "refuse_copy:3", "fail_submit:3", "refuse_submit:2", "fail_alloc:3"):
                for devices in (f"host2:delay:0+host2:delay:0,{fault}", f"host2:delay:0,{fault}+host2:delay:0"):
                    result = run("run", self.model, *self.PROMPT, *RUN, "--device", devices, "--split-mode", mode)
                    self.assertIn(result.returncode, (4, 5, 70), (devices, mode, result.stderr))
                    self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_arguments(self):
        base = ["run", self.model, "-p", "x"]
        self.assert_fails(run(*base, "--split-mode", "tensor"), USAGE, "cuda:0+cuda:1")
        self.assert_fails(run(*base, "--device", "host2+host2", "--split-mode", "tensor", "--gpu-layers", 2), USAGE, "--gpu-layers")
        self.assert_fails(run(*base, "--device", "host2+abacus"), USAGE, "abacus")
        self.assert_fails(run(*base, "--device", "+".join(["host2"] * 9)), USAGE, "at most 8")
        self.assert_fails(run("run", "m.onnx", "--random", "--device", "host2+host2"), USAGE, "language models")
        self.assert_fails(run("devices", "--device", "host2+host2"), USAGE, "one --device")


class Experts(Case):
    """A mixture: its layers' attention goes to the device first, then the experts of the last layers."""
    PROMPT = ["--no-special", "-p", "a"]

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.model = os.path.join(cls.folder.name, "mixture.gguf")
        subprocess.run([os.environ["WH_MAKE_MODEL"], "tiny-moe", "q4_0", cls.model], check=True, capture_output=True)

    def hashes(self, *arguments):
        out = self.json_of("verify", self.model, "-n", 1, "-t", 1, *arguments, "--against", "cpu")
        return out["same"]

    def test_experts_stay_on_the_processor(self):
        for layers, kept in ((N_EXPERT_LAYERS, 2), (3, 3), (99, N_EXPERT_LAYERS)):
            split = ["--device", device(1 << 40), "--gpu-layers", layers, "--cpu-experts", kept]
            found = self.placement(*split)["host2"]
            self.assertEqual((found["layers"], found["layers_without_experts"]), (min(layers, N_EXPERT_LAYERS), kept))
            self.assertTrue(self.hashes(*split))

    def test_devices_that_share(self):
        """Of tensors a layer's experts stay together, layers by turns."""
        self.assertTrue(self.hashes("--device", together(1 << 40, 1 << 40)))
        split = ["--device", together(1 << 40, 1 << 40), "--split-mode", "tensor"]
        self.assertTrue(self.hashes(*split))
        weights = [d["packed_weights"] for d in self.json_of("inspect", self.model, "--plan", "-c", 64, *split)["devices"]]
        self.assertLess(max(weights), 1.5 * min(weights))

    def test_what_fits(self):
        attention = self.memory_for("--gpu-layers", 99, "--cpu-experts", N_EXPERT_LAYERS)
        all_but_one = self.memory_for("--gpu-layers", 99, "--cpu-experts", 1)
        self.assertGreater(all_but_one, 2 * attention)
        for memory, layers, kept in ((attention, N_EXPERT_LAYERS, N_EXPERT_LAYERS), (all_but_one, N_EXPERT_LAYERS, 1),
                                     (all_but_one - 4096, N_EXPERT_LAYERS, 2)):
            split = ["--device", device(memory), "--gpu-layers", "auto"]
            found = self.placement(*split)["host2"]
            self.assertEqual((found["layers"], found["layers_without_experts"]), (layers, kept))
            self.assertTrue(self.hashes(*split))
        result = run("verify", self.model, "-n", 1, "--device", device(all_but_one), "--against", "cpu")
        self.assert_fails(result, LIMIT, "4 of the model's 4 layers would fit, ", " of them without their experts")


if __name__ == "__main__":
    program.main()
