/* cmd_bench.c - `whimbrel bench`: how fast a model runs here, next to what this machine can do.
 *
 * Before anything is timed, the answer is checked: a fixed text gives the same logits in large runs as in
 * runs of seven tokens. A wrong answer gets no speed. The machine's own limits are measured between the
 * repetitions, so that a busy or throttled moment shows in both. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/sample_text.h"
#include "cli/units.h"
#include "cli/verbs.h"

#define MODELS_MAX 16
#define REPETITIONS_MAX 1000
#define CHECK_PROMPT_TOKENS 96
#define CHECK_DECODE_TOKENS 4
#define CHECK_STEPS (CHECK_DECODE_TOKENS + 1)
#define CHECK_CHUNK 7 /* odd: no tile or block size divides by it */
#define MEASURE_SECONDS 0.2

typedef struct bench_options {
  uint32_t n_prompt, n_decode, repetitions;
} bench_options;

#define BENCH(field) offsetof(bench_options, field)
static const cli_option bench_option_list[] = {
    {"prompt-tokens", 'P', CLI_OPTION_U32, BENCH(n_prompt), "N",
     "Tokens of the timed prompt; 0: none (default 512).", 0, UINT32_C(1) << 20, 0, 0},
    {"decode-tokens", 'G', CLI_OPTION_U32, BENCH(n_decode), "N",
     "Tokens run one by one from an empty context; 0: none (default\n128).", 0, UINT32_C(1) << 20, 0, 0},
    {"repetitions", 'r', CLI_OPTION_U32, BENCH(repetitions), "N", "Repetitions of each (default 5).", 1,
     REPETITIONS_MAX, 0, 0},
};

/* --- the answer's check
 * --------------------------------------------------------------------------------------- */

typedef struct check_steps {
  char hashes[CHECK_STEPS][33];
  int32_t best[CHECK_STEPS];
} check_steps;

static cli_exit record_step(cli_engine *engine, check_steps *steps, size_t i) {
  const float *logits = wh_session_logits(engine->session, 0);
  if (!logits) return cli_fail(CLI_INTERNAL, "the session has no logits after a run");
  wh_hash_text(logits, engine->info.n_vocab * sizeof *logits, steps->hashes[i]);
  steps->best[i] = cli_argmax(logits, engine->info.n_vocab);
  return CLI_OK;
}

/* The prompt in runs of `chunk`, then tokens one by one; `follow` gives these, NULL: the likeliest ones. */
static cli_exit run_check(cli_engine *engine, const int32_t *prompt, uint32_t chunk,
                          const check_steps *follow, check_steps *steps) {
  CLI_TRY_WH(wh_session_truncate(engine->session, 0, 0));
  CLI_TRY(cli_run_tokens(engine, prompt, CHECK_PROMPT_TOKENS, chunk));
  CLI_TRY(record_step(engine, steps, 0));
  for (size_t i = 0; i < CHECK_DECODE_TOKENS; ++i) {
    int32_t token = follow ? follow->best[i] : steps->best[i];
    CLI_TRY(cli_run_tokens(engine, &token, 1, 1));
    CLI_TRY(record_step(engine, steps, i + 1));
  }
  return CLI_OK;
}

/* In exact mode the bits must agree; in fast mode, which promises bounds and not bits, the likeliest tokens.
 */
static cli_exit check_answer(cli_engine *engine, const int32_t *prompt) {
  check_steps large, small;
  memset(&large, 0, sizeof large);
  memset(&small, 0, sizeof small);
  CLI_TRY(run_check(engine, prompt, engine->prompt_chunk, NULL, &large));
  CLI_TRY(run_check(engine, prompt, CHECK_CHUNK, &large, &small));
  bool exact = engine->options.numerics == WH_NUMERICS_EXACT;
  for (size_t i = 0; i < CHECK_STEPS; ++i) {
    bool same = exact ? strcmp(large.hashes[i], small.hashes[i]) == 0 : large.best[i] == small.best[i];
    if (!same)
      return cli_fail(CLI_DIFFERENT,
                      "%s: wrong answer, so no speed: at step %zu, runs of %" PRIu32
                      " tokens and runs of %d disagree; "
                      "`whimbrel verify` finds the place",
                      engine->info.path, i, engine->prompt_chunk, CHECK_CHUNK);
  }
  return CLI_OK;
}

/* --- timing
 * --------------------------------------------------------------------------------------------------- */

typedef struct series {
  double *values;
  size_t n;
} series;

