/* test_sequences.c - sequences as handles: whatever is shared, forked, cut, evicted, saved and loaded, rows
 * of logits have the bits of a session that computes the same tokens and nothing else. */
#define _XOPEN_SOURCE 700
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "tests/base/failing_allocator.h"
#include "tests/base/temp_folder.h"
#include "tests/e2e/small_model.h"
#include "whimbrel/whimbrel.h"

#define CONTEXT 1088
#define PAGE 64

static void ok(wh_status st) {
  if (st != WH_OK) fail_msg("%s: %s", wh_status_name(st), wh_last_error()->message);
}

static void fails(wh_status st, wh_status want, const char *says) {
  if (st != want || !strstr(wh_last_error()->message, says))
    fail_msg("%s: '%s', not %s: '%s'", wh_status_name(st), wh_last_error()->message, wh_status_name(want),
             says);
}

static uint32_t random_below(uint64_t *state, uint32_t n) { /* splitmix64 */
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (uint32_t)((z ^ z >> 31) % n);
}

typedef struct fixture {
  temp_folder folder;
  failing_allocator alloc;
  wh_device *device;
  wh_model *model;
  wh_session *session, *fresh; /* under test, and one that computes every row from nothing */
} fixture;

static wh_session *open_session(fixture *f, const wh_session_options *o) {
  wh_session *s = NULL;
  ok(wh_session_create(f->model, f->device, o, &s));
  return s;
}

static wh_session_options options(fixture *f) {
  wh_session_options o = WH_SESSION_OPTIONS_INIT;
  o.context = CONTEXT;
  o.max_batch = 96;
  o.max_outputs = 12;
  o.max_sequences = 8;
  o.allocator = &f->alloc.base;
  return o;
}

static void setup(fixture *f, wh_dtype kv, uint32_t n_pages) {
  *f = (fixture){.folder = temp_folder_create()};
  temp_path path = temp_path_of(&f->folder, "small.gguf");
  small_model_put(path.text, WH_DTYPE_Q8_0, 128);
  wh_device_options dev = WH_DEVICE_OPTIONS_INIT;
  wh_model_options mo = WH_MODEL_OPTIONS_INIT;
  dev.n_threads = 1;
  dev.allocator = mo.allocator = failing_allocator_init(&f->alloc, 0);
  ok(wh_device_create(&dev, &f->device));
  ok(wh_model_open(path.text, &mo, &f->model));
  wh_session_options o = options(f);
  o.kv_dtype = kv;
  o.max_batch = CONTEXT;
  o.max_sequences = o.max_outputs = 1;
  f->fresh = open_session(f, &o);
  o = options(f);
  o.kv_dtype = kv;
  wh_session_pages pages = WH_SESSION_PAGES_INIT;
  ok(wh_session_get_pages(f->fresh, &pages));
  if (n_pages) o.kv_bytes = pages.page_bytes * n_pages;
  f->session = open_session(f, &o);
  ok(wh_session_get_pages(f->session, &pages));
  if (n_pages) assert_int_equal(pages.n_pages, n_pages);
}

static void teardown(fixture *f) {
  wh_session_destroy(f->session);
  wh_session_destroy(f->fresh);
  wh_model_destroy(f->model);
  wh_device_destroy(f->device);
  assert_int_equal(f->alloc.n_live, 0);
  temp_folder_remove(&f->folder);
}

static wh_session_pages pages_of(const fixture *f) {
  wh_session_pages pages = WH_SESSION_PAGES_INIT;
  ok(wh_session_get_pages(f->session, &pages));
  assert_int_equal(pages.n_used + pages.n_kept + pages.n_free, pages.n_pages);
  return pages;
}

/* The row behind the n tokens must be this one. */
static void assert_row(const fixture *f, const int32_t *tokens, uint32_t n, const float *row) {
  wh_batch b = WH_BATCH_INIT;
  assert_non_null(row);
  ok(wh_session_truncate(f->fresh, 0, 0));
  b.n_tokens = n;
  b.tokens = tokens;
  b.n_outputs = 1;
  ok(wh_session_run(f->fresh, &b));
  assert_memory_equal(wh_session_logits(f->fresh, 0), row, SMALL_N_VOCAB * sizeof *row);
}

