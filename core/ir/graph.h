/* ir/graph.h - the core graph (L1): values, nodes, states; SSA; one arena, freed whole.
 *
 * Building checks everything at once: a node whose operands do not fit is refused with the node's name, so a
 * graph that exists is well-formed (wh_graph_verify proves it again after passes). Nodes are in topological
 * order: a node only uses values made before it. Not thread-safe while it is built; immutable graphs may be
 * shared. */
#ifndef WH_IR_GRAPH_H
#define WH_IR_GRAPH_H

#include "core/base/arena.h"
#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/base/str.h"
#include "core/ir/dim.h"

typedef uint32_t wh_value; /* 0: none */
typedef uint32_t wh_node;  /* index into nodes */
#define WH_NO_NODE UINT32_MAX

typedef enum wh_op {
#define WH_OP(name, text, min_in, max_in, attrs, traits, rule) WH_OP_##name,
#include "core/ir/op_list.def"
  WH_OP_COUNT
} wh_op;

/* Attributes: key, type letter (f float, i integer, d dims), text */
#define WH_ATTR_LIST(X)        \
  X(EPS, f, "eps")             \
  X(MSCALE, f, "mscale")       \
  X(SCALE, f, "scale")         \
  X(SOFTCAP, f, "softcap")     \
  X(ALPHA, f, "alpha")         \
  X(WINDOW, i, "window")       \
  X(NEOX, i, "neox")           \
  X(KEY, i, "key")             \
  X(USED, i, "used")           \
  X(NORMALISE, i, "normalise") \
  X(SHAPE, d, "shape")
typedef enum wh_attr_key {
#define WH_ATTR_ENUM(name, type, text) WH_ATTR_##name,
  WH_ATTR_LIST(WH_ATTR_ENUM)
#undef WH_ATTR_ENUM
      WH_ATTR_COUNT
} wh_attr_key;
#define WH_ATTR_BIT(name) (1u << WH_ATTR_##name)

typedef struct wh_attr {
  wh_attr_key key;
  float f;
  int64_t i;
  int rank; /* SHAPE */
  wh_dim dims[WH_MAX_RANK];
} wh_attr;
#define WH_MAX_ATTRS 4

/* Traits: what the layers above must know of an op.
 *
 * VIEW: the output is input 0's bytes under another shape: no data moves, nothing runs.
 *
 * WRITES: input 0 is a state that the node writes, and the output is that state. An effect is neither folded,
 * shared nor dropped, and the state has no other use.
 *
 * CHOOSES: the output holds indices below the size of input 0's last axis, in range by definition. Users
 * check where theirs come from, so it is not folded.
 *
 * INDEXES(t, i): input i holds indices into axis 0 of input t. */
#define WH_TRAIT_VIEW 1u
#define WH_TRAIT_WRITES 2u
#define WH_TRAIT_CHOOSES 4u
#define WH_TRAIT_INDEXES_BIT 8u
#define WH_TRAIT_INDEXES(table, index) (WH_TRAIT_INDEXES_BIT | (table) << 8 | (index) << 12)

typedef struct wh_op_info {
  const char *name;
  uint8_t min_inputs, max_inputs;
  uint32_t attrs; /* bits of the required attributes */
  uint32_t traits;
} wh_op_info;
const wh_op_info *wh_op_get(wh_op op);
static inline bool wh_op_has(wh_op op, uint32_t trait) { return wh_op_get(op)->traits & trait; }
/* Of an op that INDEXES: which inputs hold the table and the indices. */
static inline unsigned wh_op_table_input(wh_op op) { return wh_op_get(op)->traits >> 8 & 15u; }
static inline unsigned wh_op_index_input(wh_op op) { return wh_op_get(op)->traits >> 12 & 15u; }
bool wh_op_from_name(const char *name, size_t n, wh_op *out);
const char *wh_attr_name(wh_attr_key key);
char wh_attr_type(wh_attr_key key);

typedef struct wh_shape {
  wh_dtype dtype;
  int rank;
  wh_dim dims[WH_MAX_RANK];
} wh_shape;

typedef enum wh_value_kind {
  WH_VALUE_NONE,
  WH_VALUE_INPUT, /* bound at each run */
  WH_VALUE_CONST, /* weights and tables */
  WH_VALUE_STATE, /* lives across runs; zero at first */
  WH_VALUE_NODE   /* a node's output */
} wh_value_kind;

typedef struct wh_value_info {
  wh_value_kind kind;
  wh_shape shape;
  const char *name; /* inputs, consts, states; a node's output has its node's name */
  wh_node producer; /* NODE */
  /* CONST: bytes as stored (blocks along the last dim). Borrowed from the model file or the arena; NULL in a
   * graph that was parsed from text. */
  const void *data;
  size_t n_bytes;
  const void
      *origin; /* opaque to core: the importer's handle of the weight, e.g. for page hints; may be NULL */
} wh_value_info;

#define WH_MAX_INPUTS 5
typedef struct wh_node_info {
  wh_op op;
  bool dead; /* removed by a pass; skipped by everything */
  uint8_t n_inputs, n_attrs;
  wh_value inputs[WH_MAX_INPUTS];
  wh_value output;
  wh_attr attrs[WH_MAX_ATTRS];
  const char *name; /* "blk.0.attn_q"; unique names are the builder's task */
} wh_node_info;