typedef struct summary {
  double median, min, max;
} summary;

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static summary summarise(series s) {
  if (s.n == 0) return (summary){0};
  qsort(s.values, s.n, sizeof *s.values, compare_doubles);
  double middle = s.values[s.n / 2];
  if (s.n % 2 == 0) middle = (middle + s.values[s.n / 2 - 1]) / 2;
  return (summary){middle, s.values[0], s.values[s.n - 1]};
}

enum { PREFILL, DECODE, READ_BANDWIDTH, INT8_PEAK, F32_PEAK, N_SERIES };

typedef struct bench_result {
  cli_engine engine;
  summary summaries[N_SERIES];
  double decode_bytes_per_token; /* weights and attention state that one token reads */
  double prefill_ops_per_token;  /* multiply-adds of the weight matrices, times two */
} bench_result;

static cli_exit time_tokens(cli_engine *engine, const int32_t *tokens, size_t n, uint32_t chunk,
                            double *rate) {
  CLI_TRY_WH(wh_session_truncate(engine->session, 0, 0));
  double start = cli_seconds();
  for (size_t done = 0; done < n; done += chunk)
    CLI_TRY(cli_run_tokens(engine, tokens + done, n - done < chunk ? n - done : chunk, chunk));
  *rate = (double)n / (cli_seconds() - start);
  return CLI_OK;
}

static cli_exit repeat(cli_engine *engine, const bench_options *options, const int32_t *tokens,
                       series all[N_SERIES]) {
  for (uint32_t r = 0; r < options->repetitions; ++r) {
    wh_device_roofline roofline = {0};
    cli_progress("repetition %u of %u ...", r + 1, options->repetitions);
    CLI_TRY_WH(wh_device_measure(engine->device, MEASURE_SECONDS, &roofline));
    all[READ_BANDWIDTH].values[r] = roofline.read_bytes_per_s;
    all[INT8_PEAK].values[r] = roofline.int8_ops_per_s;
    all[F32_PEAK].values[r] = roofline.f32_ops_per_s;
    if (options->n_prompt)
      CLI_TRY(time_tokens(engine, tokens, options->n_prompt, engine->prompt_chunk, &all[PREFILL].values[r]));
    if (options->n_decode) CLI_TRY(time_tokens(engine, tokens, options->n_decode, 1, &all[DECODE].values[r]));
    for (size_t i = 0; i < N_SERIES; ++i) all[i].n = r + 1;
    if (cli_interrupted()) return cli_fail_interrupted();
  }
  cli_progress("%s", "");
  if (!options->n_prompt) all[PREFILL].n = 0;
  if (!options->n_decode) all[DECODE].n = 0;
  return CLI_OK;
}

/* --- what a token costs
 * --------------------------------------------------------------------------------------- */

static cli_exit count_decode_bytes(const cli_engine *engine, uint32_t n_decode, double *out) {
  wh_session_memory memory = WH_SESSION_MEMORY_INIT;
  wh_session_get_memory(engine->session, &memory);
  double bytes = 0;
  for (uint32_t i = 0; i < memory.n_instructions; ++i) {
    wh_instruction_info info = WH_INSTRUCTION_INFO_INIT;
    CLI_TRY_WH(wh_session_get_instruction(engine->session, i, &info));
    /* An embedding look-up reads one row of its table. */
    bool looks_up = info.op && strstr(info.op, "rows") != NULL;
    if (!looks_up) bytes += (double)info.weight_bytes;
  }
  double kv_per_position = (double)memory.kv_state / wh_session_context(engine->session);
  *out = bytes + kv_per_position * (n_decode + 1) / 2;
  return CLI_OK;
}

/* Matrices of the layers: a matrix with a side as long as the vocabulary is an embedding or the output head,
 * which a prompt runs for one token only. */
static cli_exit count_prefill_ops(const cli_engine *engine, double *out) {
  double ops = 0;
  size_t n = wh_model_n_weights(engine->model);
  int64_t n_vocab = (int64_t)engine->info.n_vocab;
  for (size_t i = 0; i < n; ++i) {
    wh_weight_info w = WH_WEIGHT_INFO_INIT;
    CLI_TRY_WH(wh_model_get_weight(engine->model, i, &w));
    if (w.rank == 2 && w.dims[0] != n_vocab && w.dims[1] != n_vocab)
      ops += 2.0 * (double)w.dims[0] * (double)w.dims[1];
  }
  *out = ops;
  return CLI_OK;
}