static wh_sequence *create(fixture *f) {
  wh_sequence *s = NULL;
  ok(wh_sequence_create(f->session, &s));
  return s;
}

static void step_until_done(fixture *f) {
  uint32_t n_waiting = 1;
  for (int i = 0; n_waiting; i++) {
    assert_true(i < 100000);
    ok(wh_session_step(f->session, &n_waiting));
  }
}

static void some_tokens(int32_t *tokens, uint32_t n, uint64_t seed) {
  for (uint32_t i = 0; i < n; i++) tokens[i] = (int32_t)random_below(&seed, SMALL_N_VOCAB);
}

/* ---- */

static void many_share_a_prefix(void **state) {
  (void)state;
  enum { N = 64, PREFIX = 1000, LENGTH = PREFIX + 3 };
  fixture f;
  setup(&f, WH_DTYPE_F16, PREFIX / PAGE + 2 * N + 1);
  int32_t tokens[LENGTH];
  wh_sequence *s[N];
  some_tokens(tokens, LENGTH, 1);
  for (int i = 0; i < N; i++) {
    s[i] = create(&f);
    tokens[PREFIX] = i % SMALL_N_VOCAB;
    tokens[PREFIX + 1] = i / SMALL_N_VOCAB;
    ok(wh_sequence_append(s[i], tokens, LENGTH, 1));
  }
  uint32_t n_waiting, n_seen = 0;
  do {
    ok(wh_session_step(f.session, &n_waiting));
    for (int i = 0; i < N; i++)
      if (wh_sequence_logits(s[i], 0)) {
        uint32_t n;
        assert_row(&f, wh_sequence_tokens(s[i], &n), LENGTH, wh_sequence_logits(s[i], 0));
        assert_int_equal(n, LENGTH);
        n_seen++;
      }
  } while (n_waiting);
  assert_int_equal(n_seen, N);
  assert_int_equal(pages_of(&f).n_used, PREFIX / PAGE + N); /* the full pages once, the last one of each */
  assert_true(pages_of(&f).n_found >= (N - 2) * (PREFIX / PAGE) * PAGE);
  for (int i = 0; i < N; i++) wh_sequence_destroy(s[i]);
  assert_int_equal(pages_of(&f).n_used, 0);
  assert_int_equal(pages_of(&f).n_kept, PREFIX / PAGE);
  s[0] = create(&f); /* what is kept is found by one that comes later */
  ok(wh_sequence_append(s[0], tokens, PREFIX, 1));
  ok(wh_session_step(f.session, NULL));
  assert_row(&f, tokens, PREFIX, wh_sequence_logits(s[0], 0));
  wh_sequence_destroy(s[0]);
  teardown(&f);
}

