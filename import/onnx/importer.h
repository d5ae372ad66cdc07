/* import/onnx/importer.h - what lowerings are written with. For files of this folder only.
 *
 * Errors stick: once `o->st` is not WH_OK, every function here does nothing and answers with a scalar that is
 * good to be looked at, so that a lowering reads as the formula that it is. */
#ifndef WH_IMPORT_ONNX_IMPORTER_H
#define WH_IMPORT_ONNX_IMPORTER_H

#include "core/base/arena.h"
#include "import/onnx/net.h"

typedef struct ox ox;
typedef void (*ox_lowering)(ox *o);

/* A row of onnx_ops.def: `op` of `domain` from opset `since` until `until` (0: the newest). */
typedef struct ox_op_row {
  const char *domain, *op;
  int since, until;
  ox_lowering lower;
  int arg;
} ox_op_row;

/* ---- the net: names resolved to slots. net.c ---- */

#define OX_ABSENT UINT32_MAX
typedef struct ox_ref {
  uint32_t up; /* graphs outward; OX_ABSENT: no value */
  uint32_t slot;
} ox_ref;

typedef struct ox_graph ox_graph;
typedef struct ox_node {
  const wh_onnx_node *src;
  const ox_op_row *row; /* NULL: a call of `function` */
  const ox_graph *function;
  int64_t opset;
  size_t n_in, n_out;
  ox_ref *in;
  uint32_t *out;     /* slots; OX_ABSENT */
  ox_graph **graphs; /* [src->n_attrs] of the attribute, where it is one graph */
  wh_datum *tensors; /* [src->n_attrs] of the attribute, where it is one tensor */
} ox_node;

struct ox_graph {
  wh_str name;
  ox_node *nodes;
  size_t n_nodes;
  uint32_t n_slots;
  size_t *last_use; /* [n_slots] 1 + the last node that needs it; 1 + n_nodes: an output; 0: nobody */
  size_t n_inputs, n_outputs, n_weights;
  uint32_t *inputs;
  ox_ref *outputs;
  uint32_t *weight_slots;
  wh_datum *weights; /* [n_weights] initialisers */
  const wh_onnx_value_info *input_infos, *output_infos;
  const wh_onnx_function *source; /* of a function */
};

typedef struct ox_derived ox_derived; /* derived.c */

struct wh_onnx_net {
  wh_arena arena;
  const wh_allocator *alloc;
  const wh_onnx_file *file;
  ox_graph *main;
  size_t n_inputs;      /* of main's, those without a weight come first in `inputs` */
  uint32_t *inputs;     /* [n_inputs] positions in main->inputs */
  ox_graph **functions; /* [file->n_functions] */
  ox_derived *derived;
};
const ox_op_row *ox_find_op(wh_str domain, wh_str op, int64_t opset); /* table.c */
/* Known, is_weight; its elements in the file, or in `arena` where they lie badly there and are few. net.c */
wh_status ox_weight_of(const wh_onnx_tensor *t, wh_arena *arena, wh_datum *out);
/* The dense tensor that a sparse one stands for. net.c */
wh_status ox_dense_weight(const wh_onnx_sparse *s, wh_arena *arena, wh_datum *out);

/* ---- an execution. execute.c ---- */

typedef struct ox_scope {
  struct ox_scope *parent; /* outward in time; names are looked up `outer` */
  struct ox_scope *outer;
  const ox_graph *graph;
  wh_datum **values;           /* [n_slots] */
  size_t at;                   /* the node that is at work */
  const ox_node *node;         /* likewise */
  size_t first_temp;           /* built data from here on belong to that node */
  const ox_node *call;         /* of a function: whose attributes its nodes may name */
  struct ox_scope *call_scope; /* where that node stands */
  wh_datum **pins;             /* needed by a node that runs this scope, such as a loop's carried values */
  size_t n_pins;
} ox_scope;

typedef struct ox_host_node {
  struct ox_host_node *next;
  const wh_onnx_node *src;
  wh_onnx_host_node info;
} ox_host_node;

