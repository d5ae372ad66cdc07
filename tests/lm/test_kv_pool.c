/* test_kv_pool.c - which pages are used, kept and free, against a model that counts by hand. */
#include "lm/kv_pool.h"
#include "tests/base/failing_allocator.h"
#include "tests/ir/graph_fixture.h"

static void fill(int32_t tokens[WH_KV_PAGE], int32_t first) {
  for (int i = 0; i < WH_KV_PAGE; i++) tokens[i] = first + i;
}

static wh_kv_pool *create(uint32_t n) {
  wh_kv_pool *p = NULL;
  assert_int_equal(wh_kv_pool_create(n, NULL, &p), WH_OK);
  return p;
}

static void assert_counts(const wh_kv_pool *p, uint32_t n_used, uint32_t n_kept, uint32_t n_free) {
  const wh_kv_pool_counts c = wh_kv_pool_count(p);
  assert_int_equal(c.n_used, n_used);
  assert_int_equal(c.n_kept, n_kept);
  assert_int_equal(c.n_free, n_free);
  assert_int_equal(c.n_pages, n_used + n_kept + n_free);
}

static void pages_are_taken_and_given_back(void **state) {
  (void)state;
  wh_kv_pool *p = create(3);
  const uint32_t a = wh_kv_pool_take(p), b = wh_kv_pool_take(p), c = wh_kv_pool_take(p);
  assert_true(a < 3 && b < 3 && c < 3 && a != b && b != c && a != c);
  assert_int_equal(wh_kv_pool_take(p), WH_KV_NO_PAGE);
  wh_kv_pool_retain(p, b);
  assert_true(wh_kv_pool_is_shared(p, b));
  wh_kv_pool_release(p, b);
  assert_false(wh_kv_pool_is_shared(p, b));
  assert_counts(p, 3, 0, 0);
  wh_kv_pool_release(p, b);
  assert_counts(p, 2, 0, 1);
  assert_int_equal(wh_kv_pool_take(p), b);
  wh_kv_pool_destroy(p);
}

static void published_pages_are_found_again(void **state) {
  (void)state;
  int32_t one[WH_KV_PAGE], two[WH_KV_PAGE];
  fill(one, 0);
  fill(two, 5);
  wh_kv_pool *p = create(4);
  const uint32_t a = wh_kv_pool_take(p), b = wh_kv_pool_take(p);
  assert_int_equal(wh_kv_pool_publish(p, a, wh_kv_beginning(0), one), a);
  assert_int_equal(wh_kv_pool_publish(p, b, wh_kv_pool_name(p, a), two), b);
  assert_int_equal(wh_kv_pool_find(p, wh_kv_beginning(1), one), WH_KV_NO_PAGE); /* computed in another way */
  assert_int_equal(wh_kv_pool_find(p, wh_kv_beginning(0), two), WH_KV_NO_PAGE); /* not a beginning */
  wh_kv_pool_release(p, b);
  wh_kv_pool_release(p, a);
  assert_counts(p, 0, 2, 2);
  assert_int_equal(wh_kv_pool_find(p, wh_kv_beginning(0), one), a);
  assert_int_equal(wh_kv_pool_find(p, wh_kv_pool_name(p, a), two), b);
  assert_counts(p, 2, 0, 2);
  one[WH_KV_PAGE - 1]++;
  assert_int_equal(wh_kv_pool_find(p, wh_kv_beginning(0), one), WH_KV_NO_PAGE);
  wh_kv_pool_destroy(p);
}

static void equal_pages_become_one(void **state) {
  (void)state;
  int32_t one[WH_KV_PAGE];
  fill(one, 0);
  wh_kv_pool *p = create(4);
  const uint32_t a = wh_kv_pool_take(p), b = wh_kv_pool_take(p);
  assert_int_equal(wh_kv_pool_publish(p, a, wh_kv_beginning(0), one), a);
  assert_int_equal(wh_kv_pool_publish(p, b, wh_kv_beginning(0), one), a);
  assert_true(wh_kv_pool_is_shared(p, a));
  assert_counts(p, 1, 0, 3);
  wh_kv_pool_destroy(p);
}

static void the_longest_unused_goes_first(void **state) {
  (void)state;
  int32_t tokens[3][WH_KV_PAGE];
  uint32_t page[3];
  wh_kv_pool *p = create(3);
  for (int i = 0; i < 3; i++) {
    fill(tokens[i], 100 * i);
    page[i] = wh_kv_pool_take(p);
    assert_int_equal(wh_kv_pool_publish(p, page[i], wh_kv_beginning(0), tokens[i]), page[i]);
  }
  wh_kv_pool_release(p, page[1]);
  wh_kv_pool_release(p, page[0]);
  wh_kv_pool_release(p, page[2]);
  assert_int_equal(wh_kv_pool_find(p, wh_kv_beginning(0), tokens[1]), page[1]); /* used once more ... */
  wh_kv_pool_release(p, page[1]);                                               /* ... and now the newest */
  assert_int_equal(wh_kv_pool_take(p), page[0]);
  assert_int_equal(wh_kv_pool_find(p, wh_kv_beginning(0), tokens[0]), WH_KV_NO_PAGE);
  assert_int_equal(wh_kv_pool_take(p), page[2]);
  assert_int_equal(wh_kv_pool_take(p), page[1]);
  assert_int_equal(wh_kv_pool_take(p), WH_KV_NO_PAGE);
  wh_kv_pool_destroy(p);
}

