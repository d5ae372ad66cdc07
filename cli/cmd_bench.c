/* cmd_bench.c - `whimbrel bench`: how fast a model runs here, next to what this machine can do. The answer is
 * checked first (bench_check.h); bench_run.h says what is timed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_check.h"
#include "cli/bench_graph.h"
#include "cli/bench_share.h"
#include "cli/json_out.h"
#include "cli/sample_text.h"
#include "cli/units.h"
#include "cli/verbs.h"

#define MODELS_MAX 16
#define DEVICES_MAX 8
#define DEVICE_NAME 64
#define REPETITIONS_MAX 1000
#define REPETITIONS_DEFAULT 5

#define BENCH(field) offsetof(cli_bench_work, field)
static const cli_option bench_option_list[] = {
    {"prompt-tokens", 'P', CLI_OPTION_U32, BENCH(n_prompt), "N",
     "Tokens of the timed prompt; 0: none (default 512).", 0, UINT32_C(1) << 20, 0, 0},
    {"decode-tokens", 'G', CLI_OPTION_U32, BENCH(n_decode), "N",
     "Tokens run one by one; 0: none (default 128).", 0, UINT32_C(1) << 20, 0, 0},
    {"sequences", 'S', CLI_OPTION_U32, BENCH(n_sequences), "N",
     "Sequences that decode together, each -G tokens; the prompt is\none sequence's (default 1).", 1,
     CLI_BENCH_SEQUENCES_MAX, 0, 0},
    {"depth", 'D', CLI_OPTION_U32, BENCH(depth), "N",
     "Positions that each sequence holds before the timed tokens\n(default 0).", 0, UINT32_C(1) << 20, 0, 0},
    {"repetitions", 'r', CLI_OPTION_U32, BENCH(repetitions), "N",
     "Repetitions of each (default 5; of an ONNX model's run: as many\nas take a second).", 1,
     REPETITIONS_MAX, 0, 0},
};

/* --- what a token costs
 * --------------------------------------------------------------------------------------- */

/* Of a layer's experts, how many a run of `n_tokens` tokens reads, over how many one token reads: as if every
 * token chose evenly on its own. */
static double experts_read(const cli_engine *engine, uint32_t n_tokens) {
  double n = (double)engine->info.n_experts, used = (double)engine->info.n_experts_used, unread = n;
  for (uint32_t i = 0; i < n_tokens; ++i) unread *= 1 - used / n;
  return n > 0 ? (n - unread) / used : 1;
}

static cli_exit count_decode_bytes(const cli_engine *engine, const cli_bench_work *work, double *out) {
  double experts = experts_read(engine, work->n_sequences);
  wh_session_memory memory = WH_SESSION_MEMORY_INIT;
  wh_session_get_memory(engine->session, &memory);
  double bytes = 0;
  for (uint32_t i = 0; i < memory.n_instructions; ++i) {
    wh_instruction_info info = WH_INSTRUCTION_INFO_INIT;
    CLI_TRY_WH(wh_session_get_instruction(engine->session, i, &info));
    /* An embedding look-up reads one row of its table. */
    bool looks_up = info.op && strstr(info.op, "rows") != NULL;
    bool of_experts = info.op && strcmp(info.op, "expert_linear") == 0;
    if (!looks_up) bytes += (double)info.weight_bytes * (of_experts ? experts : 1);
  }
  double kv_per_position = (double)memory.kv_state / wh_session_context(engine->session) / work->n_sequences;
  *out = bytes / work->n_sequences + kv_per_position * (work->depth + (work->n_decode + 1) / 2.0);
  return CLI_OK;
}

static bool is_16_bit(wh_dtype dtype) { return dtype == WH_DTYPE_F16 || dtype == WH_DTYPE_BF16; }

/* Products with 16-bit weights are integer products of 16 bits, which processors have at half the rate of
 * those of 8: each counts as two.
 *
 * Matrices of the layers: a matrix with a side as long as the vocabulary is an embedding or the output head,
 * which a prompt runs for one token only. Of a stack of experts' matrices a token meets those that it uses.
 */
