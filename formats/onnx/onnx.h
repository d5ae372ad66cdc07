/* formats/onnx/onnx.h - what an ONNX file says, as plain structs. Knows nothing of what the operators mean.
 *
 * Strings and raw tensor data point into the file's bytes; everything else lies in the object's arena. Sizes
 * are checked while reading: no count is believed that the bytes behind it do not bear out, nesting is
 * bounded, and the memory taken is at most a small multiple of the file's size. Nothing changes after opening
 * (external data is mapped then, too), so any number of threads may read one object. */
#ifndef WH_FORMATS_ONNX_ONNX_H
#define WH_FORMATS_ONNX_ONNX_H

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/str.h"

/* Limits, all checked. */
#define WH_ONNX_MAX_DEPTH 32u /* of graphs within attributes of nodes, and of types within types */
#define WH_ONNX_MAX_NODES (1u << 22)

/* Data stays in the form that the file has; wh_onnx_tensor_read gives the elements. */
typedef struct wh_onnx_tensor {
  wh_str name;
  wh_dtype dtype;
  int rank;
  int64_t dims[WH_MAX_RANK]; /* none negative */
  size_t n_elements;
  size_t n_bytes; /* of the elements in row-major form; STRING: 0 */
  wh_str raw; /* little-endian bytes, exactly n_bytes of them, where the file has them so (also external) */
  /* Else a field of packed or single values for the type: */
  const uint64_t *words; /* [n_words] bits of float, double or integer as the field has them */
  size_t n_words;
  const wh_str *strings; /* [n_elements] STRING */
} wh_onnx_tensor;

/* Indices are i64, of rank 1 (into the flattened tensor) or 2. */
typedef struct wh_onnx_sparse {
  wh_onnx_tensor values, indices;
  int rank;
  int64_t dims[WH_MAX_RANK];
} wh_onnx_sparse;

typedef enum wh_onnx_type_kind {
  WH_ONNX_NO_TYPE,
  WH_ONNX_TENSOR,
  WH_ONNX_SEQUENCE,
  WH_ONNX_OPTIONAL,
  WH_ONNX_OTHER_TYPE /* maps, sparse tensors: nothing more is kept */
} wh_onnx_type_kind;

typedef struct wh_onnx_dim {
  int64_t value; /* -1: not said */
  wh_str param;  /* a name, or empty */
} wh_onnx_dim;

typedef struct wh_onnx_type {
  wh_onnx_type_kind kind;
  wh_dtype dtype; /* TENSOR; WH_DTYPE_FORCE_32: not said */
  bool has_shape; /* TENSOR */
  int rank;
  wh_onnx_dim dims[WH_MAX_RANK];
  const struct wh_onnx_type *element; /* SEQUENCE, OPTIONAL; may be NULL */
} wh_onnx_type;

typedef struct wh_onnx_value_info {
  wh_str name;
  wh_onnx_type type;
} wh_onnx_value_info;

/* As in the file format. */
typedef enum wh_onnx_attr_type {
  WH_ONNX_ATTR_NONE,
  WH_ONNX_ATTR_FLOAT = 1,
  WH_ONNX_ATTR_INT,
  WH_ONNX_ATTR_STRING,
  WH_ONNX_ATTR_TENSOR,
  WH_ONNX_ATTR_GRAPH,
  WH_ONNX_ATTR_FLOATS,
  WH_ONNX_ATTR_INTS,
  WH_ONNX_ATTR_STRINGS,
  WH_ONNX_ATTR_TENSORS,
  WH_ONNX_ATTR_GRAPHS,
  WH_ONNX_ATTR_SPARSE,
  WH_ONNX_ATTR_OTHER /* type protos, lists of sparse tensors: nothing more is kept */
} wh_onnx_attr_type;

struct wh_onnx_graph;