/* A page that lost its content must not be what another page's name says comes before it. */
static void names_are_not_given_twice(void **state) {
  (void)state;
  int32_t one[WH_KV_PAGE], two[WH_KV_PAGE], other[WH_KV_PAGE];
  fill(one, 0);
  fill(two, 5);
  fill(other, 9);
  wh_kv_pool *p = create(2);
  const uint32_t a = wh_kv_pool_take(p), b = wh_kv_pool_take(p);
  assert_int_equal(wh_kv_pool_publish(p, a, wh_kv_beginning(0), one), a);
  assert_int_equal(wh_kv_pool_publish(p, b, wh_kv_pool_name(p, a), two), b);
  wh_kv_pool_withdraw(p, a);
  assert_int_equal(wh_kv_pool_name(p, a), WH_KV_UNNAMED);
  assert_int_equal(wh_kv_pool_publish(p, a, wh_kv_beginning(0), other), a);
  assert_int_equal(wh_kv_pool_find(p, wh_kv_pool_name(p, a), two), WH_KV_NO_PAGE);
  wh_kv_pool_destroy(p);
}

/* ---- a model of the pool ---- */

#define N 37
#define KINDS 6 /* of content, each behind each beginning */

typedef struct model {
  uint32_t users[N];
  int content[N]; /* published: beginning * KINDS + kind; else -1 */
  uint64_t unused_since[N];
  uint64_t clock;
} model;

static int find(const model *m, int content) {
  for (int i = 0; i < N; i++)
    if (m->content[i] == content) return i;
  return -1;
}

static void give_back(model *m, uint32_t i) {
  if (--m->users[i] == 0) m->unused_since[i] = ++m->clock;
}

static void a_model_agrees(void **state) {
  (void)state;
  test_rng rng = {7};
  model m = {.clock = 0};
  wh_kv_pool *p = create(N);
  for (int i = 0; i < N; i++) m.content[i] = -1;
  for (int step = 0; step < 200000; step++) {
    const uint32_t i = rng_below(&rng, N);
    const int content = (int)rng_below(&rng, 4 * KINDS);
    int32_t tokens[WH_KV_PAGE];
    fill(tokens, content % KINDS);
    const wh_kv_name before = wh_kv_beginning((unsigned)(content / KINDS));
    switch (rng_below(&rng, 6)) {
      case 0: {
        const uint32_t page = wh_kv_pool_take(p);
        uint32_t n_empty = 0, oldest = N;
        for (uint32_t k = 0; k < N; k++) {
          n_empty += !m.users[k] && m.content[k] < 0;
          if (!m.users[k] && m.content[k] >= 0 && (oldest == N || m.unused_since[k] < m.unused_since[oldest]))
            oldest = k;
        }
        if (!n_empty && oldest == N) {
          assert_int_equal(page, WH_KV_NO_PAGE);
          break;
        }
        assert_true(page < N && m.users[page] == 0);
        if (n_empty)
          assert_int_equal(m.content[page], -1);
        else
          assert_int_equal(page, oldest);
        m.users[page] = 1;
        m.content[page] = -1;
        break;
      }
      case 1:
        if (m.users[i] && m.users[i] < 5) {
          wh_kv_pool_retain(p, i);
          m.users[i]++;
        }
        break;
      case 2:
      case 3:
        if (m.users[i]) {
          wh_kv_pool_release(p, i);
          give_back(&m, i);
        }
        break;
      case 4: {
        const int at = find(&m, content);
        assert_int_equal(wh_kv_pool_find(p, before, tokens), at < 0 ? WH_KV_NO_PAGE : (uint32_t)at);
        if (at >= 0) m.users[at]++;
        break;
      }
      default:
        if (m.users[i] == 1 && m.content[i] >= 0 && rng_below(&rng, 4) == 0) {
          wh_kv_pool_withdraw(p, i);
          m.content[i] = -1;
        } else if (m.users[i] && m.content[i] < 0) {
          const int at = find(&m, content);
          assert_int_equal(wh_kv_pool_publish(p, i, before, tokens), at < 0 ? i : (uint32_t)at);
          if (at >= 0) {
            m.users[at]++;
            give_back(&m, i);
          } else {
            m.content[i] = content;
          }
        }
    }
    uint32_t n_used = 0, n_kept = 0;
    for (uint32_t k = 0; k < N; k++) {
      n_used += m.users[k] > 0;
      n_kept += m.users[k] == 0 && m.content[k] >= 0;
      assert_int_equal(wh_kv_pool_name(p, k) != WH_KV_UNNAMED, m.content[k] >= 0);
    }
    assert_counts(p, n_used, n_kept, N - n_used - n_kept);
  }
  wh_kv_pool_destroy(p);
}

static void sizes_are_checked(void **state) {
  (void)state;
  wh_kv_pool *p = NULL;
  assert_int_equal(wh_kv_pool_create(0, NULL, &p), WH_ERR_LIMIT);
  assert_int_equal(wh_kv_pool_create(WH_KV_PAGES_MAX + 1, NULL, &p), WH_ERR_LIMIT);
  assert_null(p);
  for (size_t fail_at = 1; fail_at <= 3; fail_at++) {
    failing_allocator alloc;
    const wh_allocator *a = failing_allocator_init(&alloc, fail_at);
    assert_int_equal(wh_kv_pool_create(8, a, &p), WH_ERR_OUT_OF_MEMORY);
    assert_int_equal(alloc.n_live, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pages_are_taken_and_given_back),
      cmocka_unit_test(published_pages_are_found_again),
      cmocka_unit_test(equal_pages_become_one),
      cmocka_unit_test(the_longest_unused_goes_first),
      cmocka_unit_test(names_are_not_given_twice),
      cmocka_unit_test(a_model_agrees),
      cmocka_unit_test(sizes_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
