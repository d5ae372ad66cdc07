/* engine.h - a model, a device and a session opened together from the shared options. */
#ifndef CLI_ENGINE_H
#define CLI_ENGINE_H

#include "cli/options.h"

#define CLI_PROMPT_CHUNK 512u /* most tokens of one run when the user says nothing */

/* Owned: close frees what it holds. Zero-initialise. */
typedef struct cli_engine {
  wh_model *model;
  wh_device *device, *offload;          /* offload: NULL without one */
  wh_device *peers[WH_SESSION_DEVICES]; /* that work together with the offload, else with the device */
  uint32_t n_peers;
  wh_session *session;
  wh_model_info info;
  cli_engine_options options;
  uint32_t prompt_chunk; /* most tokens of one run */
  uint32_t max_outputs;
  double load_seconds;
  char *own_pack_folder; /* the user's, when nobody named one; options.pack_cache points to it */
} cli_engine;

typedef struct cli_session_needs {
  uint32_t context;        /* overrides the default when the user gave none; 0: no wish */
  uint32_t max_outputs;    /* rows of logits in one run, which may be as long; 0: 1 */
  uint32_t max_sequences;  /* 0: 1 */
  wh_device *offload;      /* as wh_session_options; the options say how many layers */
  wh_device *const *peers; /* as wh_session_options */
  uint32_t n_peers;
  bool find_prefixes;   /* as wh_session_options: for answers, not for measurements */
  bool answers_soon;    /* weights are packed while the model runs */
  bool may_keep_packed; /* large models' packed weights, in the user's cache folder */
} cli_session_needs;

/* A node by itself, as `verify` writes it: graph.txt and its values as NumPy files. */
bool cli_is_graph_folder(const char *path);
WH_NODISCARD cli_exit cli_model_open(const char *path, wh_model **out);
/* The device of that name with these options; why not is in the library's error record. */
WH_NODISCARD wh_status cli_device_try(const cli_engine_options *options, const char *name, wh_device **out);
/* What the options name: of a model that is split, the GPU; of devices that work together, the first. */
WH_NODISCARD cli_exit cli_device_open(const cli_engine_options *options, wh_device **out);
/* The device comes first: a wrong option is reported before a large file is read. */
WH_NODISCARD cli_exit cli_engine_open(const char *path, const cli_engine_options *options,
                                      const cli_session_needs *needs, cli_engine *out);
/* The two halves of it: device and model, then the session, for a verb that looks at the model first. */
WH_NODISCARD cli_exit cli_engine_begin(const char *path, const cli_engine_options *options, cli_engine *out);
WH_NODISCARD cli_exit cli_engine_start(cli_engine *engine, const cli_session_needs *needs);
void cli_engine_close(cli_engine *engine);

/* "loaded in 0.03 s: 154 weights from the pack cache" as a note, when there is a cache. */
void cli_note_packing(const cli_engine *engine);

/* A session with the engine options' context, state, cache ... for a model beside the engine's. */
WH_NODISCARD cli_exit cli_session_open(const cli_engine_options *options, const wh_model *model,
                                       wh_device *device, const cli_session_needs *needs, wh_session **out);

/* Keeps its packed weights for the next start, see wh_session_keep_packed. True when they were written now.
 */
bool cli_session_keep_packed(wh_session *session);
/* The same for the engine's session, with a note where to. Close does it, too. */
void cli_engine_keep_packed(cli_engine *engine);

/* Asks the device; the first call costs some milliseconds. */
wh_device_info cli_engine_device_info(const cli_engine *engine);

/* *ids is owned by the caller: free. */
WH_NODISCARD cli_exit cli_tokenize(const wh_model *model, const char *text, size_t n_bytes, uint32_t flags,
                                   int32_t **ids, size_t *n);

/* Appends tokens to a sequence in runs of at most `chunk`, the last run with the last token's logits.
 * Interruptible: CLI_INTERRUPTED leaves the tokens that were run in the session. */
WH_NODISCARD cli_exit cli_run_tokens(cli_engine *engine, uint32_t sequence, const int32_t *tokens, size_t n,
                                     uint32_t chunk);

/* Position of the largest logit, the first of equals. */
int32_t cli_argmax(const float *logits, size_t n);

double cli_seconds(void); /* monotonic */

#endif
