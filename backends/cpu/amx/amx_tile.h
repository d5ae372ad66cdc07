/* amx_tile.h - the tile instructions of AMX that kernels use. Eight tile registers, tmm0 to tmm7, belong to a
 * thread; their shapes are part of its state. Own assembly in place of the compilers' intrinsics, of which
 * some do not say that they read memory, so that what they read may not have been written yet.
 *
 * AMX_DOT adds to an int32 for each row of `a` and column of `b` the dot of signed bytes: b[q][column][4]
 * holds four of k in each row q, as packed weights have them (linear_q_format.h). AMX_DOT_SU: those of b are
 * unsigned; AMX_DOT_US: those of a. AMX_DOT_BF16 adds to an fp32 the dot of pairs of bf16,
 * b[pair][column][2], in no order that may be relied on. */
#ifndef WH_CPU_AMX_TILE_H
#define WH_CPU_AMX_TILE_H

#include <stddef.h>
#include <stdint.h>

#define AMX_ROWS 16      /* of a tile */
#define AMX_COLS 16      /* int32 of a tile's row */
#define AMX_ROW_BYTES 64 /* of a row */

/* As ldtilecfg reads it. */
typedef struct amx_shapes {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} amx_shapes;
_Static_assert(sizeof(amx_shapes) == 64, "ldtilecfg reads 64 bytes");

/* tmm0 to tmm3 hold sums of 16 rows and 16 columns, tmm4 and tmm5 16 rows of k_bytes, tmm6 and tmm7 as much
 * of k of 16 columns. With k_bytes = 64 all eight are alike, and any may have any part: linear_h_amxint8.c
 * has sums in tmm0 to tmm5 and rows in tmm6. */
#define AMX_SHAPES(k_bytes)                                                              \
  {                                                                                      \
    .palette = 1, .row_bytes = {64, 64, 64, 64, (k_bytes), (k_bytes), 64, 64}, .rows = { \
      AMX_ROWS,                                                                          \
      AMX_ROWS,                                                                          \
      AMX_ROWS,                                                                          \
      AMX_ROWS,                                                                          \
      AMX_ROWS,                                                                          \
      AMX_ROWS,                                                                          \
      (k_bytes) / 4,                                                                     \
      (k_bytes) / 4                                                                      \
    }                                                                                    \
  }

/* From here to amx_release the thread has tiles of these shapes, zeroed. */
static inline void amx_take(const amx_shapes *s) { __asm__ volatile("ldtilecfg %0" : : "m"(*s) : "memory"); }
static inline void amx_release(void) { __asm__ volatile("tilerelease" : : : "memory"); }

#define AMX_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile : :)
#define AMX_LOAD(tile, from, step) \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"((ptrdiff_t)(step)) : "memory")
#define AMX_STORE(tile, to, step) \
  __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"((ptrdiff_t)(step)) : "memory")
#define AMX_DOT_BF16(sum, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #sum : :)
#define AMX_DOT(sum, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #sum : :)
#define AMX_DOT_SU(sum, a, b) __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #sum : :)
#define AMX_DOT_US(sum, a, b) __asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #sum : :)

#endif
