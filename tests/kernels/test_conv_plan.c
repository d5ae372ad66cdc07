/* test_conv_plan.c - plans of convolutions whose sizes are extremes: they say no, or that the reference is to
 * compute, and divide by nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/cpu/conv_plan.h"
#include "backends/cpu/conv_winograd.h"

static wh_window window(int64_t d, int64_t h, int64_t w) {
  wh_window win = {0};
  const int64_t out[WH_WINDOW_AXES] = {d, h, w};
  for (int i = 0; i < WH_WINDOW_AXES; i++) {
    win.in[i] = win.out[i] = out[i];
    win.kernel[i] = win.stride[i] = win.dilation[i] = 1;
  }
  return win;
}

static void test_extremes(void **state) {
  (void)state;
  const int64_t two = 2;
  const struct {
    wh_window win;
    int64_t m;
    bool made, fits;
  } all[] = {{window(1, 14, 14), 8, true, true},
             {window(1, two << 31, two << 31), 8, false, false}, /* 2^64 places */
             {window(two << 20, two << 20, two << 21), 8, false, false},
             {window(1, 14, 14), 0, true, false}};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    for (int64_t lanes = 4; lanes <= 16; lanes *= 2)
      for (int packed = 0; packed < 2; packed++) {
        wh_conv_plan p = {0};
        const bool made = wh_conv_make_plan(&all[i].win, 1, 1, 8, all[i].m, 2, packed, lanes, &p);
        assert_int_equal(made, all[i].made);
        if (made) assert_int_equal(p.fits, all[i].fits);
      }
}

static void test_minimal_filtering(void **state) {
  (void)state;
  wh_window win = window(1, INT64_C(1) << 31, INT64_C(1) << 31);
  wh_winograd_plan p;
  win.kernel[1] = win.kernel[2] = 3;
  for (int64_t lanes = 4; lanes <= 16; lanes *= 2)
    assert_false(wh_winograd_make_plan(&win, 1, 1, 16, 16, 2, false, lanes, &p));
  win.in[1] = win.in[2] = win.out[1] = win.out[2] = 14;
  for (int64_t lanes = 4; lanes <= 16; lanes *= 2)
    assert_true(wh_winograd_make_plan(&win, 1, 1, 16, 16, 2, false, lanes, &p));
}

/* Workers have bands of their own where weights are few, outputs where they are many. */
static void test_bands_or_outputs(void **state) {
  (void)state;
  wh_window win = window(1, 20, 20);
  wh_winograd_plan p;
  win.kernel[1] = win.kernel[2] = 3;
  assert_true(wh_winograd_make_plan(&win, 1, 1, 64, 64, 2, true, 16, &p));
  assert_true(!p.shared && p.row_bands == 2);
  win.in[1] = win.in[2] = win.out[1] = win.out[2] = 7;
  assert_true(wh_winograd_make_plan(&win, 1, 1, 512, 512, 2, true, 16, &p));
  assert_true(p.shared);
  /* bands for workers that would go through all of them together cost and bring nothing */
  win.in[1] = win.in[2] = win.out[1] = win.out[2] = 8;
  assert_true(wh_winograd_make_plan(&win, 1, 1, 64, 64, 8, true, 16, &p));
  assert_true(!(p.shared && p.row_bands > 1));
  /* images that are more than workers, but no multiple of them */
  assert_true(wh_winograd_make_plan(&win, 5, 1, 64, 64, 4, true, 16, &p));
  assert_true(p.shared);
}

/* Tasks of parts of long rows are none of them empty. */
static void test_long_rows(void **state) {
  (void)state;
  wh_window win = window(1, 3, 48);
  win.kernel[1] = win.kernel[2] = 3;
  win.stride[1] = win.stride[2] = 2;
  win.in[1] = 2 * win.out[1] + 1;
  win.in[2] = 2 * win.out[2] + 1;
  wh_conv_plan p;
  assert_true(wh_conv_make_plan(&win, 1, 1, 32, 32, 2, true, 16, &p));
  assert_true(p.bands && p.row_wise);
  for (int64_t i = 0, begin, end; i < p.place_tasks; i++) {
    wh_conv_task_places(&p, i, &begin, &end);
    assert_true(end > begin);
  }
}

/* Shares of places are equal to a vector, have all channels, and are enough for every worker. */
static void test_shares(void **state) {
  (void)state;
  const wh_window win = window(1, 20, 20);
  for (int workers = 2; workers <= 7; workers++) {
    wh_conv_plan p;
    assert_true(wh_conv_make_plan(&win, 1, 1, 192, 128, workers, true, 16, &p));
    assert_true(p.blocks && p.places_first);
    assert_int_equal(p.row_tasks, workers < 7 ? 1 : 2);
    assert_true(p.row_tasks * p.place_tasks >= 2 * workers);
    int64_t behind = 0;
    for (int64_t i = 0, begin, end; i < p.place_tasks; i++, behind = end) {
      wh_conv_task_places(&p, i, &begin, &end);
      assert_int_equal(begin, behind);
      assert_true(end - begin <= p.task_places && end - begin >= p.task_places - 16);
    }
    assert_int_equal(behind, p.places);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_extremes),
                                     cmocka_unit_test(test_minimal_filtering),
                                     cmocka_unit_test(test_bands_or_outputs),
                                     cmocka_unit_test(test_long_rows), cmocka_unit_test(test_shares)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