static cli_exit count_prefill_ops(const cli_engine *engine, cli_token_cost *cost) {
  size_t n = wh_model_n_weights(engine->model);
  int64_t n_vocab = (int64_t)engine->info.n_vocab;
  for (size_t i = 0; i < n; ++i) {
    wh_weight_info w = WH_WEIGHT_INFO_INIT;
    CLI_TRY_WH(wh_model_get_weight(engine->model, i, &w));
    bool of_experts = w.rank == 3 && (uint64_t)w.dims[0] == engine->info.n_experts;
    if (!of_experts && (w.rank != 2 || w.dims[0] == n_vocab || w.dims[1] == n_vocab)) continue;
    double n_matrices = of_experts ? (double)engine->info.n_experts_used : 1;
    if (is_16_bit(w.dtype)) n_matrices *= 2;
    *(w.dtype == WH_DTYPE_F32 ? &cost->prefill_f32_ops : &cost->prefill_int8_ops) +=
        2.0 * n_matrices * (double)w.dims[w.rank - 2] * (double)w.dims[w.rank - 1];
  }
  return CLI_OK;
}

/* --- one model
 * ------------------------------------------------------------------------------------------------ */

typedef struct summary {
  double median, min, max;
} summary;

typedef struct part_result {
  summary rate;      /* tokens per second */
  summary joules;    /* per token; 0: unknown */
  summary share;     /* of the machine's limit, each repetition against its own */
  uint32_t n_raised; /* repetitions that were faster than their limits, which they raised */
} part_result;

/* Of one device. */
typedef struct bench_result {
  char device[DEVICE_NAME]; /* as it was asked for; "": nobody did */
  cli_engine engine;
  char answer[CLI_ANSWER_HASH];
  cli_bench_series series[CLI_BENCH_PARTS];
  part_result parts[CLI_BENCH_PARTS];
  summary read, int8, f32; /* the machine's limits */
  cli_token_cost cost;
} bench_result;

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static summary summarise(double *values, size_t n) {
  if (n == 0) return (summary){0};
  qsort(values, n, sizeof *values, compare_doubles);
  double middle = values[n / 2];
  if (n % 2 == 0) middle = (middle + values[n / 2 - 1]) / 2;
  return (summary){middle, values[0], values[n - 1]};
}

static cli_exit summarise_series(bench_result *r) {
  size_t n = r->series[CLI_BENCH_PREFILL].n + r->series[CLI_BENCH_DECODE].n;
  double *values = calloc(9 * n, sizeof *values);
  if (!values) return cli_fail(CLI_LIMIT, "out of memory");
  double *rate = values, *share = rate + n, *read = share + n, *int8 = read + 2 * n, *f32 = int8 + 2 * n,
         *joules = f32 + 2 * n;
  size_t n_limits = 0;
  for (int part = 0; part < CLI_BENCH_PARTS; ++part) {
    cli_bench_series *series = &r->series[part];
    for (uint32_t i = 0; i < series->n; ++i) {
      cli_bench_sample *s = &series->samples[i];
      bool raised;
      rate[i] = s->tokens_per_second;
      joules[i] = s->joules_per_token;
      share[i] = cli_bench_share((cli_bench_part)part, &r->cost, s, &raised);
      r->parts[part].n_raised += raised;
      const wh_device_roofline *limits[2] = {&s->before, &s->after};
      for (int side = 0; side < 2; ++side, ++n_limits) {
        read[n_limits] = limits[side]->read_bytes_per_s;
        int8[n_limits] = limits[side]->int8_ops_per_s;
        f32[n_limits] = limits[side]->f32_ops_per_s;
      }
    }
    r->parts[part].rate = summarise(rate, series->n);
    r->parts[part].joules = summarise(joules, series->n);
    r->parts[part].share = summarise(share, series->n);
  }
  r->read = summarise(read, n_limits);
  r->int8 = summarise(int8, n_limits);
  r->f32 = summarise(f32, n_limits);
  free(values);
  return CLI_OK;
}

static const char *device_name(const bench_result *r) { return r->device[0] ? r->device : "cpu"; }

