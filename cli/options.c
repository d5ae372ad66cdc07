/* options.c - see options.h. */
#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

#define ENGINE(field) offsetof(cli_engine_options, field)
static const cli_option engine_options[] = {
    {"device", 0, CLI_OPTION_STRING, ENGINE(device), "NAME",
     "What computes: cpu (the default); cuda, cuda:1 and so on; hip; auto:\nthe first GPU that works, and "
     "the "
     "others where it takes them, for as\nmany layers as fit, else cpu; or cuda:emulated, which needs no "
     "GPU\n"
     "and is for checking. cuda:0+cuda:1 names devices that work together.",
     0, 0, 0, 0},
    {"isa", 0, CLI_OPTION_STRING, ENGINE(isa), "NAME",
     "Highest instruction-set level to use (default: all there is);\n`whimbrel devices` lists the levels.", 0,
     0, 0, 0},
    {"threads", 't', CLI_OPTION_U32, ENGINE(threads), "N", "Threads (default: one per physical core).", 1,
     1024, 0, 0},
    {"bind", 0, CLI_OPTION_CHOICE, ENGINE(binding), "auto|none|nodes|cores",
     "What threads are bound to: nothing, the processors of a memory\nnode, or one core each (default auto: "
     "nodes, "
     "where there are\nseveral).",
     0, 0, 0, 0},
    {"prefetch", 0, CLI_OPTION_CHOICE, ENGINE(prefetch), "auto|temporal|nontemporal",
     "How weights are asked for ahead of their use while decoding: into\nall caches or past the outer ones "
     "(default auto: what was faster\non this make of processor). Never changes a result.",
     0, 0, 0, 0},
    {"gpu-graphs", 0, CLI_OPTION_CHOICE, ENGINE(gpu_graphs), "auto|off",
     "auto: what a GPU runs again and again is recorded and started at\nonce (default); off: kernel by "
     "kernel. "
     "Never changes a result.",
     0, 0, 0, 0},
    {"numerics", 0, CLI_OPTION_CHOICE, ENGINE(numerics), "exact|fast",
     "exact: the same bits on every machine (default); fast: F32 weights,\non CUDA prompts by cuBLASLt, "
     "within the bounds of docs/NUMERICS.md.",
     0, 0, 0, 0},
    /* cli_device_group ends here */
    {"kv", 0, CLI_OPTION_CHOICE, ENGINE(kv), "f16|f32|q8",
     "Type of keys and values in the attention state; q8 takes about\nhalf the memory of f16 (default f16).",
     0, 0, 0, 0},
    {"ctx", 'c', CLI_OPTION_U32, ENGINE(context), "N",
     "Positions of context (default: the model's, at most 4096).", 1, UINT32_C(1) << 24, 0, 0},
    {"prompt-chunk", 0, CLI_OPTION_U32, ENGINE(prompt_chunk), "N",
     "Most prompt tokens in one run (default 512).", 1, UINT32_C(1) << 16, 0, 0},
    {"gpu-layers", 0, CLI_OPTION_STRING, ENGINE(gpu_layers), "N|auto",
     "How many of the model's layers, the last ones, run on --device\n(without it: the first GPU that "
     "works), "
     "the others on the processor;\nmore than it has: all of it; auto: as many as fit (default all).",
     0, 0, 0, 0},
    {"cpu-experts", 0, CLI_OPTION_U32, ENGINE(cpu_experts), "N",
     "Of these layers, the first N leave what follows their attention, a\nmixture's experts, to the "
     "processor "
     "(default 0; with --gpu-layers\nauto: what does not fit).",
     0, UINT32_MAX, 0, 0},
    {"split-mode", 0, CLI_OPTION_CHOICE, ENGINE(split_mode), "layer|tensor",
     "What devices that work together share out: layers, by their free\nmemory, one device after the other "
     "(default); or every matrix and\nthe attention heads, side by side. Never changes a result.",
     0, 0, 0, 0},
    {"memory-limit", 0, CLI_OPTION_U64, ENGINE(memory_limit), "MIB",
     "Most memory to take, in MiB; what needs more is refused before it\nis taken (default: what the "
     "machine, "
     "control groups and resource\nlimits have left).",
     1, UINT64_C(1) << 40, 0, 0},
    {"pack-cache", 0, CLI_OPTION_STRING, ENGINE(pack_cache), "DIR",
     "Keep packed weights in DIR, for a faster next start (default:\nnone are kept).", 0, 0, 0, 0},
    {"no-pack-cache", 0, CLI_OPTION_FLAG, ENGINE(no_pack_cache), NULL, "Keep no packed weights.", 0, 0, 0, 0},
    {"map-packed", 0, CLI_OPTION_FLAG, ENGINE(pack_cache_mapped), NULL,
     "Leave kept weights in their file instead of moving them into\nmemory: processes share them, decoding "
     "is a little slower. Needs\nweights that an earlier start has kept.",
     0, 0, 0, 0},
};

