/* api_internal.h - the objects behind the public handles. This folder is where formats, models, text, core
 * and backends meet; none of them knows another. */
#ifndef WH_API_INTERNAL_H
#define WH_API_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "api/onnx_engine.h"
#include "core/backend_abi.h"
#include "core/exec/run.h"
#include "core/plan/program.h"
#include "formats/model_file.h"
#include "import/families/model.h"
#include "import/onnx/net.h"
#include "lm/lm.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "whimbrel/whimbrel.h"

struct wh_device {
  atomic_uint n_refs;
  const wh_allocator *alloc;
  const wh_backend *backend;
  void *device;
  char name[64]; /* as it was asked for */
};

/* Built at the first use, then shared: tokenizer and template cost time that a run without text need not
 * spend. */
typedef struct lazy {
  _Atomic(void *) object;
  atomic_flag building;
} lazy;

typedef struct shared_program shared_program; /* programs.c */

/* What a graph takes and gives, in the words of runner.h. ports.c */
typedef struct wh_ports {
  wh_arena arena; /* of all that follows */
  wh_port_info *inputs, *outputs;
  wh_symbol_info *symbols;
  size_t n_inputs, n_outputs, n_symbols;
} wh_ports;

struct wh_model {
  atomic_uint n_refs;
  const wh_allocator *alloc;
  wh_model_file *file; /* NULL: the model is a graph and no language model */
  wh_onnx_file *onnx;  /* an ONNX model, whose graphs are built as it runs; `graph` is empty then */
  wh_onnx_net *net;
  wh_engine_pool engines; /* of its runners */
  wh_graph *graph;        /* before the passes; with a file: states of f16, and the trained context */
  void *constants;        /* without a file: their data, which is its own origin */
  wh_model_hparams hparams;
  char *name;
  lazy tokenizer, chat_template, ports;
  pthread_mutex_t programs_mutex;
  shared_program *programs;
};

/* References, programs and lazy parts are what changes behind a const model. */
static inline wh_model *wh_model_changing(const wh_model *m) {
  union {
    const wh_model *in;
    wh_model *out;
  } u = {m};
  return u.out;
}

static inline void wh_refs_add(atomic_uint *n) { atomic_fetch_add_explicit(n, 1, memory_order_relaxed); }
/* True for the one who is to destroy the object. */
static inline bool wh_refs_drop(atomic_uint *n) {
  return atomic_fetch_sub_explicit(n, 1, memory_order_acq_rel) == 1;
}

/* A text for the caller, who destroys it with wh_string_destroy: a copy of the buffer, which is emptied.
 * `what` is named when there is no memory. string.c */
wh_status wh_string_give(wh_text_buffer *b, const char *what, char **out);

/* What sessions and runners say of a program. describe.c */
wh_status wh_describe_instruction(const wh_program *p, uint32_t i, wh_instruction_info *info);
wh_status wh_describe_program(const wh_run *run, wh_program_info *info);
wh_status wh_describe_plan(const wh_run *run, const wh_allocator *alloc, char **out);
wh_status wh_describe_graph(const wh_graph *g, const wh_allocator *alloc, char **out);

/* With one reference and nothing else; NULL when there is no memory. model.c */
wh_model *wh_model_new(const wh_allocator *alloc);
/* What the model is called in messages. */
static inline const char *wh_model_path(const wh_model *m) {
  return m->file ? wh_model_file_path(m->file) : m->onnx ? m->onnx->path : m->name;
}
/* ERR_UNSUPPORTED for a model that is no language model. model.c */
wh_status wh_model_want_file(const wh_model *m);
/* A graph of its own before the passes, for the caller to keep. `hparams` is told of this graph; may be NULL.
 * model.c */
wh_status wh_model_make_graph(const wh_model *m, const wh_model_build_options *options, wh_graph **out,
                              wh_model_hparams *hparams);