/* One device's engine, and its answer, which must be that of the first device. */
static cli_exit open_subject(const char *path, const cli_engine_options *engine_options,
                             const cli_bench_work *work, const bench_result *first, bench_result *r,
                             bool is_one_of_several, int32_t **tokens) {
  size_t n_tokens = cli_bench_tokens(work), n_positions = cli_bench_positions(work);
  if (n_tokens < CLI_BENCH_CHECK_TOKENS) n_tokens = CLI_BENCH_CHECK_TOKENS;
  if (n_positions < CLI_BENCH_CHECK_TOKENS) n_positions = CLI_BENCH_CHECK_TOKENS;
  const cli_session_needs needs = {
      .context = (uint32_t)n_positions, .max_outputs = work->n_sequences, .max_sequences = work->n_sequences};
  cli_engine_options options = *engine_options;
  if (r->device[0]) options.device = r->device;
  if (is_one_of_several && strcmp(device_name(r), "cpu") != 0) options.isa = NULL; /* the processor's */
  CLI_TRY(cli_engine_open(path, &options, &needs, &r->engine));
  if (wh_session_context(r->engine.session) < n_positions)
    return cli_fail(CLI_USAGE,
                    "the bench needs a context of %zu positions, not %u; use --ctx %zu or fewer tokens",
                    n_positions, wh_session_context(r->engine.session), n_positions);
  if (!*tokens) CLI_TRY(cli_sample_tokens(r->engine.model, n_tokens, tokens));
  CLI_TRY(cli_bench_check(&r->engine, *tokens, work->n_sequences, r->answer));
  if (strcmp(r->answer, first->answer) == 0) return CLI_OK;
  return cli_fail(
      CLI_DIFFERENT,
      "%s: wrong answer, so no speed: %s and %s disagree; `whimbrel verify %s --device %s --against "
      "%s` finds the place",
      path, device_name(first), device_name(r), path, device_name(r), device_name(first));
}

/* All devices' answers come before any time. */
static cli_exit bench_model(const char *path, const cli_engine_options *engine_options,
                            const cli_bench_work *work, bench_result *results, size_t n) {
  cli_bench_subject subjects[DEVICES_MAX] = {{.engine = NULL}};
  int32_t *tokens = NULL;
  cli_exit code = CLI_OK;
  for (size_t i = 0; i < n && code == CLI_OK; ++i) {
    code = open_subject(path, engine_options, work, &results[0], &results[i], n > 1, &tokens);
    subjects[i].engine = &results[i].engine;
  }
  if (code == CLI_OK) code = cli_bench_run(subjects, n, work, tokens);
  for (size_t i = 0; i < n; ++i) {
    bench_result *r = &results[i];
    memcpy(r->series, subjects[i].series, sizeof r->series); /* also on failure: they are owned */
    if (code == CLI_OK) code = count_decode_bytes(&r->engine, work, &r->cost.decode_bytes);
    if (code == CLI_OK) code = count_prefill_ops(&r->engine, &r->cost);
    if (code == CLI_OK) code = summarise_series(r);
  }
  free(tokens);
  return code;
}

/* --- results
 * -------------------------------------------------------------------------------------------------- */

static double spread_percent(summary s) { return 100 * (s.max - s.min) / s.median; }

static const char *limit_name(cli_bench_part part, const cli_token_cost *cost) {
  if (part == CLI_BENCH_DECODE) return "measured read bandwidth";
  if (cost->prefill_f32_ops <= 0) return "measured int8 peak";
  return cost->prefill_int8_ops <= 0 ? "measured fp32 peak" : "measured int8 and fp32 peaks";
}

static void write_row(cli_output *out, const char *test, uint32_t n, const bench_result *r,
                      cli_bench_part part) {
  summary rate = r->parts[part].rate;
  cli_output_printf(out, "  %-8s %6u  %10.2f  %5.1f %%   %5.1f %% of %s\n", test, n, rate.median,
                    spread_percent(rate), 100 * r->parts[part].share.median, limit_name(part, &r->cost));
}

