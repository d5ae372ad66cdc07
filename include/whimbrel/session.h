/* session.h - running a model on a device: program, memory plan, KV state.
 *
 * Threads: a session is used by one thread at a time, and so is all that it gives out (logits, strings). The
 * sessions of one model or one device may be used by as many threads at the same time; their runs take turns
 * on the device (device.h). Creating and destroying sessions is no different. */
#ifndef WHIMBREL_SESSION_H
#define WHIMBREL_SESSION_H

#include "whimbrel/device.h"
#include "whimbrel/model.h"
#include "whimbrel/program.h"
#include "whimbrel/progress.h"
#include "whimbrel/text.h"
#include "whimbrel/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wh_session wh_session;

/* offload_layers: as many as the offload has memory for, by what the plan says of packed weights, attention
 * state and activations. Of a mixture of experts all layers' attention goes before any layer's experts. */
#define WH_LAYERS_AUTO UINT32_C(0xfffffffe)

/* What devices that work together share out. Never changes a result. */
typedef enum wh_split_mode {
  WH_SPLIT_LAYERS,  /* each has layers of its own, as many as it has memory for; one works after the other */
  WH_SPLIT_TENSORS, /* each has a part of every matrix and of the attention heads; they work side by side */
  WH_SPLIT_FORCE_32 = 0x7fffffff
} wh_split_mode;
#define WH_SESSION_DEVICES 9u /* most, all together */

typedef struct wh_session_options {
  uint32_t struct_size;
  uint32_t context;       /* positions per sequence; 0: the model's, at most 4096 */
  uint32_t max_batch;     /* most tokens of one run; 0: 512 */
  uint32_t max_outputs;   /* most rows of logits of one run; 0: 1 */
  uint32_t max_sequences; /* 0: 1 */
  wh_dtype kv_dtype;      /* of keys and values: F16, F32 or Q8_0 */
  const wh_allocator *allocator;
  const char *pack_cache;     /* a folder that keeps packed weights for the next start; NULL: none */
  uint32_t pack_cache_mapped; /* 1: they stay in the file, see wh_session_create */
  const wh_log *log;          /* warnings about it; NULL: silent; copied, its context outlives the session */
  wh_progress_fn progress;    /* during wh_session_create and wh_session_keep_packed; NULL: none */
  void *progress_ctx;         /* outlives the session */
  uint64_t memory_limit;      /* most bytes that the session may take; 0: what the system has left for the
                                 process (memory, control groups, resource limits); UINT64_MAX: any number */
  wh_device *offload;         /* runs the model's last `offload_layers` layers; NULL: one device runs all */
  uint32_t offload_layers;    /* more than the model has: everything; WH_LAYERS_AUTO */
  uint32_t find_prefixes;     /* 1: wh_session_run uses pages that hold what a sequence begins with, as the
                                 sequences of sequence.h do; 0: it computes every token */
  uint64_t kv_bytes; /* most bytes of attention state, which lies in pages of 64 positions: for programs with
                        many sequences (sequence.h); 0: context * max_sequences positions */
  uint32_t pack_while_running; /* 1: the first answer comes soon, see wh_session_create */
  uint32_t kept_experts;   /* of the offloaded layers, the first so many leave what follows their attention, a
                              mixture's experts, to the first device; WH_LAYERS_AUTO chooses it, too */
  wh_device *const *peers; /* [n_peers] further devices, which share what `offload` has, or without one
                              `device`; with WH_LAYERS_AUTO only as many of them as it takes */
  uint32_t n_peers;
  uint32_t split_mode; /* wh_split_mode; tensors: of a model without an offload */
} wh_session_options;
#define WH_SESSION_OPTIONS_INIT                                                                              \
  {                                                                                                          \
    sizeof(wh_session_options), 0, 0, 0, 0, WH_DTYPE_F16, NULL, NULL, 0, NULL, NULL, NULL, 0, NULL, 0, 0, 0, \
        0, 0, NULL, 0, WH_SPLIT_LAYERS                                                                       \
  }

