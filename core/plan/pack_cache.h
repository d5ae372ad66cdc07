/* plan/pack_cache.h - packed weights kept on disk, so that the next start finds them packed.
 *
 * One file holds all packed weights of a model for one set of layouts. Its name is a hash of the weights'
 * content and of the layouts. Since hashing the model at each start would cost more than it has to, a second,
 * tiny file (a stamp) says which content a model file had when it was last hashed, under what the system says
 * of that file (device, inode, size, times).
 *
 * All sizes are known from the model, so a header is not read but compared with what it must be, and every
 * byte of data is hashed, by the device's threads, at the first start that finds the file and whenever it has
 * changed since: another stamp remembers that, so that the file is trusted as far as the model's own is. A
 * file that fails is replaced; a folder that cannot be written costs the cache, not the run. Both are logged
 * as warnings. The only errors are ERR_OUT_OF_MEMORY and the caller's own ERR_CANCELLED, after which no file
 * of the cache is other than it was. */
#ifndef WH_PLAN_PACK_CACHE_H
#define WH_PLAN_PACK_CACHE_H

#include "core/backend_abi.h"
#include "core/base/hash.h"
#include "core/base/progress.h"

typedef struct wh_pack_cache wh_pack_cache;

typedef struct wh_pack_cache_options {
  const char *folder; /* made when it is not there */
  const wh_hash128
      *model_stamp;  /* equal stamps, equal bytes behind every weight with an origin; NULL: unknown */
  bool mapped;       /* for the planner: the weights stay in the file */
  const wh_log *log; /* may be NULL; copied */
} wh_pack_cache_options;

/* A weight and its place among the packed ones; in ascending order, `n_bytes` apart. */
typedef struct wh_packed_weight {
  wh_value value;
  uint32_t layout;
  size_t offset, n_bytes; /* n_bytes 0: used in place */
  wh_node node;
} wh_packed_weight;

/* Looks for the weights' file. The strings and arrays are borrowed for the call, `progress` is copied. *out
 * is NULL when there can be no cache, and lives until wh_pack_cache_close. */
WH_NODISCARD wh_status wh_pack_cache_open(const wh_pack_cache_options *options, const wh_backend *backend,
                                          void *device, const wh_graph *g, const wh_packed_weight *weights,
                                          size_t n_weights, const wh_progress_sink *progress,
                                          const wh_allocator *alloc, wh_pack_cache **out);
void wh_pack_cache_tell(wh_pack_cache *cache, const wh_progress_sink *progress);
void wh_pack_cache_close(wh_pack_cache *cache); /* NULL is fine */

/* The packed weights, checked, and mapped until the cache is closed. *out is NULL when they are not there. */
WH_NODISCARD wh_status wh_pack_cache_fetch(wh_pack_cache *cache, const void **out);
/* Bytes [offset, offset + n) of them will hardly be read again. */
void wh_pack_cache_dont_need(const wh_pack_cache *cache, size_t offset, size_t n);
/* The model was hashed because no stamp matched. */
bool wh_pack_cache_hashed_model(const wh_pack_cache *cache);

/* Writes the file after a miss. *stored tells whether that worked. */
WH_NODISCARD wh_status wh_pack_cache_store(wh_pack_cache *cache, const void *packed, bool *stored);

#endif
