/* formats/onnx/write.h - new parts of an ONNX file beside those that are carried over byte for byte.
 *
 * A message is a list of pieces: slices of the file that was read, which are borrowed, and new bytes, which
 * lie in the arena. Its length, which stands in front of it in the file, is known before anything is written.
 */
#ifndef WH_FORMATS_ONNX_WRITE_H
#define WH_FORMATS_ONNX_WRITE_H

#include "core/base/arena.h"
#include "core/base/file.h"
#include "formats/onnx/onnx.h"

typedef struct wh_onnx_message {
  wh_arena *arena; /* also of the list */
  wh_str *pieces;
  size_t n, capacity;
  uint64_t n_bytes;
} wh_onnx_message;

/* Field numbers that are written. */
enum {
  WH_ONNX_MODEL_GRAPH = 7,
  WH_ONNX_MODEL_OPSET = 8,
  WH_ONNX_GRAPH_NODE = 1,
  WH_ONNX_GRAPH_INITIALIZER = 5,
  WH_ONNX_GRAPH_INPUT = 11
};

#define WH_ONNX_NEW_INPUTS 4
#define WH_ONNX_NEW_OUTPUTS 3
#define WH_ONNX_NEW_INTS 4
/* Lists end with an item of NULL. The node is named after its first output. */
typedef struct wh_onnx_new_node {
  const char *op, *domain;
  wh_str inputs[WH_ONNX_NEW_INPUTS], outputs[WH_ONNX_NEW_OUTPUTS];
  struct {
    const char *name;
    int64_t value;
  } ints[WH_ONNX_NEW_INTS];
} wh_onnx_new_node;

WH_NODISCARD wh_status wh_onnx_put(wh_onnx_message *m, wh_str piece); /* borrowed as long as the message */
/* Fields of a GraphProto. The data, in row-major form, is borrowed. */
WH_NODISCARD wh_status wh_onnx_put_node(wh_onnx_message *graph, const wh_onnx_new_node *node);
WH_NODISCARD wh_status wh_onnx_put_tensor(wh_onnx_message *graph, wh_str name, wh_dtype dtype, int rank,
                                          const int64_t *dims, const void *data);
/* Fields of a ModelProto. */
WH_NODISCARD wh_status wh_onnx_put_opset(wh_onnx_message *model, const char *domain, int64_t version);
WH_NODISCARD wh_status wh_onnx_put_graph(wh_onnx_message *model, const wh_onnx_message *graph);

/* Writes the message as a file, whole or not at all. ERR_LIMIT: ONNX files end at 2 GiB. */
WH_NODISCARD wh_status wh_onnx_write(const char *path, const wh_onnx_message *model,
                                     const wh_allocator *alloc);

#endif
