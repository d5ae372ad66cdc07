/* map.h - elementwise ops over operands of any types that broadcast: one loop per op and type, over runs in
 * which an operand moves on by one element or stays. Arithmetic: docs/NUMERICS.md. */
#ifndef WH_CPU_MAP_H
#define WH_CPU_MAP_H

#include "backends/cpu/features.h"
#include "core/base/dtype.h"

typedef struct wh_map_run {
  int64_t n;
  const void *in[3];
  int64_t step[3]; /* 0 or 1 */
  void *out;
  wh_dtype exponent; /* of pow */
  int mode;          /* of is_inf */
} wh_map_run;

typedef void (*wh_map_fn)(const wh_map_run *r);

/* Kernels of kernels_map.def, by the name that it gives them. */
typedef enum wh_map {
#define WH_MAP(name, types) WH_MAP_##name,
#include "backends/cpu/kernels_map.def"
  WH_MAP_COUNT
} wh_map;

/* The loop for operands of a type (of where: of the values); NULL: there is none. */
wh_map_fn wh_map_select(uint64_t features, wh_map map, wh_dtype dtype, const char **name);

#endif
