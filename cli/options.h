/* options.h - the options that several verbs share, as groups for cli_parse. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli/args.h"

/* How the model is run. Zero or NULL: the library's default. */
typedef struct cli_engine_options {
  const char *device; /* NULL: the processor, or with gpu_layers the first GPU that works */
  const char *isa;
  uint32_t threads;
  uint32_t numerics; /* wh_numerics */
  uint32_t kv;       /* index: cli_kv_type_of */
  uint32_t context;
  uint32_t prompt_chunk;
  const char *pack_cache;
  bool pack_cache_mapped, no_pack_cache;
  uint32_t binding;       /* wh_binding */
  uint64_t memory_limit;  /* MiB */
  uint32_t prefetch;      /* wh_prefetch */
  const char *gpu_layers; /* "auto" or how many of the last layers run on `device`; NULL: all */
  uint32_t cpu_experts;   /* of these, the first so many keep their experts on the processor */
  uint32_t gpu_graphs;    /* wh_gpu_graphs */
  uint32_t split_mode;    /* wh_split_mode */
} cli_engine_options;
#define CLI_ENGINE_OPTIONS_INIT                                                                          \
  {                                                                                                      \
    NULL, NULL, 0, WH_NUMERICS_EXACT, 0, 0, 0, NULL, false, false, WH_BINDING_AUTO, 0, WH_PREFETCH_AUTO, \
        NULL, 0, WH_GPU_GRAPHS_AUTO, WH_SPLIT_LAYERS                                                     \
  }

typedef struct cli_kv_type {
  const char *name;
  wh_dtype dtype;
} cli_kv_type;
const cli_kv_type *cli_kv_type_of(const cli_engine_options *options);

typedef struct cli_sampling_options {
  double temperature, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
  uint32_t top_k, penalty_window;
  uint64_t seed;
} cli_sampling_options;
#define CLI_SAMPLING_OPTIONS_INIT \
  { 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, 64, 0 }

typedef struct cli_output_options {
  bool json, quiet;
  const char *path; /* NULL: standard output */
} cli_output_options;
#define CLI_OUTPUT_OPTIONS_INIT \
  { false, false, NULL }

cli_option_group cli_device_group(cli_engine_options *options); /* the part that a device is opened with */
cli_option_group cli_engine_group(cli_engine_options *options);
cli_option_group cli_sampling_group(cli_sampling_options *options);
cli_option_group cli_output_group(cli_output_options *options);

/* Whether the model is split between the processor and a device, and how: wh_session_options' offload_layers.
 */
typedef struct cli_split {
  bool is_wanted;
  uint32_t layers;
} cli_split;
WH_NODISCARD cli_exit cli_split_of(const cli_engine_options *options, cli_split *out);

wh_sampling cli_sampling(const cli_sampling_options *options);

#endif
