/* progress.h - what a long call is doing, and the way to end it early. */
#ifndef WHIMBREL_PROGRESS_H
#define WHIMBREL_PROGRESS_H

#include <stdint.h>

#include "whimbrel/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* name, number (never reused), text; the order in which they follow each other.
 * Bytes counted: MEMORY what is taken; HASH the model file's, whose hash names the weights in a pack cache;
 * READ the pack cache's, read and checked; PACK the model file's, packed, or checked where they are used as
 * they are; KEEP the pack cache's, once hashed and once written; RUN none. */
#define WH_STAGE_LIST(X)                   \
  X(HASH, 1, "hashing the weights")        \
  X(READ, 2, "reading the packed weights") \
  X(MEMORY, 3, "taking memory")            \
  X(PACK, 4, "packing the weights")        \
  X(KEEP, 5, "keeping the packed weights") \
  X(RUN, 6, "going through the nodes")

typedef enum wh_stage {
#define WH_STAGE_ENUM(name, number, text) WH_STAGE_##name = number,
  WH_STAGE_LIST(WH_STAGE_ENUM)
#undef WH_STAGE_ENUM
      WH_STAGE_FORCE_32 = 0x7fffffff
} wh_stage;

/* "packing the weights" ...; "?" for a number that is no stage. */
WH_API const char *wh_stage_name(wh_stage stage);

typedef struct wh_progress {
  uint32_t struct_size;
  wh_stage stage;
  uint64_t done_bytes, total_bytes; /* of this stage */
} wh_progress;

/* Called on the thread that made the long call, with no device held, so other sessions may run in it;
 * sessions of the same model are not created or destroyed in it: at the beginning and the end of each stage
 * and in between, after some ten milliseconds to some hundred where the files are in memory. Stages without
 * work are left out. `progress` is valid for the call. A non-zero return ends the long call with
 * ERR_CANCELLED: what it took is given back, and no file is half-written. It must not destroy what the long
 * call uses. */
typedef int (*wh_progress_fn)(void *ctx, const wh_progress *progress);

#ifdef __cplusplus
}
#endif
#endif
