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

typedef uint32_t wh_value;  /* 0: none */
typedef uint32_t wh_node;   /* index into nodes */
typedef uint32_t wh_region; /* 0: the graph itself */
#define WH_NO_NODE UINT32_MAX

/* Limits, all checked; files that are no attack stay far below them. */
#define WH_MAX_VALUES (1u << 22)
#define WH_MAX_NODE_INPUTS 65535u
#define WH_MAX_NODE_OUTPUTS 65535u
#define WH_MAX_REGIONS (1u << 16)
#define WH_MAX_REGION_DEPTH 32u
#define WH_MAX_ATTR_BYTES                                                          \
  ((size_t)1 << 20) /* of one list, string or tensor; larger tensors are constants \
                     */

typedef enum wh_op {
#define WH_OP(name, text, min_in, max_in, n_out, attrs, traits, rule) WH_OP_##name,
#include "core/ir/op_list.def"
  WH_OP_COUNT
} wh_op;

/* Attributes: key, type, text. Types: float, int, dims, ints, floats, string, tensor. */
#define WH_ATTR_LIST(X)                          \
  X(EPS, FLOAT, "eps")                           \
  X(MSCALE, FLOAT, "mscale")                     \
  X(SCALE, FLOAT, "scale")                       \
  X(SOFTCAP, FLOAT, "softcap")                   \
  X(ALPHA, FLOAT, "alpha")                       \
  X(WINDOW, INT, "window")                       \
  X(NEOX, INT, "neox")                           \
  X(KEY, INT, "key")                             \
  X(USED, INT, "used")                           \
  X(NORMALISE, INT, "normalise")                 \
  X(SHAPE, DIMS, "shape")                        \
  X(TRIPS, DIMS, "trips")                        \
  X(NAME, STRING, "name")                        \
  X(INTS, INTS, "ints")                          \
  X(FLOATS, FLOATS, "floats")                    \
  X(TENSOR, TENSOR, "tensor")                    \
  X(AXIS, INT, "axis")                           \
  X(AXES, INTS, "axes")                          \
  X(PERM, INTS, "perm")                          \
  X(STARTS, INTS, "starts")                      \
  X(STEPS, INTS, "steps")                        \
  X(PADS, INTS, "pads")                          \
  X(REPEATS, INTS, "repeats")                    \
  X(MODE, INT, "mode")                           \
  X(TO, INT, "to")                               \
  X(SATURATE, INT, "saturate")                   \
  X(FMOD, INT, "fmod")                           \
  X(BATCH_DIMS, INT, "batch_dims")               \
  X(BATCH_AXIS, INT, "batch_axis")               \
  X(REDUCTION, INT, "reduction")                 \
  X(UPPER, INT, "upper")                         \
  X(K, INT, "k")                                 \
  X(KEEP, INT, "keep")                           \
  X(LAST, INT, "last")                           \
  X(LARGEST, INT, "largest")                     \
  X(EXCLUSIVE, INT, "exclusive")                 \
  X(REVERSE, INT, "reverse")                     \
  X(STRIDES, INTS, "strides")                    \
  X(DILATIONS, INTS, "dilations")                \
  X(GROUP, INT, "group")                         \
  X(KERNEL, INTS, "kernel")                      \
  X(CEIL, INT, "ceil")                           \
  X(COUNT_INCLUDE_PAD, INT, "count_include_pad") \
  X(COLUMN_MAJOR, INT, "column_major")           \
  X(P, INT, "p")                                 \
  X(PADDING, INT, "padding")                     \
  X(ALIGN_CORNERS, INT, "align_corners")         \
  X(HALF_PIXEL, INT, "half_pixel")               \
  X(SAMPLING, INT, "sampling")                   \
  X(SIZE, INT, "size")                           \
  X(BETA, FLOAT, "beta")                         \
  X(INVERSE, INT, "inverse")                     \
  X(CLIP, FLOAT, "clip")                         \
  X(ACTIVATIONS, INTS, "activations")            \
  X(FACTORS, FLOATS, "factors")                  \
  X(COUPLED, INT, "coupled")                     \
  X(RESET_AFTER, INT, "reset_after")             \
  X(BLOCK, INT, "block")                         \
  X(FORMULA, STRING, "formula")