static cli_exit bench_model(const char *path, const cli_engine_options *engine_options,
                            const bench_options *options, bench_result *result) {
  size_t n_tokens = CHECK_PROMPT_TOKENS + CHECK_DECODE_TOKENS;
  if (options->n_prompt > n_tokens) n_tokens = options->n_prompt;
  if (options->n_decode > n_tokens) n_tokens = options->n_decode;
  cli_session_needs needs = {.context = (uint32_t)n_tokens};
  int32_t *tokens = NULL;
  series all[N_SERIES] = {{0}};
  double *values = calloc((size_t)N_SERIES * options->repetitions, sizeof *values);
  if (!values) return cli_fail(CLI_LIMIT, "out of memory");
  for (size_t i = 0; i < N_SERIES; ++i) all[i].values = values + i * options->repetitions;

  cli_exit code = cli_engine_open(path, engine_options, &needs, &result->engine);
  if (code == CLI_OK && wh_session_context(result->engine.session) < n_tokens)
    code = cli_fail(CLI_USAGE,
                    "the bench needs a context of %zu positions, not %u; use --ctx %zu or fewer tokens",
                    n_tokens, wh_session_context(result->engine.session), n_tokens);
  if (code == CLI_OK) code = cli_sample_tokens(result->engine.model, n_tokens, &tokens);
  if (code == CLI_OK) code = check_answer(&result->engine, tokens);
  if (code == CLI_OK) code = repeat(&result->engine, options, tokens, all);
  if (code == CLI_OK)
    code = count_decode_bytes(&result->engine, options->n_decode, &result->decode_bytes_per_token);
  if (code == CLI_OK) code = count_prefill_ops(&result->engine, &result->prefill_ops_per_token);
  for (size_t i = 0; i < N_SERIES && code == CLI_OK; ++i) result->summaries[i] = summarise(all[i]);
  free(tokens);
  free(values);
  return code;
}

/* --- results
 * -------------------------------------------------------------------------------------------------- */

static double decode_share(const bench_result *r) {
  return r->summaries[DECODE].median * r->decode_bytes_per_token / r->summaries[READ_BANDWIDTH].median;
}

static double prefill_share(const bench_result *r) {
  return r->summaries[PREFILL].median * r->prefill_ops_per_token / r->summaries[INT8_PEAK].median;
}

static double spread_percent(summary s) { return 100 * (s.max - s.min) / s.median; }

static void write_row(cli_output *out, const char *test, uint32_t n, summary s, double share,
                      const char *of_what) {
  cli_output_printf(out, "  %-8s %6u  %10.2f  %5.1f %%   %5.1f %% of %s\n", test, n, s.median,
                    spread_percent(s), 100 * share, of_what);
}

static cli_exit write_text(cli_output *out, const bench_options *options, const bench_result *r) {
  const wh_device_info info = cli_engine_device_info(&r->engine), *device = &info;
  cli_output_printf(out, "%s on %s (%s, %u thread%s, %s)\n", r->engine.info.path, device->name, device->isa,
                    device->n_threads, device->n_threads == 1 ? "" : "s",
                    device->numerics == WH_NUMERICS_FAST ? "fast" : "exact");
  cli_output_printf(out, "  %-8s %6s  %10s  %7s   %s\n", "test", "tokens", "tokens/s", "spread",
                    "of this machine");
  if (options->n_prompt)
    write_row(out, "prefill", options->n_prompt, r->summaries[PREFILL], prefill_share(r),
              "measured int8 peak");
  if (options->n_decode)
    write_row(out, "decode", options->n_decode, r->summaries[DECODE], decode_share(r),
              "measured read bandwidth");
  cli_output_printf(
      out, "  machine: %.1f GB/s read, %.0f int8 GOP/s, %.0f fp32 GFLOP/s; medians of %u, checked: answer\n",
      r->summaries[READ_BANDWIDTH].median / 1e9, r->summaries[INT8_PEAK].median / 1e9,
      r->summaries[F32_PEAK].median / 1e9, options->repetitions);
  return cli_output_flush(out);
}

static json_t *summary_json(summary s) {
  json_t *object = json_object();
  cli_json_set_real(object, "median", s.median);
  cli_json_set_real(object, "min", s.min);
  cli_json_set_real(object, "max", s.max);
  return object;
}

