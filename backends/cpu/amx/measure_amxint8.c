/* measure_amxint8.c - the peak of the tile unit: four sums of whole tiles, each in turn, from operands that
 * stay. */
#include "backends/cpu/amx/amx_tile.h"
#include "backends/cpu/measure_kernels.h"

double wh_k_peak_int8__amxint8(int64_t n) {
  static const amx_shapes shapes = AMX_SHAPES(AMX_ROW_BYTES);
  amx_take(&shapes);
  for (int64_t i = 0; i < n; i++) {
    AMX_DOT(0, 4, 6);
    AMX_DOT(1, 4, 7);
    AMX_DOT(2, 5, 6);
    AMX_DOT(3, 5, 7);
  }
  amx_release();
  return 4.0 * 2 * AMX_ROWS * AMX_COLS * AMX_ROW_BYTES * (double)n;
}