struct ox {
  wh_status st;
  const wh_onnx_net *net;
  const wh_allocator *alloc;
  wh_arena arena; /* of everything known in this execution */
  const wh_onnx_engine *engine;
  wh_onnx_limits limits;
  uint64_t bytes, iterations;
  wh_graph *g; /* of the stage; NULL: empty */
  uint32_t stage, n_runs, n_names;
  wh_datum **built; /* of the stage */
  size_t n_built, built_capacity;
  wh_datum **feeds; /* inputs of the stage's graph */
  size_t n_feeds, feeds_capacity;
  ox_scope *scope; /* innermost */
  unsigned depth;
  uint64_t looked;
  wh_onnx_symbols *symbols;  /* dims may be open; NULL: numbers only */
  bool is_last;              /* nothing but outputs is left to be made */
  bool is_odd;               /* something happened that a trace cannot repeat */
  struct ox_host_node *host; /* where they are listed */
  size_t n_host;
  wh_datum nothing;
  /* The node at work. */
  const ox_node *node;
  wh_datum **in; /* [node->n_in] NULL: absent */
  wh_datum **out;
};

/* What elements that a device computed depend on (wh_datum.depends). */
#define OX_ALL_INPUTS (~UINT64_C(0))

/* Raises an error of the node, unless one was raised before. */
#define OX_FAIL(o, code, ...)                                   \
  do {                                                          \
    if ((o)->st == WH_OK) (o)->st = WH_FAIL(code, __VA_ARGS__); \
  } while (0)
static inline void ox_try(ox *o, wh_status st) {
  if (o->st == WH_OK) o->st = st;
}

void *ox_alloc(ox *o, size_t n_bytes); /* zeroed, 64-byte aligned; NULL on failure, which sticks */
void *ox_array(ox *o, size_t n, size_t size);

/* Runs a graph's nodes with these inputs. `outputs` takes the graph's. `pins` are kept alive over stages. */
void ox_run_graph(ox *o, const ox_graph *g, wh_datum *const *inputs, size_t n_inputs, wh_datum **outputs,
                  wh_datum **pins, size_t n_pins);
/* Ends the stage: everything that is still needed becomes known. */
void ox_end_stage(ox *o);
bool ox_go_on(ox *o); /* counts an iteration of a loop; false: error */
/* Lists the node that was at work since `stage`, if it is the host's; and the list, NULL: no memory.
 * host_nodes.c */
void ox_note_host(ox *o, const ox_node *node, uint32_t stage);
const wh_onnx_host_node *ox_host_nodes(ox *o);

/* ---- open dims: a number or an expression of symbols, both as int64_t. open.c ---- */

bool ox_takes_open(const ox_op_row *row); /* its lowering may be given open dims */
/* An error unless the node at work may be given its operands. */
void ox_check_open(ox *o, const ox_node *node);
bool ox_is_open(const ox *o, int64_t dim);
bool ox_has_open_dims(const ox *o, const wh_datum *d);
bool ox_has_open_elements(const ox *o, const wh_datum *d); /* those of a shape */
wh_dim ox_dim(ox *o, int64_t dim);                         /* in the stage's graph */
int64_t ox_dim_of(ox *o, wh_dim d);
int64_t ox_symbol_dim(ox *o, int symbol); /* the dim of inputs that it stands for */
int64_t ox_dim_now(ox *o, int64_t dim);   /* its value in this execution */
int64_t ox_dim_least(ox *o, int64_t dim);
int64_t ox_dim_most(ox *o, int64_t dim);
/* An error where the result may be negative or too large. */
int64_t ox_dim_binary(ox *o, wh_dim_kind kind, int64_t a, int64_t b);
/* Whatever the symbols are; else an error, and `again` with a smaller range where that would do. */
bool ox_dim_at_most(ox *o, int64_t dim, int64_t limit);
/* Whether both are the same whatever the symbols are. Where they only are so now: an error, and `again` with
 * a symbol that follows from others where that would do. */
