/* base/nd.h - walks over several operands of one shape: dimensions that lie one behind the other in all of
 * them become one, and what is left is cut into runs along the last. Strides are in elements, or in bytes
 * where operands differ; a broadcast axis has stride 0. */
#ifndef WH_BASE_ND_H
#define WH_BASE_ND_H

#include <stdbool.h>
#include <stdint.h>

#define WH_ND_MAX_RANK 16 /* a tile has two for each of a tensor's */
#define WH_ND_MAX_OPERANDS 8 /* of a chain */

typedef struct wh_nd {
  int rank, n_operands;
  int64_t dims[WH_ND_MAX_RANK];
  int64_t stride[WH_ND_MAX_OPERANDS][WH_ND_MAX_RANK];
} wh_nd;

/* Without dims of 1 and with neighbours joined; at least one dim is left. */
static inline void wh_nd_collapse(wh_nd *nd) {
  int rank = 0;
  for (int d = 0; d < nd->rank; d++) {
    if (nd->dims[d] == 1) continue;
    nd->dims[rank] = nd->dims[d];
    for (int o = 0; o < nd->n_operands; o++) nd->stride[o][rank] = nd->stride[o][d];
    bool joins = rank > 0;
    for (int o = 0; joins && o < nd->n_operands; o++)
      joins = nd->stride[o][rank - 1] == nd->stride[o][rank] * nd->dims[rank];
    if (!joins) {
      rank++;
      continue;
    }
    nd->dims[rank - 1] *= nd->dims[rank];
    for (int o = 0; o < nd->n_operands; o++) nd->stride[o][rank - 1] = nd->stride[o][rank];
  }
  if (rank == 0) {
    nd->dims[0] = 1;
    for (int o = 0; o < nd->n_operands; o++) nd->stride[o][0] = 0;
    rank = 1;
  }
  nd->rank = rank;
}

static inline int64_t wh_nd_elements(const wh_nd *nd) {
  int64_t n = 1;
  for (int d = 0; d < nd->rank; d++) n *= nd->dims[d];
  return n;
}

/* A place in the walk: the index of every dim, and the operands' offsets there. */
typedef struct wh_nd_at {
  int64_t index[WH_ND_MAX_RANK];
  int64_t offset[WH_ND_MAX_OPERANDS];
} wh_nd_at;

/* The place of element `flat` in row-major order. */
static inline wh_nd_at wh_nd_seek(const wh_nd *nd, int64_t flat) {
  wh_nd_at at = {{0}, {0}};
  if (flat == 0) return at; /* of a walk without elements too */
  for (int d = nd->rank - 1; d >= 0; d--) {
    at.index[d] = flat % nd->dims[d];
    flat /= nd->dims[d];
    for (int o = 0; o < nd->n_operands; o++) at.offset[o] += at.index[d] * nd->stride[o][d];
  }
  return at;
}

/* Elements from here to the end of the run, at most `most`. */
static inline int64_t wh_nd_run(const wh_nd *nd, const wh_nd_at *at, int64_t most) {
  const int64_t left = nd->dims[nd->rank - 1] - at->index[nd->rank - 1];
  return left < most ? left : most;
}

/* `n` elements on, no further than the end of the run. */
static inline void wh_nd_advance(const wh_nd *nd, wh_nd_at *at, int64_t n) {
  int d = nd->rank - 1;
  at->index[d] += n;
  for (int o = 0; o < nd->n_operands; o++) at->offset[o] += n * nd->stride[o][d];
  while (d > 0 && at->index[d] == nd->dims[d]) {
    for (int o = 0; o < nd->n_operands; o++)
      at->offset[o] += nd->stride[o][d - 1] - nd->dims[d] * nd->stride[o][d];
    at->index[d--] = 0;
    at->index[d]++;
  }
}

#endif
