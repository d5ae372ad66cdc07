/* bench_share.c - see bench_share.h. */
#include "cli/bench_share.h"

/* Seconds per token that the limits allow at the least. */
static double least_seconds(cli_bench_part part, const cli_token_cost *cost, const cli_bench_sample *s) {
  if (part == CLI_BENCH_DECODE)
    return 2 * cost->decode_bytes / (s->before.read_bytes_per_s + s->after.read_bytes_per_s);
  return 2 * cost->prefill_int8_ops / (s->before.int8_ops_per_s + s->after.int8_ops_per_s) +
         2 * cost->prefill_f32_ops / (s->before.f32_ops_per_s + s->after.f32_ops_per_s);
}

static void raise_limits(cli_bench_part part, wh_device_roofline *limits, double factor) {
  if (part == CLI_BENCH_DECODE) {
    limits->read_bytes_per_s *= factor;
  } else {
    limits->int8_ops_per_s *= factor;
    limits->f32_ops_per_s *= factor;
  }
}

double cli_bench_share(cli_bench_part part, const cli_token_cost *cost, cli_bench_sample *sample,
                       bool *raised) {
  const double share = sample->tokens_per_second * least_seconds(part, cost, sample);
  *raised = share > 1;
  if (!*raised) return share;
  raise_limits(part, &sample->before, share);
  raise_limits(part, &sample->after, share);
  return 1;
}
