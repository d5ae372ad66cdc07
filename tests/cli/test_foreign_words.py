"""test_foreign_words.py - what people type who come from other programs: one sentence each that helps them on. Needs no
model."""

import os
import subprocess
import tempfile

import byte_model
import program
from program import MODEL_FILE, UNSUPPORTED, USAGE, ProgramTest, run

# (arguments, exit code, words of the answer); {model} is a file that is there, {folder} its folder
WORDS = [
    # nothing, or something else than a verb
    ([], USAGE, ["whimbrel run MODEL.gguf", "whimbrel --help"]),
    (["serve"], USAGE, ["no server", "whimbrel chat MODEL.gguf --json"]),
    (["pull", "llama3"], USAGE, ["downloads nothing", ".gguf"]),
    (["list"], USAGE, ["keeps no models"]),
    (["show", "m"], USAGE, ["whimbrel inspect"]),
    (["generate", "m"], USAGE, ["whimbrel run"]),
    (["perplexity", "m"], USAGE, ["whimbrel eval"]),
    (["quantise", "m"], USAGE, ["whimbrel quantize"]),
    (["imatrix", "m"], USAGE, ["whimbrel calibrate"]),
    (["convert", "m"], USAGE, ["converts and trains nothing"]),
    (["version"], USAGE, ["--version"]),
    (["{model}"], USAGE, ["a verb comes before", "whimbrel chat {model}", "whimbrel run {model} -p"]),
    (["missing.gguf"], USAGE, ["missing.gguf: no such file", "verb"]),
    (["-m", "{model}"], USAGE, ["a verb comes before the option -m", "whimbrel run MODEL.gguf"]),
    (["--model", "{model}", "-p", "x"], USAGE, ["a verb comes before the option --model"]),
    (["https://example.org/m.gguf"], USAGE, ["downloads nothing", "verb"]),
    (["llama3:8b"], USAGE, ["ollama show llama3:8b --modelfile", "verb"]),
    # models that are no files
    (["run", "https://example.org/m.gguf"], USAGE, ["an address", "downloads nothing", "give its path"]),
    (["run", "https://huggingface.co/org/model/resolve/main/m.gguf"], USAGE, ["an address", "curl"]),
    (["run", "https://huggingface.co/org/model"], USAGE, ["https://huggingface.co/org/model/tree/main", ".gguf"]),
    (["chat", "hf.co/org/model:Q4_K_M"], USAGE, ["https://huggingface.co/org/model/tree/main"]),
    (["chat", "hf://org/model"], USAGE, ["https://huggingface.co/org/model/tree/main"]),
    (["run", "org/Model-7B-GGUF"], MODEL_FILE, ["https://huggingface.co/org/Model-7B-GGUF/tree/main"]),
    (["run", "org/Model-GGUF:Q8_0"], MODEL_FILE, ["https://huggingface.co/org/Model-GGUF/tree/main"]),
    (["run", "llama3:8b"], MODEL_FILE, ["Ollama", "ollama show llama3:8b --modelfile"]),
    (["run", "ollama://llama3"], USAGE, ["ollama show llama3 --modelfile"]),
    (["run", "llama3"], MODEL_FILE, ["llama3: no such file", "path of a .gguf or .onnx file"]),
    (["inspect", "{model}.part"], MODEL_FILE, ["no such file", "did you mean {model}?"]),
    (["inspect", "{folder}/model"], MODEL_FILE, ["did you mean {folder}/model.gguf?"]),
    (["eval", "no/such/folder/m.gguf"], MODEL_FILE, ["no such file", "no folder no/such/folder"]),
    (["run", "~/m.gguf"], MODEL_FILE, ["$HOME"]),
    (["run", "-"], USAGE, ["standard input"]),
    (["run", ""], USAGE, ["path is empty"]),
    (["verify", "{folder}"], MODEL_FILE, ["is a folder", "{folder}/model.gguf"]),
    (["verify", "{folder}/many"], MODEL_FILE, ["is a folder", "one of its 2 models", "{folder}/many/a-00001-of-00002.gguf"]),
    (["run", "{folder}/checkpoint"], UNSUPPORTED, ["is a folder", "convert it to GGUF"]),
    (["run", "{folder}/empty"], MODEL_FILE, ["is a folder", "no .gguf or .onnx file"]),
    (["run", "{model}", "-p", "x", "--draft", "llama3:8b"], MODEL_FILE, ["ollama show llama3:8b"]),
    # options
    (["run", "-m", "{model}"], USAGE, ["without an option, right behind the verb"]),
    (["run", "{model}", "-hf", "org/model"], USAGE, ["-hf", "downloads nothing"]),
    (["run", "{model}", "-ngl", "99"], USAGE, ["-ngl", "here it is --gpu-layers", "--device"]),
    (["run", "{model}", "--n_gpu_layers=99"], USAGE, ["--n_gpu_layers:", "here it is --gpu-layers"]),
    (["run", "{model}", "--n-cpu-moe", "3"], USAGE, ["here it is --cpu-experts"]),
    (["run", "{model}", "--main-gpu", "1"], USAGE, ["here it is --device", "cuda:1"]),
    (["chat", "{model}", "--ctx-size", "4096"], USAGE, ["--ctx-size", "here it is --ctx"]),
    (["chat", "{model}", "--max-model-len=4096"], USAGE, ["here it is --ctx"]),
    (["run", "{model}", "--n-predict", "5"], USAGE, ["here it is --tokens"]),
    (["run", "{model}", "--max_tokens", "5"], USAGE, ["here it is --tokens"]),
    (["bench", "{model}", "-n", "5"], USAGE, ["here it is --decode-tokens"]),
    (["bench", "{model}", "-p", "5"], USAGE, ["here it is --prompt-tokens"]),
    (["run", "{model}", "-tb", "2"], USAGE, ["here it is --threads"]),
    (["run", "{model}", "-ub", "64"], USAGE, ["here it is --prompt-chunk"]),
    (["run", "{model}", "-ctk", "q8_0"], USAGE, ["here it is --kv"]),
    (["run", "{model}", "-fa", "on"], USAGE, ["-fa", "leave it out"]),
    (["run", "{model}", "-cnv"], USAGE, ["whimbrel chat", "--chat"]),
    (["chat", "{model}", "-cnv"], USAGE, ["chat is a conversation"]),
    (["run", "{model}", "-no-cnv"], USAGE, ["here it is --no-chat"]),
    (["chat", "{model}", "-sys", "x"], USAGE, ["here it is --system"]),
    (["chat", "{model}", "--jinja"], USAGE, ["the model's own"]),
    (["run", "{model}", "-r", "x"], USAGE, ["here it is --stop"]),
    (["run", "{model}", "--temperature", "0"], USAGE, ["here it is --temp"]),
    (["run", "{model}", "--repeat-last-n", "0"], USAGE, ["here it is --penalty-window"]),
    (["run", "{model}", "--mirostat", "2"], USAGE, ["--top-k"]),
    (["run", "{model}", "--lora", "x"], USAGE, ["merge"]),
    (["run", "{model}", "--mmproj", "x"], USAGE, ["text only"]),
    (["run", "{model}", "-md", "x"], USAGE, ["here it is --draft"]),
    (["run", "{model}", "--port", "80"], USAGE, ["no server"]),
    (["run", "{model}", "--grammar", "x"], USAGE, ["grammar"]),
    (["run", "{model}", "--numa", "numactl"], USAGE, ["here it is --bind"]),
    (["run", "{model}", "--no-mmap"], USAGE, ["leave it out"]),
    (["run", "{model}", "-v"], USAGE, ["--json"]),
    (["inspect", "{model}", "--temperature", "0"], USAGE, ["whimbrel inspect --help"]),  # there is no such option to name
    (["run", "{model}", "a prompt"], USAGE, ["'a prompt'", "behind -p"]),
    (["chat", "{model}", "a prompt"], USAGE, ["'a prompt'", "whimbrel run"]),
    (["eval", "{model}", "text.txt"], USAGE, ["'text.txt'", "behind -f"]),
    (["run", "{model}", "--pack-cache", "x", "--no-pack-cache"], USAGE, ["exclude each other"]),
    (["run", "{model}", "--map-packed", "--no-pack-cache"], USAGE, ["--map-packed", "--no-pack-cache"]),
    # a script with the line ends of Windows
    (["run", "{model}", "-p", "x", "-n", "4\r"], USAGE, ["--tokens", "argument 6", "carriage return"]),
    (["run", "{model}\r"], MODEL_FILE, ["no such file", "argument 2", "carriage return"]),
    (["run", "{model}", "--json\r"], USAGE, ["--json", "carriage return"]),
    (["devices\r"], USAGE, ["devices", "carriage return"]),
]