static cli_exit write_text(cli_output *out, const cli_bench_work *work, const bench_result *r) {
  const wh_device_info info = cli_engine_device_info(&r->engine), *device = &info;
  uint32_t n_unsteady = r->series[CLI_BENCH_PREFILL].n_unsteady + r->series[CLI_BENCH_DECODE].n_unsteady;
  uint32_t n_raised = r->parts[CLI_BENCH_PREFILL].n_raised + r->parts[CLI_BENCH_DECODE].n_raised;
  cli_output_printf(out, "%s on %s (%s, %u thread%s, %s)\n", r->engine.info.path, device->name, device->isa,
                    device->n_threads, device->n_threads == 1 ? "" : "s",
                    device->numerics == WH_NUMERICS_FAST ? "fast" : "exact");
  wh_session_placement p = WH_SESSION_PLACEMENT_INIT;
  for (uint32_t i = 1; wh_session_get_placement(r->engine.session, i, &p) == WH_OK; i++)
    cli_output_printf(out, "  %u of %u layers on %s; the limits are those of %s\n", p.n_layers,
                      r->engine.info.n_layers, p.device, device->name);
  if (work->depth) cli_output_printf(out, "  behind %u positions\n", work->depth);
  if (work->n_sequences > 1)
    cli_output_printf(out, "  decode: %u sequences together, tokens of all\n", work->n_sequences);
  cli_output_printf(out, "  %-8s %6s  %10s  %7s   %s\n", "test", "tokens", "tokens/s", "spread",
                    "of this machine");
  if (work->n_prompt) write_row(out, "prefill", work->n_prompt, r, CLI_BENCH_PREFILL);
  if (work->n_decode) write_row(out, "decode", work->n_decode, r, CLI_BENCH_DECODE);
  cli_output_printf(
      out, "  machine: %.1f GB/s read, %.0f int8 GOP/s, %.0f fp32 GFLOP/s; medians of %u, checked: answer\n",
      r->read.median / 1e9, r->int8.median / 1e9, r->f32.median / 1e9, work->repetitions);
  const double joules[] = {r->parts[CLI_BENCH_PREFILL].joules.median,
                           r->parts[CLI_BENCH_DECODE].joules.median};
  if (joules[0] > 0) cli_output_printf(out, "  energy: %.4g J for a token of the prompt\n", joules[0]);
  if (joules[1] > 0) cli_output_printf(out, "  energy: %.4g J for a decoded token\n", joules[1]);
  if (n_raised)
    cli_output_printf(
        out,
        "  %u of the timings were faster than the measured limit and raised it: data in caches, "
        "or a limit measured too low\n",
        n_raised);
  if (n_unsteady)
    cli_output_printf(out, "  the machine changed its speed within %u of the timings: do not trust them\n",
                      n_unsteady);
  return cli_output_flush(out);
}

/* How much faster than the first device. */
static double times_first(const bench_result *results, size_t i, cli_bench_part part) {
  const double first = results[0].parts[part].rate.median;
  return first > 0 ? results[i].parts[part].rate.median / first : 0;
}

static cli_exit write_comparison(cli_output *out, const cli_bench_work *work, const bench_result *results,
                                 size_t n) {
  if (n < 2) return CLI_OK;
  cli_output_printf(out, "side by side, in turns, with one answer (%.8s)\n  %-16s", results[0].answer,
                    "device");
  if (work->n_prompt) cli_output_printf(out, " %10s %8s", "prefill", "times");
  if (work->n_decode) cli_output_printf(out, " %10s %8s", "decode", "times");
  cli_output_printf(out, "\n");
  for (size_t i = 0; i < n; ++i) {
    cli_output_printf(out, "  %-16s", device_name(&results[i]));
    for (int part = 0; part < CLI_BENCH_PARTS; ++part)
      if (results[i].series[part].n)
        cli_output_printf(out, " %10.2f %8.2f", results[i].parts[part].rate.median,
                          times_first(results, i, (cli_bench_part)part));
    cli_output_printf(out, "\n");
  }
  return cli_output_flush(out);
}

static json_t *summary_json(summary s) {
  json_t *object = json_object();
  cli_json_set_real(object, "median", s.median);
  cli_json_set_real(object, "min", s.min);
  cli_json_set_real(object, "max", s.max);
  return object;
}

static json_t *samples_json(const cli_bench_series *series) {
  json_t *list = json_array();
  for (uint32_t i = 0; i < series->n; ++i) {
    const cli_bench_sample *s = &series->samples[i];
    json_t *sample = json_object();
    cli_json_set_real(sample, "tokens_per_second", s->tokens_per_second);
    cli_json_set(sample, "joules_per_token",
                 s->joules_per_token > 0 ? json_real(s->joules_per_token) : json_null());
    cli_json_set(sample, "before", cli_json_roofline(&s->before));
    cli_json_set(sample, "after", cli_json_roofline(&s->after));
    cli_json_set(sample, "steady", json_boolean(s->steady));
    cli_json_append(list, sample);
  }
  return list;
}

