/* bench_run.c - see bench_run.h. */
#include "cli/bench_run.h"

#include <stdlib.h>

#include "cli/interrupt.h"

#define MEASURE_SECONDS 0.2
#define DRIFT 1.15 /* of the limit, from before to after a repetition: more, and it is run again ... */
#define ATTEMPTS 3 /* ... while there were fewer runs than this many times the repetitions */

cli_exit cli_bench_step(cli_engine *engine, const int32_t *tokens, uint32_t n_sequences) {
  int32_t numbers[CLI_BENCH_SEQUENCES_MAX];
  for (uint32_t i = 0; i < n_sequences; ++i) numbers[i] = (int32_t)i;
  if (cli_interrupted()) return cli_fail_interrupted();
  wh_batch batch = WH_BATCH_INIT;
  batch.n_tokens = n_sequences;
  batch.tokens = tokens;
  batch.sequences = numbers;
  batch.n_outputs = n_sequences;
  batch.output_rows = numbers;
  CLI_TRY_WH(wh_session_run(engine->session, &batch));
  return CLI_OK;
}

/* A prompt behind `depth` positions of sequence 0. */
static cli_exit time_prefill(cli_engine *engine, const cli_bench_work *work, const int32_t *tokens,
                             double *seconds) {
  CLI_TRY_WH(wh_session_truncate(engine->session, 0, work->depth));
  double start = cli_seconds();
  CLI_TRY(cli_run_tokens(engine, 0, tokens, work->n_prompt, engine->prompt_chunk));
  *seconds = cli_seconds() - start;
  return CLI_OK;
}

/* Steps of one token in every sequence, each behind `depth` positions. */
static cli_exit time_decode(cli_engine *engine, const cli_bench_work *work, const int32_t *tokens,
                            double *seconds) {
  for (uint32_t s = 0; s < work->n_sequences; ++s)
    CLI_TRY_WH(wh_session_truncate(engine->session, s, work->depth));
  double start = cli_seconds();
  for (size_t i = 0; i < work->n_decode; ++i) CLI_TRY(cli_bench_step(engine, tokens + i, work->n_sequences));
  *seconds = cli_seconds() - start;
  return CLI_OK;
}

static bool steady(cli_bench_part part, const cli_bench_sample *s) {
  double before = part == CLI_BENCH_DECODE ? s->before.read_bytes_per_s : s->before.int8_ops_per_s;
  double after = part == CLI_BENCH_DECODE ? s->after.read_bytes_per_s : s->after.int8_ops_per_s;
  return before <= DRIFT * after && after <= DRIFT * before;
}

/* One timing with its limits; those measured last are its first. */
static cli_exit take_sample(cli_bench_subject *subject, const cli_bench_work *work, cli_bench_part part,
                            const int32_t *tokens, cli_bench_sample *out) {
  cli_engine *engine = subject->engine;
  cli_bench_sample s = {.before = subject->last};
  double seconds = 0, n_tokens = 0;
  const double joules = cli_energy_joules(&subject->energy);
  if (part == CLI_BENCH_PREFILL) {
    CLI_TRY(time_prefill(engine, work, tokens, &seconds));
    n_tokens = work->n_prompt;
  } else {
    CLI_TRY(time_decode(engine, work, tokens, &seconds));
    n_tokens = (double)work->n_decode * work->n_sequences;
  }
  s.tokens_per_second = n_tokens / seconds;
  s.joules_per_token = joules < 0 ? 0 : (cli_energy_joules(&subject->energy) - joules) / n_tokens;
  CLI_TRY_WH(wh_device_measure(engine->device, MEASURE_SECONDS, &s.after));
  s.steady = steady(part, &s);
  subject->last = s.after;
  *out = s;
  return CLI_OK;
}

static cli_exit fill_depth(cli_engine *engine, const cli_bench_work *work, const int32_t *tokens) {
  uint32_t n = work->n_decode ? work->n_sequences : 1;
  for (uint32_t s = 0; s < n; ++s) {
    CLI_TRY_WH(wh_session_truncate(engine->session, s, 0));
    if (work->depth) cli_progress("filling %u positions of sequence %u of %u ...", work->depth, s + 1, n);
    CLI_TRY(cli_run_tokens(engine, s, tokens, work->depth, engine->prompt_chunk));
  }
  return CLI_OK;
}

/* Repetition `r` of one part, run again while the limits change. */
static cli_exit repeat(cli_bench_subject *subject, const cli_bench_work *work, cli_bench_part part,
                       uint32_t r, const int32_t *tokens) {
  cli_bench_series *series = &subject->series[part];
  while (series->n <= r) {
    cli_bench_sample s;
    cli_progress("repetition %u of %u ...", r + 1, work->repetitions);
    CLI_TRY(take_sample(subject, work, part, tokens, &s));
    if (cli_interrupted()) return cli_fail_interrupted();
    if (!s.steady && subject->spare) {
      subject->spare--;
      continue;
    }
    series->samples[series->n++] = s;
    series->n_unsteady += !s.steady;
  }
  return CLI_OK;
}

static cli_exit prepare(cli_bench_subject *subject, const cli_bench_work *work, const int32_t *tokens) {
  (void)cli_energy_open(cli_engine_device_info(subject->engine).bus_id, &subject->energy);
  subject->spare = (ATTEMPTS - 1) * work->repetitions;
  for (int part = 0; part < CLI_BENCH_PARTS; ++part) {
    subject->series[part].samples = calloc(work->repetitions, sizeof *subject->series[part].samples);
    if (!subject->series[part].samples) return cli_fail(CLI_LIMIT, "out of memory");
  }
  return fill_depth(subject->engine, work, tokens);
}

static cli_exit run_all(cli_bench_subject *subjects, size_t n, const cli_bench_work *work,
                        const int32_t *tokens) {
  const bool wanted[CLI_BENCH_PARTS] = {work->n_prompt > 0, work->n_decode > 0};
  for (size_t i = 0; i < n; ++i) CLI_TRY(prepare(&subjects[i], work, tokens));
  for (uint32_t r = 0; r < work->repetitions; ++r)
    for (size_t i = 0; i < n; ++i) {
      if (r == 0 || n > 1) /* others have worked since */
        CLI_TRY_WH(wh_device_measure(subjects[i].engine->device, MEASURE_SECONDS, &subjects[i].last));
      for (int part = 0; part < CLI_BENCH_PARTS; ++part)
        if (wanted[part]) CLI_TRY(repeat(&subjects[i], work, (cli_bench_part)part, r, tokens));
    }
  cli_progress("%s", "");
  return CLI_OK;
}

cli_exit cli_bench_run(cli_bench_subject *subjects, size_t n, const cli_bench_work *work,
                       const int32_t *tokens) {
  const cli_exit code = run_all(subjects, n, work, tokens);
  for (size_t i = 0; i < n; ++i) cli_energy_close(&subjects[i].energy);
  return code;
}

void cli_bench_series_deinit(cli_bench_series series[CLI_BENCH_PARTS]) {
  for (int part = 0; part < CLI_BENCH_PARTS; ++part) {
    free(series[part].samples);
    series[part] = (cli_bench_series){0};
  }
}

size_t cli_bench_tokens(const cli_bench_work *work) {
  size_t longest = (size_t)work->n_decode + work->n_sequences;
  if (work->n_prompt > longest) longest = work->n_prompt;
  return work->depth > longest ? work->depth : longest;
}

size_t cli_bench_positions(const cli_bench_work *work) {
  return (size_t)work->depth + (work->n_prompt > work->n_decode ? work->n_prompt : work->n_decode);
}
