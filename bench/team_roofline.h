/* team_roofline.h - what a team can do right now, for the limits of timing.h. */
#ifndef WH_BENCH_TEAM_ROOFLINE_H
#define WH_BENCH_TEAM_ROOFLINE_H

#include "backends/cpu/measure.h"

typedef struct team_roofline team_roofline; /* owns the buffer that is read */

/* `mask`: the features of the level whose limits are asked for. */
team_roofline *team_roofline_create(wh_team *team, uint64_t mask);
void team_roofline_destroy(team_roofline *r);

/* What is read in a circle. Work next to it must read as much, or it finds more of it in the caches. */
size_t team_roofline_bytes(const team_roofline *r);
double team_roofline_measure(team_roofline *r, wh_measure_kind kind);

#endif
