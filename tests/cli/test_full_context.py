"""test_full_context.py - what happens where the context ends, and how lines are taken, on a model whose lengths are
known."""

import json
import os
import re
import tempfile

import byte_model
import program
from program import LIMIT, OK, ProgramTest, run
from terminal import talk


class Case(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.model = byte_model.write(os.path.join(cls.folder.name, "bytes.gguf"))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def turns(self, text, *arguments):
        """(exit code, JSON of each answer, standard error)"""
        result = run("chat", self.model, "--json", "-t", 1, *arguments, stdin=text)
        return result.returncode, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


class Lines(Case):
    def prompts(self, text):
        code, turns, _ = self.turns(text, "-n", 3)
        return code, [turn["prompt_tokens"] for turn in turns]

    def test_commands_whatever_ends_their_line(self):
        want = self.prompts("s\n/reset\ns\n/exit\ns\n")
        self.assertEqual((want[0], len(want[1]), len(set(want[1]))), (OK, 2, 1))
        for end in ("\r\n", " \n", "\t \r\n"):
            with self.subTest(repr(end)):
                self.assertEqual(self.prompts(f"s\n/reset{end}s\n/exit{end}s\n"), want)

    def test_messages_keep_all_but_the_line_end(self):
        plain = self.prompts("ab\n")[1][0]
        self.assertEqual(self.prompts("ab\r\n")[1], [plain])
        self.assertEqual(self.prompts("ab \n")[1], [plain + 3])  # U+2581, three bytes
        self.assertEqual(self.prompts("\r\n\n")[1], [])

    def test_a_command_is_the_whole_line(self):
        # what a C string would end at is text, and so is what only begins like a command
        for line in ("/exit\0x", "/exit now", "/exitx"):
            self.assertEqual(len(self.prompts(line + "\nb\n")[1]), 2, line)

    def test_unknown_commands_at_a_terminal(self):
        code, shown = talk(["chat", self.model, "-n", 2], ["/exti ", "/quit  "])
        self.assertEqual(code, OK)
        self.assertIn("There is no command /exti.", shown)

    def test_a_prompt_file_from_windows(self):
        def prompt_tokens(content):
            path = os.path.join(self.folder.name, "prompt.txt")
            with open(path, "wb") as file:
                file.write(content)
            return self.json_of("run", self.model, "-f", path, "-n", 1)["prompt_tokens"]
        self.assertEqual(prompt_tokens(b"a\r\nb\r\n"), prompt_tokens(b"a\r\nb\n"))
        self.assertEqual(prompt_tokens(b"a\r\nb\r\n"), prompt_tokens(b"a\r\nb"))
        self.assertEqual(prompt_tokens(b"ab\n\n"), prompt_tokens(b"ab") + 1)  # one line end only


class Forgetting(Case):
    CONTEXT = 256

    def test_few_tokens_are_run_again(self):
        for system in ((), ("--system", "be brief")):
            text = "".join(f"message {i:03}\n" for i in range(100))
            code, turns, err = self.turns(text, "--ctx", self.CONTEXT, "-n", 10, *system)
            self.assertEqual((code, len(turns)), (OK, 100), err)
            self.assertLessEqual(max(turn["prompt_tokens"] for turn in turns), self.CONTEXT)
            new = sum(len("message 000") + turn["tokens"] for turn in turns)
            again = sum(turn["prompt_tokens_run"] for turn in turns) - 100 * len("message 000")
            self.assertLess(again, new)  # 170 a turn, ten times as many, if each turn forgets one
            times = [turn["turns_forgotten"] for turn in turns if turn["turns_forgotten"]]
            self.assertGreater(len(times), 5)
            self.assertLess(len(times), 25)
            self.assertGreater(min(times), 3)
            lines = err.splitlines()
            self.assertEqual(len(lines), len(times))
            for line, n in zip(lines, times):
                self.assertEqual(line, f"whimbrel: warning: the context of {self.CONTEXT} positions is full: the oldest {n} turns "
                                 "are forgotten")

    def test_as_much_as_fits_is_kept(self):
        code, turns, err = self.turns("a\nb\n", "--ctx", self.CONTEXT, "-n", 100)
        self.assertEqual([turn["turns_forgotten"] for turn in turns], [0, 0])
        self.assertGreater(turns[1]["prompt_tokens"], 100)

    def test_quiet_is_quiet(self):
        text = "".join(f"message {i:03}\n" for i in range(30))
        self.assertEqual(self.turns(text, "--ctx", self.CONTEXT, "-n", 10, "-q")[2], "")

    def test_a_refused_message_changes_nothing(self):
        def prompts(lines):
            shown = talk(["chat", self.model, "-n", 4, "--ctx", self.CONTEXT], [*lines, "/exit"])[1]
            return [int(n) for n in re.findall(r"\[prompt (\d+) token", shown)], shown
        plain, _ = prompts(["aaaa", "aaaa"])
        self.assertEqual(len(plain), 2)
        self.assertGreater(plain[1], plain[0])
        after, shown = prompts(["aaaa", "a" * 600, "aaaa"])
        self.assertRegex(shown, r"the message needs 6\d\d of the context's 256 positions; shorten it\r")
        self.assertEqual(after, plain)
        after, shown = prompts(["aaaa", "a" * 260, "aaaa"])
        self.assertRegex(shown, r"shorten it or use --ctx 2\d\d\r")
        self.assertEqual(after, plain)


class CutAnswers(Case):
    def test_run(self):
        for context, remedy in ((64, "use a larger --ctx"), (512, "trained for no more")):
            result = run("run", self.model, "-p", "x" * 40, "--ctx", context, "-n", 2000)
            self.assert_fails(result, LIMIT, f"the context of {context} positions is full", "the answer was cut after", remedy)
            n = len(result.stdout.rstrip("\n"))
            self.assertGreater(n, 10)  # what there is stays
            self.assertIn(f"after {n} tokens", result.stderr)
        self.assert_ok(run("run", self.model, "-p", "x" * 40, "--ctx", 64, "-n", 5))  # cut by -n: as asked for

    def test_run_results_are_whole(self):
        path = os.path.join(self.folder.name, "answer.json")
        self.assert_fails(run("run", self.model, "-p", "x", "--ctx", 16, "-n", 99, "--json", "-o", path), LIMIT, "16 positions")
        with open(path) as file:
            answer = json.load(file)
        self.assertEqual(answer["stop_reason"], "context")
        self.assertEqual(answer["prompt_tokens"] + len(answer["tokens"]), 16 + 1)  # the last one needs no position

    def test_chat_through_a_pipe(self):
        code, turns, err = self.turns("x\n/reset\ny\n/reset\n" + "z" * 20 + "\n", "--ctx", 40)
        self.assertEqual((code, [turn["stop_reason"] for turn in turns]), (LIMIT, ["context"] * 3))
        self.assertEqual(len(err.splitlines()), 1)
        self.assertIn("3 answers were cut where the context of 40 positions was full", err)

    def test_chat_at_a_terminal(self):
        code, shown = talk(["chat", self.model, "--ctx", 40], ["x", "/exit"])
        self.assertEqual(code, OK)
        self.assertIn("the context of 40 positions is full: the answer was cut", shown)


if __name__ == "__main__":
    program.main()
