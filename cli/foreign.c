/* foreign.c - see foreign.h. Options of llama.cpp, Ollama and vLLM, and words that are near to them. */
#include "cli/foreign.h"

#include <string.h>

#define NOTHING_DOWNLOADED "Whimbrel downloads nothing: fetch a .gguf file yourself and give its path"
#define FROM_THE_FILE "Whimbrel takes this from the model's file; leave it out"
#define NO_SERVER \
  "Whimbrel has no server; `whimbrel chat MODEL.gguf --json` answers line by line through a pipe"
#define NO_SUCH_SAMPLER "Whimbrel samples by --temp, --top-k, --top-p, --min-p and penalties"

static const cli_foreign options[] = {
    {"-m --model --model-path --model-file", NULL, NULL,
     "give the model's file without an option, right behind the verb"},
    {"-hf -hfr --hf-repo -hff --hf-file -hft --hf-token -mu --model-url -dr --docker-repo --hf --repo-id",
     NULL, NULL, NOTHING_DOWNLOADED},
    {"-ngl --n-gpu-layers --ngl --num-gpu --offload-layers --num-gpu-layers", NULL, "gpu-layers",
     "with --device for which GPU"},
    {"-cmoe --cpu-moe -ncmoe --n-cpu-moe", NULL, "cpu-experts", "with a number of layers"},
    {"-mg --main-gpu --gpu --gpus --cuda --offload", NULL, "device", "as in --device cuda:1"},
    {"-sm --tensor-parallel-size -tp --pipeline-parallel-size -pp", NULL, "split-mode",
     "with --device cuda:0+cuda:1 for which GPUs"},
    {"-ts --tensor-split", NULL, NULL,
     "GPUs that --device names with + between them get layers as they have memory; --split-mode tensor "
     "shares every layer"},
    {"-ot --override-tensor -nkvo --no-kv-offload --gpu-memory-utilization --enforce-eager --cpu-offload-gb "
     "--fit",
     NULL, NULL, "--gpu-layers auto takes what fits, and --cpu-experts says what stays on the processor"},
    {"--ctx-size --context --context-length --context-size --n-ctx --num-ctx --max-model-len --max-seq-len",
     NULL, "ctx", NULL},
    {"--n-predict --predict --num-predict --max-tokens --max-new-tokens --n-tokens --max-output-tokens", NULL,
     "tokens", NULL},
    {"-n --n-predict -n-gen --n-gen", "bench", "decode-tokens", NULL},
    {"-p --n-prompt", "bench", "prompt-tokens", NULL},
    {"-d --n-depth", "bench", "depth", NULL},
    {"-tb --threads-batch --n-threads --num-threads --num-thread --thread -tbd --threads-draft", NULL,
     "threads", NULL},
    {"-b --batch-size -ub --ubatch-size --num-batch --max-num-batched-tokens", NULL, "prompt-chunk", NULL},
    {"-ctk --cache-type-k -ctv --cache-type-v --kv-cache-dtype --kv-type --cache-type", NULL, "kv",
     "for keys and values alike"},
    {"-fa --flash-attn --flash-attention", NULL, NULL, "attention is computed that way anyway; leave it out"},
    {"-cnv --conversation -i --interactive -ins --instruct -if --interactive-first --cml --chatml", "run",
     NULL, "`whimbrel chat MODEL.gguf` holds a conversation, and --chat answers one prompt"},
    {"-cnv --conversation -i --interactive -st --single-turn", "chat", NULL,
     "chat is a conversation; leave it out"},
    {"-no-cnv --no-conversation", NULL, "no-chat", NULL},
    {"-sys --system-prompt --system-message", NULL, "system", NULL},
    {"-sysf --system-prompt-file --system-file", NULL, "system",
     "with the text itself, e.g. \"$(cat FILE)\""},
    {"--jinja --no-jinja --chat-template --chat-template-file --template --reasoning-format "
     "--chat-template-kwargs",
     NULL, NULL, "the chat template is the model's own; leave it out"},
    {"-r --reverse-prompt --antiprompt --stop-sequence --stop-string", NULL, "stop", NULL},
    {"-e --escape --no-escape", NULL, NULL,
     "a prompt is taken as it is; in a shell, write $'...' for escapes"},
    {"--prompt-file -bf --binary-file", NULL, "file", NULL},
    {"--temperature", NULL, "temp", NULL},
    {"--rng-seed --random-seed", NULL, "seed", NULL},
    {"--repetition-penalty", NULL, "repeat-penalty", NULL},
    {"--repeat-last-n --repeat-last", NULL, "penalty-window", NULL},
    {"--typical --typical-p --mirostat --mirostat-lr --mirostat-ent --dynatemp-range --xtc-probability "
     "--xtc-threshold --dry-multiplier --dry-base --top-nsigma --top-n-sigma --samplers --sampling-seq --tfs "
     "--adaptive-target --logit-bias -l --beams --num-beams --best-of",
     NULL, NULL, NO_SUCH_SAMPLER},
    {"--grammar --grammar-file -j --json-schema --json-schema-file --guided-json --format", NULL, NULL,
     "answers cannot be bound to a grammar"},
    {"--ignore-eos", NULL, "ignore-end", NULL},
    {"-md --model-draft --draft-model --speculative-model --speculative-config", NULL, "draft", NULL},
    {"--draft-max --draft-n --num-speculative-tokens", NULL, "draft-tokens", NULL},
    {"--draft-p-min", NULL, "draft-min-p", NULL},
    {"--lookup-ngram --ngram", NULL, "lookup", NULL},
    {"--lora --lora-scaled --lora-modules --enable-lora --control-vector --adapter", NULL, NULL,
     "adapters are not applied; merge them into the model and convert that to GGUF"},
    {"-mm --mmproj -mmu --mmproj-url --image --audio --vision", NULL, NULL,
     "Whimbrel reads and writes text only"},
    {"--rope-scaling --rope-scale --rope-freq-base --rope-freq-scale --yarn-orig-ctx --yarn-ext-factor "
     "--yarn-attn-factor --yarn-beta-slow --yarn-beta-fast --dtype --quantization -q4 --quant --tokenizer "
     "--override-kv --trust-remote-code --revision --load-format --served-model-name",
     NULL, NULL, FROM_THE_FILE},
    {"--mlock --no-mmap --mmap --no-warmup --warmup --keep --context-shift --no-context-shift --color -co "
     "--simple-io --log-disable --no-display-prompt --swa-full --cache-prompt --keepalive --keep-alive "
     "--nowordwrap --insecure --no-perf --perf --stream --no-stream --prio --poll --no-op-offload -kvu "
     "--kv-unified --no-repack -nr",
     NULL, NULL, "Whimbrel needs no such option; leave it out"},
    {"--numa --cpu-mask -C --cpu-range --cpu-strict --threads-pin", NULL, "bind", NULL},
    {"-dev --gpu-device", NULL, "device", NULL},
    {"--list-devices", NULL, NULL, "`whimbrel devices` lists what computes here"},
    {"--prompt-cache --prompt-cache-all --prompt-cache-ro --slot-save-path --enable-prefix-caching", NULL,
     NULL, "the state behind a prompt is not kept on disk"},
    {"--host --port --api-key --path -np --parallel --n-parallel -cb --cont-batching --max-num-seqs", NULL,
     NULL, NO_SERVER},
    {"--embedding --embeddings --pooling --rerank", NULL, NULL, "Whimbrel computes no embeddings"},
    {"--verbose -v -lv --verbosity --verbose-prompt --log-file --log-verbosity --debug", NULL, NULL,
     "`whimbrel inspect MODEL.gguf` tells about a model, and --json about a run"},
    {"--silent --quiet-mode --log-quiet", NULL, "quiet", NULL},
    {"--out --out-file --output-file --outfile", NULL, "output", NULL},
    {"--perplexity --ppl --multiple-choice --hellaswag", NULL, NULL,
     "`whimbrel eval MODEL.gguf -f TEXT` measures perplexity"},
};

