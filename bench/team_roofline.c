/* team_roofline.c - see team_roofline.h. */
#include "bench/team_roofline.h"

#include <stdlib.h>

#include "bench/timing.h"

#define SECONDS 0.02
#define READ_BYTES ((size_t)512 << 20)

struct team_roofline {
  wh_team *team;
  uint64_t mask;
  char *buffer;
};

team_roofline *team_roofline_create(wh_team *team, uint64_t mask) {
  team_roofline *r = timing_alloc(sizeof *r);
  *r = (team_roofline){team, mask, timing_alloc(READ_BYTES)};
  return r;
}

void team_roofline_destroy(team_roofline *r) {
  if (!r) return;
  free(r->buffer);
  free(r);
}

double team_roofline_measure(team_roofline *r, wh_measure_kind kind) {
  return wh_measure_rate(r->team, r->mask, kind, r->buffer, READ_BYTES, SECONDS);
}
