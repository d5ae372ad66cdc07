/* lm/kv_pool.h - which pages of attention state are in use, by how many sequences, and what they hold.
 *
 * A page holds the keys and values of 64 positions (docs/NUMERICS.md, "attention") in every state of a model.
 * A full page can be published under its tokens and all tokens before them. Since rows' bits depend on
 * nothing else, a later sequence that begins with the same tokens may use it in place of computing one.
 *
 * A page is free (nobody uses it, nothing known is in it), used (by one sequence or several) or kept
 * (published and not used: a hit makes it used again, a lack of free pages makes it free, the longest unused
 * first). */
#ifndef WH_LM_KV_POOL_H
#define WH_LM_KV_POOL_H

#include "core/ir/graph.h" /* WH_KV_PAGE */

#define WH_KV_NO_PAGE UINT32_MAX /* no such page */
#define WH_KV_PAGES_MAX (1u << 30)

typedef struct wh_kv_pool wh_kv_pool;

WH_NODISCARD wh_status wh_kv_pool_create(uint32_t n_pages, const wh_allocator *alloc, wh_kv_pool **out);
void wh_kv_pool_destroy(wh_kv_pool *p); /* NULL is fine */

/* A page of unknown content with one user; a kept one is forgotten for it when none is free. WH_KV_NO_PAGE:
 * all are used. */
uint32_t wh_kv_pool_take(wh_kv_pool *p);
void wh_kv_pool_retain(wh_kv_pool *p, uint32_t page); /* one more user of a used page */
/* The last user's release makes the page free, or kept when it is published. */
void wh_kv_pool_release(wh_kv_pool *p, uint32_t page);
bool wh_kv_pool_is_shared(const wh_kv_pool *p, uint32_t page); /* has several users */

/* What comes before a page: the name of the page before it, or of the beginning of sequences computed in one
 * of several ways that must not be mixed. Names are never given twice, so that one says all that comes
 * before. */
typedef uint64_t wh_kv_name;
#define WH_KV_UNNAMED 0
#define WH_KV_BEGINNINGS 16
static inline wh_kv_name wh_kv_beginning(unsigned kind) { return 1 + kind; } /* kind < WH_KV_BEGINNINGS */

wh_kv_name wh_kv_pool_name(const wh_kv_pool *p, uint32_t page); /* WH_KV_UNNAMED: not published */
/* The page that holds `tokens` behind `before`, with one more user; WH_KV_NO_PAGE: none does. Tokens are
 * compared, not their hashes. */
uint32_t wh_kv_pool_find(wh_kv_pool *p, wh_kv_name before, const int32_t tokens[WH_KV_PAGE]);
/* A used page holds `tokens` behind `before`. Where another page is published for them, that one is returned,
 * with one more user, and the caller's has one less: equal content is kept once. */
uint32_t wh_kv_pool_publish(wh_kv_pool *p, uint32_t page, wh_kv_name before,
                            const int32_t tokens[WH_KV_PAGE]);
/* A page with one user is about to be written: it is not found any more. */
void wh_kv_pool_withdraw(wh_kv_pool *p, uint32_t page);

/* Sums to n_pages. */
typedef struct wh_kv_pool_counts {
  uint32_t n_pages, n_free, n_kept, n_used;
} wh_kv_pool_counts;
wh_kv_pool_counts wh_kv_pool_count(const wh_kv_pool *p);
size_t wh_kv_pool_bytes(uint32_t n_pages); /* of the pool's own tables; SIZE_MAX: too many */

#endif