static void set_test_json(json_t *root, const char *name, uint32_t n_tokens, const bench_result *r,
                          cli_bench_part part) {
  if (n_tokens == 0) return;
  json_t *test = json_object();
  const part_result *result = &r->parts[part];
  cli_json_set_whole(test, "tokens", n_tokens);
  cli_json_set(test, "tokens_per_second", summary_json(result->rate));
  cli_json_set_real(test, "spread_percent", spread_percent(result->rate));
  cli_json_set_real(test, part == CLI_BENCH_DECODE ? "share_of_read_bandwidth" : "share_of_peak",
                    result->share.median);
  cli_json_set(test, "joules_per_token",
               result->joules.median > 0 ? json_real(result->joules.median) : json_null());
  cli_json_set_whole(test, "unsteady", r->series[part].n_unsteady);
  cli_json_set_whole(test, "limit_raised", result->n_raised);
  cli_json_set(test, "samples", samples_json(&r->series[part]));
  cli_json_set(root, name, test);
}

static json_t *result_json(const cli_bench_work *work, const bench_result *r) {
  json_t *root = json_object(), *machine = json_object();
  wh_session_memory memory = WH_SESSION_MEMORY_INIT;
  wh_session_get_memory(r->engine.session, &memory);
  cli_json_set(root, "model", cli_json_model(r->engine.model));
  cli_json_set(root, "device", cli_json_device(r->engine.device));
  cli_json_set(root, "answer_checked", json_true());
  cli_json_set_text(root, "answer_hash", r->answer);
  cli_json_set(root, "placement", cli_json_placement(r->engine.session));
  cli_json_set_whole(root, "repetitions", work->repetitions);
  cli_json_set_whole(root, "sequences", work->n_sequences);
  cli_json_set_whole(root, "depth", work->depth);
  cli_json_set_real(root, "load_seconds", r->engine.load_seconds);
  cli_json_set(root, "weights", cli_json_packing(r->engine.session));
  cli_json_set_whole(root, "memory_bytes", memory.peak);
  cli_json_set_whole(root, "kv_bytes", memory.kv_state);
  set_test_json(root, "prefill", work->n_prompt, r, CLI_BENCH_PREFILL);
  set_test_json(root, "decode", work->n_decode, r, CLI_BENCH_DECODE);
  cli_json_set_real(root, "decode_bytes_per_token", r->cost.decode_bytes);
  cli_json_set_real(root, "prefill_int8_ops_per_token", r->cost.prefill_int8_ops);
  cli_json_set_real(root, "prefill_f32_ops_per_token", r->cost.prefill_f32_ops);
  cli_json_set(machine, "read_bytes_per_second", summary_json(r->read));
  cli_json_set(machine, "int8_ops_per_second", summary_json(r->int8));
  cli_json_set(machine, "f32_ops_per_second", summary_json(r->f32));
  cli_json_set(root, "machine", machine);
  return root;
}

static cli_exit report_model(const cli_bench_work *work, const bench_result *results, size_t n,
                             cli_output *out, json_t *list) {
  for (size_t i = 0; i < n; ++i) {
    if (!list) {
      CLI_TRY(write_text(out, work, &results[i]));
      continue;
    }
    json_t *result = result_json(work, &results[i]);
    for (int part = 0; part < CLI_BENCH_PARTS && n > 1; ++part)
      if (results[i].series[part].n)
        cli_json_set_real(result, part == CLI_BENCH_PREFILL ? "prefill_times_first" : "decode_times_first",
                          times_first(results, i, (cli_bench_part)part));
    cli_json_append(list, result);
  }
  return list ? CLI_OK : write_comparison(out, work, results, n);
}

/* "cpu,cuda": one after the other in the results. */
static cli_exit read_devices(const char *list, bench_result *results, size_t *n) {
  *n = 0;
  if (!list) list = "";
  for (const char *at = list;; ++at) {
    const size_t length = strcspn(at, ",");
    if (*n == DEVICES_MAX)
      return cli_fail(CLI_USAGE, "--device: at most %d devices side by side", DEVICES_MAX);
    if ((!length && *list) || length >= DEVICE_NAME)
      return cli_fail(CLI_USAGE, "--device takes names with commas between them, not '%s'", list);
    memcpy(results[*n].device, at, length);
    results[(*n)++].device[length] = '\0';
    at += length;
    if (!*at) return CLI_OK;
  }
}