typedef enum wh_attr_type {
  WH_TYPE_FLOAT,
  WH_TYPE_INT,
  WH_TYPE_DIMS,
  WH_TYPE_INTS,
  WH_TYPE_FLOATS,
  WH_TYPE_STRING,
  WH_TYPE_TENSOR
} wh_attr_type;
typedef enum wh_attr_key {
#define WH_ATTR_ENUM(name, type, text) WH_ATTR_##name,
  WH_ATTR_LIST(WH_ATTR_ENUM)
#undef WH_ATTR_ENUM
      WH_ATTR_COUNT
} wh_attr_key;
_Static_assert(WH_ATTR_COUNT <= 64, "a bit per attribute");
#define WH_ATTR_BIT(name) ((uint64_t)1 << WH_ATTR_##name)

/* An attribute; its type says which fields count. A node's attributes point into its graph's arena; those
 * given to a builder are copied. */
typedef struct wh_attr {
  wh_attr_key key;
  float f;                  /* FLOAT, finite */
  int64_t i;                /* INT */
  int rank;                 /* DIMS, TENSOR */
  wh_dim dims[WH_MAX_RANK]; /* DIMS, TENSOR (constants) */
  wh_dtype dtype;           /* TENSOR */
  size_t n;                 /* INTS, FLOATS: elements; STRING, TENSOR: bytes */
  union {
    const int64_t *ints;
    const float *floats; /* finite */
    const char *text;    /* n bytes, none of them 0 */
    const void *data;    /* elements in row-major order, as a constant has them */
  };
} wh_attr;

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
 * INDEXES(t, i): input i holds indices into axis 0 of input t.
 *
 * REGIONS(n): the node runs n regions.
 *
 * DECLARES: what shapes the outputs have is said by who builds the node; no rule knows it. */
#define WH_TRAIT_VIEW 1u
#define WH_TRAIT_WRITES 2u
#define WH_TRAIT_CHOOSES 4u
#define WH_TRAIT_INDEXES_BIT 8u
#define WH_TRAIT_DECLARES 16u
#define WH_TRAIT_REGIONS(n) ((uint32_t)(n) << 16)
#define WH_TRAIT_INDEXES(table, index) (WH_TRAIT_INDEXES_BIT | (table) << 8 | (index) << 12)

#define WH_ANY_NUMBER 0u
typedef struct wh_op_info {
  const char *name;
  uint32_t min_inputs, max_inputs;
  uint32_t n_outputs; /* or WH_ANY_NUMBER: at least one */
  uint32_t traits;
  uint64_t attrs; /* bits of the attributes: all must be there */
} wh_op_info;
const wh_op_info *wh_op_get(wh_op op);
static inline bool wh_op_has(wh_op op, uint32_t trait) { return wh_op_get(op)->traits & trait; }
/* Of an op that INDEXES: which inputs hold the table and the indices. */
static inline unsigned wh_op_table_input(wh_op op) { return wh_op_get(op)->traits >> 8 & 15u; }
static inline unsigned wh_op_index_input(wh_op op) { return wh_op_get(op)->traits >> 12 & 15u; }
static inline unsigned wh_op_n_regions(wh_op op) { return wh_op_get(op)->traits >> 16 & 15u; }
bool wh_op_from_name(const char *name, size_t n, wh_op *out);
const char *wh_attr_name(wh_attr_key key);
wh_attr_type wh_attr_type_of(wh_attr_key key);

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
  WH_VALUE_NODE,  /* a node's output */
  WH_VALUE_PARAM  /* a region's parameter: bound by the node that runs the region */
} wh_value_kind;

