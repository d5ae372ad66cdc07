"""test_arguments.py - command lines: help, errors and exit codes. Needs no model."""

import json
import os
import subprocess
import tempfile

import program
from program import IO, MODEL_FILE, OK, UNSUPPORTED, USAGE, ProgramTest, run

VERBS = ["run", "chat", "inspect", "devices", "bench", "verify", "eval", "quantize", "calibrate"]


class Help(ProgramTest):
    def test_lists_every_verb(self):
        out = self.assert_ok(run("--help"))
        for verb in VERBS:
            self.assertIn(f"\n  {verb} ", out)

    def test_every_verb_has_options_and_examples(self):
        for verb in VERBS:
            out = self.assert_ok(run(verb, "--help"))
            self.assertTrue(out.startswith(f"usage: whimbrel {verb} "), out)
            self.assertIn("\nExamples:\n  ", out)
            self.assertIn("--json", out)
            self.assertEqual(out, self.assert_ok(run("help", verb)))
            self.assertLessEqual(max(map(len, out.splitlines())), 110)

    def test_version(self):
        self.assertRegex(self.assert_ok(run("--version")), r"^whimbrel \d+\.\d+\.\d+\n$")

    def test_help_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            self.assert_fails(run("--help", stdout=full), IO, "No space left on device")
            self.assert_fails(run("run", "--help", stdout=full), IO, "No space left on device")


class Usage(ProgramTest):
    def test_nothing_to_do(self):
        self.assert_fails(run(), USAGE, "--help")

    def test_unknown_verb(self):
        self.assert_fails(run("insepct"), USAGE, "insepct", "did you mean inspect?")
        self.assert_fails(run("frobnicate"), USAGE, "--help")

    def test_unknown_option(self):
        self.assert_fails(run("run", "m", "--theards", "3"), USAGE, "--theards", "did you mean --threads?")
        self.assert_fails(run("run", "m", "--xyzzy"), USAGE, "--xyzzy", "--help")
        self.assert_fails(run("verify", "m", "--against", "--isb", "ref"), USAGE, "--isb", "--isa")

    def test_model_is_required(self):
        for verb in VERBS:
            if verb != "devices":
                self.assert_fails(run(verb), USAGE, "model")

    def test_extra_argument(self):
        self.assert_fails(run("run", "m", "surplus"), USAGE, "surplus")
        self.assert_fails(run("devices", "surplus"), USAGE, "surplus")

    def test_missing_value(self):
        self.assert_fails(run("run", "m", "-n"), USAGE, "--tokens", "value")
        self.assert_fails(run("run", "m", "--json=yes"), USAGE, "--json", "no value")

    def test_whole_numbers_are_strict(self):
        for text in ["0", "-1", "+1", " 1", "1x", "", "0x10", "1e3", "1025", "99999999999999999999"]:
            with self.subTest(text):
                self.assert_fails(run("run", "m", "--threads", text), USAGE, "--threads", "1 to 1024", f"'{text}'")

    def test_real_numbers_are_strict(self):
        for text in ["nan", "inf", "1.5x", "", " 0.5", "-0.1", "1.1"]:
            with self.subTest(text):
                self.assert_fails(run("run", "m", "--top-p", text), USAGE, "--top-p", "0 to 1", f"'{text}'")

    def test_choices(self):
        self.assert_fails(run("run", "m", "--kv", "f1"), USAGE, "--kv", "f16|f32|q8")

    def test_a_newline_does_not_split_the_error_line(self):
        self.assert_fails(run("run\nrun"), USAGE)
        self.assert_fails(run("run", "no\nfile", "-p", "x"), MODEL_FILE)

    def test_contradictions(self):
        self.assert_fails(run("run", "m", "-p", "x", "-f", "y"), USAGE, "-p", "-f")
        self.assert_fails(run("run", "m", "--system", "x"), USAGE, "--chat")
        self.assert_fails(run("inspect", "m", "--source", "--optimised"), USAGE, "--source")
        self.assert_fails(run("bench", "m", "-P", "0", "-G", "0"), USAGE, "nothing to time")
        for number in ["0", "65", "two"]:
            self.assert_fails(run("bench", "m", "--sequences", number), USAGE, "--sequences", number, "1 to 64")

    def test_too_many_stops(self):
        self.assert_fails(run("run", "m", *["--stop=x"] * 17), USAGE, "--stop", "16")


class Inputs(ProgramTest):
    def test_missing_file(self):
        for verb in ["run", "chat", "inspect", "bench", "verify", "eval"]:
            self.assert_fails(run(verb, "/nowhere/model.gguf"), MODEL_FILE, "/nowhere/model.gguf")

    def test_directory(self):
        self.assert_fails(run("inspect", "/"), MODEL_FILE, "/")

    def test_not_a_model(self):
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            self.assert_fails(run("inspect", file.name), MODEL_FILE, file.name)  # empty
            file.write(b"GGUF" + bytes(3))
            file.flush()
            self.assert_fails(run("inspect", file.name), MODEL_FILE, file.name)  # cut in its header

    def test_unreadable_prompt(self):
        self.assert_fails(run("run", "m", "-f", "/nowhere/prompt"), MODEL_FILE, "/nowhere/prompt")
        self.assert_fails(run("run", "m", "-f", "/"), MODEL_FILE, "directory")