static const cli_foreign verbs[] = {
    {"serve server start api api-server openai", NULL, NULL, NO_SERVER},
    {"pull download fetch get login search", NULL, NULL, NOTHING_DOWNLOADED ": whimbrel run FILE.gguf"},
    {"list ls ps models stop rm remove delete cp copy push", NULL, NULL,
     "Whimbrel keeps no models: give the path of a .gguf file to a verb"},
    {"quantise", NULL, "quantize", NULL},
    {"imatrix", NULL, "calibrate", NULL},
    {"create convert import export merge finetune train", NULL, NULL,
     "Whimbrel converts and trains nothing: it runs .gguf and .onnx files as they are"},
    {"show info metadata dump gguf-dump print view", NULL, "inspect", NULL},
    {"generate complete completion prompt ask infer inference cli main simple exec", NULL, "run", NULL},
    {"conversation talk interactive repl", NULL, "chat", NULL},
    {"perplexity ppl evaluate score", NULL, "eval", NULL},
    {"benchmark bench-model speed timing llama-bench", NULL, "bench", NULL},
    {"check test compare selftest", NULL, "verify", NULL},
    {"device gpu gpus cpu hardware", NULL, "devices", NULL},
    {"embed embedding embeddings rerank tokenize detokenize tts", NULL, NULL,
     "Whimbrel continues text and holds conversations: see `whimbrel --help`"},
    {"version", NULL, NULL, "`whimbrel --version` prints it"},
};

/* Words are the same up to '=' and with '_' for '-' behind the leading dashes. */
static bool same_word(const char *arg, const char *word, size_t n) {
  if (strcspn(arg, "=") != n) return false;
  for (size_t i = 0; i < n; ++i)
    if ((arg[i] == '_' ? '-' : arg[i]) != word[i]) return false;
  return true;
}

static const cli_foreign *find(const cli_foreign *list, size_t n, const char *verb, const char *arg) {
  for (size_t i = 0; i < n; ++i) {
    if (list[i].verb && (!verb || strcmp(list[i].verb, verb) != 0)) continue;
    for (const char *word = list[i].words; *word; word += strspn(word, " ")) {
      size_t length = strcspn(word, " ");
      if (same_word(arg, word, length)) return &list[i];
      word += length;
    }
  }
  return NULL;
}

const cli_foreign *cli_foreign_option(const char *verb, const char *arg) {
  return find(options, sizeof options / sizeof *options, verb, arg);
}

const cli_foreign *cli_foreign_verb(const char *word) {
  return find(verbs, sizeof verbs / sizeof *verbs, NULL, word);
}
