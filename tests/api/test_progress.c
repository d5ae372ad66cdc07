/* test_progress.c - what wh_session_create and wh_session_keep_packed tell the caller, and that they can be
 * ended at every word: nothing is left then, in memory or on disk, and the next start is as good as any. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/base/failing_allocator.h"
#include "tests/base/temp_folder.h"
#include "tests/e2e/small_model.h"
#include "whimbrel/whimbrel.h"

#define MAX_EVENTS 256

typedef struct listener {
  wh_progress events[MAX_EVENTS];
  int n, cancel_at; /* the call that says no, counted from 1; 0: none */
} listener;

static int listen(void *ctx, const wh_progress *p) {
  listener *l = ctx;
  assert_int_equal(p->struct_size, sizeof *p);
  assert_true(l->n < MAX_EVENTS);
  l->events[l->n++] = *p;
  return l->n == l->cancel_at;
}

/* Each stage once, in the order of their numbers, from none of its bytes to all of them. Its bit for each. */
static unsigned stages_of(const listener *l) {
  unsigned seen = 0;
  for (int i = 0; i < l->n; i++) {
    const wh_progress *p = &l->events[i], *before = i ? p - 1 : NULL;
    assert_true(p->done_bytes <= p->total_bytes && p->total_bytes > 0);
    if (before && before->stage == p->stage) {
      assert_true(p->done_bytes >= before->done_bytes);
      assert_int_equal(p->total_bytes, before->total_bytes);
    } else {
      if (before) assert_int_equal(before->done_bytes, before->total_bytes);
      assert_true(!before || p->stage > before->stage);
      assert_int_equal(p->done_bytes, 0);
      seen |= 1u << p->stage;
    }
  }
  if (l->n) assert_int_equal(l->events[l->n - 1].done_bytes, l->events[l->n - 1].total_bytes);
  return seen;
}

#define STAGE(name) (1u << WH_STAGE_##name)

typedef struct place {
  temp_folder folder, cache;
  temp_path path;
  wh_device *device;
  wh_model *model;
  failing_allocator memory; /* of the sessions */
} place;

static place *place_create(small_model *m, const char *isa, uint32_t n_threads) {
  place *p = calloc(1, sizeof *p);
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  assert_non_null(p);
  p->folder = temp_folder_create();
  p->cache = temp_folder_create();
  p->path = temp_path_of(&p->folder, "small.gguf");
  small_model_write(m, p->path.text);
  small_model_destroy(m);
  d.n_threads = n_threads; /* 1 where memory is counted: the allocator has no locks */
  d.isa = isa;
  (void)failing_allocator_init(&p->memory, 0);
  assert_int_equal(wh_device_create(&d, &p->device), WH_OK);
  assert_int_equal(wh_model_open(p->path.text, NULL, &p->model), WH_OK);
  return p;
}

static void place_remove(place *p) {
  wh_model_destroy(p->model);
  wh_device_destroy(p->device);
  assert_int_equal(p->memory.n_live, 0);
  temp_folder_remove(&p->folder);
  temp_folder_remove(&p->cache);
  free(p);
}

static wh_status create(place *p, const char *cache, listener *l, wh_session **out) {
  wh_session_options o = WH_SESSION_OPTIONS_INIT;
  o.context = 32;
  o.max_batch = 8;
  o.allocator = &p->memory.base;
  o.pack_cache = cache;
  o.progress = l ? listen : NULL;
  o.progress_ctx = l;
  return wh_session_create(p->model, p->device, &o, out);
}

static void hash_of_run(wh_session *s, int64_t n_vocab, char hash[33]) {
  static const int32_t tokens[] = {1, 7, 3, 0};
  wh_batch b = WH_BATCH_INIT;
  b.n_tokens = 4;
  b.tokens = tokens;
  b.n_outputs = 1;
  assert_int_equal(wh_session_truncate(s, 0, 0), WH_OK);
  assert_int_equal(wh_session_run(s, &b), WH_OK);
  wh_hash_text(wh_session_logits(s, 0), (size_t)n_vocab * sizeof(float), hash);
}