static void forks_go_their_own_ways(void **state) {
  (void)state;
  const uint32_t lengths[] = {0, 1, 63, 64, 65, 100, 128, 130};
  fixture f;
  setup(&f, WH_DTYPE_Q8_0, 0);
  int32_t tokens[130 + 70], other[130 + 70];
  some_tokens(tokens, 200, 2);
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    wh_sequence *a = create(&f), *b = NULL;
    const uint32_t n = lengths[i];
    ok(wh_sequence_append(a, tokens, 130, 1));
    step_until_done(&f);
    ok(wh_sequence_fork(a, n, &b));
    memcpy(other, tokens, n * sizeof *tokens);
    some_tokens(other + n, 70, 3 + i);
    ok(wh_sequence_append(b, other + n, 70, 2));
    ok(wh_sequence_append(a, tokens + 130, 70, 2));
    ok(wh_session_step(f.session, NULL)); /* 96 tokens: all of one, a part of the other */
    if (wh_sequence_logits(a, 0)) assert_row(&f, tokens, 199, wh_sequence_logits(a, 0));
    if (wh_sequence_logits(b, 0)) assert_row(&f, other, n + 69, wh_sequence_logits(b, 0));
    if (wh_sequence_logits(b, 1)) assert_row(&f, other, n + 70, wh_sequence_logits(b, 1));
    assert_null(wh_sequence_logits(b, 2));
    ok(wh_session_step(f.session, NULL));
    if (wh_sequence_logits(b, 1)) assert_row(&f, other, n + 70, wh_sequence_logits(b, 1));
    if (wh_sequence_logits(a, 1)) assert_row(&f, tokens, 200, wh_sequence_logits(a, 1));
    wh_sequence_destroy(a);
    wh_sequence_destroy(b);
    assert_int_equal(pages_of(&f).n_used, 0);
  }
  wh_sequence *a = create(&f), *b = NULL;
  fails(wh_sequence_fork(a, 1, &b), WH_ERR_INVALID_ARGUMENT, "a fork at 1: the sequence holds 0 tokens");
  fails(wh_sequence_append(a, tokens, 3, 4), WH_ERR_INVALID_ARGUMENT, "4 rows of logits wanted of 3 tokens");
  tokens[1] = SMALL_N_VOCAB;
  fails(wh_sequence_append(a, tokens, 3, 1), WH_ERR_INVALID_ARGUMENT, "token 48 at 1: the vocabulary has 48");
  wh_sequence_destroy(a);
  teardown(&f);
}

/* More sequences than there are pages for: some wait, some are computed again. */
static void too_few_pages(void **state) {
  (void)state;
  enum { N = 12, LENGTH = 150 };
  fixture f;
  setup(&f, WH_DTYPE_F16, 7);
  int32_t tokens[N][LENGTH + 20];
  wh_sequence *s[N];
  uint32_t n_rows[N] = {0}, n_waiting, n_left = N;
  for (int i = 0; i < N; i++) {
    some_tokens(tokens[i], LENGTH + 20, 10 + (uint64_t)i);
    s[i] = create(&f);
    ok(wh_sequence_append(s[i], tokens[i], LENGTH, 1));
  }
  for (int steps = 0; n_left; steps++) {
    assert_true(steps < 20000);
    ok(wh_session_step(f.session, &n_waiting));
    for (int i = 0; i < N; i++) {
      if (!s[i] || !wh_sequence_logits(s[i], 0)) continue;
      assert_row(&f, tokens[i], LENGTH + n_rows[i], wh_sequence_logits(s[i], 0));
      if (++n_rows[i] == 20) {
        wh_sequence_destroy(s[i]);
        s[i] = NULL;
        n_left--;
      } else {
        ok(wh_sequence_append(s[i], &tokens[i][LENGTH + n_rows[i] - 1], 1, 1));
      }
    }
  }
  int32_t longer[8 * PAGE]; /* one that can never fit fails alone */
  some_tokens(longer, 8 * PAGE, 5);
  s[0] = create(&f);
  s[1] = create(&f);
  ok(wh_sequence_append(s[0], longer, 8 * PAGE, 1));
  ok(wh_sequence_append(s[1], tokens[1], 9, 1));
  step_until_done(&f);
  fails(wh_sequence_status(s[0]), WH_ERR_LIMIT, "512 tokens of a sequence take 8 pages of attention state");
  fails(wh_sequence_append(s[0], longer, 1, 1), WH_ERR_LIMIT, "8 pages");
  ok(wh_sequence_status(s[1]));
  ok(wh_sequence_truncate(s[0], 100));
  ok(wh_sequence_append(s[0], longer + 100, 3, 3));
  step_until_done(&f);
  for (uint32_t i = 0; i < 3; i++) assert_row(&f, longer, 101 + i, wh_sequence_logits(s[0], i));
  wh_sequence_destroy(s[0]);
  wh_sequence_destroy(s[1]);
  teardown(&f);
}

