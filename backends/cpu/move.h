/* move.h - moves elements of any size between places that strides say. */
#ifndef WH_CPU_MOVE_H
#define WH_CPU_MOVE_H

#include <stddef.h>

#include "core/base/nd.h"
#include "core/base/team.h"

enum { WH_MOVE_TO, WH_MOVE_FROM }; /* operands of the walk; strides in bytes */

typedef struct wh_move {
  wh_nd nd; /* collapsed by wh_move_run */
  size_t size;
  char *to;
  const char *from;
} wh_move;

/* This worker's share. */
void wh_move_run(wh_move *m, const wh_worker *worker);

/* dst[i * to] = src[i * from], strides in bytes, elements of 1, 2, 4, 8 or 16. */
void wh_move_elements(size_t size, int64_t n, char *dst, int64_t to, const char *src, int64_t from);

#endif
