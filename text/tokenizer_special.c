/* tokenizer_special.c - see tokenizer_special.h. Children of a node form a list: special tokens share long
 * prefixes and branch little. */
#include "text/tokenizer_special.h"

struct wh_special_node {
  uint32_t child, sibling; /* 0: none (node 0 is never a child) */
  int32_t id;              /* -1: no token ends here */
  uint8_t byte, strip;
  bool control;
};

void wh_special_set_init(wh_special_set *s, const wh_allocator *alloc) {
  *s = (wh_special_set){.alloc = alloc};
}

void wh_special_set_deinit(wh_special_set *s) {
  wh_free(s->alloc, s->nodes);
  s->nodes = NULL;
}

static uint32_t new_node(wh_special_set *s, uint8_t byte) {
  if (s->n_nodes == 0) s->n_nodes = 1;
  s->nodes[s->n_nodes] = (struct wh_special_node){.id = -1, .byte = byte};
  return (uint32_t)s->n_nodes++;
}

static uint32_t find_child(const wh_special_set *s, uint32_t node, uint8_t byte) {
  uint32_t c = s->nodes[node].child;
  while (c && s->nodes[c].byte != byte) c = s->nodes[c].sibling;
  return c;
}

wh_status wh_special_set_add(wh_special_set *s, wh_str text, int32_t id, bool control, unsigned strip) {
  size_t n = text.len, need;
  if (n == 0) return WH_OK;
  if (!wh_add_size(s->n_nodes, n + 1, &need) || need > UINT32_MAX)
    return WH_FAIL(ERR_LIMIT, "too many special tokens");
  if (!wh_grow_array(s->alloc, (void **)&s->nodes, &s->capacity, s->n_nodes, need, sizeof *s->nodes))
    return WH_OOM("the special tokens");
  const unsigned char *p = (const unsigned char *)text.data;
  if (!s->root[p[0]]) s->root[p[0]] = new_node(s, p[0]);
  uint32_t node = s->root[p[0]];
  for (size_t i = 1; i < n; i++) {
    uint32_t child = find_child(s, node, p[i]);
    if (!child) {
      child = new_node(s, p[i]);
      s->nodes[child].sibling = s->nodes[node].child;
      s->nodes[node].child = child;
    }
    node = child;
  }
  if (s->nodes[node].id < 0) {
    s->nodes[node].id = id;
    s->nodes[node].control = control;
    s->nodes[node].strip = (uint8_t)strip;
  }
  return WH_OK;
}

bool wh_special_set_match(const wh_special_set *s, wh_str text, size_t at, bool with_control,
                          wh_special_match *out) {
  const unsigned char *p = (const unsigned char *)text.data;
  bool found = false;
  if (at >= text.len) return false;
  uint32_t node = s->root[p[at]];
  for (size_t k = at; node; node = k < text.len ? find_child(s, node, p[k]) : 0) {
    const struct wh_special_node *n = &s->nodes[node];
    k++;
    if (n->id < 0 || (n->control && !with_control)) continue;
    *out = (wh_special_match){at, k - at, n->id, n->control, n->strip};
    found = true;
  }
  return found;
}

bool wh_special_set_find(const wh_special_set *s, wh_str text, size_t start, bool with_control,
                         wh_special_match *out) {
  for (size_t i = start; i < text.len; i++)
    if (s->root[(unsigned char)text.data[i]] && wh_special_set_match(s, text, i, with_control, out))
      return true;
  return false;
}