/* ---- saved ---- */

typedef struct bytes {
  uint8_t *data;
  size_t n, most;
} bytes;

static int keep(void *ctx, const void *data, size_t n) {
  bytes *b = ctx;
  if (b->n + n > b->most) return 1;
  b->data = realloc(b->data, b->n + n);
  assert_non_null(b->data);
  memcpy(b->data + b->n, data, n);
  b->n += n;
  return 0;
}

static bytes save(wh_sequence *s) {
  bytes b = {.most = SIZE_MAX};
  ok(wh_sequence_save_to(s, keep, &b));
  return b;
}

static void saved_sequences_go_on(void **state) {
  (void)state;
  const uint32_t lengths[] = {0, 1, 64, 70, 200};
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    const uint32_t n = lengths[i];
    fixture f;
    setup(&f, i % 2 ? WH_DTYPE_Q8_0 : WH_DTYPE_F16, 0);
    int32_t tokens[210];
    some_tokens(tokens, 210, 20 + i);
    wh_sequence *a = create(&f), *b = NULL;
    if (n) ok(wh_sequence_append(a, tokens, n, 1));
    step_until_done(&f);
    bytes first = save(a);
    temp_path path = temp_path_of(&f.folder, "saved");
    ok(wh_sequence_save(a, path.text));
    wh_session_options o = options(&f);
    o.kv_dtype = i % 2 ? WH_DTYPE_Q8_0 : WH_DTYPE_F16;
    wh_sequence_destroy(a);
    wh_session_destroy(f.session); /* with all of its pages */
    f.session = open_session(&f, &o);
    ok(wh_sequence_load(f.session, path.text, &b));
    assert_int_equal(wh_sequence_computed(b), n / PAGE * PAGE);
    uint32_t n_held;
    (void)wh_sequence_tokens(b, &n_held);
    assert_int_equal(n_held, n);
    ok(wh_sequence_append(b, tokens + n, 10, 10));
    step_until_done(&f);
    for (uint32_t k = 0; k < 10; k++) assert_row(&f, tokens, n + k + 1, wh_sequence_logits(b, k));
    wh_sequence *c = NULL; /* what is there is not loaded twice */
    ok(wh_sequence_load_bytes(f.session, first.data, first.n, &c));
    assert_int_equal(pages_of(&f).n_used, (n + 10 + PAGE - 1) / PAGE);
    bytes again = save(c);
    assert_int_equal(again.n, first.n); /* equal sequences are equal files */
    assert_memory_equal(again.data, first.data, first.n);
    free(first.data);
    free(again.data);
    wh_session *session = f.session; /* its sequences keep it, too */
    f.session = NULL;
    wh_session_destroy(session);
    ok(wh_sequence_append(b, tokens, 1, 1));
    ok(wh_session_step(session, NULL));
    assert_non_null(wh_sequence_logits(b, 0));
    wh_sequence_destroy(b);
    wh_sequence_destroy(c);
    teardown(&f);
  }
}

