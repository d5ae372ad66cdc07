/* rowops_units.h - how the SIMD row ops share out work, and how a quantised group reaches its tile.
 *
 * A unit is a (row, 256 columns) pair, numbered row by row: many rows and one long row both spread over the
 * team, and a unit is exactly one group of quantize_act. Included by kernel files of several instruction
 * sets: static inline only, no vector types. */
#ifndef WH_CPU_ROWOPS_UNITS_H
#define WH_CPU_ROWOPS_UNITS_H

#include <string.h>

#include "backends/cpu/q8a.h"
#include "core/base/team.h"

#define WH_UNIT 256

/* for (wh_unit u = wh_unit_first(w, rows, n); wh_unit_valid(&u); wh_unit_advance(&u)) */
typedef struct wh_unit {
  int64_t row, column, count; /* elements [column, column + count) of a row */
  int64_t n, left;            /* row length; units left, this one included */
} wh_unit;

static inline int64_t wh_unit_clip(int64_t n, int64_t column) {
  return n - column < WH_UNIT ? n - column : WH_UNIT;
}

static inline wh_unit wh_unit_first(const wh_worker *w, int64_t rows, int64_t n) {
  int64_t per_row = (n + WH_UNIT - 1) / WH_UNIT, begin, end;
  wh_worker_range(w, rows * per_row, &begin, &end);
  wh_unit u = {.n = n, .left = end - begin};
  if (u.left <= 0) return u;
  u.row = begin / per_row;
  u.column = begin % per_row * WH_UNIT;
  u.count = wh_unit_clip(n, u.column);
  return u;
}
static inline bool wh_unit_valid(const wh_unit *u) { return u->left > 0; }
static inline void wh_unit_advance(wh_unit *u) {
  u->left--;
  u->column += WH_UNIT;
  if (u->column >= u->n) {
    u->column = 0;
    u->row++;
  }
  u->count = wh_unit_clip(u->n, u->column);
}

/* A quantised group before it is put in its places. */
typedef struct wh_q8a_group {
  _Alignas(64) int8_t q[256];
  int32_t t[8], nbsum[8], nbsum16[16];
  float fbsum[8], scale;
  _Alignas(64) int16_t npair[2][16];
  _Alignas(32) int16_t jsum16[16];
  int16_t jsum[8];
} wh_q8a_group;

/* Writes unit `u` of a q8a buffer of `rows` rows. */
static inline void wh_q8a_group_store(const wh_q8a_group *g, void *q8a, int64_t rows, const wh_unit *u) {
  wh_q8a_tile tile = wh_q8a_tile_at(q8a, rows, u->n, u->row / WH_Q8A_TILE);
  int64_t row = u->row % WH_Q8A_TILE, group = u->column / WH_UNIT, n_blocks = u->count / 32;
  int64_t at = group * tile.rows + row;
  memcpy(tile.jsum + at * 8, g->jsum, sizeof g->jsum);
  memcpy(tile.jsum16 + at * 16, g->jsum16, sizeof g->jsum16);
  tile.scale[at] = g->scale;
  if (tile.rows == 1 && n_blocks == 8) { /* decoding: the group is contiguous */
    memcpy(tile.q + group * 256, g->q, sizeof g->q);
    memcpy(tile.t + group * 8, g->t, sizeof g->t);
    memcpy(tile.nbsum + group * 8, g->nbsum, sizeof g->nbsum);
    memcpy(tile.nbsum16 + group * 16, g->nbsum16, sizeof g->nbsum16);
    memcpy(tile.fbsum + group * 8, g->fbsum, sizeof g->fbsum);
    for (int h = 0; h < 2; h++) memcpy(tile.npair[h] + group * 16, g->npair[h], sizeof g->npair[h]);
    return;
  }
  for (int64_t b = 0; b < n_blocks; b++) {
    int64_t slot = (group * 8 + b) * tile.rows + row;
    memcpy(tile.q + slot * 32, g->q + b * 32, 32);
    tile.t[slot] = g->t[b];
    tile.nbsum[slot] = g->nbsum[b];
    memcpy(tile.nbsum16 + slot * 2, g->nbsum16 + b * 2, 2 * sizeof(int32_t));
    tile.fbsum[slot] = g->fbsum[b];
    for (int h = 0; h < 2; h++) memcpy(tile.npair[h] + slot * 2, g->npair[h] + b * 2, 2 * sizeof(int16_t));
  }
}

#endif
