/* codes_end.h - what follows the sums of integer products, conv_codes.c's and matmul_codes.c's: a chain over
 * a tile of them while it is in a first-level cache. */
#ifndef WH_CPU_CODES_END_H
#define WH_CPU_CODES_END_H

#include "backends/cpu/chain.h"

#define WH_CODES_END_TEMPS 2        /* of a chain whose steps all run in registers */
#define WH_CODES_END_TILE (48 * 32) /* sums of a tile at most */

/* The chain's inputs as rows of sums have them, and its results; of one worker. Input 0 is the sums. */
typedef struct wh_codes_end {
  const wh_chain *chain;
  wh_team *team;
  int64_t ld_sums;
  wh_chain_input in[WH_FORMULA_INPUTS];
  void *y;
  int64_t ld_y; /* in elements */
  size_t n_ops; /* 0: the chain has steps that do not run in registers */
  wh_chain_op ops[WH_CHAIN_OPS];
  _Alignas(64) float temps[WH_CODES_END_TEMPS][WH_CODES_END_TILE];
} wh_codes_end;

/* in[1] and on, y and both distances are set. */
void wh_codes_end_begin(wh_codes_end *e);
/* Sums [rows][ld_sums] as elements [at, at + n) of rows [row, row + rows). */
void wh_codes_end_run(wh_codes_end *e, const int32_t *sums, int64_t row, int64_t rows, int64_t at, int64_t n);

#endif