bool ox_dim_equal(ox *o, int64_t a, int64_t b);
/* Makes axes of both that are equal now, and no numbers, be so always (ox_dim_equal). */
void ox_meet(ox *o, const wh_datum *a, const wh_datum *b);
/* Its value, as a scalar that the graph computes where it is open. */
wh_datum *ox_dim_value(ox *o, int64_t dim, wh_dtype dtype);
wh_datum *ox_open_value(ox *o, const wh_datum *d); /* the same of elements of a shape */
wh_datum *ox_places(ox *o, int64_t n);             /* i64[n]: 0, 1, .. */
/* The product of dims over that of `by`; -1: not known to be a dim. */
int64_t ox_dim_quotient(ox *o, const int64_t *dims, int rank, const int64_t *by, size_t n);

/* ---- operands and attributes of the node at work. attrs.c ---- */

static inline int ox_arg(const ox *o) { return o->node->row->arg; }
static inline int64_t ox_opset(const ox *o) { return o->node->opset; }
static inline size_t ox_n_in(const ox *o) { return o->node->n_in; }
static inline size_t ox_n_out(const ox *o) { return o->node->n_out; }
static inline bool ox_has(const ox *o, size_t i) { return i < o->node->n_in && o->in[i]; }
static inline bool ox_wants(const ox *o, size_t i) {
  return i < o->node->n_out && o->node->out[i] != OX_ABSENT;
}
wh_datum *ox_in(ox *o, size_t i);           /* a tensor; an error when it is absent or none */
wh_datum *ox_maybe(ox *o, size_t i);        /* a tensor or NULL */
wh_datum *ox_any(ox *o, size_t i);          /* of any kind; an error when it is absent */
void ox_give(ox *o, size_t i, wh_datum *d); /* output i, if somebody wants it */

const wh_onnx_attr *ox_attr(ox *o, const char *name);         /* NULL: absent */
int64_t ox_attr_i(ox *o, const char *name, int64_t fallback); /* a size, place or switch: see ox_is_size */
int64_t ox_attr_long(ox *o, const char *name, int64_t fallback);
float ox_attr_f(ox *o, const char *name, float fallback);
wh_str ox_attr_s(ox *o, const char *name, const char *fallback);
/* NULL and *n 0 when absent. */
const int64_t *ox_attr_ints(ox *o, const char *name, size_t *n); /* sizes, places: see ox_is_size */
const int64_t *ox_attr_longs(ox *o, const char *name, size_t *n);
const float *ox_attr_floats(ox *o, const char *name, size_t *n);
const wh_str *ox_attr_strings(ox *o, const char *name, size_t *n);
wh_datum *ox_attr_tensor(ox *o, const char *name);      /* dense; NULL: absent */
const ox_graph *ox_attr_graph(ox *o, const char *name); /* an error when absent */
/* The dtype that the attribute's number means. */
wh_dtype ox_attr_dtype(ox *o, const char *name, wh_dtype fallback);

/* An axis in 0..rank-1 of a number that may be negative. */
int ox_axis(ox *o, int64_t axis, int rank);
/* As bits; axes is n numbers. No axes: all of them. */
unsigned ox_axes(ox *o, const int64_t *axes, size_t n, int rank);

/* ---- known data. known.c ---- */

/* Makes its elements known, if need be by ending the stage; `ox_data` has them then. */
void ox_need(ox *o, wh_datum *d);
bool ox_is_known(const wh_datum *d); /* without ending a stage */
const void *ox_data(ox *o, wh_datum *d);
/* The number of elements. False: there are more than WH_DIM_LIMIT, leaving out dims of 0; so that the product
 * of any of a value's dims is in range. */
bool ox_count(const int64_t *dims, int rank, size_t *n);
/* Sums and products of a few numbers that lie within WH_DIM_LIMIT do not overflow; an error says whose number
 * does not. */
bool ox_is_size(ox *o, int64_t v, const char *whose);
/* Elements as other numbers; NULL on failure. ints: sizes and places (ox_is_size), longs: any. */
const int64_t *ox_ints(ox *o, wh_datum *d);
const int64_t *ox_longs(ox *o, wh_datum *d);
const double *ox_doubles(ox *o, wh_datum *d);
/* As these; elements may be open. */
const int64_t *ox_dims(ox *o, wh_datum *d); /* sizes */
const int64_t *ox_open_longs(ox *o, wh_datum *d);
int64_t ox_open_long(ox *o, wh_datum *d);
int64_t ox_int(ox *o, wh_datum *d); /* of one element, likewise */
int64_t ox_long(ox *o, wh_datum *d);
double ox_double(ox *o, wh_datum *d);
double ox_element(const wh_datum *d, size_t i); /* of known numbers of any type */
void ox_store(wh_dtype dtype, void *data, size_t i, double v);
int64_t ox_element_int(const wh_datum *d, size_t i);
void ox_store_int(wh_dtype dtype, void *data, size_t i, int64_t v);

