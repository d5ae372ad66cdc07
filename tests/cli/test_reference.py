"""test_reference.py - the man page and the shells' completions have every verb and option that --help has, and their
readers take them.

usage: test_reference.py PROGRAM FOLDER"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM, FOLDER = map(os.path.abspath, sys.argv[1:3])


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def read(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def options_of(verb):
    """{long name: (letter or "", placeholder or "")} as --help shows them."""
    text = run(PROGRAM, verb, "--help").stdout
    found = re.findall(r"^  (?:-(\w), |    )?--([\w-]+)(?: (\S+))?(?:  |$)", text, re.M)
    return {name: (letter, value) for letter, name, value in found if name != "help"}


VERBS = re.findall(r"^  ([a-z]+) +[A-Z]", run(PROGRAM, "--help").stdout, re.M)
OPTIONS = {verb: options_of(verb) for verb in VERBS}


def part(text, beginning, end):
    start = text.index(beginning) + len(beginning)
    return text[start : text.index(end, start)]


class Reference(unittest.TestCase):
    def test_help_was_read(self):
        self.assertEqual(len(VERBS), 9)
        self.assertIn("isa", OPTIONS["run"])
        self.assertEqual(OPTIONS["run"]["threads"], ("t", "N"))
        self.assertGreater(sum(map(len, OPTIONS.values())), 100)

    def test_man_has_all(self):
        text = read("whimbrel.1")
        plain = text.replace("\\-", "-")
        shared = plain[plain.index(".SH OPTIONS OF SEVERAL VERBS") :]
        for verb in VERBS:
            own = part(plain, f".SS {verb}\n", ".EE")
            for name, (letter, value) in OPTIONS[verb].items():
                tag = f"\\fB--{name}\\fR" + (f" \\fI{value}\\fR" if value else "") + "\n"
                self.assertIn(f"\\fB-{letter}\\fR, {tag}" if letter else tag, own + shared, verb)
        for code in ("0", "2", "70", "130"):
            self.assertIn(f"\\fB{code}\\fR", part(text + "<end>", ".SH EXIT STATUS", "<end>"))

    def test_man_is_good_roff(self):
        path = os.path.join(FOLDER, "whimbrel.1")
        if shutil.which("mandoc"):
            lint = run("mandoc", "-T", "lint", "-W", "warning", path).stdout
            self.assertEqual([l for l in lint.splitlines() if "missing date" not in l], [])
        if shutil.which("groff"):
            result = run("groff", "-man", "-Tutf8", "-ww", path)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("perplexity", result.stdout)
            self.assertEqual([l for l in result.stdout.splitlines() if "\\" in l and "\\n" not in l], [])

    def test_bash_has_all(self):
        text = read("whimbrel")
        for verb in VERBS:
            words = part(text, f"    {verb}) options='", "'").split()
            want = {f"--{n}" for n in OPTIONS[verb]} | {f"-{l}" for l, _ in OPTIONS[verb].values() if l} | {"--help", "-h"}
            self.assertEqual(set(words), want, verb)

    def bash(self, *words, cwd=None):
        script = f'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _whimbrel 2>/dev/null; printf "%s\\n" "${{COMPREPLY[@]}}"'
        result = run("bash", "-c", script, "bash", os.path.join(FOLDER, "whimbrel"), *words, cwd=cwd)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return [line for line in result.stdout.splitlines() if line]

    @unittest.skipUnless(shutil.which("bash"), "there is no bash")
    def test_bash_completes(self):
        self.assertEqual(self.bash("whimbrel", "in"), ["inspect"])
        self.assertEqual(set(self.bash("whimbrel", "")), {*VERBS, "help", "--help", "--version"})
        self.assertEqual(self.bash("whimbrel", "run", "--is"), ["--isa"])
        self.assertEqual(self.bash("whimbrel", "run", "--numerics", ""), ["exact", "fast"])
        self.assertEqual(self.bash("whimbrel", "run", "--numerics", "=", "f"), ["fast"])
        self.assertEqual(self.bash("whimbrel", "run", "--bind", "="), ["auto", "none", "nodes", "cores"])
        self.assertEqual(self.bash("whimbrel", "help", "ch"), ["chat"])
        self.assertEqual(self.bash("whimbrel", "run", "-n", ""), [])
        with tempfile.TemporaryDirectory() as folder:
            for name in ("one model.gguf", "text.txt"):
                with open(os.path.join(folder, name), "w", encoding="utf-8"):
                    pass
            os.mkdir(os.path.join(folder, "models"))
            self.assertEqual(self.bash("whimbrel", "run", "", cwd=folder), ["models", "one model.gguf"])
            self.assertEqual(sorted(self.bash("whimbrel", "run", "-f", "", cwd=folder)), ["models", "one model.gguf", "text.txt"])
            self.assertEqual(self.bash("whimbrel", "run", "--pack-cache", "", cwd=folder), ["models"])

    def test_zsh_has_all(self):
        text = read("_whimbrel")
        for verb in VERBS:
            self.assertIn(f"    '{verb}:", text)
            own = part(text, f"    {verb})\n", ";;")
            for name, (letter, value) in OPTIONS[verb].items():
                end = "=" if value else ""
                tag = f"{{-{letter}{'+' if value else ''},--{name}{end}}}'[" if letter else f"--{name}{end}["
                self.assertIn(tag, own, verb)
        if shutil.which("zsh"):
            self.assertEqual(run("zsh", "-n", os.path.join(FOLDER, "_whimbrel")).stderr, "")

    def test_fish_has_all(self):
        text = read("whimbrel.fish")
        for verb in VERBS:
            self.assertIn(f"__fish_use_subcommand -f -a {verb} ", text)
            for name, (letter, _) in OPTIONS[verb].items():
                tag = f"'__fish_seen_subcommand_from {verb}' -l {name}" + (f" -s {letter}" if letter else "") + " "
                self.assertIn(tag, text, verb)
        if shutil.which("fish"):
            source = f"source {os.path.join(FOLDER, 'whimbrel.fish')}; complete -C "
            choices = run("fish", "-c", source + "'whimbrel run --numerics '").stdout.splitlines()
            self.assertEqual([line.split("\t")[0] for line in choices], ["exact", "fast"])
            self.assertIn("--isa\t", run("fish", "-c", source + "'whimbrel run --is'").stdout)
            self.assertIn("inspect\t", run("fish", "-c", source + "'whimbrel ins'").stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
