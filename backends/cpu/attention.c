/* attention.c - chooses the attention kernels for a feature mask and sizes their memory. */
#include "backends/cpu/attention.h"

#include "backends/cpu/attention_kernels.h"
#include "backends/cpu/attention_split.h"
#include "core/base/allocator.h"

wh_attention_fn wh_attention_select(uint64_t features, wh_dtype dtype, const char **name) {
  wh_attention_fn fn = NULL;
#define WH_ATTENTION_KERNEL(stores, isa, needs)                               \
  if (stores(dtype) && (features & (uint64_t)(needs)) == (uint64_t)(needs)) { \
    fn = wh_k_attention_##isa;                                                \
    if (name) *name = "attention_" #isa;                                      \
  }
#include "backends/cpu/kernels_attention.def"
#undef WH_ATTENTION_KERNEL
  return fn;
}

wh_kv_append_fn wh_kv_append_select(uint64_t features, wh_dtype dtype, const char **name) {
  wh_kv_append_fn fn = NULL;
#define WH_ATTENTION_KERNEL(stores, isa, needs)                               \
  if (stores(dtype) && (features & (uint64_t)(needs)) == (uint64_t)(needs)) { \
    fn = wh_k_kv_append_##isa;                                                \
    if (name) *name = "kv_append_" #isa;                                      \
  }
#include "backends/cpu/kernels_attention.def"
#undef WH_ATTENTION_KERNEL
  return fn;
}

bool wh_kv_cache_bytes(wh_dtype dtype, int64_t n_pages, int64_t n_kv_heads, int64_t head_dim, size_t *out) {
  size_t bytes = 0;
  if (n_pages < 0 || n_kv_heads < 0 || head_dim < 0) return false;
  if (!IS_ANY(dtype)) return false;
  if (!wh_dtype_row_bytes(dtype, (uint64_t)head_dim, &bytes)) return false;
  if (!wh_mul_size(bytes, WH_ATTENTION_CHUNK, &bytes) || !wh_mul_size(bytes, (size_t)n_kv_heads, &bytes) ||
      !wh_mul_size(bytes, (size_t)n_pages, &bytes))
    return false;
  *out = bytes;
  return true;
}

size_t wh_attention_scratch_bytes(int64_t rows_max, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim,
                                  int64_t value_dim, int64_t table, int n_threads) {
  size_t worker, cut, total;
  (void)rows_max; /* blocks are cut to a fixed number of query vectors */
  (void)n_heads;
  (void)n_kv_heads;
  if (!wh_attention_workspace_bytes(head_dim, value_dim, &worker) ||
      !wh_attention_cut_bytes(value_dim, table, &cut) || !wh_mul_size(worker, (size_t)n_threads, &total) ||
      !wh_mul_size(cut, (size_t)(n_threads - 1), &cut) || !wh_add_size(total, cut, &total))
    return SIZE_MAX; /* no allocation can satisfy it */
  return total;
}
