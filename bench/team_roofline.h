/* team_roofline.h - what a team can do right now: fp32 multiply-add peak and read bandwidth. Shared machines
 * change from second to second, so a bench measures right before and after each timing and reports shares of
 * the pair. */
#ifndef WH_BENCH_TEAM_ROOFLINE_H
#define WH_BENCH_TEAM_ROOFLINE_H

#include "backends/cpu/features.h"
#include "core/base/team.h"

typedef struct team_roofline team_roofline; /* owns the buffer that is read */

/* NULL for a team that is too large. `mask` picks the vector width; levels below AVX2 use the AVX2 loops. */
team_roofline *team_roofline_create(wh_team *team, uint64_t mask);
void team_roofline_destroy(team_roofline *r);

/* Per second: operations (two per multiply-add), bytes. */
double team_roofline_f32(team_roofline *r);
double team_roofline_read(team_roofline *r);

#endif
