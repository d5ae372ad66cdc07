/* team_roofline.c - see team_roofline.h. */
#include "bench/team_roofline.h"

#include <stdlib.h>

#include "bench/timing.h"
#include "core/base/topology.h"

#define SECONDS 0.04

struct team_roofline {
  wh_team *team;
  uint64_t mask;
  char *buffer;
  size_t n_bytes;
};

team_roofline *team_roofline_create(wh_team *team, uint64_t mask) {
  wh_topology machine;
  if (wh_topology_init(&machine, NULL) != WH_OK) machine = (wh_topology){0};
  const size_t n_bytes = wh_measure_buffer_bytes(machine.l3_bytes, machine.memory_bytes);
  wh_topology_deinit(&machine);
  team_roofline *r = timing_alloc(sizeof *r);
  *r = (team_roofline){team, mask, timing_alloc(n_bytes), n_bytes};
  return r;
}

void team_roofline_destroy(team_roofline *r) {
  if (!r) return;
  free(r->buffer);
  free(r);
}

size_t team_roofline_bytes(const team_roofline *r) { return r->n_bytes; }

double team_roofline_measure(team_roofline *r, wh_measure_kind kind) {
  return wh_measure_rate(r->team, r->mask, kind, r->buffer, r->n_bytes, SECONDS).rate;
}
