"""test_prompt_text.py - from the bytes of a prompt to the tokens of a run, and from tokens to what is shown: nothing is
lost on the way, control tokens are what the options say. With tiny models; no model file is needed."""

import json
import os
import pty
import subprocess
import tempfile
import time

import program
from program import OK, USAGE, ProgramTest, run
from reciting_model import BOOL, CONTROL, FIRST_BYTE, NORMAL, TOKENS, U32, USER_DEFINED, byte, write

ECHO = "{% for m in messages %}{{ m.content }}{% endfor %}END"
FIRST = len(TOKENS)


class Models(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "model.gguf")

    def answer(self, *arguments, verb="run", stdin=b"", **options):
        """The parsed result; standard input is bytes."""
        result = subprocess.run([program.WHIMBREL, verb, self.path, *map(str, arguments), "--json"], input=stdin,
                                capture_output=True, timeout=program.TIMEOUT_S, **options)
        self.assertEqual(result.returncode, OK, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()] if verb == "chat" else json.loads(result.stdout)

    def prompt_tokens(self, *arguments, **options):
        return self.answer("-n", 1, "--ignore-end", *arguments, **options)["prompt_tokens"]


class EveryByteArrives(Models):
    def setUp(self):
        super().setUp()
        write(self.path, template=ECHO)

    def test_in_a_raw_prompt(self):
        self.assertEqual(self.prompt_tokens(stdin=b"abc\0abc"), 1 + 7)
        self.assertEqual(self.prompt_tokens(stdin=b"\0\0\0\n"), 1 + 3)

    def test_in_a_message(self):
        for text in (b"abc\0abc", b"\0", b"abc\0", b"\0\0abc"):
            self.assertEqual(self.prompt_tokens("--chat", stdin=text), len(text) + len("END"), text)

    def test_in_all_turns(self):
        turns = self.answer("-n", 1, verb="chat", stdin=b"ab\0cd\nefg\n")
        self.assertEqual(turns[0]["prompt_tokens"], len("ab.cd" "END"))
        self.assertEqual(turns[1]["prompt_tokens"], len("ab.cd" + turns[0]["content"] + "efg" "END"))

    def test_in_an_answer(self):
        write(self.path, recital=[byte("a"), FIRST_BYTE, byte("b")], starts_with=byte("s"))
        self.assertEqual(self.answer("-p", "s")["text"], "a\0b")
        text = subprocess.run([program.WHIMBREL, "run", self.path, "-p", "s"], capture_output=True).stdout
        self.assertEqual(text, b"a\0b\n")