/* Plans, packs the weights (on the device's threads) and takes all memory. The session holds references
 * to the model and its devices. Sessions of one model on the same devices share its weights and its program:
 * a further one takes memory for activations and attention state only. More memory than there is
 * (memory_limit) is ERR_OUT_OF_MEMORY before any is taken; the message has both numbers, and where a device
 * with memory of its own lacks it, how many layers would fit. Weights that are
 * used where they lie in a file do not count: the system can drop their pages. If they do not fit beside the
 * rest, which makes runs slow, the log gets a warning.
 *
 * With a pack cache the packed weights are taken from a file of its folder; wh_session_keep_packed writes
 * it. The file's name is the weights' content hash; it and the model file are hashed only when they are new
 * or have changed; so any number of models may share a folder, and a bad or missing file costs no more than
 * packing. A cache that cannot be used is a warning in the log, never an error. The logits are the same. The
 * first run uses the weights where they lie in the file; the next runs move them into large pages of memory,
 * some before each, which decoding reads faster. With `pack_cache_mapped` they stay in the file, so that
 * processes share its pages. A file in use may be deleted or replaced, but not written to.
 *
 * With `pack_while_running` nothing is packed before the first run, which reads weights as the model file has
 * them, more slowly; the second packs them, which it waits for, and from then on runs are fast. The logits
 * are the same. A weight that is not finite is then ERR_CORRUPT of a run. On devices that cannot read the
 * file's form, and for weights that the pack cache has, it changes nothing.
 *
 * A large model takes seconds. The progress callback is told of each stage (progress.h), in which the call
 * can be ended: ERR_CANCELLED. */
WH_API WH_NODISCARD wh_status wh_session_create(const wh_model *model, wh_device *device,
                                                const wh_session_options *options, wh_session **out);
WH_API wh_session *wh_session_retain(wh_session *session);
WH_API void wh_session_destroy(wh_session *session);

/* One run: each token goes to the end of its sequence. Tokens of one sequence are adjacent. */
typedef struct wh_batch {
  uint32_t struct_size;
  uint32_t n_tokens;          /* 1..max_batch */
  const int32_t *tokens;      /* [n_tokens] */
  const int32_t *sequences;   /* [n_tokens], 0..max_sequences-1; NULL: all 0 */
  uint32_t n_outputs;         /* 0..max_outputs */
  const int32_t *output_rows; /* [n_outputs] ascending rows of the batch whose logits are wanted; NULL with
                                 n_outputs 1: the last */
  uint32_t n_to_follow; /* a hint that changes the time and nothing else: so many tokens will be appended to
                           the batch's sequences before more logits are wanted. A LongRoPE model then computes
                           a long prompt once, not once more beyond its original context */
} wh_batch;
#define WH_BATCH_INIT \
  { sizeof(wh_batch), 0, NULL, NULL, 0, NULL, 0 }

/* Allocates nothing after the first run, and waits for the device's turn. After an error (a token id out of
 * range, a full context: ERR_LIMIT ...) the session holds what it held before the call. A row of logits that
 * is not finite is an error of its sequence: the run fails when the batch has no other, else that sequence
 * holds what it held before and its rows have a status. With a LongRoPE model, whose rotary frequencies
 * change when a sequence outgrows the original context, a run that crosses that border (or comes back below
 * it after a truncation) computes the sequence again from its first token, in chunks of max_batch. */
WH_API WH_NODISCARD wh_status wh_session_run(wh_session *session, const wh_batch *batch);
/* Asked on the calling thread before each such chunk; non-zero ends the run (ERR_CANCELLED). */
typedef int (*wh_interrupt_fn)(void *ctx);
WH_API void wh_session_set_interrupt(wh_session *session, wh_interrupt_fn fn, void *ctx); /* NULL: none */
/* Logits [n_vocab] of output i of the last run; valid until the next, also after wh_session_truncate. NULL
 * when there is no such output, when it failed (wh_session_row_status), before the first run, and after a run
 * that failed. */
WH_API const float *wh_session_logits(const wh_session *session, uint32_t output);
/* The generator's pick from output i of the last run, with the bits of wh_generator_sample over its logits.
 * On a GPU these are copied when they are asked for; here only where its largest ones do not decide: mostly
 * with penalties that raise a logit, or where the options leave more than 127 tokens a chance. */
WH_API WH_NODISCARD wh_status wh_session_sample(wh_session *session, uint32_t output, wh_generator *generator,
                                                int32_t *token);
/* Why output i of a run that succeeded has no logits; WH_OK: it has. ERR_NOT_FOUND: there is no such output.
 */
WH_API wh_status wh_session_row_status(const wh_session *session, uint32_t output);

WH_API uint32_t wh_session_length(const wh_session *session, uint32_t sequence); /* positions in use */
WH_API uint32_t wh_session_context(const wh_session *session);
/* Forgets all positions of a sequence from `length` on. */
WH_API WH_NODISCARD wh_status wh_session_truncate(wh_session *session, uint32_t sequence, uint32_t length);

