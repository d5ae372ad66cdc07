/* linear_q_roofline.h - the machine's own limit of int8 products, with each level's own instruction. */
#ifndef WH_BENCH_LINEAR_Q_ROOFLINE_H
#define WH_BENCH_LINEAR_Q_ROOFLINE_H

#include "core/base/team.h"

/* Operations per second (a multiply-accumulate is two) of the level's int8 instruction on every worker:
 * vpdpbusd, or vpmaddubsw for the levels without it. 0 for a level that has none. */
double roofline_dot8(wh_team *team, const char *level);

#endif