/* Built at the first use of a lazy part; threads may ask at the same time. model.c */
typedef wh_status (*lazy_builder)(const wh_model *m, void **out);
wh_status wh_model_lazy(const wh_model *m, lazy *l, lazy_builder build, void **out);
/* A context of so many positions outgrows the model's first set of rotary frequencies (LongRoPE). */
static inline bool wh_model_outgrows_rope(const wh_model *m, int64_t context) {
  return m->file && context > m->hparams.rope.original_context &&
         wh_model_file_find_weight(m->file, "rope_factors_long.weight") != NULL;
}

wh_status wh_ports_create(const wh_graph *g, const wh_allocator *alloc, wh_ports **out);
void wh_ports_destroy(wh_ports *p);
wh_status wh_model_ports(const wh_model *m, const wh_ports **out); /* borrowed */

/* Borrowed; live as long as the model. */
wh_status wh_model_tokenizer(const wh_model *m, const wh_tokenizer **out);
wh_status wh_model_template(const wh_model *m, const wh_chat_template **out);

/* What sessions must agree in to share a program. */
typedef struct wh_program_key {
  wh_device *devices[WH_SESSION_DEVICES];
  uint32_t n_devices;
  bool has_offload; /* of which devices[1] is the first; devices[0] has what they do not have */
  bool moves_all;   /* the offload has what is no layer as well */
  uint32_t layers[WH_SESSION_DEVICES]; /* of all devices but the first, in order the model's last ones */
  uint32_t kept_experts;               /* as wh_session_options has them */
  wh_split_mode split_mode;            /* TENSORS: `layers` are not looked at */
  wh_dtype kv_dtype;
  bool outgrows_rope; /* contexts beyond what its first set of rotary frequencies is for (LongRoPE) */
} wh_program_key;

/* What the first of them decides. */
typedef struct wh_program_request {
  const wh_lm_options *limits; /* of a session; NULL: of a runner, whose `symbols` are asked */
  void (*symbols)(void *ctx, const wh_graph *g, int64_t *symbols);
  void *symbols_ctx;
  const wh_pack_cache_options *pack_cache; /* NULL: none */
  bool pack_while_running;
  wh_progress_sink progress;
} wh_program_request;

/* The model's program for the key, made when there is none; it is given back once per take. Threads may ask
 * at the same time. programs.c */
wh_status wh_model_take_program(const wh_model *m, const wh_program_key *key,
                                const wh_program_request *request, wh_program **out, uint32_t *rope_border);
void wh_model_give_program(const wh_model *m, const wh_program *program);
/* The program's graph as it is before devices share it out; the caller's. programs.c */
wh_status wh_model_unshared_graph(const wh_model *m, const wh_program_key *key, uint32_t context,
                                  wh_graph **out);

/* Plans the session's model as the key says and tells what it would take of each device; loads nothing.
 * session.c */
wh_status wh_session_try(wh_session *s, const wh_program_key *key, wh_device_memory out[WH_SESSION_DEVICES]);
/* Which of the layers each of the key's devices has: with an offload the last n_layers, or as many as fit
 * (WH_LAYERS_AUTO), else all. Devices that are not needed then leave the key. fit.c */
wh_status wh_fit_layers(wh_session *s, uint32_t n_layers, wh_program_key *key);
/* Adds to the error that a device lacks memory how many layers would fit; gives the status back. fit.c */
wh_status wh_fit_explain(wh_session *s, const wh_program_key *key);

/* A node that the next run of a session or runner is to write into a folder that is there. Zero: none.
 * extract.c */
typedef struct wh_extraction {
  wh_extract *extract;
  char *folder;
} wh_extraction;
#define WH_FOLDER_PATH 4096
wh_status wh_extraction_begin(wh_extraction *e, const char *node, const char *folder,
                              const wh_allocator *alloc);
void wh_extraction_drop(wh_extraction *e, const wh_allocator *alloc);
/* Writes it, and drops it. `has_past`: states were not empty before the run. */
wh_status wh_extraction_end(wh_extraction *e, bool has_past, const wh_allocator *alloc);
/* Copies the constants, all that the model's graph has. graph_text.c */
wh_status wh_model_take_constants(wh_model *m, const wh_constant *constants, size_t n);

