/* kv_pool.c - see kv_pool.h. */
#include "lm/kv_pool.h"

#include <string.h>

#include "core/base/hash.h"

#define NIL WH_KV_NO_PAGE

typedef struct page {
  uint32_t n_users;
  uint32_t chain;        /* the next page of its hash chain, when it has a name */
  uint32_t older, newer; /* neighbours among the kept; `older` is the next free one of a free page */
  wh_kv_name name, before;
  int32_t tokens[WH_KV_PAGE]; /* when it has a name */
} page;

struct wh_kv_pool {
  const wh_allocator *alloc;
  page *pages;
  uint32_t *chains; /* [n_chains], a power of two */
  uint32_t n_pages, n_chains;
  uint32_t first_free, n_free;
  uint32_t n_untouched; /* the last so many pages were never taken: not in the list of free ones */
  uint32_t oldest, newest, n_kept;
  wh_kv_name last_name;
};

static uint32_t chains_for(uint32_t n_pages) {
  uint32_t n = 16;
  while (n < n_pages) n *= 2;
  return n;
}

size_t wh_kv_pool_bytes(uint32_t n_pages) {
  size_t pages, chains, total;
  if (n_pages > WH_KV_PAGES_MAX || !wh_mul_size(n_pages, sizeof(page), &pages)) return SIZE_MAX;
  if (!wh_mul_size(chains_for(n_pages), sizeof(uint32_t), &chains)) return SIZE_MAX;
  return wh_add_size(pages, chains, &total) ? total : SIZE_MAX;
}

wh_status wh_kv_pool_create(uint32_t n_pages, const wh_allocator *alloc, wh_kv_pool **out) {
  if (n_pages == 0 || n_pages > WH_KV_PAGES_MAX)
    return WH_FAIL(ERR_LIMIT, "%u pages of attention state: must be 1 to %u", n_pages, WH_KV_PAGES_MAX);
  wh_kv_pool *p = wh_alloc_zeroed(alloc, sizeof *p);
  if (!p) return WH_OOM("pages of attention state");
  p->alloc = alloc;
  p->n_pages = p->n_untouched = n_pages;
  p->n_chains = chains_for(n_pages);
  p->first_free = p->oldest = p->newest = NIL;
  p->last_name = WH_KV_BEGINNINGS;
  p->pages = wh_alloc_array(alloc, n_pages, sizeof *p->pages);
  p->chains = wh_alloc_array(alloc, p->n_chains, sizeof *p->chains);
  if (!p->pages || !p->chains) {
    wh_kv_pool_destroy(p);
    return WH_OOM("pages of attention state");
  }
  for (uint32_t i = 0; i < p->n_chains; i++) p->chains[i] = NIL;
  *out = p;
  return WH_OK;
}

void wh_kv_pool_destroy(wh_kv_pool *p) {
  if (!p) return;
  wh_free(p->alloc, p->pages);
  wh_free(p->alloc, p->chains);
  wh_free(p->alloc, p);
}

/* ---- kept pages, the longest unused first ---- */

static void keep(wh_kv_pool *p, uint32_t i) {
  p->pages[i].older = p->newest;
  p->pages[i].newer = NIL;
  if (p->newest != NIL)
    p->pages[p->newest].newer = i;
  else
    p->oldest = i;
  p->newest = i;
  p->n_kept++;
}

static void unkeep(wh_kv_pool *p, uint32_t i) {
  page *x = &p->pages[i];
  if (x->older != NIL)
    p->pages[x->older].newer = x->newer;
  else
    p->oldest = x->newer;
  if (x->newer != NIL)
    p->pages[x->newer].older = x->older;
  else
    p->newest = x->older;
  p->n_kept--;
}

/* ---- names ---- */

static uint32_t *chain_of(wh_kv_pool *p, wh_kv_name before, const int32_t *tokens) {
  struct {
    wh_kv_name before;
    int32_t tokens[WH_KV_PAGE];
  } key;
  key.before = before;
  memcpy(key.tokens, tokens, sizeof key.tokens);
  return &p->chains[wh_hash_bytes(&key, sizeof key).low & (p->n_chains - 1)];
}

static uint32_t look_up(wh_kv_pool *p, wh_kv_name before, const int32_t *tokens) {
  uint32_t i = *chain_of(p, before, tokens);
  while (i != NIL &&
         (p->pages[i].before != before || memcmp(p->pages[i].tokens, tokens, sizeof p->pages[i].tokens)))
    i = p->pages[i].chain;
  return i;
}

static void forget(wh_kv_pool *p, uint32_t i) {
  page *x = &p->pages[i];
  uint32_t *at = chain_of(p, x->before, x->tokens);
  while (*at != i) at = &p->pages[*at].chain;
  *at = x->chain;
  x->name = WH_KV_UNNAMED;
}

wh_kv_name wh_kv_pool_name(const wh_kv_pool *p, uint32_t i) { return p->pages[i].name; }

uint32_t wh_kv_pool_find(wh_kv_pool *p, wh_kv_name before, const int32_t tokens[WH_KV_PAGE]) {
  const uint32_t i = look_up(p, before, tokens);
  if (i == NIL) return NIL;
  if (p->pages[i].n_users++ == 0) unkeep(p, i);
  return i;
}

uint32_t wh_kv_pool_publish(wh_kv_pool *p, uint32_t i, wh_kv_name before, const int32_t tokens[WH_KV_PAGE]) {
  const uint32_t same = wh_kv_pool_find(p, before, tokens);
  page *x = &p->pages[i];
  if (same != NIL) {
    wh_kv_pool_release(p, i);
    return same;
  }
  x->name = ++p->last_name;
  x->before = before;
  memcpy(x->tokens, tokens, sizeof x->tokens);
  uint32_t *chain = chain_of(p, before, tokens);
  x->chain = *chain;
  *chain = i;
  return i;
}

void wh_kv_pool_withdraw(wh_kv_pool *p, uint32_t i) {
  if (p->pages[i].name) forget(p, i);
}

/* ---- users ---- */

uint32_t wh_kv_pool_take(wh_kv_pool *p) {
  uint32_t i = p->first_free;
  if (i != NIL) {
    p->first_free = p->pages[i].older;
    p->n_free--;
  } else if (p->n_untouched) {
    i = p->n_pages - p->n_untouched--;
  } else if (p->oldest != NIL) {
    i = p->oldest;
    unkeep(p, i);
    forget(p, i);
  } else {
    return NIL;
  }
  p->pages[i].n_users = 1;
  return i;
}

void wh_kv_pool_retain(wh_kv_pool *p, uint32_t i) { p->pages[i].n_users++; }

void wh_kv_pool_release(wh_kv_pool *p, uint32_t i) {
  page *x = &p->pages[i];
  if (--x->n_users) return;
  if (x->name) {
    keep(p, i);
    return;
  }
  x->older = p->first_free;
  p->first_free = i;
  p->n_free++;
}

bool wh_kv_pool_is_shared(const wh_kv_pool *p, uint32_t i) { return p->pages[i].n_users > 1; }

wh_kv_pool_counts wh_kv_pool_count(const wh_kv_pool *p) {
  const uint32_t n_free = p->n_free + p->n_untouched;
  return (wh_kv_pool_counts){p->n_pages, n_free, p->n_kept, p->n_pages - n_free - p->n_kept};
}