static void damaged_files_are_refused(void **state) {
  (void)state;
  fixture f;
  setup(&f, WH_DTYPE_F16, 0);
  int32_t tokens[130];
  some_tokens(tokens, 130, 30);
  wh_sequence *a = create(&f), *b = NULL;
  ok(wh_sequence_append(a, tokens, 130, 1));
  step_until_done(&f);
  bytes whole = save(a);
  uint8_t *copy = malloc(whole.n + 1);
  assert_non_null(copy);
  const size_t live = f.alloc.n_live;
  for (size_t n = 0; n < whole.n; n += n < 700 ? 1 : 997)
    fails(wh_sequence_load_bytes(f.session, whole.data, n, &b), WH_ERR_CORRUPT, "the saved sequence");
  memcpy(copy, whole.data, whole.n);
  copy[whole.n] = 0;
  fails(wh_sequence_load_bytes(f.session, copy, whole.n + 1, &b), WH_ERR_CORRUPT, "make it again");
  for (size_t i = 0; i < whole.n; i += i < 700 ? 1 : 499) {
    for (int bit = 0; bit < 8; bit += 7) {
      copy[i] ^= (uint8_t)(1 << bit);
      const wh_status st = wh_sequence_load_bytes(f.session, copy, whole.n, &b);
      const bool is_version = i >= 8 && i < 12;
      fails(st, is_version ? WH_ERR_UNSUPPORTED : WH_ERR_CORRUPT, "the saved sequence");
      copy[i] ^= (uint8_t)(1 << bit);
    }
  }
  assert_null(b);
  assert_int_equal(f.alloc.n_live, live);
  bytes little = {.most = 1000};
  fails(wh_sequence_save_to(a, keep, &little), WH_ERR_IO, "could not be written");
  free(little.data);
  temp_path missing = temp_path_of(&f.folder, "missing");
  assert_int_not_equal(wh_sequence_load(f.session, missing.text, &b), WH_OK);
  fails(wh_sequence_save(a, f.folder.path), WH_ERR_INVALID_ARGUMENT, "not a regular file");

  wh_session_options o = options(&f); /* another type of the cache */
  o.kv_dtype = WH_DTYPE_Q8_0;
  wh_session *other = open_session(&f, &o);
  fails(wh_sequence_load_bytes(other, whole.data, whole.n, &b), WH_ERR_UNSUPPORTED,
        "saved from another model");
  wh_session_destroy(other);
  o = options(&f);
  o.context = 128;
  other = open_session(&f, &o);
  fails(wh_sequence_load_bytes(other, whole.data, whole.n, &b), WH_ERR_LIMIT,
        "does not fit into the context of 128");
  wh_session_destroy(other);
  small_model *m = small_model_create(WH_DTYPE_Q8_0, 128); /* the same model but for one weight */
  temp_path path = temp_path_of(&f.folder, "other.gguf");
  for (size_t i = 0; i < m->n_weights; i++)
    if (strstr(m->names[i], "attn_norm")) ((float *)(uintptr_t)m->weights[i].data)[0] += 0.5f;
  small_model_write(m, path.text);
  small_model_destroy(m);
  wh_model_options mo = WH_MODEL_OPTIONS_INIT;
  mo.allocator = &f.alloc.base;
  wh_model *model = NULL;
  ok(wh_model_open(path.text, &mo, &model));
  o = options(&f);
  ok(wh_session_create(model, f.device, &o, &other));
  fails(wh_sequence_load_bytes(other, whole.data, whole.n, &b), WH_ERR_UNSUPPORTED,
        "saved from another model");
  wh_session_destroy(other);
  wh_model_destroy(model);
  free(whole.data);
  free(copy);
  wh_sequence_destroy(a);
  teardown(&f);
}

/* ---- random operations ---- */

#define MOST 200
#define LONGEST 260

typedef struct known {
  wh_sequence *s;
  int32_t tokens[LONGEST];
  uint32_t n, n_rows; /* wanted of the last tokens */
} known;

static uint32_t look_at_rows(const fixture *f, known *all) {
  uint32_t n_seen = 0;
  for (int i = 0; i < MOST; i++) {
    known *k = &all[i];
    if (!k->s || !wh_sequence_logits(k->s, 0)) continue;
    assert_true(k->n_rows > 0);
    assert_null(wh_sequence_logits(k->s, k->n_rows));
    for (uint32_t r = 0; r < k->n_rows; r++)
      assert_row(f, k->tokens, k->n - k->n_rows + r + 1, wh_sequence_logits(k->s, r));
    n_seen += k->n_rows;
    k->n_rows = 0;
  }
  return n_seen;
}