static void set_test_json(json_t *root, const char *name, uint32_t n_tokens, summary s,
                          const char *share_name, double share) {
  if (n_tokens == 0) return;
  json_t *test = json_object();
  cli_json_set_whole(test, "tokens", n_tokens);
  cli_json_set(test, "tokens_per_second", summary_json(s));
  cli_json_set_real(test, "spread_percent", spread_percent(s));
  cli_json_set_real(test, share_name, share);
  cli_json_set(root, name, test);
}

static json_t *result_json(const bench_options *options, const bench_result *r) {
  json_t *root = json_object(), *machine = json_object();
  wh_session_memory memory = WH_SESSION_MEMORY_INIT;
  wh_session_get_memory(r->engine.session, &memory);
  cli_json_set(root, "model", cli_json_model(r->engine.model));
  cli_json_set(root, "device", cli_json_device(r->engine.device));
  cli_json_set(root, "answer_checked", json_true());
  cli_json_set_whole(root, "repetitions", options->repetitions);
  cli_json_set_real(root, "load_seconds", r->engine.load_seconds);
  cli_json_set_whole(root, "memory_bytes", memory.peak);
  set_test_json(root, "prefill", options->n_prompt, r->summaries[PREFILL], "share_of_int8_peak",
                prefill_share(r));
  set_test_json(root, "decode", options->n_decode, r->summaries[DECODE], "share_of_read_bandwidth",
                decode_share(r));
  cli_json_set_real(root, "decode_bytes_per_token", r->decode_bytes_per_token);
  cli_json_set_real(root, "prefill_ops_per_token", r->prefill_ops_per_token);
  cli_json_set(machine, "read_bytes_per_second", summary_json(r->summaries[READ_BANDWIDTH]));
  cli_json_set(machine, "int8_ops_per_second", summary_json(r->summaries[INT8_PEAK]));
  cli_json_set(machine, "f32_ops_per_second", summary_json(r->summaries[F32_PEAK]));
  cli_json_set(root, "machine", machine);
  return root;
}

static cli_exit bench_models(const char *const *models, size_t n, const cli_engine_options *engine_options,
                             const bench_options *options, cli_output *out, json_t *list) {
  cli_exit code = CLI_OK;
  for (size_t i = 0; i < n && code == CLI_OK; ++i) {
    bench_result result = {.engine = {0}};
    code = bench_model(models[i], engine_options, options, &result);
    if (code == CLI_OK && list) cli_json_append(list, result_json(options, &result));
    if (code == CLI_OK && !list) code = write_text(out, options, &result);
    cli_engine_close(&result.engine);
  }
  return code;
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  bench_options options = {512, 128, 5};
  cli_engine_options engine_options = CLI_ENGINE_OPTIONS_INIT;
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  const cli_option_group groups[] = {{"Bench", bench_option_list, CLI_N(bench_option_list), &options},
                                     cli_engine_group(&engine_options),
                                     cli_output_group(&output_options)};
  const char *models[MODELS_MAX];
  cli_positionals positionals = {models, 1, MODELS_MAX, 0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &positionals));
  CLI_TRY(cli_require_positionals(verb, &positionals));
  if (!options.n_prompt && !options.n_decode)
    return cli_fail(CLI_USAGE, "-P 0 with -G 0 leaves nothing to time");
  cli_set_quiet(output_options.quiet);

  cli_output out = {0};
  json_t *list = output_options.json ? json_array() : NULL;
  cli_exit code = cli_output_open(output_options.path, &out);
  if (code == CLI_OK) code = bench_models(models, positionals.n, &engine_options, &options, &out, list);
  if (code == CLI_OK && list) {
    json_t *root = json_object();
    cli_json_set(root, "results", json_incref(list));
    code = cli_json_write(&out, root, false);
  }
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  json_decref(list);
  return code;
}

const cli_verb cli_verb_bench = {
    .name = "bench",
    .arguments = "MODEL... [options]",
    .summary = "Time a model here, next to what this machine can do.",
    .details =
        "Times a prompt (prefill) and tokens run one by one (decode), both from an empty context. Reports "
        "medians\n"
        "with their spread, (max - min) / median, and the share of this machine's read bandwidth (weights "
        "and\n"
        "attention state read per token) and int8 peak (weight matrices only), measured between "
        "repetitions.\n"
        "First it checks that the answer does not depend on --prompt-chunk; a wrong answer gets no speed.",
    .examples =
        "  whimbrel bench model.gguf\n"
        "  whimbrel bench model.gguf -P 512 -G 128 -r 9 --threads 2 --json -o bench.json\n"
        "  whimbrel bench small.gguf large.gguf --isa avx2",
    .run = run,
};