class ControlTokens(Models):
    MARKS = [("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL)]
    PASTED = "<|im_start|>user\nhi<|im_end|>\n"

    def setUp(self):
        super().setUp()
        write(self.path, more=self.MARKS, template="{{ bos_token }}<|im_start|>{{ messages[0].content }}")

    def test_a_pasted_template_is_parsed(self):
        parsed = 1 + 2 + len("user\nhi\n")
        self.assertEqual(self.prompt_tokens("-p", self.PASTED), parsed)
        self.assertEqual(self.prompt_tokens("--special", "-p", self.PASTED), parsed)
        self.assertEqual(self.prompt_tokens("--no-special", "-p", self.PASTED), 1 + len(self.PASTED))
        self.assertEqual(self.prompt_tokens("--no-special", "--special", "-p", self.PASTED), parsed)

    def test_its_bos_is_not_doubled(self):
        self.assertEqual(self.prompt_tokens("-p", "<s>a"), 2)
        self.assertEqual(self.prompt_tokens("-p", "a<s>"), 3)
        self.assertEqual(self.prompt_tokens("-p", "<s><s>a"), 3)
        self.assertEqual(self.prompt_tokens("--no-special", "-p", "<s>a"), 1 + 4)
        self.assertEqual(self.prompt_tokens("--chat", "-p", "a"), 3)

    def test_a_template_needs_its_tokens(self):
        self.assert_fails(run("run", self.path, "--chat", "--no-special", "-p", "a"), USAGE, "--no-special", "--chat")

    def test_verify_reads_its_prompt_as_run_does(self):
        short, long = "a" * 8, self.PASTED
        tokens = [self.json_of("verify", self.path, "--prompt", text)["prompt_tokens"] for text in (short, long)]
        self.assertEqual(tokens, [self.prompt_tokens("-p", text) for text in (short, long)])

    def test_a_text_to_be_scored_is_plain(self):
        text = "<|im_start|>" * 20  # 241 tokens as text, 21 as control tokens
        self.assertEqual(self.json_of("eval", self.path, "--ctx", 16, stdin=text)["chunks"], 241 // 16)
        self.assertEqual(self.json_of("eval", self.path, "--ctx", 16, "--special", stdin=text)["chunks"], 1)

    def note(self, *arguments, stdin=subprocess.DEVNULL):
        """Standard error as a person at a terminal sees it."""
        master, slave = pty.openpty()
        process = subprocess.Popen([program.WHIMBREL, *arguments], stdin=stdin, stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:
                part = b""
            if not part:
                break
            shown += part
        os.close(master)
        self.assertEqual(process.wait(program.TIMEOUT_S), OK, shown)
        return shown.decode()

    def test_what_is_not_parsed_is_told(self):
        told = self.note("run", self.path, "-n", "1", "--no-special", "-p", "say <|im_end|>")
        self.assertIn("<|im_end|> at byte 4 is read as plain text; --special", told)
        self.assertNotIn("plain text", self.note("run", self.path, "-n", "1", "-p", "say <|im_end|>"))
        self.assertNotIn("plain text", self.note("run", self.path, "-n", "1", "--no-special", "-p", "say <|im_end|"))
        self.assertEqual(self.note("run", self.path, "-n", "1", "--no-special", "-q", "-p", "<|im_end|>"), "")

    def test_typed_as_words_by_mistake(self):
        write(self.path, more=[(text, NORMAL) for text, _ in self.MARKS], recital=[byte("a"), FIRST + 1, byte("b")], starts_with=byte("s"))
        self.assertEqual(self.prompt_tokens("-p", self.PASTED), 1 + 2 + len("user\nhi\n"))
        result = self.answer("-p", "s")
        self.assertEqual((result["text"], result["stop_reason"]), ("a", "end"))


class Ends(Models):
    def said(self, *arguments, more=(("<|x|>", CONTROL),), metadata=()):
        write(self.path, more=more, recital=[byte("a"), FIRST, byte("b")], starts_with=byte("s"), metadata=metadata)
        result = self.answer("-p", "s", "-n", 9, *arguments)
        return result["text"], result["stop_reason"]

    def test_a_stop_string_may_be_a_control_token(self):
        self.assertEqual(self.said(), ("ab", "end"))
        self.assertEqual(self.said("--stop", "<|x|>"), ("a", "stop"))
        self.assertEqual(self.said("--stop", "a<|x|>"), ("", "stop"))
        self.assertEqual(self.said("--stop", "<|x|>b"), ("a", "stop"))
        self.assertEqual(self.said("--stop", "ab"), ("", "stop"))  # as it is shown
        self.assertEqual(self.said("--stop", "<|y|>"), ("ab", "end"))
        self.assertEqual(self.said("--stop", "<|x|>", more=[("<|x|>", USER_DEFINED)]), ("a", "stop"))
        self.assertEqual(self.said("--stop", "</s>", "--ignore-end"), ("ab", "stop"))

    def test_tokens_that_the_file_names(self):
        for key in ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"):
            metadata = [("tokenizer.ggml.%s_token_id" % key, U32, FIRST)]
            self.assertEqual(self.said(metadata=metadata), ("a", "end"), key)
        for key in ("fim_pre", "fim_suf", "fim_mid", "padding", "unknown"):
            metadata = [("tokenizer.ggml.%s_token_id" % key, U32, FIRST)]
            self.assertEqual(self.said(metadata=metadata), ("ab", "end"), key)

    def test_no_eos_behind_what_is_continued(self):
        """add_eos_token is for texts that are complete."""
        self.assertEqual(self.said(metadata=[("tokenizer.ggml.add_eos_token", BOOL, True)]), ("ab", "end"))
        self.assertEqual(self.prompt_tokens("-p", "s"), 2)


class Time(Models):
    def test_templates_see_the_clock_on_the_wall(self):
        """One token for each character: how many there are tells hours apart."""
        write(self.path, template="{% set h = strftime_now('%H') | int %}{% for i in range(h + 1) %}x{% endfor %}")
        for zone in ("UTC", "EST5", "<+1130>-11:30"):
            for _ in range(2):  # once more if the hour has just changed
                environment = {**os.environ, "TZ": zone}
                hours = self.prompt_tokens("--chat", "-p", "a", env=environment) - 1
                now = int(subprocess.run(["date", "+%H"], env=environment, capture_output=True, text=True).stdout)
                if hours == now:
                    break
                time.sleep(1)
            self.assertEqual(hours, now, zone)


if __name__ == "__main__":
    program.main()
