"""program.py - running the whimbrel program under test, and what every test of it asks."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

WHIMBREL = None  # set by main()
MODEL = os.environ.get("WH_TEST_MODEL", "")
TIMEOUT_S = 300

# Exit codes, as README.md has them
OK, DIFFERENT, USAGE, MODEL_FILE, UNSUPPORTED, LIMIT, IO, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130


def run(*arguments, stdin="", stdout=subprocess.PIPE, **options):
    """Runs the program to its end; standard input is text."""
    return subprocess.run([WHIMBREL, *map(str, arguments)], input=stdin, stdout=stdout, stderr=subprocess.PIPE, text=True,
                          errors="surrogateescape", timeout=TIMEOUT_S, **options)


def isa_levels():
    """What this machine has, lowest first."""
    devices = json.loads(run("devices", "--json").stdout)["devices"]
    return devices[0]["isa_levels"].split()


class ProgramTest(unittest.TestCase):
    def assert_fails(self, result, code, *words):
        """The exit code, and one error line that holds the words."""
        self.assertEqual(result.returncode, code, result.stderr)
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertTrue(lines[0].startswith("whimbrel: "), lines[0])
        for word in words:
            self.assertIn(word, lines[0])

    def assert_ok(self, result):
        self.assertEqual(result.returncode, OK, result.stderr)
        self.assertEqual(result.stderr, "")  # not a terminal: no notes
        return result.stdout

    def json_of(self, *arguments, **options):
        """Runs with --json and parses what must be nothing but one document."""
        return json.loads(self.assert_ok(run(*arguments, "--json", **options)))

    def answer_of(self, *arguments):
        """The JSON of a `run` that may end where the context does, which its exit code then tells."""
        result = run("run", *arguments, "--json")
        answer = json.loads(result.stdout or "{}")
        if answer.get("stop_reason") == "context":
            self.assert_fails(result, LIMIT, "positions is full")
        else:
            self.assert_ok(result)
        return answer


def main(needs_model=False):
    global WHIMBREL
    if len(sys.argv) < 2:
        sys.exit("usage: test_NAME.py PATH_OF_WHIMBREL [unittest options]")
    WHIMBREL = sys.argv.pop(1)
    if needs_model and not MODEL:
        print("skipped: set WH_TEST_MODEL to a GGUF file")
        return
    unittest.main(module="__main__")


class FolderTest(ProgramTest):
    """Each test has a folder of its own."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def put(self, name, data):
        """`data`: bytes, or a text; folders in the name are made."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path
