/* plan/weight_set.h - a model's constants on one device: in the layouts that its kernels read, packed at this
 * start or found packed in a cache (pack_cache.h); or as the model has them. Shared by programs and runs; it
 * refers to the model's file, but not to a graph once it is loaded.
 *
 * Packed weights that come from a cache are used where they lie in its file at first, so that nothing is
 * copied before the first run; then, unless they are to stay there, they move into memory of their own, some
 * before each run. Their bytes are the same in both places. Weights that are packed while the model runs are
 * read as the model has them by the first run, and packed before the second. On a device
 * whose memory the host cannot address, all constants are copied there when the set is loaded.
 *
 * Threads: users on several threads may begin runs at the same time; all else is one caller at a time. */
#ifndef WH_PLAN_WEIGHT_SET_H
#define WH_PLAN_WEIGHT_SET_H

#include "core/base/progress.h"
#include "core/plan/pack_cache.h"
#include "core/plan/place.h"

typedef struct wh_weight_set wh_weight_set;

/* Most memory of the host through which the weights of another device pass. */
#define WH_WEIGHT_STAGING_BYTES ((uint64_t)128 << 20)

/* A constant in one layout. */
typedef struct wh_weight_want {
  wh_value value;
  uint32_t layout;  /* 0: as the model has it */
  bool check;       /* layout 0: pack looks whether it is finite */
  bool from_model;  /* all users read it as the model has it, too, until it is packed */
  bool any_address; /* layout 0: all users read it wherever it lies */
  uint64_t n_bytes; /* in that layout */
  wh_node node;     /* a user */
} wh_weight_want;

typedef struct wh_weight_options {
  wh_plan_device device;
  const wh_allocator *alloc;
  /* Called with the origin of each constant that was packed or copied when its mapped pages are no longer
   * needed, once or more; may be NULL. */
  void (*weight_done)(void *ctx, const void *origin, uint64_t n_bytes);
  void *weight_done_ctx;
  const wh_pack_cache_options *pack_cache; /* for creation; NULL: weights are packed at each start */
  /* Weights that the cache does not have are packed while the model runs, where their users allow that. */
  bool pack_while_running;
  /* Constants of rank 0 and 1 may hold NaN and infinities: in a graph of any operators these are values. */
  bool any_vectors;
  wh_progress_sink progress; /* of creation */
  /* Sets of the same model on the device: a constant of the model (with an origin) that one of them has in
   * the layout that is wanted is used there, and neither packed nor copied again. For creation. */
  wh_weight_set *const *lenders;
  size_t n_lenders;
} wh_weight_options;

/* Plans the set and looks for its weights in the cache; then its memory is known. One reference is the
 * caller's. `g` must live until the set is loaded. Wants are distinct in (value, layout). */
WH_NODISCARD wh_status wh_weight_set_create(const wh_graph *g, const wh_weight_want *wants, size_t n,
                                            const wh_weight_options *options, wh_weight_set **out);
/* Takes the memory, packs, copies; does nothing when that is done. Threads may ask at the same time.
 * `progress` is told. ERR_CORRUPT names a weight with a value that is not finite. */
WH_NODISCARD wh_status wh_weight_set_load(wh_weight_set *set, const wh_graph *g,
                                          const wh_progress_sink *progress);
/* The set holds these constants, in this order: another program of the same model may use it. */
bool wh_weight_set_fits(const wh_weight_set *set, const wh_graph *g, const wh_weight_want *wants, size_t n);
void wh_weight_set_retain(wh_weight_set *set);
void wh_weight_set_release(wh_weight_set *set); /* NULL is fine */

/* Somebody who reads the weights between `begin` calls: a run. The caller's storage. */
typedef struct wh_weight_user {
  uint64_t generation;
  bool has_begun;
  struct wh_weight_user *next;
} wh_weight_user;
void wh_weight_set_attach(wh_weight_set *set, wh_weight_user *user);
void wh_weight_set_detach(wh_weight_set *set, wh_weight_user *user);
/* The error of a weight, by its name, with a NaN or an infinity. */
wh_status wh_weight_not_finite(const char *name);

/* Where want i lies. */
typedef struct wh_weight_places {
  wh_buffer **buffers;
  uint64_t *offsets;
  bool *as_model; /* it is not packed yet */
  bool changed;   /* at this call: else the user's last places are still right */
} wh_weight_places;
/* Before each run. From the user's second one on, a share of what is still in the cache's file moves, or what
 * is not packed yet is packed: ERR_CORRUPT names a weight with a value that is not finite. */
WH_NODISCARD wh_status wh_weight_set_begin(wh_weight_set *set, wh_weight_user *user,
                                           wh_weight_places *places);

/* Writes what was packed at this start into the cache; nothing when there is none or it came from there.
 * ERR_OUT_OF_MEMORY and ERR_CANCELLED only; other failures are warnings in the log. */
WH_NODISCARD wh_status wh_weight_set_keep(wh_weight_set *set, const wh_progress_sink *progress);

typedef struct wh_weight_memory {
  uint64_t packed_bytes; /* memory of our own for packed weights, in whole pages; of all weights on a device
                            that has memory of its own */
  uint64_t cached_bytes; /* packed weights that stay in the cache's file */
  uint64_t mapped_bytes; /* read where the model's file has them */
  uint64_t other_bytes;  /* vectors and tables */
} wh_weight_memory;
/* The memory is taken already, by this or another program's run. */
bool wh_weight_set_is_loaded(const wh_weight_set *set);
void wh_weight_set_get_memory(const wh_weight_set *set, wh_weight_memory *out);

/* What became of the weights that the device wants in a layout of its own. */
typedef struct wh_weight_packing {
  uint32_t n_packed, n_cached, n_in_place; /* packed now, found packed, used as the file has them */
  uint32_t n_shared, n_own; /* of all weights of the model: used where another set has them, or not */
  bool hashed_model;        /* the cache did not know the model file */
  bool stored;              /* wh_weight_set_keep wrote what was packed now */
} wh_weight_packing;
wh_weight_packing wh_weight_set_get_packing(const wh_weight_set *set);
/* "packed+64", "vectors+0", "mapped", "shared" */
void wh_weight_set_print_place(const wh_weight_set *set, size_t i, wh_text_buffer *out);

#endif
