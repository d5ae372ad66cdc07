/* tokenizer_special.c - see tokenizer_special.h. Children of a node form a list: special tokens share long
 * prefixes and branch little. */
#include "text/tokenizer_special.h"

struct wh_special_node {
  uint32_t child, sibling; /* 0: none (node 0 is never a child) */
  int32_t id;              /* -1: no token ends here */
  uint8_t byte;
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

wh_status wh_special_set_add(wh_special_set *s, const char *text, size_t n, int32_t id, bool control) {
  if (n == 0) return WH_OK;
  size_t need;
  if (!wh_add_size(s->n_nodes, n + 1, &need) || need > UINT32_MAX)
    return WH_FAIL(ERR_LIMIT, "too many special tokens");
  if (!wh_grow_array(s->alloc, (void **)&s->nodes, &s->capacity, s->n_nodes, need, sizeof *s->nodes))
    return WH_OOM("the special tokens");
  const unsigned char *p = (const unsigned char *)text;
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
  }
  return WH_OK;
}

bool wh_special_set_find(const wh_special_set *s, wh_str text, size_t start, bool with_control,
                         wh_special_match *out) {
  const unsigned char *p = (const unsigned char *)text.data;
  for (size_t i = start; i < text.len; i++) {
    uint32_t node = s->root[p[i]];
    if (!node) continue;
    bool found = false;
    for (size_t k = i;;) {
      const struct wh_special_node *at = &s->nodes[node];
      if (at->id >= 0 && (with_control || !at->control)) {
        *out = (wh_special_match){i, k + 1 - i, at->id};
        found = true;
      }
      if (++k == text.len || !(node = find_child(s, node, p[k]))) break;
    }
    if (found) return true;
  }
  return false;
}