class ForeignWords(ProgramTest):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        path = self.folder.name
        self.model = byte_model.write(os.path.join(path, "model.gguf"))
        for name, files in (("many", ["b.gguf", "a-00001-of-00002.gguf", "notes.txt"]), ("empty", ["notes.txt"]),
                            ("checkpoint", ["model-00001-of-00002.safetensors", "config.json"])):
            os.mkdir(os.path.join(path, name))
            for file in files:
                open(os.path.join(path, name, file), "w").close()

    def tearDown(self):
        self.folder.cleanup()

    def fill_in(self, text):
        return text.replace("{folder}", self.folder.name).replace("{model}", self.model)

    def test_each_gets_the_sentence_that_helps(self):
        for arguments, code, words in WORDS:
            with self.subTest(arguments):
                result = run(*map(self.fill_in, arguments), cwd=self.folder.name)
                self.assert_fails(result, code, *map(self.fill_in, words))
                self.assertEqual(result.stdout, "")
                self.assertLess(len(result.stderr), 400 + 3 * len(self.model))

    def test_own_options_are_not_taken_for_others(self):
        for arguments in (["-n3"], ["-t1"], ["-c64"], ["-s7"], ["-pfa"], ["-p", "-ngl"], ["-p=-ngl"]):
            with self.subTest(arguments):
                self.assert_ok(run("run", self.model, "-p", "x", "-n", 1, *arguments))

    def test_a_missing_model_is_told_before_anything_is_read(self):
        # nothing comes from standard input here, and nothing ends it: a program that waits for it would hang
        read_end, write_end = os.pipe()
        try:
            for verb in ("run", "eval"):
                result = subprocess.run([program.WHIMBREL, verb, "nowhere.gguf"], stdin=read_end, capture_output=True, text=True,
                                        timeout=20)
                self.assert_fails(result, MODEL_FILE, "nowhere.gguf")
        finally:
            os.close(read_end)
            os.close(write_end)

    def test_the_entries_name_options_that_exist(self):
        helps = {verb: run(verb, "--help").stdout for verb in ("run", "chat", "bench", "verify", "eval", "inspect", "devices")}
        for arguments, _, words in WORDS:
            for word in words:
                if word.startswith("here it is --"):
                    self.assertIn("--" + word.split("--", 1)[1] + " ", helps[arguments[0]].replace("\n", " \n"), word)


if __name__ == "__main__":
    program.main()
