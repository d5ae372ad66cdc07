"""test_devices.py - a real model on a second kind of device: `host2`, whose memory the host cannot address and whose
queue works late (backends/host2), alone and beside the processor. The answer has the same bits, in every order that
the delays make, and a device that fails is one sentence. Then the same of the CUDA backend on the emulated GPU, which
interprets its kernels."""

import os
import unittest

import program
from program import MODEL, USAGE, ProgramTest, run

PROMPT = ["-p", "The capital of France is", "-n", 2, "--logits-hash"]
DEFECT_OR_DEVICE = (4, 5, 70)


class Devices(ProgramTest):
    def hashes(self, *arguments):
        return self.json_of("run", MODEL, *PROMPT, *arguments)["logits_hashes"]

    def test_another_device(self):
        want = self.hashes()
        for seed in range(4):  # 20, of a small graph: tests/backend/test_host2_faults.c
            self.assertEqual(self.hashes("--device", "host2", "--isa", f"seed:{seed}"), want, seed)

    def test_split_by_layers(self):
        want = self.hashes()
        for layers in (1, 30, 31):  # 30 are there; more: the rest of the model as well
            self.assertEqual(self.hashes("--device", "host2", "--gpu-layers", layers), want, layers)

    def test_every_node(self):
        out = self.assert_ok(run("verify", MODEL, "--device", "host2", "-n", 1, "--against"))
        self.assertIn("same: ", out)
        self.assertIn("not compared: 0\n", out)

    def test_what_fails_is_told(self):
        for fault in ("fail_submit:1", "fail_copy:1", "fail_alloc:1"):
            result = run("run", MODEL, *PROMPT, "--device", "host2", "--isa", fault)
            self.assertIn(result.returncode, DEFECT_OR_DEVICE, result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assert_fails(run("run", MODEL, *PROMPT, "--device", "abacus", "--gpu-layers", 2), USAGE, "abacus", "cpu")


EMULATED = "cuda:emulated"


class EmulatedGpu(ProgramTest):
    def setUp(self):
        found = self.json_of("devices")
        if "cuda" not in [d["name"] for d in found["devices"] + found["unavailable"]]:
            self.skipTest("the build has no CUDA backend: no nvcc")

    def test_it_is_named(self):
        self.assertIn("cuda:emulated: ptxemu", self.assert_ok(run("devices", "--device", EMULATED)))
        self.assertIn("exact all the same", self.assert_ok(run("devices", "--device", EMULATED, "--numerics", "fast")))
        self.assert_fails(run("devices", "--device", EMULATED + ":7"), program.UNSUPPORTED, "no device 7")
        self.assert_fails(run("devices", "--device", "cuda:first"), USAGE, "cuda:first", "number")

    def test_same_answer(self):
        prompt = ["run", MODEL, "-p", "The capital of France is", "-n", 4, "--logits-hash"]
        want = self.json_of(*prompt)["logits_hashes"]
        self.assertEqual(self.json_of(*prompt, "--device", EMULATED)["logits_hashes"], want)

    def test_last_layers_on_the_gpu(self):
        prompt = ["run", MODEL, "-p", "Hello", "-n", 1, "--logits-hash"]
        want = self.json_of(*prompt)["logits_hashes"]
        self.assertEqual(self.json_of(*prompt, "--device", EMULATED, "--gpu-layers", 2)["logits_hashes"], want)

    def test_two_gpus(self):
        """Each has a part of every layer: three KV heads on two. What each has by layers is planned only: it takes as long."""
        environment = {**os.environ, "PTXEMU": "strict,devices=2"}
        two = ["--device", EMULATED + "+" + EMULATED + ":1"]
        prompt = ["run", MODEL, "-p", "Hello", "-n", 1, "--logits-hash"]
        want = self.json_of(*prompt)["logits_hashes"]
        self.assertEqual(self.json_of(*prompt, *two, "--split-mode", "tensor", env=environment)["logits_hashes"], want)
        found = self.json_of("inspect", MODEL, "--plan", *two, env=environment)["devices"]
        self.assertEqual([(d["name"], d["layers"]) for d in found], [(EMULATED, 15), (EMULATED + ":1", 15)])

    def test_every_node(self):
        out = self.assert_ok(run("verify", MODEL, "-p", "Hello", "-n", 1, "--device", EMULATED, "--against"))
        self.assertIn("same: ", out)
        self.assertIn("not compared: 0\n", out)

    def test_what_fails_is_told(self):
        for options in ("fail=30", "fail=60,fail_code=719", "memory=64", "profile=t4"):
            environment = {**os.environ, "PTXEMU": options + ",quiet"}
            result = run("run", MODEL, "-p", "Hello", "-n", 1, "--device", EMULATED, env=environment)
            self.assertIn(result.returncode, (*DEFECT_OR_DEVICE, program.UNSUPPORTED), result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)


if __name__ == "__main__":
    program.main(needs_model=True)