size_t ox_size_of(wh_dtype dtype); /* bytes of an element; 0: none */
/* Whether the elements lie where their type wants it: a large weight of a file may not (ox_need moves it). */
bool ox_is_aligned(const wh_datum *d);
/* Data with room for the elements (zeroed), to be filled in by the caller; as a weight. */
wh_datum *ox_new(ox *o, wh_dtype dtype, int rank, const int64_t *dims);
wh_datum *ox_new_strings(ox *o, int rank, const int64_t *dims);
/* What is computed from others on the host is as constant as those. */
wh_datum *ox_from(ox *o, wh_datum *d, wh_datum *const *operands, size_t n);
wh_datum *ox_const_ints(ox *o, const int64_t *v, size_t n); /* i64[n] */
wh_datum *ox_const_floats(ox *o, const float *v, size_t n); /* f32[n] */
wh_datum *ox_scalar(ox *o, wh_dtype dtype, double v);
wh_datum *ox_copy(ox *o, const wh_datum *d); /* the descriptor */
wh_datum *ox_sequence(ox *o, wh_dtype dtype, size_t n, wh_datum *const *items);

/* ---- weights that nodes make of those in the file, for all executions. derived.c ---- */

/* What the node at work made in an earlier execution; or, with *fresh, room to be filled in and given to
 * ox_made. `from`: its operands (NULL: none); unless all are weights of the file, and for few elements, the
 * room is this execution's. */
wh_datum *ox_derive(ox *o, wh_dtype dtype, int rank, const int64_t *dims, wh_datum *const *from,
                    size_t n_from, bool *fresh);
void ox_made(ox *o, const wh_datum *d); /* or not: after an error the room goes */
wh_status ox_derived_create(const wh_allocator *alloc, ox_derived **out);
void ox_derived_destroy(ox_derived *d); /* NULL is fine */

/* ---- building. build.c ---- */

wh_value ox_value(ox *o, wh_datum *d); /* in the stage's graph */
wh_datum *ox_node1(ox *o, wh_op op, wh_datum *const *in, size_t n_in, const wh_attr *attrs, size_t n_attrs);
void ox_node_n(ox *o, wh_op op, wh_datum *const *in, size_t n_in, const wh_attr *attrs, size_t n_attrs,
               wh_datum **outs, size_t n_outs);
static inline wh_attr ox_a_i(wh_attr_key key, int64_t i) { return (wh_attr){.key = key, .i = i}; }
static inline wh_attr ox_a_f(wh_attr_key key, float f) { return (wh_attr){.key = key, .f = f}; }
static inline wh_attr ox_a_ints(wh_attr_key key, const int64_t *v, size_t n) {
  return (wh_attr){.key = key, .n = n, .ints = v};
}
wh_attr ox_a_dims(ox *o, wh_attr_key key, int rank, const int64_t *dims);

