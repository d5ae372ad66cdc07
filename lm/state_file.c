/* state_file.c - saved sequences. Little-endian:
 *
 *   bytes     what
 *   8         "WHSTATE" and a NUL
 *   4         version of this format
 *   4         version of the numerics (backend_abi.h)
 *   16        hash of what decides the logits
 *   32        names of the devices' backends, NUL-padded
 *   4         the first one's pack version
 *   4         n_tokens
 *   4         n_pages: the first n_pages * 64 tokens are computed
 *   4         set of rotary frequencies
 *   8         page_bytes
 *   4 each    tokens
 *   page_bytes each   pages, in the device's form
 *   16        hash of all before: h = hash(header and tokens), then h = hash(h, hash(page)) for each page
 *
 * Only full pages are saved: what else lies in a page was another sequence's. The rest is computed again, and
 * so is everything when the pages have another device's form. */
#include "lm/lm_internal.h"

#define VERSION 1u
#define DEVICE_BYTES WH_LM_DEVICE_BYTES

typedef struct header {
  char magic[8];
  uint32_t version, numerics;
  uint64_t model[2];
  char device[DEVICE_BYTES];
  uint32_t pack_version, n_tokens, n_pages, set;
  uint64_t page_bytes;
} header;
_Static_assert(sizeof(header) == 88, "the header has no padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is written as it lies in memory");

static const char magic[8] = "WHSTATE";

static wh_hash128 hash_two(wh_hash128 a, wh_hash128 b) {
  const wh_hash128 both[2] = {a, b};
  return wh_hash_bytes(both, sizeof both);
}

static bool same_form(const header *h, const wh_lm *lm, const wh_lm_identity *id) {
  return memcmp(h->device, id->device, sizeof h->device) == 0 && h->pack_version == id->pack_version &&
         h->page_bytes == wh_run_state_row_bytes(lm->run);
}

/* ---- save ---- */

static wh_status put(wh_write_fn write, void *ctx, const void *data, size_t n) {
  return write(ctx, data, n) ? WH_FAIL(ERR_IO, "the saved sequence could not be written") : WH_OK;
}

static wh_status save(const wh_sequence *s, const header *h, char *buffer, wh_write_fn write, void *ctx) {
  const size_t n_head = sizeof *h + h->n_tokens * sizeof *s->tokens;
  memcpy(buffer, h, sizeof *h);
  if (h->n_tokens) memcpy(buffer + sizeof *h, s->tokens, n_head - sizeof *h);
  wh_hash128 hash = wh_hash_bytes(buffer, n_head);
  WH_TRY(put(write, ctx, buffer, n_head));
  for (uint32_t i = 0; i < h->n_pages; i++) {
    WH_TRY(wh_run_read_state_row(s->lm->run, s->pages[i], buffer));
    hash = hash_two(hash, wh_hash_bytes(buffer, (size_t)h->page_bytes));
    WH_TRY(put(write, ctx, buffer, (size_t)h->page_bytes));
  }
  return put(write, ctx, &hash, sizeof hash);
}

wh_status wh_lm_save(wh_sequence *s, const wh_lm_identity *id, wh_write_fn write, void *ctx) {
  header h = {.version = VERSION,
              .numerics = WH_NUMERICS_VERSION,
              .model = {id->model.low, id->model.high},
              .pack_version = id->pack_version,
              .n_tokens = s->n_tokens,
              .n_pages = s->n_computed / WH_KV_PAGE,
              .set = s->set,
              .page_bytes = wh_run_state_row_bytes(s->lm->run)};
  memcpy(h.magic, magic, sizeof magic);
  memcpy(h.device, id->device, sizeof h.device);
  const size_t n_head = sizeof h + h.n_tokens * sizeof *s->tokens;
  char *buffer =
      wh_alloc_uninit(s->lm->alloc, n_head > h.page_bytes ? n_head : (size_t)h.page_bytes, WH_ALIGN_SIMD);
  if (!buffer) return WH_OOM("a sequence to save");
  wh_status st = save(s, &h, buffer, write, ctx);
  wh_free(s->lm->alloc, buffer);
  return st;
}

/* ---- load ---- */