static cli_exit bench_models(const char *const *models, size_t n, const cli_engine_options *engine_options,
                             const cli_bench_work *bench_work, const cli_graph_options *graph,
                             cli_output *out, json_t *list) {
  cli_exit code = CLI_OK;
  cli_bench_work language = *bench_work, *work = &language;
  if (!work->repetitions) work->repetitions = REPETITIONS_DEFAULT;
  for (size_t i = 0; i < n && code == CLI_OK; ++i) {
    bench_result results[DEVICES_MAX] = {{.engine = {0}}};
    size_t n_devices;
    CLI_TRY(read_devices(engine_options->device, results, &n_devices));
    if (cli_is_graph(models[i], graph)) {
      if (n_devices > 1)
        return cli_fail(CLI_USAGE,
                        "devices are put side by side for language models; give an ONNX model one");
      code = cli_bench_graph(models[i], engine_options, graph, bench_work->repetitions, out, list);
      continue;
    }
    code = bench_model(models[i], engine_options, work, results, n_devices);
    if (code == CLI_OK) code = report_model(work, results, n_devices, out, list);
    for (size_t d = 0; d < n_devices; ++d) {
      cli_bench_series_deinit(results[d].series);
      cli_engine_close(&results[d].engine);
    }
  }
  return code;
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  cli_bench_work work = {.n_prompt = 512, .n_decode = 128, .n_sequences = 1};
  cli_engine_options engine_options = CLI_ENGINE_OPTIONS_INIT;
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  cli_graph_options graph = {.random = false};
  const cli_option_group groups[] = {{"Bench", bench_option_list, CLI_N(bench_option_list), &work, NULL},
                                     cli_graph_group(&graph),
                                     cli_image_group(&graph.image),
                                     cli_engine_group(&engine_options),
                                     cli_output_group(&output_options)};
  const char *models[MODELS_MAX];
  cli_positionals positionals = {models, 1, MODELS_MAX, 0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &positionals));
  CLI_TRY(cli_require_positionals(verb, &positionals));
  if (!work.n_prompt && !work.n_decode) return cli_fail(CLI_USAGE, "-P 0 with -G 0 leaves nothing to time");
  cli_set_quiet(output_options.quiet);

  cli_output out = {0};
  json_t *list = output_options.json ? json_array() : NULL;
  cli_exit code = cli_output_open(output_options.path, &out);
  if (code == CLI_OK) code = bench_models(models, positionals.n, &engine_options, &work, &graph, &out, list);
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

static const cli_help helps[] = {
    {"ctx", "Positions of context of a sequence (default: what -D, -P and -G\nneed)."},
    {"device",
     "What computes: cpu (the default), cuda, cuda:1, hip, auto ...; several\nwith commas between them "
     "take turns and are put side by side."},
    {NULL, NULL},
};

const cli_verb cli_verb_bench = {
    .name = "bench",
    .arguments = "MODEL... [options]",
    .summary = "Time a model here, next to what this machine can do.",
    .details =
        "Times a prompt (prefill) and tokens run one by one (decode), both behind --depth positions, decode "
        "in\n"
        "--sequences at once. Reports medians with their spread, (max - min) / median, and the share of "
        "this\n"
        "machine's peak (weight matrices only) and read bandwidth (weights and attention state), measured "
        "before\n"
        "and after each repetition; when these two differ, the repetition is run again.\n"
        "First it checks that the answer depends on neither --prompt-chunk nor the other sequences; a wrong\n"
        "answer gets no speed. Several devices must give one answer, and take turns. Of a GPU, the energy "
        "that "
        "a\n"
        "token takes is told, too, where NVIDIA's management library (NVML) is installed.\n\n"
        "Of an ONNX model one run is timed, with inputs from --input or random ones: median, quartiles, the "
        "time to\n"
        "open it and of the first run, memory.",
    .examples =
        "  whimbrel bench model.gguf\n"
        "  whimbrel bench model.gguf -P 512 -G 128 -r 9 --threads 2 --json -o bench.json\n"
        "  whimbrel bench model.gguf -P 0 -G 64 --sequences 8\n"
        "  whimbrel bench small.gguf large.gguf --isa avx2 --depth 4096\n"
        "  whimbrel bench model.gguf --device cpu,cuda\n"
        "  whimbrel bench model.onnx --dim batch=8 --threads 2",
    .run = run,
    .helps = helps,
};
