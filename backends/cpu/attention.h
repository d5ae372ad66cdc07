/* attention.h - storing keys and values, and attention over them. Arithmetic: docs/NUMERICS.md, "attention".
 *
 * A state buffer is [pages][n_kv_heads] tiles of 64 positions:
 *   keys   [D][64]  transposed: lanes are positions
 *   values [64][D]
 * Element type f16 or f32; attention_q8.h has the tile of q8_0. Positions p of sequence s lie in page
 * page_table[s][p / 64]. What lies in a page beyond the positions that a row sees is any bytes: nothing of it
 * is used. */
#ifndef WH_CPU_ATTENTION_H
#define WH_CPU_ATTENTION_H

#include "backends/cpu/features.h"
#include "core/base/dtype.h"
#include "core/base/team.h"

#define WH_ATTENTION_CHUNK 64 /* positions of a page */
#define WH_ATTENTION_SPAN 16  /* chunks */

typedef struct wh_kv_append_args {
  wh_dtype dtype; /* of the cache: F16, F32 or Q8_0 */
  bool is_key;
  int64_t rows, n_kv_heads, head_dim;
  const float *x; /* [rows][n_kv_heads][head_dim] with row stride ldx */
  int64_t ldx;
  const int32_t *positions, *sequences; /* [rows]; inside the table */
  const int32_t *page_table; /* [sequences][table]; the entries of the rows are pages of the cache */
  int64_t table;
  void *cache;
} wh_kv_append_args;

typedef struct wh_attention_args {
  wh_dtype dtype;
  int64_t rows, n_heads, n_kv_heads, head_dim, value_dim;
  const float *q; /* [rows][n_heads][head_dim], row stride ldq */
  int64_t ldq;
  const void *keys, *values;
  const int32_t *positions, *sequences; /* rows of one sequence are adjacent and ascending */
  const int32_t *page_table;            /* [sequences][table]; visible entries are pages of the cache */
  int64_t table;
  float scale, softcap; /* softcap 0: none */
  int64_t window;       /* 0: no sliding window; else the last `window` positions incl. itself */
  float *y;             /* [rows][n_heads][value_dim], row stride ldy */
  int64_t ldy;
  uint32_t step; /* first of the two steps for wh_team_next this call may use */
  void *scratch; /* wh_attention_scratch_bytes, 64-byte aligned, shared by the team */
  size_t scratch_bytes;
} wh_attention_args;

typedef void (*wh_kv_append_fn)(const wh_kv_append_args *args, const wh_worker *worker);
/* May use wh_team_barrier inside (every worker calls it with the same arguments). */
typedef void (*wh_attention_fn)(const wh_attention_args *args, const wh_worker *worker);

wh_kv_append_fn wh_kv_append_select(uint64_t features, wh_dtype dtype, const char **name);
wh_attention_fn wh_attention_select(uint64_t features, wh_dtype dtype, const char **name);
/* Scratch for at most `rows_max` rows over `table` pages of a sequence, for a team of n_threads. */
size_t wh_attention_scratch_bytes(int64_t rows_max, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim,
                                  int64_t value_dim, int64_t table, int n_threads);
/* Bytes of one state buffer (keys or values); false on overflow, or when q8_0 heads are not whole blocks. */
bool wh_kv_cache_bytes(wh_dtype dtype, int64_t n_pages, int64_t n_kv_heads, int64_t head_dim, size_t *out);

/* Index of the tile that holds a chunk of a sequence for one KV head. */
static inline int64_t wh_kv_tile(const int32_t *page_table, int64_t table, int64_t n_kv_heads,
                                 int64_t sequence, int64_t head, int64_t chunk) {
  return page_table[sequence * table + chunk] * n_kv_heads + head;
}

#endif
