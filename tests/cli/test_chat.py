"""test_chat.py - conversations through a pipe and at a terminal, with Ctrl-C."""

import json
import os
import pty
import re
import select
import subprocess
import time

import program
from program import INTERRUPTED, LIMIT, MODEL, OK, ProgramTest, run

FAST = ["--threads", "2", "--ctx", "512"]


class Pipe(ProgramTest):
    def turns(self, text, *arguments):
        out = self.assert_ok(run("chat", MODEL, *FAST, "--json", *arguments, stdin=text))
        return [json.loads(line) for line in out.splitlines()]

    def test_the_conversation_is_remembered(self):
        one, two = self.turns("I like cats.\nSay it again.\n", "-n", 16), self.turns("I like dogs.\nSay it again.\n", "-n", 16)
        self.assertEqual(len(one), 2)
        self.assertGreater(one[1]["prompt_tokens"], one[0]["prompt_tokens"] + one[0]["tokens"])
        self.assertNotEqual(one[1]["content"], two[1]["content"])

    def test_only_the_new_part_is_run(self):
        turns = self.turns("Say yes.\nSay no.\n", "-n", 8)
        self.assertEqual(turns[0]["prompt_tokens_run"], turns[0]["prompt_tokens"])
        self.assertLess(turns[1]["prompt_tokens_run"], turns[1]["prompt_tokens"] // 2)

    def test_reuse_does_not_change_the_answer(self):
        # A reset in between brings back the first answer: what was kept of the session did not show.
        turns = self.turns("Name a bird.\nName a fish.\n/reset\nName a bird.\n", "-n", 16)
        self.assertEqual(turns[0]["content"], turns[2]["content"])

    def test_commands(self):
        self.assertEqual(self.turns("/exit\nHello\n"), [])
        self.assertEqual(self.turns("\n\n"), [])
        help_text = run("chat", MODEL, *FAST, stdin="/help\n")
        self.assertEqual(help_text.returncode, OK)
        self.assertIn("/reset", help_text.stderr)

    def test_text_mode_prints_answers_only(self):
        json_turns = self.turns("Hello!\n", "-n", 8)
        text = self.assert_ok(run("chat", MODEL, *FAST, "-n", 8, stdin="Hello!\n"))
        self.assertEqual(text.rstrip("\n"), json_turns[0]["content"].rstrip("\n"))

    def test_a_last_line_without_newline_counts(self):
        self.assertEqual(self.turns("Hello!", "-n", 8), self.turns("Hello!\n", "-n", 8))

    def test_the_oldest_turns_are_forgotten(self):
        text = "".join(f"Tell me something about the number {i}.\n" for i in range(6))
        result = run("chat", MODEL, "--threads", 2, "--ctx", 160, "--json", "-n", 24, stdin=text)
        self.assertIn(result.returncode, (OK, LIMIT), result.stderr)  # LIMIT if the last of the context cut an answer
        turns = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(len(turns), 6)
        self.assertGreater(sum(turn["turns_forgotten"] for turn in turns), 0)
        self.assertLessEqual(max(turn["prompt_tokens"] for turn in turns), 160)

    def test_a_message_longer_than_the_context(self):
        self.assert_fails(run("chat", MODEL, "--ctx", 64, stdin="word " * 200 + "\n"), LIMIT, "64", "--ctx")


class Terminal(ProgramTest):
    """The program on a pseudo-terminal, as a person has it."""

    def setUp(self):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([program.WHIMBREL, "chat", MODEL, *FAST, "-n", "400"], stdin=slave, stdout=slave,
                                        stderr=slave, preexec_fn=self.take_terminal, close_fds=True)
        os.close(slave)
        self.shown = ""

    @staticmethod
    def take_terminal():
        """Makes the terminal the process's own, so that a typed Ctrl-C becomes its SIGINT."""
        import fcntl
        import termios
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def tearDown(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, pattern, seconds=60):
        """Reads until the pattern is shown; returns what came up to its end and forgets it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            match = re.search(pattern, self.shown)
            if match:
                before, self.shown = self.shown[: match.end()], self.shown[match.end():]
                return before
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self.master, 4096).decode("utf-8", "replace")
                except OSError:  # the other end is closed
                    break
        self.fail(f"no {pattern!r} in {self.shown!r}")

    def test_answer_then_exit(self):
        self.wait_for("> ")
        self.type("What is the capital of France?\n")
        self.wait_for("Paris")
        self.wait_for(r"tokens/s\]\r\n> ")
        self.type("/exit\n")
        self.assertEqual(self.process.wait(30), OK)

    def test_ctrl_c_stops_the_answer_only(self):
        self.wait_for("> ")
        self.type("Count from one to five hundred in words.\n")
        self.wait_for("words.\r\n.")  # the echo, then the first of the answer
        self.type("\x03")
        self.wait_for(r"\[stopped\]")
        self.wait_for("> ")
        self.type("What is the capital of France?\n")
        self.wait_for("Paris")
        self.type("\x03")
        self.wait_for("> ")
        self.type("\x04")  # Ctrl-D
        self.assertEqual(self.process.wait(30), OK)

    def test_ctrl_c_twice_leaves(self):
        self.wait_for("> ")
        self.type("half a li\x03")
        self.wait_for("again")
        self.wait_for("> ")
        self.type("\x03")
        self.assertEqual(self.process.wait(30), INTERRUPTED)

    def test_a_line_between_two_ctrl_c(self):
        self.wait_for("> ")
        self.type("\x03")
        self.wait_for("again")
        self.wait_for("> ")
        self.type("/help\n")
        self.wait_for("/reset")
        self.wait_for("> ")
        self.type("\x03")
        self.wait_for("again")
        self.assertIsNone(self.process.poll())

    def test_unknown_command(self):
        self.wait_for("> ")
        self.type("/frobnicate\n")
        self.wait_for("There is no command /frobnicate")
        self.wait_for("> ")

    def test_a_failed_turn_is_told_and_forgotten(self):
        self.wait_for("> ")
        for _ in range(8):
            self.type("word " * 150)  # a terminal's line has 4096 bytes at most
        self.type("\n")
        self.wait_for("whimbrel: .*shorten")
        self.wait_for("> ")
        self.type("/exit\n")
        self.assertEqual(self.process.wait(30), OK)


if __name__ == "__main__":
    program.main(needs_model=True)
