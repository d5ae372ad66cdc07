/* attr.c - attributes of nodes: what they must be, copies, equality. */
#include <math.h>
#include <string.h>

#include "core/ir/graph.h"

static const struct {
  const char *name;
  wh_attr_type type;
} wh_attr_table[WH_ATTR_COUNT] = {
#define WH_ATTR_ROW(name, type, text) [WH_ATTR_##name] = {text, WH_TYPE_##type},
    WH_ATTR_LIST(WH_ATTR_ROW)
#undef WH_ATTR_ROW
};

const char *wh_attr_name(wh_attr_key key) { return wh_attr_table[key].name; }
wh_attr_type wh_attr_type_of(wh_attr_key key) { return wh_attr_table[key].type; }

/* Bytes behind the pointer. */
static size_t payload_bytes(const wh_attr *a) {
  switch (wh_attr_type_of(a->key)) {
    case WH_TYPE_INTS:
      return a->n * sizeof *a->ints;
    case WH_TYPE_FLOATS:
      return a->n * sizeof *a->floats;
    case WH_TYPE_STRING:
    case WH_TYPE_TENSOR:
      return a->n;
    case WH_TYPE_FLOAT:
    case WH_TYPE_INT:
    case WH_TYPE_DIMS:
      break;
  }
  return 0;
}

static bool has_dims(const wh_attr *a) {
  return wh_attr_type_of(a->key) == WH_TYPE_DIMS || wh_attr_type_of(a->key) == WH_TYPE_TENSOR;
}

/* What is wrong with a value, or NULL. */
static const char *fault_of(const wh_graph *g, const wh_attr *a) {
  const wh_attr_type type = wh_attr_type_of(a->key);
  if (type == WH_TYPE_FLOAT && !isfinite(a->f)) return "is not finite";
  if (a->n > WH_MAX_ATTR_BYTES || payload_bytes(a) > WH_MAX_ATTR_BYTES) return "is too long";
  if (payload_bytes(a) && !a->data) return "has no data";
  for (size_t i = 0; type == WH_TYPE_FLOATS && i < a->n; i++)
    if (!isfinite(a->floats[i])) return "is not finite";
  if (type == WH_TYPE_STRING && a->n && memchr(a->text, 0, a->n)) return "has a byte 0";
  if (!has_dims(a)) return NULL;
  if (a->rank < 0 || a->rank > WH_MAX_RANK) return "is no shape";
  for (int d = 0; d < a->rank; d++)
    if (a->dims[d] >= g->dims.n) return "is no shape";
  if (type != WH_TYPE_TENSOR) return NULL;
  wh_shape shape = {.dtype = a->dtype, .rank = a->rank};
  memcpy(shape.dims, a->dims, sizeof shape.dims);
  for (int d = 0; d < a->rank; d++)
    if (!wh_dim_is_const(&g->dims, a->dims[d])) return "has a symbolic dimension";
  size_t bytes;
  if (!wh_shape_bytes(g, &shape, NULL, &bytes) || bytes != a->n) return "has another size than its shape";
  return NULL;
}

wh_status wh_check_attrs(const wh_graph *g, wh_op op, const char *name, const wh_attr *attrs,
                         size_t n_attrs) {
  const wh_op_info *info = wh_op_get(op);
  uint64_t have = 0;
  for (size_t i = 0; i < n_attrs; i++) {
    const wh_attr *a = &attrs[i];
    const uint64_t bit = (unsigned)a->key < WH_ATTR_COUNT ? (uint64_t)1 << a->key : 0;
    if (!(info->attrs & bit) || have & bit)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': wrong attributes for %s", name, info->name);
    have |= bit;
    const char *fault = fault_of(g, a);
    if (fault)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': attribute %s %s", name, wh_attr_name(a->key), fault);
  }
  if (have != info->attrs)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': %s lacks an attribute", name, info->name);
  return WH_OK;
}

wh_status wh_copy_attrs(wh_graph *g, const wh_attr *attrs, size_t n_attrs, wh_attr **out) {
  wh_attr *copy = wh_arena_array(&g->arena, n_attrs, sizeof *copy);
  if (!copy) return WH_OOM("graph attributes");
  for (size_t i = 0; i < n_attrs; i++) {
    const size_t bytes = payload_bytes(&attrs[i]);
    copy[i] = attrs[i];
    copy[i].data = NULL;
    if (bytes == 0) continue;
    void *payload = wh_arena_alloc(&g->arena, bytes);
    if (!payload) return WH_OOM("graph attributes");
    memcpy(payload, attrs[i].data, bytes);
    copy[i].data = payload;
  }
  *out = copy;
  return WH_OK;
}

const wh_attr *wh_node_attr(const wh_node_info *node, wh_attr_key key) {
  for (unsigned i = 0; i < node->n_attrs; i++)
    if (node->attrs[i].key == key) return &node->attrs[i];
  return NULL;
}

bool wh_attr_equal(const wh_attr *a, const wh_attr *b) {
  if (a->key != b->key) return false;
  const wh_attr_type type = wh_attr_type_of(a->key);
  if (type == WH_TYPE_FLOAT) return memcmp(&a->f, &b->f, sizeof a->f) == 0; /* -0 is not +0 */
  if (type == WH_TYPE_INT) return a->i == b->i;
  if (has_dims(a) &&
      (a->rank != b->rank || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) != 0))
    return false;
  if (type == WH_TYPE_DIMS) return true;
  if (type == WH_TYPE_TENSOR && a->dtype != b->dtype) return false;
  const size_t bytes = payload_bytes(a);
  return a->n == b->n && (bytes == 0 || memcmp(a->data, b->data, bytes) == 0);
}

uint64_t wh_attr_hash(const wh_attr *a) {
  const wh_attr_type type = wh_attr_type_of(a->key);
  uint64_t key[4] = {(uint64_t)a->key, 0, 0, 0};
  if (type == WH_TYPE_FLOAT) memcpy(&key[1], &a->f, sizeof a->f);
  if (type == WH_TYPE_INT) key[1] = (uint64_t)a->i;
  if (type == WH_TYPE_TENSOR) key[1] = (uint64_t)a->dtype;
  if (has_dims(a)) key[2] = wh_hash_bytes(a->dims, (size_t)a->rank * sizeof a->dims[0]).low;
  const size_t bytes = payload_bytes(a);
  if (bytes) key[3] = wh_hash_bytes(a->data, bytes).low;
  return wh_hash_bytes(key, sizeof key).low;
}
