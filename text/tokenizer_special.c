/* tokenizer_special.c - see tokenizer_special.h. */
#include "text/tokenizer_special.h"

struct wh_special_entry {
  int32_t id;
  uint8_t strip;
  bool control;
};

void wh_special_set_init(wh_special_set *s, const wh_allocator *alloc) {
  *s = (wh_special_set){.alloc = alloc};
  wh_trie_init(&s->trie, alloc);
}

void wh_special_set_deinit(wh_special_set *s) {
  wh_trie_deinit(&s->trie);
  wh_free(s->alloc, s->entries);
  s->entries = NULL;
}

wh_status wh_special_set_add(wh_special_set *s, wh_str text, int32_t id, bool control, unsigned strip) {
  if (!wh_grow_array(s->alloc, (void **)&s->entries, &s->capacity, s->n_entries, s->n_entries + 1,
                     sizeof *s->entries))
    return WH_OOM("the special tokens");
  if (text.len > 0) s->begins[(unsigned char)text.data[0]] = true;
  s->entries[s->n_entries] = (struct wh_special_entry){id, (uint8_t)strip, control};
  return wh_trie_add(&s->trie, text, (int32_t)s->n_entries++);
}

bool wh_special_set_match(const wh_special_set *s, wh_str text, size_t at, bool with_control,
                          wh_special_match *out) {
  bool found = false;
  uint32_t node = WH_TRIE_ROOT;
  for (size_t k = at; k < text.len; k++) {
    node = wh_trie_step(&s->trie, node, (unsigned char)text.data[k]);
    if (node == WH_TRIE_ROOT) break;
    if (s->trie.values[node] < 0) continue;
    const struct wh_special_entry *e = &s->entries[s->trie.values[node]];
    if (e->control && !with_control) continue;
    *out = (wh_special_match){at, k + 1 - at, e->id, e->control, e->strip};
    found = true;
  }
  return found;
}

bool wh_special_set_find(const wh_special_set *s, wh_str text, size_t start, bool with_control,
                         wh_special_match *out) {
  for (size_t i = start; i < text.len; i++)
    if (s->begins[(unsigned char)text.data[i]] && wh_special_set_match(s, text, i, with_control, out))
      return true;
  return false;
}
