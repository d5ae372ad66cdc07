/* import/onnx/net.h - an ONNX model as something that can be executed.
 *
 * An execution goes through the nodes in order like an interpreter, but instead of computing it builds a core
 * graph (core/ir). A value is, at any time, known (its elements lie in host memory: weights, shapes and what
 * follows from them, inputs) or built (a value of the graph that is under construction). Where the elements
 * of a value decide how the graph goes on - a Loop's condition, a computed Reshape - and it is not known, the
 * *stage* ends: the graph so far goes to the engine, which compiles and runs it, and what is still needed
 * comes back as known values; the next stage's graph takes those as inputs. Most models are one stage.
 *
 * Graphs are specialised on the inputs' shapes, and on the elements of those inputs that were looked at: the
 * result says which, so that an engine may keep what it made for the next execution of the same kind. */
#ifndef WH_IMPORT_ONNX_NET_H
#define WH_IMPORT_ONNX_NET_H

#include "core/ir/graph.h"
#include "formats/onnx/onnx.h"

typedef enum wh_datum_kind {
  WH_DATUM_TENSOR, /* its elements are known */
  WH_DATUM_BUILT,  /* a tensor of the graph under construction */
  WH_DATUM_SEQUENCE,
  WH_DATUM_OPTIONAL
} wh_datum_kind;

/* What a name of an ONNX graph stands for. */
typedef struct wh_datum {
  wh_datum_kind kind;
  wh_dtype dtype; /* TENSOR, BUILT; of an empty sequence's items */
  int rank;
  int64_t dims[WH_MAX_RANK];
  size_t n;              /* elements */
  const void *data;      /* numbers, row-major; of a BUILT one: where the host knows the elements as well */
  const wh_str *strings; /* [n] of strings, in place of data */
  size_t n_items;        /* SEQUENCE; OPTIONAL: 0 or 1 */
  struct wh_datum **items;
  /* The importer's own. */
  const struct ox_codes *codes; /* what a DequantizeLinear made it of; or NULL */
  wh_value value;               /* in the graph of `stage` */
  uint32_t stage;
  uint32_t marked;  /* 1 + the stage at whose end it was found alive */
  uint32_t input;   /* 1 + the net's input whose bytes these are; 0: none */
  bool is_weight;   /* the same in every execution */
  bool is_kept;     /* its elements lie where they are as long as the net does */
  bool is_cheap;    /* few elements that decide on shapes: the host computes with them */
  uint64_t depends; /* bit i: on the elements of input i (63: or a later one, or anything else) */
} wh_datum;

typedef struct wh_onnx_net wh_onnx_net; /* immutable: any number of threads may execute it */

/* Borrows the file. Errors name the node: an operator that is not known, a name that nothing makes. */
WH_NODISCARD wh_status wh_onnx_net_create(const wh_onnx_file *file, const wh_allocator *alloc,
                                          wh_onnx_net **out);
void wh_onnx_net_destroy(wh_onnx_net *net); /* NULL is fine */
/* What the net takes, less what has a value in the file; and gives. */
size_t wh_onnx_net_n_inputs(const wh_onnx_net *net);
const wh_onnx_value_info *wh_onnx_net_input(const wh_onnx_net *net, size_t i);
size_t wh_onnx_net_n_outputs(const wh_onnx_net *net);
const wh_onnx_value_info *wh_onnx_net_output(const wh_onnx_net *net, size_t i);

/* What runs graphs. */
typedef struct wh_onnx_engine {
  void *ctx;
  bool takes_blocks; /* matmul_blocks */
  /* The graph's inputs in the order in which they were added, and room for its outputs, all row-major;
   * `symbols`: the values of its symbols in this run. The graph is the engine's from here on, also on
   * failure. */
  wh_status (*run)(void *ctx, wh_graph *g, const int64_t *symbols, const void *const *inputs,
                   void *const *outputs);
} wh_onnx_engine;