/* Where the memory goes, in bytes. */
typedef struct wh_session_memory {
  uint32_t struct_size;
  uint32_t n_instructions;
  uint64_t activations;             /* the planned arena */
  uint64_t activations_lower_bound; /* most that is live at any one step: no plan can be smaller */
  uint64_t activations_unshared;    /* what it would be without sharing */
  uint64_t kv_state;
  uint64_t packed_weights;
  uint64_t mapped_weights; /* used in place from the mapped file */
  uint64_t other;          /* program, graph, tables */
  uint64_t peak; /* all but mapped and cached weights: what the process uses beyond mapped files and its
                    start-up */
  uint64_t cached_weights; /* packed weights, mapped from the pack cache */
} wh_session_memory;
#define WH_SESSION_MEMORY_INIT \
  { sizeof(wh_session_memory), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
WH_API wh_status wh_session_get_memory(const wh_session *session, wh_session_memory *memory);

/* What runs on which of the session's devices: 0 is the one that it was created with, then the offload, if
 * any, and the peers. Devices that share tensors have all layers.
 * ERR_NOT_FOUND past the end. Strings live as long as the session. */
typedef struct wh_session_placement {
  uint32_t struct_size;
  uint32_t n_layers;       /* of the model's, that run on it */
  uint32_t n_kept_experts; /* of these, without what follows their attention */
  uint32_t reserved;
  const char *device;                             /* "cpu" */
  uint64_t packed_weights, kv_state, activations; /* bytes that they take there */
  uint64_t mapped_weights;                        /* used in place from the mapped file */
  uint64_t free_bytes; /* of memory of its own, before they were taken; 0: it computes in the host's */
} wh_session_placement;
#define WH_SESSION_PLACEMENT_INIT \
  { sizeof(wh_session_placement), 0, 0, 0, NULL, 0, 0, 0, 0, 0 }
WH_API WH_NODISCARD wh_status wh_session_get_placement(const wh_session *session, uint32_t i,
                                                       wh_session_placement *placement);

/* How the weights got into the layouts that the device's kernels read. */
typedef struct wh_session_packing {
  uint32_t struct_size;
  uint32_t n_packed;   /* weights packed at this start */
  uint32_t n_cached;   /* found packed in the cache */
  uint32_t n_in_place; /* used as the model file has them */
  uint32_t
      hashed_model; /* 1: the cache had not seen the model file as it is now, so its weights were hashed */
  uint32_t stored;  /* 1: wh_session_keep_packed wrote what was packed */
} wh_session_packing;
#define WH_SESSION_PACKING_INIT \
  { sizeof(wh_session_packing), 0, 0, 0, 0, 0 }
WH_API wh_status wh_session_get_packing(const wh_session *session, wh_session_packing *packing);

/* Writes what was packed at this start into the pack cache for the next one, which takes as long as the disk
 * does: to be called when nobody waits. Does nothing without a pack cache, or when the weights came from it;
 * a disk that fails is a warning in the log that wh_session_create was given. The progress callback is told
 * of it and can end it: ERR_CANCELLED, the folder is then as before. */
WH_API WH_NODISCARD wh_status wh_session_keep_packed(wh_session *session);

/* Instruction i of the program (program.h); strings live as long as the session. ERR_NOT_FOUND past the end.
 */
WH_API WH_NODISCARD wh_status wh_session_get_instruction(const wh_session *session, uint32_t i,
                                                         wh_instruction_info *info);

/* The program as text with buffer offsets; *out is owned by the caller: wh_string_destroy. */
WH_API WH_NODISCARD wh_status wh_session_plan_text(const wh_session *session, char **out);

/* Off at first. fn NULL: off. */
WH_API void wh_session_set_trace(wh_session *session, wh_trace_fn fn, void *ctx);

/* The next run that succeeds also writes the node of that name by itself into `folder`, which is there: what
 * wh_model_open_folder reads. Nodes that make what only a device reads, quantised activations and attention
 * state, come along. ERR_NOT_FOUND of the run: no such node. ERR_UNSUPPORTED of the run: the node reads
 * attention state of q8_0 that earlier runs wrote. The session holds the run's tokens all the same. */
WH_API WH_NODISCARD wh_status wh_session_extract(wh_session *session, const char *node, const char *folder);

/* xxHash128 of bytes as 32 hex digits: what logits hashes and traces are printed with. "" when `data` is NULL
 * but `n_bytes` is not 0. */
WH_API void wh_hash_text(const void *data, size_t n_bytes, char out[33]);

#ifdef __cplusplus
}
#endif
#endif