static wh_status check_whole(const char *name, const uint8_t *data, size_t n, const header *h) {
  const uint64_t n_head = sizeof *h + (uint64_t)h->n_tokens * sizeof(int32_t);
  uint64_t whole;
  if (h->n_pages > h->n_tokens / WH_KV_PAGE || h->set > 1 ||
      __builtin_mul_overflow(h->page_bytes, h->n_pages, &whole) ||
      __builtin_add_overflow(whole, n_head + sizeof(wh_hash128), &whole))
    return WH_FAIL(ERR_CORRUPT, "%s: the header of the saved sequence is damaged; make it again", name);
  if (n != whole)
    return WH_FAIL(ERR_CORRUPT,
                   "%s: %zu bytes, but a saved sequence of %u tokens and %u pages has %llu; make it again",
                   name, n, h->n_tokens, h->n_pages, (unsigned long long)whole);
  wh_hash128 hash = wh_hash_bytes(data, (size_t)n_head), stored;
  for (uint32_t i = 0; i < h->n_pages; i++)
    hash = hash_two(hash, wh_hash_bytes(data + n_head + i * h->page_bytes, (size_t)h->page_bytes));
  memcpy(&stored, data + whole - sizeof stored, sizeof stored);
  if (wh_hash_equal(hash, stored)) return WH_OK;
  return WH_FAIL(ERR_CORRUPT, "%s: the saved sequence is damaged (its hash does not fit); make it again",
                 name);
}

static wh_status check_header(const char *name, const uint8_t *data, size_t n, const wh_lm *lm,
                              const wh_lm_identity *id, header *h) {
  if (n < sizeof *h || memcmp(data, magic, sizeof magic) != 0)
    return WH_FAIL(ERR_CORRUPT, "%s: not a saved sequence", name);
  memcpy(h, data, sizeof *h);
  if (h->version != VERSION)
    return WH_FAIL(ERR_UNSUPPORTED,
                   "%s: saved in version %u of the format, this program reads %u; make it again", name,
                   h->version, VERSION);
  WH_TRY(check_whole(name, data, n, h));
  if (h->numerics != WH_NUMERICS_VERSION)
    return WH_FAIL(ERR_UNSUPPORTED,
                   "%s: saved with version %u of the numerics, this program has %u; make it again", name,
                   h->numerics, WH_NUMERICS_VERSION);
  if (h->model[0] != id->model.low || h->model[1] != id->model.high)
    return WH_FAIL(
        ERR_UNSUPPORTED,
        "%s: saved from another model, or with another type of the cache (--kv); use it with the one that "
        "it was saved from",
        name);
  if (h->set && !lm->options.long_rope_border)
    return WH_FAIL(ERR_CORRUPT, "%s: the model has one set of rotary frequencies, the saved sequence another",
                   name);
  if (h->n_tokens > lm->options.context)
    return WH_FAIL(ERR_LIMIT,
                   "%s: a sequence of %u tokens does not fit into the context of %u; use a larger context",
                   name, h->n_tokens, lm->options.context);
  return WH_OK;
}

/* Pages that are there already, from other sequences or an earlier load, are shared. */
static wh_status load_pages(wh_sequence *s, const header *h, const uint8_t *pages) {
  s->set = (uint8_t)h->set;
  wh_lm_sequence_find_pages(s, h->n_pages * WH_KV_PAGE);
  while (s->n_computed < h->n_pages * WH_KV_PAGE) {
    const uint32_t i = s->n_computed / WH_KV_PAGE;
    bool reserved;
    WH_TRY(wh_lm_reserve(s, s->n_computed + WH_KV_PAGE, &reserved));
    if (!reserved) return WH_OK; /* what does not fit is computed when it is needed */
    WH_TRY(wh_run_write_state_row(s->lm->run, s->pages[i], pages + i * h->page_bytes));
    s->n_computed += WH_KV_PAGE;
    wh_lm_sequence_publish(s);
  }
  return WH_OK;
}

wh_status wh_lm_load(wh_lm *lm, const wh_lm_identity *id, const void *data, size_t n_bytes, const char *name,
                     wh_sequence **out) {
  const uint8_t *bytes = data;
  header h;
  WH_TRY(check_header(name, bytes, n_bytes, lm, id, &h));
  const uint8_t *tokens = bytes + sizeof h;
  wh_sequence *s = NULL;
  WH_TRY(wh_lm_sequence_create(lm, &s));
  int32_t *copy =
      wh_alloc_array(lm->alloc, h.n_tokens, sizeof *copy); /* the caller's bytes may lie anywhere */
  wh_status st = copy ? WH_OK : WH_OOM("tokens of a sequence");
  if (st == WH_OK) {
    memcpy(copy, tokens, h.n_tokens * sizeof *copy);
    st = wh_lm_sequence_check(s, copy, h.n_tokens);
    if (st == WH_ERR_INVALID_ARGUMENT) {
      (void)wh_fail_prefix("%s", name);
      st = wh_fail_as(WH_ERR_CORRUPT);
    }
  }
  if (st == WH_OK) st = wh_lm_sequence_extend(s, copy, h.n_tokens);
  if (st == WH_OK && same_form(&h, lm, id)) st = load_pages(s, &h, tokens + h.n_tokens * sizeof *copy);
  wh_free(lm->alloc, copy);
  if (st != WH_OK) {
    wh_lm_sequence_destroy(s);
    return st;
  }
  *out = s;
  return WH_OK;
}
