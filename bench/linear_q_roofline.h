/* linear_q_roofline.h - the machine's own limits, measured: int8 multiply-accumulates and reading memory. */
#ifndef WH_BENCH_LINEAR_Q_ROOFLINE_H
#define WH_BENCH_LINEAR_Q_ROOFLINE_H

#include "core/base/team.h"

/* GOP/s (a multiply-accumulate is two) of the level's int8 instruction on every worker: vpdpbusd, or
 * vpmaddubsw for the levels without it. 0 for a level that has none. */
double roofline_dot8(wh_team *team, const char *level);

/* GB/s of reading `bytes` once, each worker its own contiguous part. */
double roofline_read(wh_team *team, const void *data, size_t bytes);

#endif
