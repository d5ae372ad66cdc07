/* write.c - see write.h. */
#include "formats/onnx/write.h"

#include <inttypes.h>

#include "core/base/text_buffer.h"
#include "formats/onnx/onnx_internal.h"

/* ---- the wire format ---- */

static void varint(wh_text_buffer *b, uint64_t v) {
  char bytes[10];
  size_t n = 0;
  for (; v >= 128; v >>= 7) bytes[n++] = (char)(v | 128);
  bytes[n++] = (char)v;
  wh_text_buffer_append(b, bytes, n);
}

static void head(wh_text_buffer *b, uint32_t field, uint64_t n_bytes) {
  varint(b, (uint64_t)field << 3 | WH_WIRE_BYTES);
  varint(b, n_bytes);
}

static void put_bytes(wh_text_buffer *b, uint32_t field, wh_str s) {
  head(b, field, s.len);
  wh_text_buffer_append(b, s.data, s.len);
}

static void put_number(wh_text_buffer *b, uint32_t field, int64_t v) {
  varint(b, (uint64_t)field << 3 | WH_WIRE_VARINT);
  varint(b, (uint64_t)v);
}

/* ---- pieces ---- */

wh_status wh_onnx_put(wh_onnx_message *m, wh_str piece) {
  if (m->n == m->capacity) {
    const size_t capacity = m->capacity ? 2 * m->capacity : 64;
    wh_str *larger = wh_arena_array(m->arena, capacity, sizeof *larger);
    if (!larger) return WH_OOM("ONNX file");
    if (m->n) memcpy(larger, m->pieces, m->n * sizeof *larger);
    m->pieces = larger;
    m->capacity = capacity;
  }
  m->pieces[m->n++] = piece;
  m->n_bytes += piece.len;
  return WH_OK;
}

/* A copy of what the buffer holds, which is emptied. */
static wh_status put_buffer(wh_onnx_message *m, wh_text_buffer *b) {
  char *copy = b->oom ? NULL : wh_arena_string(m->arena, b->data ? b->data : "", b->len);
  const wh_str piece = {copy, b->len};
  wh_text_buffer_deinit(b);
  return copy ? wh_onnx_put(m, piece) : WH_OOM("ONNX file");
}

/* The field `number` that holds the buffer's bytes. */
static wh_status put_field(wh_onnx_message *m, uint32_t number, wh_text_buffer *content) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, m->arena->alloc);
  head(&b, number, content->len);
  const wh_status st = put_buffer(m, &b);
  if (st == WH_OK) return put_buffer(m, content);
  wh_text_buffer_deinit(content);
  return st;
}

/* ---- messages ---- */

wh_status wh_onnx_put_node(wh_onnx_message *graph, const wh_onnx_new_node *node) {
  enum { INPUT = 1, OUTPUT, NAME, OP, ATTRIBUTE, DOMAIN = 7, ATTR_NAME = 1, ATTR_INT = 3, ATTR_TYPE = 20 };
  wh_text_buffer b, attr;
  wh_text_buffer_init(&b, graph->arena->alloc);
  wh_text_buffer_init(&attr, graph->arena->alloc);
  for (size_t i = 0; i < WH_ONNX_NEW_INPUTS && node->inputs[i].data; i++)
    put_bytes(&b, INPUT, node->inputs[i]);
  for (size_t i = 0; i < WH_ONNX_NEW_OUTPUTS && node->outputs[i].data; i++)
    put_bytes(&b, OUTPUT, node->outputs[i]);
  put_bytes(&b, NAME, node->outputs[0]);
  put_bytes(&b, OP, wh_str_from(node->op));
  for (size_t i = 0; i < WH_ONNX_NEW_INTS && node->ints[i].name; i++) {
    wh_text_buffer_clear(&attr);
    put_bytes(&attr, ATTR_NAME, wh_str_from(node->ints[i].name));
    put_number(&attr, ATTR_INT, node->ints[i].value);
    put_number(&attr, ATTR_TYPE, WH_ONNX_ATTR_INT);
    put_bytes(&b, ATTRIBUTE, (wh_str){attr.data, attr.len});
  }
  if (node->domain) put_bytes(&b, DOMAIN, wh_str_from(node->domain));
  b.oom |= attr.oom;
  wh_text_buffer_deinit(&attr);
  return put_field(graph, WH_ONNX_GRAPH_NODE, &b);
}

wh_status wh_onnx_put_tensor(wh_onnx_message *graph, wh_str name, wh_dtype dtype, int rank,
                             const int64_t *dims, const void *data) {
  enum { DIMS = 1, DATA_TYPE, NAME = 8, RAW };
  wh_text_buffer b, front;
  size_t n_bytes = 0, n = 1;
  for (int d = 0; d < rank; d++)
    if (!wh_mul_size(n, (size_t)dims[d], &n)) return WH_FAIL(ERR_INTERNAL, "a tensor's size overflows");
  if (!wh_dtype_row_bytes(dtype, n, &n_bytes)) return WH_FAIL(ERR_INTERNAL, "a tensor's size overflows");
  wh_text_buffer_init(&b, graph->arena->alloc);
  for (int d = 0; d < rank; d++) put_number(&b, DIMS, dims[d]);
  put_number(&b, DATA_TYPE, (int64_t)wh_onnx_type_number(dtype));
  put_bytes(&b, NAME, name);
  head(&b, RAW, n_bytes);
  wh_text_buffer_init(&front, graph->arena->alloc);
  head(&front, WH_ONNX_GRAPH_INITIALIZER, (uint64_t)b.len + n_bytes);
  const wh_status st = put_buffer(graph, &front);
  if (st != WH_OK) {
    wh_text_buffer_deinit(&b);
    return st;
  }
  WH_TRY(put_buffer(graph, &b));
  return wh_onnx_put(graph, (wh_str){data, n_bytes});
}

wh_status wh_onnx_put_opset(wh_onnx_message *model, const char *domain, int64_t version) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, model->arena->alloc);
  put_bytes(&b, 1, wh_str_from(domain));
  put_number(&b, 2, version);
  return put_field(model, WH_ONNX_MODEL_OPSET, &b);
}

wh_status wh_onnx_put_graph(wh_onnx_message *model, const wh_onnx_message *graph) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, model->arena->alloc);
  head(&b, WH_ONNX_MODEL_GRAPH, graph->n_bytes);
  WH_TRY(put_buffer(model, &b));
  for (size_t i = 0; i < graph->n; i++) WH_TRY(wh_onnx_put(model, graph->pieces[i]));
  return WH_OK;
}

wh_status wh_onnx_write(const char *path, const wh_onnx_message *model, const wh_allocator *alloc) {
  wh_file_writer *w = NULL;
  if (model->n_bytes > INT32_MAX)
    return WH_FAIL(ERR_LIMIT,
                   "%.200s would have %" PRIu64
                   " bytes: an ONNX file ends at 2 GiB, and data beside it is not "
                   "written",
                   path, model->n_bytes);
  WH_TRY(wh_file_writer_begin(path, alloc, &w));
  for (size_t i = 0; i < model->n; i++) {
    const wh_status st = wh_file_writer_append(w, model->pieces[i].data, model->pieces[i].len);
    if (st == WH_OK) continue;
    wh_file_writer_abort(w);
    return st;
  }
  return wh_file_writer_commit(w);
}
