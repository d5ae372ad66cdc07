/* bench_share.h - what part of the machine's limits a speed is. */
#ifndef CLI_BENCH_SHARE_H
#define CLI_BENCH_SHARE_H

#include "cli/bench_run.h"

typedef struct cli_token_cost {
  double decode_bytes; /* weights and attention state that one decoded token reads; weights are shared */
  double prefill_int8_ops, prefill_f32_ops; /* multiply-adds of the layers' matrices, times two */
} cli_token_cost;

/* Of the limits before and after the sample: 0 to 1. Nothing is faster than the machine. A sample that was
 * has shown higher limits, and its own are raised to what it reached; *raised then says that the loops which
 * measure limits, or what they were to read (a small model is partly in the caches), are at fault. */
double cli_bench_share(cli_bench_part part, const cli_token_cost *cost, cli_bench_sample *sample,
                       bool *raised);

#endif