class Devices(ProgramTest):
    def test_text_and_json_agree(self):
        text = self.assert_ok(run("devices"))
        device = self.json_of("devices")["devices"][0]
        self.assertIn(f"\n  isa          {device['isa']};", text)
        self.assertTrue(text.startswith("cpu: "))
        self.assertGreaterEqual(device["cores"], 1)
        self.assertGreaterEqual(device["threads"], 1)

    def test_each_level_can_be_chosen(self):
        levels = self.json_of("devices")["devices"][0]["isa_levels"].split()
        self.assertEqual(levels[0], "ref")
        for level in levels:
            self.assertEqual(self.json_of("devices", "--isa", level)["devices"][0]["isa"], level)

    def test_binding(self):
        for binding in ("none", "cores"):
            device = self.json_of("devices", "--bind", binding, "--threads", 2)["devices"][0]
            self.assertEqual(device["binding"], binding)
        self.assertIn("bound to     none (asked for)", self.assert_ok(run("devices", "--bind", "none")))
        self.assert_fails(run("devices", "--bind", "chairs"), USAGE, "--bind", "auto", "nodes")

    def test_prefetch(self):
        for asked, name in (("temporal", "temporal"), ("nontemporal", "non-temporal")):
            device = self.json_of("devices", "--prefetch", asked)["devices"][0]
            if device["isa"] != "ref":
                self.assertEqual((device["prefetch"], device["prefetch_reason"]), (name, "as asked for"))
        device = self.json_of("devices")["devices"][0]
        self.assertIn(f"prefetch     {device['prefetch']} ({device['prefetch_reason']})", self.assert_ok(run("devices")))
        self.assertEqual(self.json_of("devices", "--isa", "ref")["devices"][0]["prefetch"], "none")
        self.assert_fails(run("devices", "--prefetch", "sideways"), USAGE, "--prefetch", "auto", "nontemporal")

    def test_graphs_of_gpus(self):
        for asked in ("auto", "off"):
            self.assert_ok(run("devices", "--gpu-graphs", asked))
        self.assert_fails(run("devices", "--gpu-graphs", "sideways"), USAGE, "--gpu-graphs", "auto", "off")

    def test_the_measured_limits_name_their_loops(self):
        roofline = self.json_of("devices", "--measure", "--seconds", 0.3, "--threads", 2)["devices"][0]["roofline"]
        self.assertIn("loads", roofline["read_loop"])
        self.assertIn(roofline["read_threads"], (1, 2))
        self.assertGreater(roofline["read_bytes_per_second"], 0)
        for loop in ("int8_loop", "f32_loop"):
            self.assertTrue(roofline[loop])
        self.assertIn("best loops   loads", self.assert_ok(run("devices", "--measure", "--seconds", 0.3)).replace("plain ", ""))

    def test_threads(self):
        self.assertEqual(self.json_of("devices", "--threads", 1)["devices"][0]["threads"], 1)

    def test_unknown_names(self):
        self.assert_fails(run("devices", "--isa", "mmx"), USAGE, "mmx", "ref")
        self.assert_fails(run("devices", "--device", "abacus"), USAGE, "abacus", "cpu")


class Output(ProgramTest):
    def test_file_appears_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "devices.json")
            self.assertEqual(self.assert_ok(run("devices", "--json", "-o", path)), "")
            with open(path) as file:
                self.assertEqual(json.load(file)["devices"][0]["name"], "cpu")
            self.assertEqual(os.listdir(folder), ["devices.json"])

    def test_failure_leaves_the_old_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "result")
            with open(path, "w") as file:
                file.write("old")
            self.assert_fails(run("inspect", "/nowhere/model.gguf", "-o", path), MODEL_FILE)
            with open(path) as file:
                self.assertEqual(file.read(), "old")
            self.assertEqual(os.listdir(folder), ["result"])

    def test_link_is_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            link, target = os.path.join(folder, "link"), os.path.join(folder, "target")
            open(target, "w").close()
            os.symlink(target, link)
            self.assert_ok(run("devices", "-o", link))
            self.assertTrue(os.path.islink(link))
            self.assertGreater(os.path.getsize(target), 0)

    def test_device_file_is_not_replaced(self):
        self.assert_fails(run("devices", "-o", "/dev/full"), IO, "/dev/full", "No space left on device")
        self.assert_ok(run("devices", "-o", "/dev/null"))
        self.assertFalse(os.path.isfile("/dev/null"))

    def test_missing_folder(self):
        self.assert_fails(run("devices", "-o", "/nowhere/x"), IO, "/nowhere/x")

    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            self.assert_fails(run("devices", stdout=full), IO, "No space left on device")
            self.assert_fails(run("devices", "--json", stdout=full), IO, "No space left on device")

    def test_closed_pipe(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        with os.fdopen(write_end, "w") as pipe:
            self.assert_fails(run("devices", stdout=pipe), IO, "Broken pipe")

    def test_closed_standard_output(self):
        result = subprocess.run(["/bin/sh", "-c", 'exec "$0" devices >&-', program.WHIMBREL], stderr=subprocess.PIPE, text=True)
        self.assert_fails(result, IO, "standard output")


if __name__ == "__main__":
    program.main()