typedef struct wh_value_info {
  wh_value_kind kind;
  wh_shape shape;
  const char *name; /* inputs, consts, states; a node's output has its node's name */
  wh_node producer; /* NODE */
  uint32_t output;  /* NODE: which of the producer's outputs it is; PARAM: of its region's parameters */
  wh_region region; /* NODE, PARAM: where it is made; visible there and in the regions within */
  /* CONST: bytes as stored (blocks along the last dim). Borrowed from the model file or the arena; NULL in a
   * graph that was parsed from text. */
  const void *data;
  size_t n_bytes;
  const void
      *origin; /* opaque to core: the importer's handle of the weight, e.g. for page hints; may be NULL */
} wh_value_info;

/* Spans point into the graph's arena. A pass may write elements; wh_node_set_inputs gives a node others. */
typedef struct wh_node_info {
  wh_op op;
  bool dead; /* removed by a pass; skipped by everything */
  uint32_t n_inputs, n_outputs, n_attrs, n_regions;
  wh_value *inputs;  /* 0: absent */
  wh_value *outputs; /* at least one */
  wh_attr *attrs;
  wh_region *regions; /* that it runs */
  wh_region region;   /* that it stands in */
  const char *name;   /* "blk.0.attn_q"; unique names are the builder's task */
} wh_node_info;

/* A list of nodes of its own, over the same values, that a node runs any number of times: its nodes are those
 * whose `region` it is. They stand before the node that runs them, and use values of the regions around them
 * as their own. States are written in region 0 only. */
typedef struct wh_region_info {
  wh_region parent;
  uint32_t depth;
  wh_node owner; /* the node that runs it; WH_NO_NODE: none yet, or dropped */
  bool is_open, dropped;
  uint32_t n_params, n_results;
  wh_value *params, *results;
} wh_region_info;

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
  wh_region_info *regions; /* [0]: the graph itself */
  size_t n_regions, regions_capacity;
  wh_region at;       /* nodes are added here */
  wh_value *replaced; /* [replaced_capacity] what wh_graph_replace_uses was told; 0: nothing */
  size_t replaced_capacity, n_replaced;
  uint64_t work; /* nodes and uses that passes have looked at so far: it grows linearly with the graph */
} wh_graph;

WH_NODISCARD wh_status wh_graph_create(const char *name, const wh_allocator *alloc, wh_graph **out);
void wh_graph_destroy(wh_graph *g);
/* A deep copy of everything but const data, which stays borrowed (data in the source's arena is copied). */
WH_NODISCARD wh_status wh_graph_clone(const wh_graph *g, wh_graph **out);

static inline const wh_value_info *wh_graph_value(const wh_graph *g, wh_value v) { return &g->values[v]; }

static inline unsigned wh_node_n_outputs(const wh_node_info *n) { return n->n_outputs; }
static inline wh_value wh_node_output(const wh_node_info *n, unsigned i) { return n->outputs[i]; }

bool wh_shape_equal(const wh_shape *a, const wh_shape *b);
/* Whether it has one element, whatever the symbols are. */
bool wh_shape_is_one(const wh_graph *g, const wh_shape *s);

/* Positions of a page of a KV state, [pages, heads, 64, dim]: the third dimension. */
#define WH_KV_PAGE 64

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

/* What a node is made from; everything is copied. */
typedef struct wh_node_def {
  wh_op op;
  const char *name;
  const wh_value *inputs;
  size_t n_inputs;
  const wh_attr *attrs;
  size_t n_attrs;
  const wh_shape *shapes;   /* of the outputs of an op that DECLARES them; others: not read */
  size_t n_outputs;         /* likewise */
  const wh_region *regions; /* ended, begun where the node is added, and run by no other */
  size_t n_regions;
} wh_node_def;
/* `outs` takes one value per output: wh_node_def_n_outputs of them. */
WH_NODISCARD wh_status wh_graph_add(wh_graph *g, const wh_node_def *def, wh_value *outs);
size_t wh_node_def_n_outputs(const wh_graph *g, const wh_node_def *def);
/* The same for an op that declares nothing and runs no regions. */
WH_NODISCARD wh_status wh_graph_add_node(wh_graph *g, wh_op op, const char *name, const wh_value *inputs,
                                         size_t n_inputs, const wh_attr *attrs, size_t n_attrs,
                                         wh_value *outs);
WH_NODISCARD wh_status wh_graph_add_output(wh_graph *g, const char *name, wh_value value);