/* One op each; operands' types are made to fit where ONNX has them so: f16 and bf16 are computed in f32. */
wh_datum *ox_unary(ox *o, wh_op op, wh_datum *x);
wh_datum *ox_binary(ox *o, wh_op op, wh_datum *a, wh_datum *b);
static inline wh_datum *ox_add(ox *o, wh_datum *a, wh_datum *b) { return ox_binary(o, WH_OP_ADD, a, b); }
static inline wh_datum *ox_sub(ox *o, wh_datum *a, wh_datum *b) { return ox_binary(o, WH_OP_SUB, a, b); }
static inline wh_datum *ox_mul(ox *o, wh_datum *a, wh_datum *b) { return ox_binary(o, WH_OP_MUL, a, b); }
static inline wh_datum *ox_div(ox *o, wh_datum *a, wh_datum *b) { return ox_binary(o, WH_OP_DIV, a, b); }
wh_datum *ox_num(ox *o, const wh_datum *like, double v); /* a scalar of the type of `like` */
wh_datum *ox_cast(ox *o, wh_datum *x, wh_dtype to);
wh_datum *ox_cast_sat(ox *o, wh_datum *x, wh_dtype to, bool saturate);
wh_datum *ox_f32(ox *o, wh_datum *x);  /* f16, bf16, f64, integers: cast */
wh_datum *ox_wide(ox *o, wh_datum *x); /* f16 and bf16 to f32; others stay */
wh_datum *ox_where(ox *o, wh_datum *cond, wh_datum *a, wh_datum *b);
wh_datum *ox_reshape(ox *o, wh_datum *x, int rank, const int64_t *dims);
int64_t ox_product(ox *o, const int64_t *dims, int first, int last); /* of a value's dims */
wh_datum *ox_flatten_to(ox *o, wh_datum *x, int64_t rows, int64_t columns);
wh_datum *ox_transpose(ox *o, wh_datum *x, const int64_t *perm);
wh_datum *ox_slice(ox *o, wh_datum *x, const int64_t *starts, const int64_t *steps, const int64_t *counts);
/* count elements of one axis */
wh_datum *ox_part(ox *o, wh_datum *x, int axis, int64_t start, int64_t count);
wh_datum *ox_concat(ox *o, int axis, wh_datum *const *x, size_t n);
wh_datum *ox_expand(ox *o, wh_datum *x, int rank, const int64_t *dims);
wh_datum *ox_pad(ox *o, wh_datum *x, const int64_t *pads, int mode,
                 wh_datum *value); /* value: scalar or NULL */
wh_datum *ox_gather(ox *o, wh_datum *x, wh_datum *ids, int axis);
wh_datum *ox_reduce(ox *o, wh_op op, wh_datum *x, unsigned axes, bool keep);
wh_datum *ox_mean(ox *o, wh_datum *x, unsigned axes, bool keep);
wh_datum *ox_softmax(ox *o, wh_datum *x, int axis);
wh_datum *ox_matmul(ox *o, wh_datum *a, wh_datum *b);
wh_datum *ox_insert_axes(ox *o, wh_datum *x, unsigned axes, int rank); /* rank: of the result */
wh_datum *ox_drop_axes(ox *o, wh_datum *x, unsigned axes);
/* The shape over which the two broadcast. */
int ox_broadcast(ox *o, const wh_datum *a, const wh_datum *b, int64_t *dims);
/* Where element i of a value of these dims lies in x, which broadcasts over them. */
size_t ox_place(const wh_datum *x, int rank, const int64_t *dims, size_t i);
/* x[m] of a channel axis, as a shape that broadcasts over [n, c, ..] of this rank. */
wh_datum *ox_per_channel(ox *o, wh_datum *x, int rank, int axis);

/* Host computations on cheap data, behind the functions above; NULL: not done. fold.c */
bool ox_folds(wh_datum *const *in, size_t n);
wh_datum *ox_fold_unary(ox *o, wh_op op, wh_datum *x);
wh_datum *ox_fold_binary(ox *o, wh_op op, wh_datum *a, wh_datum *b);
wh_datum *ox_fold_cast(ox *o, wh_datum *x, wh_dtype to);
wh_datum *ox_fold_where(ox *o, wh_datum *cond, wh_datum *a, wh_datum *b);
wh_datum *ox_fold_slice(ox *o, wh_datum *x, const int64_t *starts, const int64_t *steps,
                        const int64_t *counts);
wh_datum *ox_fold_concat(ox *o, int axis, wh_datum *const *x, size_t n);
wh_datum *ox_fold_expand(ox *o, wh_datum *x, int rank, const int64_t *dims);
wh_datum *ox_fold_gather(ox *o, wh_datum *x, wh_datum *ids, int axis);
wh_datum *ox_fold_reduce(ox *o, wh_op op, wh_datum *x, unsigned axes, bool keep);
wh_datum *ox_fold_transpose(ox *o, wh_datum *x, const int64_t *perm);

#endif
