/* bench_run.h - the work that a bench times, each repetition between two measurements of the limits of what
 * computes. Several devices take turns, repetition by repetition.
 *
 * Shared machines change speed from second to second: a repetition whose two limits differ is run again, a
 * bounded number of times. */
#ifndef CLI_BENCH_RUN_H
#define CLI_BENCH_RUN_H

#include "cli/energy.h"
#include "cli/engine.h"

#define CLI_BENCH_SEQUENCES_MAX 64

typedef struct cli_bench_work {
  uint32_t n_prompt;    /* tokens of the prompt, run by sequence 0; 0: none */
  uint32_t n_decode;    /* steps of one token in each sequence; 0: none */
  uint32_t n_sequences; /* decoded together, 1 to CLI_BENCH_SEQUENCES_MAX */
  uint32_t depth;       /* positions that are filled already */
  uint32_t repetitions; /* of each, at least 1 */
} cli_bench_work;

size_t cli_bench_tokens(const cli_bench_work *work);    /* how many the work takes from a list of tokens */
size_t cli_bench_positions(const cli_bench_work *work); /* of context, in each sequence */

typedef enum cli_bench_part { CLI_BENCH_PREFILL, CLI_BENCH_DECODE, CLI_BENCH_PARTS } cli_bench_part;

typedef struct cli_bench_sample {
  double tokens_per_second; /* of all sequences */
  double joules_per_token;  /* that the device took, with all that it did besides; 0: unknown */
  wh_device_roofline before, after;
  bool steady; /* the limit that matters (prefill: int8 peak, decode: read bandwidth) stayed */
} cli_bench_sample;

/* Owned. */
typedef struct cli_bench_series {
  cli_bench_sample *samples;
  uint32_t n, n_unsteady;
} cli_bench_series;

/* One of the devices. */
typedef struct cli_bench_subject {
  cli_engine *engine;
  cli_bench_series series[CLI_BENCH_PARTS];
  wh_device_roofline last; /* measured */
  uint32_t spare;          /* repetitions that may yet be run again */
  cli_energy energy;
} cli_bench_subject;

/* The series are filled even on failure: deinit. */
WH_NODISCARD cli_exit cli_bench_run(cli_bench_subject *subjects, size_t n, const cli_bench_work *work,
                                    const int32_t *tokens);
void cli_bench_series_deinit(cli_bench_series series[CLI_BENCH_PARTS]);

/* Appends one token to each of the sequences 0 .. n_sequences - 1 in one run, with all their logits. */
WH_NODISCARD cli_exit cli_bench_step(cli_engine *engine, const int32_t *tokens, uint32_t n_sequences);

#endif