/* "f32[3, 8]"; returns `out`. tensor.c */
#define WH_SHAPE_TEXT 208 /* the largest dims fit */
const char *wh_shape_text(wh_dtype dtype, int32_t rank, const int64_t *dims, char out[WH_SHAPE_TEXT]);
/* Bytes of a tensor in row-major form; false on overflow and for types that have none. No dim is negative. */
bool wh_tensor_bytes(wh_dtype dtype, int32_t rank, const int64_t *dims, size_t *out);
/* Whether what the caller says of it is right, by itself. `kind` and `name` say what it is: "input", "x". */
wh_status wh_check_tensor(const wh_tensor *t, const char *kind, const char *name);

/* What a trace callback is given; strings and data are the event's. tensor.c */
wh_trace_event wh_public_trace_event(const wh_run_trace_event *event);

/* As wh_session_create filled them in. */
const wh_session_options *wh_session_get_options(const wh_session *s);
const wh_model *wh_session_get_model(const wh_session *s);
wh_lm *wh_session_get_lm(const wh_session *s);
/* As wh_sampler_sample_best. */
WH_NODISCARD wh_status wh_generator_sample_best(wh_generator *g, const wh_lm_best *best, int32_t *token,
                                                bool *decided);
wh_status wh_session_identity(wh_session *s, wh_lm_identity *out); /* hashes the weights at first */
/* Puts the model file's name in front of an ERR_CORRUPT; gives the status back. */
wh_status wh_session_name_file(const wh_session *s, wh_status st);

/* Every public function begins with these: a program's mistake is answered, not followed. `name` is what the
 * header calls the argument. */
#define WH_WANT(argument, name)                                                                             \
  do {                                                                                                      \
    if (!(argument)) return WH_FAIL(ERR_INVALID_ARGUMENT, "%s: the argument '%s' is NULL", __func__, name); \
  } while (0)

/* No struct of any version is smaller or larger. */
#define WH_STRUCT_BYTES_MIN 8
#define WH_STRUCT_BYTES_MAX 4096
static inline wh_status wh_check_struct_size(uint32_t size, const char *function, const char *init_macro) {
  if (size >= WH_STRUCT_BYTES_MIN && size <= WH_STRUCT_BYTES_MAX) return WH_OK;
  return WH_FAIL(ERR_INVALID_ARGUMENT,
                 "%s: struct_size is %u, which no version had; initialise the struct with %s", function, size,
                 init_macro);
}

/* Reads what a versioned options struct of the caller's size holds; the rest keeps its defaults. NULL: all
 * do. */
#define WH_READ_OPTIONS(dst, src, init_macro)                                                 \
  do {                                                                                        \
    if (src) {                                                                                \
      WH_TRY(wh_check_struct_size((src)->struct_size, __func__, #init_macro));                \
      size_t wh_n_ = (src)->struct_size < sizeof *(dst) ? (src)->struct_size : sizeof *(dst); \
      memcpy((dst), (src), wh_n_);                                                            \
    }                                                                                         \
  } while (0)
/* Before the work: whether WH_WRITE_INFO will know how much to write. */
#define WH_WANT_INFO(dst, name, init_macro)                                  \
  do {                                                                       \
    WH_WANT(dst, name);                                                      \
    WH_TRY(wh_check_struct_size((dst)->struct_size, __func__, #init_macro)); \
  } while (0)
/* Writes a versioned info struct: no more than the caller's size, which stays as it is. */
#define WH_WRITE_INFO(dst, src)                                         \
  do {                                                                  \
    uint32_t wh_size_ = (dst)->struct_size;                             \
    size_t wh_n_ = wh_size_ < sizeof *(dst) ? wh_size_ : sizeof *(dst); \
    memcpy((dst), &(src), wh_n_);                                       \
    (dst)->struct_size = wh_size_;                                      \
  } while (0)

#endif