static uint32_t n_packed(const wh_session *s) {
  wh_session_packing p = WH_SESSION_PACKING_INIT;
  assert_int_equal(wh_session_get_packing(s, &p), WH_OK);
  return p.n_packed;
}

static void wait_until_files_are_settled(void) {
  assert_int_equal(nanosleep(&(struct timespec){2, 200000000}, NULL), 0);
}

static void every_stage_is_told(void **state) {
  (void)state;
  place *p = place_create(small_model_create(WH_DTYPE_Q4_0, 64), NULL, 2);
  listener l = {.n = 0};
  wh_session *s = NULL;
  assert_int_equal(create(p, NULL, &l, &s), WH_OK);
  assert_int_equal(stages_of(&l), STAGE(MEMORY) | STAGE(PACK));
  l.n = 0;
  assert_int_equal(wh_session_keep_packed(s), WH_OK); /* there is no cache */
  assert_int_equal(l.n, 0);
  const bool packs = n_packed(s) > 0;
  wh_session_destroy(s);
  if (packs) { /* the reference kernels have nothing to keep */
    assert_int_equal(create(p, p->cache.path, &l, &s), WH_OK);
    assert_int_equal(stages_of(&l), STAGE(MEMORY) | STAGE(HASH) | STAGE(PACK));
    l.n = 0;
    assert_int_equal(wh_session_keep_packed(s), WH_OK);
    assert_int_equal(stages_of(&l), STAGE(KEEP));
    wh_session_destroy(s);
    wait_until_files_are_settled();
    for (int start = 0; start < 2; start++) { /* the first hashes once more and leaves stamps */
      l.n = 0;
      assert_int_equal(create(p, p->cache.path, &l, &s), WH_OK);
      assert_int_equal(stages_of(&l), STAGE(MEMORY) | (start ? 0 : STAGE(HASH)) | STAGE(READ));
      assert_int_equal(n_packed(s), 0);
      wh_session_destroy(s);
    }
  }
  place_remove(p);
}

static void weights_in_place_are_looked_at(void **state) {
  (void)state;
  place *p = place_create(small_model_create(WH_DTYPE_Q4_0, 64), "ref", 2);
  listener l = {.n = 0};
  wh_session *s = NULL;
  assert_int_equal(create(p, NULL, &l, &s), WH_OK);
  assert_int_equal(stages_of(&l), STAGE(MEMORY) | STAGE(PACK));
  assert_int_equal(n_packed(s), 0);
  wh_session_destroy(s);
  place_remove(p);
}

/* One weight of 86 MB is packed in more than one call: the caller is asked in between, and the answer is that
 * of kernels that read it as the file has it. */
static void a_large_weight_is_packed_in_parts(void **state) {
  (void)state;
  const int64_t n_vocab = 600000;
  char hashes[2][33];
  for (int i = 0; i < 2; i++) {
    place *p = place_create(small_model_create_tied(WH_DTYPE_Q4_0, 256, n_vocab), i ? "ref" : NULL, 2);
    listener l = {.n = 0};
    wh_session *s = NULL;
    int n_between = 0;
    assert_int_equal(create(p, NULL, &l, &s), WH_OK);
    (void)stages_of(&l);
    for (int k = 0; k < l.n; k++)
      n_between += l.events[k].stage == WH_STAGE_PACK && l.events[k].done_bytes > ((uint64_t)20 << 20) &&
                   l.events[k].done_bytes < l.events[k].total_bytes;
    assert_true(n_between > 0);
    hash_of_run(s, n_vocab, hashes[i]);
    wh_session_destroy(s);
    place_remove(p);
  }
  assert_string_equal(hashes[0], hashes[1]);
}

static void assert_cancelled(const listener *l, wh_status st) {
  char while_what[80];
  assert_int_equal(st, WH_ERR_CANCELLED);
  assert_int_equal(l->n, l->cancel_at); /* nobody is asked again after a no */
  (void)snprintf(while_what, sizeof while_what, "while %s", wh_stage_name(l->events[l->n - 1].stage));
  if (!strstr(wh_last_error()->message, while_what))
    fail_msg("'%s' does not say '%s'", wh_last_error()->message, while_what);
}

