"""test_same_bits.py - the contract: the bits of every step's logits are a function of the model and the input.

A prompt of more than 300 tokens and 32 generated ones, on a real model: every instruction-set level that this machine
has, one thread and two, the prompt in runs of 1, 7, 64 and 512 tokens. All must give the same hashes. The reference kernels,
which are slow, read all of it once and its first two days in every way."""

import program
from program import MODEL, ProgramTest, isa_levels

DAYS = [
    f"On day {day} the whimbrel flew {17 * day % 400} kilometres, rested {day % 5} hours on a shore at {day * 7 % 90} degrees, "
    f"and ate {day * 3 % 40} crabs." for day in range(1, 13)]
PROMPT, BEGINNING = " ".join(DAYS), " ".join(DAYS[:2])
STEPS = 32
CHUNKS = [512, 64, 7, 1]


class SameBits(ProgramTest):
    def hashes(self, isa, threads, chunk, prompt=PROMPT):
        steps, least = (STEPS, 300) if prompt is PROMPT else (4, 50)
        result = self.json_of("run", MODEL, "--isa", isa, "--threads", threads, "--prompt-chunk", chunk, "-n", steps,
                              "--ctx", 1024, "--ignore-end", "--logits-hash", "-p", prompt)
        self.assertGreaterEqual(result["prompt_tokens"], least)
        self.assertEqual(result["device"]["isa"], isa)
        self.assertEqual(result["device"]["threads"], threads)
        return result["logits_hashes"]

    def test_every_level_thread_count_and_chunk(self):
        levels = isa_levels()
        absent = {"ref", "avx2", "avxvnni", "avx512", "avx512vnni", "amxint8"} - set(levels)
        if absent:
            print("not on this machine:", " ".join(sorted(absent)))
        expected = self.hashes(levels[-1], 2, 512)
        self.assertEqual(len(expected), STEPS)
        self.assertEqual(len(set(expected)), STEPS)  # a hash of nothing would be the same each time
        beginning = self.hashes(levels[-1], 2, 512, BEGINNING)
        for level in levels:
            runs = [(2, chunk) for chunk in CHUNKS] + [(1, 512), (1, 7)]  # two threads with every chunk, one with two of them
            for threads, chunk in runs:
                with self.subTest(isa=level, threads=threads, chunk=chunk):
                    if level != "ref" or (threads, chunk) == (2, 64):
                        self.assertEqual(self.hashes(level, threads, chunk), expected)
                    if level == "ref":
                        self.assertEqual(self.hashes(level, threads, chunk, BEGINNING), beginning)

    def test_every_binding(self):
        runs = [self.json_of("run", MODEL, "--threads", 2, "-n", 8, "--logits-hash", "--bind", binding, "-p", PROMPT)
                for binding in ("auto", "none", "nodes", "cores")]
        self.assertEqual(len({tuple(run["logits_hashes"]) for run in runs}), 1)

    def test_every_prefetch(self):
        for isa in isa_levels()[1:]:
            runs = [self.json_of("run", MODEL, "--isa", isa, "-n", 8, "--logits-hash", "--prefetch", prefetch, "-p", PROMPT)
                    for prefetch in ("auto", "temporal", "nontemporal")]
            self.assertEqual([run["device"]["prefetch"] for run in runs[1:]], ["temporal", "non-temporal"])
            self.assertEqual(len({tuple(run["logits_hashes"]) for run in runs}), 1)

    def test_another_prompt_gives_other_bits(self):
        one = self.json_of("run", MODEL, "-n", 1, "--logits-hash", "-p", PROMPT)["logits_hashes"]
        other = self.json_of("run", MODEL, "-n", 1, "--logits-hash", "-p", PROMPT + "!")["logits_hashes"]
        self.assertNotEqual(one, other)


if __name__ == "__main__":
    program.main(needs_model=True)