/* The attribute, or NULL. */
const wh_attr *wh_node_attr(const wh_node_info *node, wh_attr_key key);
static inline float wh_node_f(const wh_node_info *node, wh_attr_key key) {
  return wh_node_attr(node, key)->f;
}
static inline int64_t wh_node_i(const wh_node_info *node, wh_attr_key key) {
  return wh_node_attr(node, key)->i;
}

/* Nodes that are added until it ends belong to the region; regions nest. `params` takes n_params values. A
 * region yields at least one value. */
WH_NODISCARD wh_status wh_graph_begin_region(wh_graph *g, const wh_shape *shapes, size_t n_params,
                                             wh_value *params, wh_region *out);
WH_NODISCARD wh_status wh_graph_end_region(wh_graph *g, const wh_value *results, size_t n_results);
/* Whether a value may be used in a region. */
bool wh_graph_sees(const wh_graph *g, wh_region region, wh_value v);

/* Other inputs, copied. */
WH_NODISCARD wh_status wh_node_set_inputs(wh_graph *g, wh_node_info *node, const wh_value *inputs,
                                          size_t n_inputs);

/* Every attribute the op requires, once, and none else; floats are finite, dims defined. attr.c */
WH_NODISCARD wh_status wh_check_attrs(const wh_graph *g, wh_op op, const char *name, const wh_attr *attrs,
                                      size_t n_attrs);
/* Copies what the attributes point to into g's arena. attr.c */
WH_NODISCARD wh_status wh_copy_attrs(wh_graph *g, const wh_attr *attrs, size_t n_attrs, wh_attr **out);
bool wh_attr_equal(const wh_attr *a, const wh_attr *b);
uint64_t wh_attr_hash(const wh_attr *a);
/* The outputs' shapes of a node on these inputs (0 = absent); errors name the node and the operand. infer.c,
 * infer_tensor.c, infer_move.c, infer_nn.c */
WH_NODISCARD wh_status wh_infer_shapes(wh_graph *g, const wh_node_def *def, wh_shape *outs);
/* Proves every invariant of this header again, and that a state that is written (kv_append) is used by its
 * writer alone: others read what the writer gives. For tests, after parsing and after passes. verify.c */
WH_NODISCARD wh_status wh_graph_verify(wh_graph *g);

/* Pass helpers. Every use of `from` (inputs of nodes, graph outputs) is to become `to`: noted at once, done
 * by wh_graph_apply_replacements, which a pass calls (wh_pass_compact does) before anything else looks at the
 * graph. wh_graph_resolve says what a value has become so far. */
WH_NODISCARD wh_status wh_graph_replace_uses(wh_graph *g, wh_value from, wh_value to);
wh_value wh_graph_resolve(const wh_graph *g, wh_value v);
void wh_graph_apply_replacements(wh_graph *g);
/* Uses per value (inputs of live nodes and graph outputs): n_values entries, caller's array. */
void wh_graph_count_uses(const wh_graph *g, uint32_t *uses);

/* The text form; print.c and parse.c. Parsing bounds everything and names the line of an error. Printing what
 * was parsed gives the same text. wh_graph_hash is the hash of the text. */
WH_NODISCARD wh_status wh_graph_print(const wh_graph *g, wh_text_buffer *out);
WH_NODISCARD wh_status wh_graph_parse(const char *text, size_t n_bytes, const wh_allocator *alloc,
                                      wh_graph **out);
WH_NODISCARD wh_status wh_graph_hash(const wh_graph *g, wh_hash128 *out);

/* Bytes of a value in row-major form (docs/NUMERICS.md, "Values in row-major form"): what backends read out
 * and what is compared between them. dims: every dim expression's value, by wh_dim. False on overflow. */
bool wh_value_row_major_bytes(const wh_graph *g, wh_value v, const int64_t *dims, size_t *out);

/* Bytes of a value with symbol i bound to symbols[i]; false for q8a and q13a (the backend knows) and on
 * overflow. */
bool wh_shape_bytes(const wh_graph *g, const wh_shape *shape, const int64_t *symbols, size_t *out);

#endif