#define N_DEVICE_OPTIONS 7

#define SAMPLING(field) offsetof(cli_sampling_options, field)
static const cli_option sampling_options[] = {
    {"temp", 0, CLI_OPTION_REAL, SAMPLING(temperature), "X",
     "Temperature; 0 takes the likeliest token (default 0).", 0, 0, 0, 100},
    {"top-k", 0, CLI_OPTION_U32, SAMPLING(top_k), "N", "Only the N likeliest tokens; 0: off (default 0).", 0,
     UINT32_MAX, 0, 0},
    {"top-p", 0, CLI_OPTION_REAL, SAMPLING(top_p), "X",
     "Only the likeliest tokens whose probabilities reach X (default 1).", 0, 0, 0, 1},
    {"min-p", 0, CLI_OPTION_REAL, SAMPLING(min_p), "X",
     "Only tokens at least X times as likely as the likeliest (default 0).", 0, 0, 0, 1},
    {"repeat-penalty", 0, CLI_OPTION_REAL, SAMPLING(repeat_penalty), "X",
     "Above 1, makes seen tokens less likely: a factor on their logits\n(default 1: off).", 0, 0, 0.01, 100},
    {"presence-penalty", 0, CLI_OPTION_REAL, SAMPLING(presence_penalty), "X",
     "Subtracted from seen tokens' logits (default 0).", 0, 0, -100, 100},
    {"frequency-penalty", 0, CLI_OPTION_REAL, SAMPLING(frequency_penalty), "X",
     "The same for each time a token was seen (default 0).", 0, 0, -100, 100},
    {"penalty-window", 0, CLI_OPTION_U32, SAMPLING(penalty_window), "N",
     "How many of the last tokens penalties see (default 64).", 0, 65536, 0, 0},
    {"seed", 's', CLI_OPTION_U64, SAMPLING(seed), "N",
     "Seed of the sampler (default 0); the same seed, the same answer.", 0, UINT64_MAX, 0, 0},
};

#define OUTPUT(field) offsetof(cli_output_options, field)
static const cli_option output_options[] = {
    {"json", 0, CLI_OPTION_FLAG, OUTPUT(json), NULL, "The result as JSON.", 0, 0, 0, 0},
    {"output", 'o', CLI_OPTION_STRING, OUTPUT(path), "FILE",
     "Write the result to FILE, which appears whole or not at all.", 0, 0, 0, 0},
    {"quiet", 'q', CLI_OPTION_FLAG, OUTPUT(quiet), NULL,
     "No progress, summary or warnings on standard error.", 0, 0, 0, 0},
};

const cli_kv_type *cli_kv_type_of(const cli_engine_options *options) {
  static const cli_kv_type types[] = {{"f16", WH_DTYPE_F16}, {"f32", WH_DTYPE_F32}, {"q8", WH_DTYPE_Q8_0}};
  return &types[options->kv]; /* in the order of --kv's choices */
}

cli_exit cli_split_of(const cli_engine_options *options, cli_split *out) {
  const char *text = options->gpu_layers;
  const bool any = options->device && strcmp(options->device, "auto") == 0;
  *out = (cli_split){text || options->cpu_experts || any, any ? WH_LAYERS_AUTO : UINT32_MAX};
  if (!text) return CLI_OK;
  if (strcmp(text, "auto") == 0) {
    out->layers = WH_LAYERS_AUTO;
    return CLI_OK;
  }
  char *end = NULL;
  const unsigned long long n = strtoull(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end)
    return cli_fail(CLI_USAGE, "--gpu-layers takes a number of layers, or auto, not '%s'", text);
  out->layers = n < WH_LAYERS_AUTO ? (uint32_t)n : UINT32_MAX;
  return CLI_OK;
}

cli_option_group cli_device_group(cli_engine_options *options) {
  return (cli_option_group){"Device", engine_options, N_DEVICE_OPTIONS, options, NULL};
}

cli_option_group cli_engine_group(cli_engine_options *options) {
  return (cli_option_group){"Engine", engine_options, CLI_N(engine_options), options, NULL};
}

cli_option_group cli_sampling_group(cli_sampling_options *options) {
  return (cli_option_group){"Sampling", sampling_options, CLI_N(sampling_options), options, NULL};
}

cli_option_group cli_output_group(cli_output_options *options) {
  return (cli_option_group){"Output", output_options, CLI_N(output_options), options, NULL};
}

wh_sampling cli_sampling(const cli_sampling_options *options) {
  wh_sampling s = WH_SAMPLING_INIT;
  s.temperature = (float)options->temperature;
  s.top_k = options->top_k;
  s.top_p = (float)options->top_p;
  s.min_p = (float)options->min_p;
  s.repetition_penalty = (float)options->repeat_penalty;
  s.presence_penalty = (float)options->presence_penalty;
  s.frequency_penalty = (float)options->frequency_penalty;
  s.penalty_window = options->penalty_window;
  s.seed = options->seed;
  return s;
}
