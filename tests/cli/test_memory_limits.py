"""test_memory_limits.py - memory that is not there is refused with the numbers before any of it is taken, instead of a
process that the system ends."""

import os
import re
import resource
import subprocess
import tempfile

import byte_model
import program
from program import LIMIT, ProgramTest, run

MIB = 1 << 20
HUGE = ["--ctx", 1 << 21]  # of 32 kept values a position and layer, in f16: 1 GiB and more
RUN = ["-p", "x", "-n", 2, "-t", 1]


def megabytes(text, word):
    """The size in front of the word, in MiB."""
    number, unit = re.search(r"([\d.]+) (\w+) " + word, text).groups()
    return float(number) * {"bytes": 1 / MIB, "KiB": 1 / 1024, "MiB": 1, "GiB": 1024}[unit]


class Case(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.model = byte_model.write(os.path.join(cls.folder.name, "bytes.gguf"), context=1 << 22, layers=8)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def assert_refused(self, result, *words):
        self.assert_fails(result, LIMIT, "of memory are needed", "are left by", "-c N", "--kv q8", *words)
        self.assertEqual(result.stdout, "")
        needed, left = megabytes(result.stderr, "of memory"), megabytes(result.stderr, "are left")
        self.assertGreaterEqual(needed, 1024)
        self.assertLess(left, needed)
        self.assertAlmostEqual(needed, 8 + megabytes(result.stderr, "of attention state") +
                               megabytes(result.stderr, "of activations") + megabytes(result.stderr, "of packed weights"), delta=110)
        return needed


class Limits(Case):
    def test_a_limit_of_ones_own(self):
        for verb, *more in (["run", *RUN], ["chat"], ["inspect", "--plan"], ["bench", "-P", 8, "-G", 1, "-r", 1],
                            ["eval"], ["verify", "-p", "x"]):
            with self.subTest(verb):
                result = run(verb, self.model, *more, *HUGE, "--memory-limit", 300, stdin="x\n")
                self.assert_refused(result, "the limit that was set")
                self.assertLess(megabytes(result.stderr, "are left"), 300.1)
        self.assert_ok(run("run", self.model, *RUN, "--memory-limit", 64))
        f16, f32 = (self.assert_refused(run("run", self.model, *RUN, *HUGE, "--kv", kind, "--memory-limit", 300))
                    for kind in ("f16", "f32"))
        self.assertGreater(f32, 1.9 * f16)

    def test_address_space(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (900 * MIB, 900 * MIB))
        if run("--version", preexec_fn=limit).returncode != 0:
            self.skipTest("this build, with a sanitizer perhaps, needs more address space to start")
        self.assert_refused(run("run", self.model, *RUN, *HUGE, preexec_fn=limit), "ulimit -v", "900.0 MiB")
        self.assert_ok(run("run", self.model, *RUN, preexec_fn=limit))

    def test_data(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_DATA, (600 * MIB, 600 * MIB))
        if run("--version", preexec_fn=limit).returncode != 0:
            self.skipTest("this build, with a sanitizer perhaps, needs more data to start")
        self.assert_refused(run("run", self.model, *RUN, *HUGE, preexec_fn=limit), "ulimit -d", "600.0 MiB")

    def test_this_machine(self):
        # 64 sequences of the largest context: some TiB
        result = run("bench", self.model, "-P", 8, "-G", 1, "-r", 1, "--sequences", 64, "--ctx", 1 << 22, "--kv", "f32")
        self.assertEqual(result.returncode, LIMIT, result.stderr)
        self.assertIn("are left by", result.stderr)


class ControlGroup(Case):
    """The real thing, where this process may make a control group."""
    LIMIT_BYTES = 300 * MIB

    def setUp(self):
        self.group = None
        for parent, file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            group = os.path.join(parent, f"whimbrel-test-{os.getpid()}")
            try:
                os.mkdir(group)
                self.group = group
                os.stat(os.path.join(group, file))  # no control group, or not for memory
                with open(os.path.join(group, file), "w") as f:
                    f.write(str(self.LIMIT_BYTES))
                return
            except OSError:
                self.tearDown()
        self.skipTest("no control group can be made here")

    def tearDown(self):
        if self.group:
            os.rmdir(self.group)
        self.group = None

    def inside(self, *arguments):
        command = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        return subprocess.run(["/bin/sh", "-c", command, self.group, program.WHIMBREL, *map(str, arguments)], capture_output=True,
                              text=True, timeout=program.TIMEOUT_S)

    def test_refused_and_not_killed(self):
        self.assert_refused(self.inside("run", self.model, *RUN, *HUGE), "the control group's limit of 300.0 MiB")

    def test_what_fits_runs(self):
        self.assert_ok(self.inside("run", self.model, *RUN))


if __name__ == "__main__":
    program.main()