typedef struct wh_onnx_attr {
  wh_str name;
  wh_str ref; /* within a function: the attribute of the function that it stands for */
  wh_onnx_attr_type type;
  float f;
  int64_t i;
  wh_str s;
  size_t n; /* FLOATS, INTS, STRINGS, TENSORS, GRAPHS */
  const float *floats;
  const int64_t *ints;
  const wh_str *strings;
  const wh_onnx_tensor *tensors;      /* TENSOR: one */
  const struct wh_onnx_graph *graphs; /* GRAPH: one */
  const wh_onnx_sparse *sparse;
} wh_onnx_attr;

typedef struct wh_onnx_node {
  wh_str name, op, domain; /* domain "" is ai.onnx */
  size_t n_inputs, n_outputs, n_attrs;
  const wh_str *inputs, *outputs; /* "": absent */
  const wh_onnx_attr *attrs;
} wh_onnx_node;

typedef struct wh_onnx_graph {
  wh_str name;
  size_t n_nodes, n_initializers, n_sparse, n_inputs, n_outputs;
  const wh_onnx_node *nodes;
  const wh_onnx_tensor *initializers;
  const wh_onnx_sparse *sparse; /* initializers, named by their values */
  const wh_onnx_value_info *inputs, *outputs;
} wh_onnx_graph;

typedef struct wh_onnx_opset {
  wh_str domain;
  int64_t version;
} wh_onnx_opset;

typedef struct wh_onnx_function {
  wh_str name, domain;
  size_t n_inputs, n_outputs, n_attrs, n_nodes, n_defaults, n_opsets;
  const wh_str *inputs, *outputs, *attrs; /* attrs: names of those without a default */
  const wh_onnx_attr *defaults;
  const wh_onnx_node *nodes;
  const wh_onnx_opset *opsets;
} wh_onnx_function;

typedef struct wh_onnx_meta {
  wh_str key, value;
} wh_onnx_meta;

typedef struct wh_onnx_file {
  const wh_allocator *alloc;
  const char *path;
  wh_str bytes;       /* the file as it is */
  size_t total_bytes; /* with external data */
  int64_t ir_version, model_version;
  wh_str producer, producer_version, domain;
  wh_onnx_graph graph;
  size_t n_opsets, n_functions, n_meta;
  const wh_onnx_opset *opsets;
  const wh_onnx_function *functions;
  const wh_onnx_meta *meta;
} wh_onnx_file;

/* Whether the bytes begin as an ONNX model does. The format has no magic number. */
bool wh_onnx_looks_like(const void *data, size_t n_bytes);

/* Errors name the file, the graph's node or tensor, and the field. External data must lie in the model's
 * folder or below, reached through no symbolic link. */
WH_NODISCARD wh_status wh_onnx_open(const char *path, const wh_allocator *alloc, wh_onnx_file **out);
/* The same over bytes that the caller keeps alive; external data is refused. */
WH_NODISCARD wh_status wh_onnx_open_memory(const char *name, const void *data, size_t n_bytes,
                                           const wh_allocator *alloc, wh_onnx_file **out);
/* Bytes of the model's files that need not stay in memory; nothing for any others. A hint. */
void wh_onnx_dont_need(const wh_onnx_file *file, const void *data, size_t n_bytes);
void wh_onnx_close(wh_onnx_file *file); /* NULL is fine */

/* The elements in row-major form, dst[tensor->n_bytes] (not of strings). */
void wh_onnx_tensor_read(const wh_onnx_tensor *tensor, void *dst);

/* ---- values in files of their own, as test data has them ---- */

typedef struct wh_onnx_value {
  wh_onnx_type_kind kind; /* TENSOR; SEQUENCE; OPTIONAL: n is 0 or 1 */
  wh_onnx_tensor tensor;
  size_t n;
  const struct wh_onnx_value *items;
} wh_onnx_value;
typedef struct wh_onnx_value_file wh_onnx_value_file;
/* A TensorProto, SequenceProto or OptionalProto: `kind` says which. */
WH_NODISCARD wh_status wh_onnx_value_open(const char *path, wh_onnx_type_kind kind, const wh_allocator *alloc,
                                          wh_onnx_value_file **out);
const wh_onnx_value *wh_onnx_value_get(const wh_onnx_value_file *file);
void wh_onnx_value_close(wh_onnx_value_file *file); /* NULL is fine */

#endif