typedef struct wh_graph_output {
  const char *name;
  wh_value value;
} wh_graph_output;

typedef struct wh_graph {
  const wh_allocator *alloc;
  wh_arena arena;
  wh_dim_table dims;
  const char *name;
  wh_value_info *values; /* [0] is the none value */
  size_t n_values, values_capacity;
  wh_node_info *nodes;
  size_t n_nodes, nodes_capacity;
  wh_graph_output *outputs;
  size_t n_outputs, outputs_capacity;
} wh_graph;

WH_NODISCARD wh_status wh_graph_create(const char *name, const wh_allocator *alloc, wh_graph **out);
void wh_graph_destroy(wh_graph *g);
/* A deep copy of everything but const data, which stays borrowed (data in the source's arena is copied). */
WH_NODISCARD wh_status wh_graph_clone(const wh_graph *g, wh_graph **out);

static inline const wh_value_info *wh_graph_value(const wh_graph *g, wh_value v) { return &g->values[v]; }
static inline const wh_node_info *wh_graph_node(const wh_graph *g, wh_node n) { return &g->nodes[n]; }

static inline unsigned wh_node_n_outputs(const wh_node_info *n) {
  (void)n;
  return 1;
}
static inline wh_value wh_node_output(const wh_node_info *n, unsigned i) {
  (void)i;
  return n->output;
}

bool wh_shape_equal(const wh_shape *a, const wh_shape *b);

/* Names are copied. */
WH_NODISCARD wh_status wh_graph_add_input(wh_graph *g, const char *name, const wh_shape *shape,
                                          wh_value *out);
WH_NODISCARD wh_status wh_graph_add_state(wh_graph *g, const char *name, const wh_shape *shape,
                                          wh_value *out);
/* `data` is borrowed and must hold exactly the shape's bytes (dims are constants). */
WH_NODISCARD wh_status wh_graph_add_const(wh_graph *g, const char *name, const wh_shape *shape,
                                          const void *data, size_t n_bytes, const void *origin,
                                          wh_value *out);
/* f32[n], copied into the arena. */
WH_NODISCARD wh_status wh_graph_add_f32(wh_graph *g, const char *name, const float *data, size_t n,
                                        wh_value *out);
/* A const without data: what a text form is parsed into. */
WH_NODISCARD wh_status wh_graph_add_const_shape(wh_graph *g, const char *name, const wh_shape *shape,
                                                wh_value *out);

WH_NODISCARD wh_status wh_graph_add_node(wh_graph *g, wh_op op, const char *name, const wh_value *inputs,
                                         size_t n_inputs, const wh_attr *attrs, size_t n_attrs,
                                         wh_value *out);
WH_NODISCARD wh_status wh_graph_add_output(wh_graph *g, const char *name, wh_value value);

/* The attribute, or NULL. */
const wh_attr *wh_node_attr(const wh_node_info *node, wh_attr_key key);
static inline float wh_node_f(const wh_node_info *node, wh_attr_key key) {
  return wh_node_attr(node, key)->f;
}
static inline int64_t wh_node_i(const wh_node_info *node, wh_attr_key key) {
  return wh_node_attr(node, key)->i;
}

/* Every attribute the op requires, once, and none else; floats are finite, dims defined. graph.c */
WH_NODISCARD wh_status wh_check_attrs(const wh_graph *g, wh_op op, const char *name, const wh_attr *attrs,
                                      size_t n_attrs);
/* The output shape of an op on these inputs (0 = absent); errors name `name` and the operand. infer.c */
WH_NODISCARD wh_status wh_infer_shape(wh_graph *g, wh_op op, const char *name, const wh_value *inputs,
                                      size_t n_inputs, const wh_attr *attrs, size_t n_attrs, wh_shape *out);
/* Proves every invariant of this header again, and that a state that is written (kv_append) is used by its
 * writer alone: others read what the writer gives. For tests, after parsing and after passes. verify.c */
WH_NODISCARD wh_status wh_graph_verify(wh_graph *g);

/* Pass helpers. Every use of `from` (inputs of later nodes, graph outputs) becomes `to`. */
void wh_graph_replace_uses(wh_graph *g, wh_value from, wh_value to);
/* Uses per value (inputs of live nodes and graph outputs): n_values entries, caller's array. */
void wh_graph_count_uses(const wh_graph *g, uint32_t *uses);

/* The text form; print.c and parse.c. Parsing bounds everything and names the line of an error. Printing what
 * was parsed gives the same text. wh_graph_hash is the hash of the text. */
WH_NODISCARD wh_status wh_graph_print(const wh_graph *g, wh_text_buffer *out);
WH_NODISCARD wh_status wh_graph_parse(const char *text, size_t n_bytes, const wh_allocator *alloc,
                                      wh_graph **out);
WH_NODISCARD wh_status wh_graph_hash(const wh_graph *g, wh_hash128 *out);

/* Bytes of a value with symbol i bound to symbols[i]; false for q8a (the backend knows) and on overflow. */
bool wh_shape_bytes(const wh_graph *g, const wh_shape *shape, const int64_t *symbols, size_t *out);

/* Bytes of a value in the form of docs/NUMERICS.md, "Values in row-major form", with every dim expression d
 * evaluated as dims[d]; false on overflow, or when rows are no whole blocks. */
bool wh_value_row_major_bytes(const wh_graph *g, wh_value v, const int64_t *dims, size_t *out);

#endif
