"""test_loading.py - the time before the first token, at a terminal: what is being done and how far it is, and Ctrl-C."""

import os
import pty
import re
import select
import signal
import subprocess
import time

import program
from program import INTERRUPTED, MODEL, OK, ProgramTest

PROMPT = ["run", MODEL, "--threads", "2", "--no-pack-cache", "-n", "1", "-p", "Hello"]
XOFF, XON = b"\x13", b"\x11"


class Loading(ProgramTest):
    def setUp(self):
        self.master, self.slave = pty.openpty()
        self.process = None

    def tearDown(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def start(self, *arguments):
        self.process = subprocess.Popen([program.WHIMBREL, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.slave, close_fds=True)
        os.close(self.slave)

    def read_to_end(self, seconds=60):
        """What the program writes to the terminal until it has ended."""
        shown, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not select.select([self.master], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(self.master, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
        self.process.wait(max(1, deadline - time.monotonic()))
        self.process.stdout.close()
        return shown.decode("utf-8", "replace")

    def wait_until_it_writes(self):
        """The terminal is stopped: the program sleeps in its first write."""
        path = f"/proc/{self.process.pid}/wchan"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with open(path, encoding="ascii") as file:
                waits_in = file.read()
            if "n_tty_write" in waits_in or "wait_woken" in waits_in:
                return True
            time.sleep(0.01)
        return False

    def test_percent(self):
        self.start(*PROMPT)
        shown = self.read_to_end()
        self.assertEqual(self.process.returncode, OK, shown)
        self.assertRegex(shown, r"taking memory: \d+ %")
        self.assertRegex(shown, r"packing the weights: \d+ %")
        self.assertLess(shown.index("taking memory"), shown.index("packing the weights"))
        last = re.split(r"\r\x1b\[K", shown)[-1]
        self.assertNotIn("%", last)  # the line is removed

    def test_quiet_and_pipes_have_none(self):
        self.start(*PROMPT, "--quiet")
        self.assertEqual(self.read_to_end(), "")
        self.assert_ok(program.run(*PROMPT))

    def test_ctrl_c_ends_it(self):
        # The stopped terminal holds the program at "loading ...", before the weights are packed: what comes after the
        # signal shows whether it went on.
        os.write(self.master, XOFF)
        self.start(*PROMPT)
        if not self.wait_until_it_writes():
            self.skipTest("the system does not tell what a process waits for")
        self.process.send_signal(signal.SIGINT)
        os.write(self.master, XON)
        shown = self.read_to_end()
        self.assertEqual(self.process.returncode, INTERRUPTED, shown)
        self.assertIn("whimbrel: interrupted", shown)
        self.assertNotIn("packing the weights", shown)


if __name__ == "__main__":
    program.main(needs_model=True)