static void append(known *k, uint64_t *rng) {
  uint32_t n = 1 + (random_below(rng, 3) ? random_below(rng, 4) : random_below(rng, 90));
  const uint64_t kind = random_below(rng, 3); /* some begin alike */
  if (n > LONGEST - k->n) n = LONGEST - k->n;
  if (!n) return;
  for (uint32_t i = k->n; i < k->n + n; i++) {
    uint64_t alike = kind * 1000 + i;
    k->tokens[i] =
        (int32_t)(k->n < 130 ? random_below(&alike, SMALL_N_VOCAB) : random_below(rng, SMALL_N_VOCAB));
  }
  k->n_rows = random_below(rng, (n < 3 ? n : 3) + 1);
  ok(wh_sequence_append(k->s, k->tokens + k->n, n, k->n_rows));
  k->n += n;
}

static void random_operations(void **state) {
  (void)state;
#ifdef __SANITIZE_ADDRESS__ /* which are ten times as slow */
  const int n_operations = 4000;
#else
  const int n_operations = 10000;
#endif
  fixture f;
  setup(&f, WH_DTYPE_F16, 40);
  known *all = calloc(MOST, sizeof *all);
  assert_non_null(all);
  uint64_t rng = 99;
  uint32_t n_seen = 0, n_loaded = 0, n_forked = 0;
  for (int op = 0; op < n_operations; op++) {
    known *k = &all[random_below(&rng, MOST)];
    if (!k->s) {
      *k = (known){.s = create(&f)};
      append(k, &rng);
      continue;
    }
    uint32_t n_held;
    const int32_t *held = wh_sequence_tokens(k->s, &n_held);
    assert_int_equal(n_held, k->n);
    if (k->n) assert_memory_equal(held, k->tokens, k->n * sizeof *held);
    switch (random_below(&rng, 10)) {
      case 0:
        wh_sequence_destroy(k->s);
        *k = (known){0};
        break;
      case 1:
        k->n = random_below(&rng, k->n + 1);
        k->n_rows = 0;
        ok(wh_sequence_truncate(k->s, k->n));
        break;
      case 2: {
        known *to = &all[random_below(&rng, MOST)];
        for (int tries = 0; to->s && tries < 20; tries++) to = &all[random_below(&rng, MOST)];
        if (to->s) break;
        *to = *k;
        to->n = random_below(&rng, 2) ? k->n : random_below(&rng, k->n + 1);
        to->n_rows = 0;
        ok(wh_sequence_fork(k->s, to->n, &to->s));
        n_forked++;
        break;
      }
      case 3:
        ok(wh_sequence_evict(k->s));
        break;
      case 4: {
        bytes b = save(k->s);
        wh_sequence_destroy(k->s);
        ok(wh_sequence_load_bytes(f.session, b.data, b.n, &k->s));
        k->n_rows = 0;
        free(b.data);
        n_loaded++;
        break;
      }
      case 5:
      case 6:
      case 7:
        append(k, &rng);
        break;
      default: {
        uint32_t n_waiting;
        ok(wh_session_step(f.session, &n_waiting));
        n_seen += look_at_rows(&f, all);
      }
    }
    (void)pages_of(&f);
  }
  for (uint32_t n_waiting = 1; n_waiting;) {
    ok(wh_session_step(f.session, &n_waiting));
    n_seen += look_at_rows(&f, all);
  }
  for (int i = 0; i < MOST; i++) {
    assert_int_equal(all[i].n_rows, 0); /* all that was wanted came */
    if (all[i].s) ok(wh_sequence_status(all[i].s));
    wh_sequence_destroy(all[i].s);
  }
  assert_int_equal(pages_of(&f).n_used, 0);
  print_message("%d operations: %u rows compared, %u forks, %u loads\n", n_operations, n_seen, n_forked,
                n_loaded);
  assert_true(n_seen > (uint32_t)n_operations / 10 && n_forked > 0 && n_loaded > 0);
  free(all);
  teardown(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_share_a_prefix),
      cmocka_unit_test(forks_go_their_own_ways),
      cmocka_unit_test(too_few_pages),
      cmocka_unit_test(saved_sequences_go_on),
      cmocka_unit_test(damaged_files_are_refused),
      cmocka_unit_test(random_operations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
