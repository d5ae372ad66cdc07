/* team_roofline.c - runs the CPU backend's roofline loops on every worker of a team at once. */
#include "bench/team_roofline.h"

#include <stdlib.h>

#include "backends/cpu/measure_kernels.h"
#include "bench/timing.h"

#define SECONDS 0.015
#define READ_BYTES ((size_t)256 << 20)
#define MAX_WORKERS 256

struct team_roofline {
  wh_team *team;
  uint64_t mask;
  char *buffer;
  bool read;
  double rate[MAX_WORKERS];
  uint64_t sink[MAX_WORKERS];
};

team_roofline *team_roofline_create(wh_team *team, uint64_t mask) {
  if (wh_team_size(team) > MAX_WORKERS) return NULL;
  team_roofline *r = timing_alloc(sizeof *r);
  r->team = team;
  r->mask = mask;
  r->buffer = timing_alloc(READ_BYTES);
  return r;
}

void team_roofline_destroy(team_roofline *r) {
  if (!r) return;
  free(r->buffer);
  free(r);
}

static void measure(void *arg, const wh_worker *w) {
  team_roofline *r = arg;
  bool wide = r->mask & WH_CPU_AVX512;
  size_t piece = READ_BYTES / (size_t)w->count / 4096 * 4096;
  const char *mine = r->buffer + piece * (size_t)w->index;
  wh_team_barrier(w);
  double begin = timing_now(), done = 0.0, t;
  do {
    if (r->read) {
      r->sink[w->index] += wide ? wh_k_read__avx512(mine, piece) : wh_k_read__avx2(mine, piece);
      done += (double)piece;
    } else {
      done += wide ? wh_k_peak_f32__avx512(20000) : wh_k_peak_f32__avx2(20000);
    }
    t = timing_now();
  } while (t - begin < SECONDS);
  r->rate[w->index] = done / (t - begin);
}

static double total(team_roofline *r, bool read) {
  double sum = 0.0;
  r->read = read;
  wh_team_run(r->team, measure, r);
  for (int i = 0; i < wh_team_size(r->team); i++) sum += r->rate[i];
  return sum;
}

double team_roofline_f32(team_roofline *r) { return total(r, false); }
double team_roofline_read(team_roofline *r) { return total(r, true); }
