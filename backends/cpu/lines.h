/* lines.h - ops along one axis whose lines are independent: where the largest or smallest is, the k first,
 * and running sums. Arithmetic: docs/NUMERICS.md. */
#ifndef WH_CPU_LINES_H
#define WH_CPU_LINES_H

#include <stdbool.h>
#include <stdint.h>

/* n elements of a line, `stride` elements apart. */
typedef struct wh_line {
  int64_t n, stride;
  const void *x;
} wh_line;

/* By dtype (wh_dtype numbers of f32, f64, i8 .. u64); the caller has no others. */
typedef struct wh_line_fns {
  /* The index of the largest or smallest; of equal ones the first or last. n > 0. */
  int64_t (*arg)(const wh_line *line, bool largest, bool last);
  /* The k first in order; outputs are `out_stride` apart. */
  void (*topk)(const wh_line *line, bool largest, int64_t k, void *values, int64_t *indices,
               int64_t out_stride);
  /* y has the line's stride. */
  void (*cumsum)(const wh_line *line, bool exclusive, bool reverse, void *y);
} wh_line_fns;

extern const wh_line_fns wh_lines_f32, wh_lines_f64, wh_lines_i8, wh_lines_i16, wh_lines_i32, wh_lines_i64,
    wh_lines_u8, wh_lines_u16, wh_lines_u32, wh_lines_u64;

#endif