/* Ends creation at each call in turn until one comes through, which has the right answer. */
static int cancel_creation_everywhere(place *p, const char *cache, const char *want) {
  const int n_files = temp_folder_count(&p->cache);
  for (int at = 1;; at++) {
    listener l = {.cancel_at = at};
    wh_session *s = NULL;
    char hash[33];
    wh_status st = create(p, cache, &l, &s);
    if (st != WH_OK) {
      assert_cancelled(&l, st);
      assert_null(s);
      assert_int_equal(p->memory.n_live, 0);
      assert_int_equal(temp_folder_traces(&p->cache), 0);
      assert_int_equal(temp_folder_count(&p->cache), n_files);
      continue;
    }
    hash_of_run(s, SMALL_N_VOCAB, hash);
    assert_string_equal(hash, want);
    wh_session_destroy(s);
    return at - 1;
  }
}

static void creation_ends_at_every_word(void **state) {
  (void)state;
  place *p = place_create(small_model_create(WH_DTYPE_Q4_0, 64), NULL, 1);
  wh_session *s = NULL;
  char want[33];
  assert_int_equal(create(p, NULL, NULL, &s), WH_OK);
  hash_of_run(s, SMALL_N_VOCAB, want);
  const bool packs = n_packed(s) > 0;
  wh_session_destroy(s);
  assert_true(cancel_creation_everywhere(p, NULL, want) >= 4); /* begin and end of two stages */
  if (packs) {
    assert_true(cancel_creation_everywhere(p, p->cache.path, want) >= 6);
    assert_int_equal(temp_folder_count(&p->cache), 0);
    assert_int_equal(create(p, p->cache.path, NULL, &s), WH_OK);
    assert_int_equal(wh_session_keep_packed(s), WH_OK);
    wh_session_destroy(s);
    assert_int_equal(temp_folder_count(&p->cache), 1);
    assert_true(cancel_creation_everywhere(p, p->cache.path, want) >= 6); /* it hashes and reads */
  }
  place_remove(p);
}

static void keeping_ends_at_every_word(void **state) {
  (void)state;
  place *p = place_create(small_model_create(WH_DTYPE_Q4_0, 64), NULL, 1);
  wh_session *s = NULL;
  listener l = {.n = 0};
  char want[33], hash[33];
  assert_int_equal(create(p, p->cache.path, &l, &s), WH_OK);
  hash_of_run(s, SMALL_N_VOCAB, want);
  if (n_packed(s) > 0) {
    const size_t live = p->memory.n_live;
    wh_session_packing packing = WH_SESSION_PACKING_INIT;
    wh_status st = WH_ERR_CANCELLED;
    int at = 0;
    while (st != WH_OK) {
      l = (listener){.cancel_at = ++at};
      st = wh_session_keep_packed(s);
      if (st == WH_OK) break;
      assert_cancelled(&l, st);
      assert_int_equal(temp_folder_count(&p->cache), 0);
      assert_int_equal(temp_folder_traces(&p->cache), 0);
      assert_int_equal(p->memory.n_live, live);
      assert_int_equal(wh_session_get_packing(s, &packing), WH_OK);
      assert_int_equal(packing.stored, 0);
      hash_of_run(s, SMALL_N_VOCAB, hash); /* the session is as good as before */
      assert_string_equal(hash, want);
    }
    assert_true(at >= 4); /* begin and end of hashing, end of writing, and the one that comes through */
    assert_int_equal(wh_session_get_packing(s, &packing), WH_OK);
    assert_int_equal(packing.stored, 1);
    assert_int_equal(temp_folder_count(&p->cache), 1);
  }
  wh_session_destroy(s);
  place_remove(p);
}

static void stages_have_names(void **state) {
  (void)state;
  assert_string_equal(wh_stage_name(WH_STAGE_PACK), "packing the weights");
  assert_string_equal(wh_stage_name((wh_stage)99), "?");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_stage_is_told),
      cmocka_unit_test(weights_in_place_are_looked_at),
      cmocka_unit_test(a_large_weight_is_packed_in_parts),
      cmocka_unit_test(creation_ends_at_every_word),
      cmocka_unit_test(keeping_ends_at_every_word),
      cmocka_unit_test(stages_have_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