/* Dims of inputs that stay open in the graph, so that it serves other inputs as well. */
#define WH_ONNX_MAX_SYMBOLS 8
#define WH_ONNX_LEAST_DIM 2 /* a symbol's least value: a dim of one element broadcasts, and is none */
typedef struct wh_onnx_symbols {
  uint32_t n;
  int64_t values[WH_ONNX_MAX_SYMBOLS]; /* in this execution */
  int64_t steps[WH_ONNX_MAX_SYMBOLS];  /* a dim is the symbol times this */
  int64_t max[WH_ONNX_MAX_SYMBOLS];    /* an execution may lower it */
  /* An execution may also find that a symbol has to be the sum of others, whose bits are set, and a number.
   */
  uint8_t terms[WH_ONNX_MAX_SYMBOLS];
  int64_t plus[WH_ONNX_MAX_SYMBOLS];
  bool follows[WH_ONNX_MAX_SYMBOLS];
  const int8_t (*of)[WH_MAX_RANK]; /* [net's inputs] the symbol of a dim; -1: none */
  /* After an execution that failed before it ran a graph: dims decide something, and it is to be executed
   * without symbols; or with these once more, which have smaller ranges or follow from others. */
  bool refused, again;
} wh_onnx_symbols;

typedef struct wh_onnx_limits {
  uint64_t max_iterations;      /* of loops, in one execution; 0: 1 << 20 */
  uint64_t max_bytes;           /* of values on the host, in one execution; 0: 64 GiB */
  bool (*cancelled)(void *ctx); /* asked between nodes; NULL: never */
  void *cancel_ctx;
  bool lists_host; /* the trace has the host's nodes */
} wh_onnx_limits;

/* One execution's values: they live until it is destroyed. */
typedef struct wh_onnx_result wh_onnx_result;
/* inputs[i] is net input i; borrowed until the result is destroyed. NULL: not given (ERR_INVALID_ARGUMENT
 * unless nothing needs it). */
WH_NODISCARD wh_status wh_onnx_execute(const wh_onnx_net *net, const wh_datum *const *inputs,
                                       const wh_onnx_engine *engine, const wh_onnx_limits *limits,
                                       wh_onnx_result **out);
/* The same with open dims; NULL: none. */
WH_NODISCARD wh_status wh_onnx_execute_open(const wh_onnx_net *net, const wh_datum *const *inputs,
                                            wh_onnx_symbols *symbols, const wh_onnx_engine *engine,
                                            const wh_onnx_limits *limits, wh_onnx_result **out);
const wh_datum *wh_onnx_result_output(const wh_onnx_result *r, size_t i);
/* Copies what outputs still share with the inputs, which may go then. */
WH_NODISCARD wh_status wh_onnx_result_settle(wh_onnx_result *r);
void wh_onnx_result_destroy(wh_onnx_result *r); /* NULL is fine */

/* A node whose result the host worked out itself (a graph may have it, too), or that ends a graph, whose
 * elements it needs. */
typedef struct wh_onnx_host_node {
  const char *node, *op, *reason;
  uint32_t times;
} wh_onnx_host_node;

/* How an execution went: whether the same graph serves every execution whose inputs have these shapes, and
 * these elements where they were looked at. */
typedef struct wh_onnx_trace {
  uint32_t n_stages; /* graphs that were run */
  uint64_t looked;   /* bit i: at the elements of input i */
  bool repeatable;   /* one graph of the inputs alone: feeds and outputs say how its ports are bound */
  size_t n_feeds, n_outputs;
  const uint32_t *feeds;   /* [n_feeds] the net's input that the graph's input i takes */
  const uint32_t *outputs; /* [n_outputs] of the net: the graph's output, or UINT32_MAX: as in the result */
  size_t n_host;
  const wh_onnx_host_node *host; /* [n_host] without constants, in the order in which they came first */
} wh_onnx_trace;
const wh_onnx_trace *wh_onnx_result_trace(const wh_onnx_result *r);

#endif
