/* test_cpu_values.c - what the CPU backend makes of any input at every level: indices outside their range are
 * zeros and a fault, and touch nothing; rows of a sequence come in any order. Values read row by row are as
 * docs/NUMERICS.md defines them. */
#include <math.h>

#include "tests/kernels/cpu_block.h"
#include "tests/kernels/levels.h"

/* ---- indices ---- */

static const float *floats_of(const wh_graph *g, const values *v, const char *name) {
  return (const float *)(const void *)v->data[fixture_value(g, name)];
}

static void assert_row(const float *row, size_t n, const float *want, const char *what) {
  for (size_t i = 0; i < n; i++)
    if (wh_f32_bits(row[i]) != wh_f32_bits(want ? want[i] : 0.0f))
      fail_msg("%s: element %zu is wrong", what, i);
}

static void assert_fault(fixture_run *r, const char *node, int64_t value) {
  const wh_fault f = fixture_take_fault(r);
  assert_true(f.node_plus_1 > 0);
  assert_string_equal(r->b->g->nodes[f.node_plus_1 - 1].name, node);
  assert_int_equal(f.code, WH_FAULT_INDEX);
  assert_int_equal(f.value, value);
}

/* Rows with an index outside are zeros, the first is reported, and all other rows are as they would be. */
static void indices_outside_are_zeros_and_a_fault(void **state) {
  (void)state;
  static const int32_t outside[] = {TABLE_ROWS, -1, INT32_MAX, INT32_MIN};
  wh_graph *g = new_graph("f16");
  for (int l = 0; l < n_levels; l++)
    for (size_t o = 0; o < 4; o++) {
      void *dev = open_device(levels[l].name, 2, NULL);
      fixture_block b = fixture_block_new(&wh_backend_cpu, dev, g, most);
      fixture_run r = fixture_run_new(&b, most);
      batch good = new_batch(12, 4, 0), bad = good;
      run_batch(&r, &good);
      values want = read_values(&r);
      assert_int_equal(fixture_take_fault(&r).node_plus_1, 0);
      bad.ids[5] = outside[o];
      bad.ids[7] = -77;
      run_batch(&r, &bad);
      values got = read_values(&r);
      for (size_t i = 0; i < 12; i++) {
        const bool zero = i == 5 || i == 7;
        assert_row(floats_of(g, &got, "x") + i * 64, 64, zero ? NULL : floats_of(g, &want, "x") + i * 64,
                   "x");
        assert_row(floats_of(g, &got, "plain") + i * 64, 64,
                   zero ? NULL : floats_of(g, &want, "plain") + i * 64, "plain");
      }
      assert_fault(&r, "x", outside[o]);
      free_values(&got);
      bad = good;
      bad.rows[2] = outside[o] == TABLE_ROWS ? 12 : outside[o];
      run_batch(&r, &bad);
      got = read_values(&r);
      for (size_t i = 0; i < 4; i++)
        assert_row(floats_of(g, &got, "some") + i * 64, 64,
                   i == 2 ? NULL : floats_of(g, &want, "some") + i * 64, "some");
      assert_fault(&r, "some", bad.rows[2]);
      free_values(&got);
      free_values(&want);
      fixture_run_free(&r);
      fixture_block_free(&b);
      wh_backend_cpu.close(dev);
    }
  free_graph(g);
}

/* The same for rows of the cache: nothing is written for them, and nothing beside the cache is touched. */
static void rows_outside_the_cache_are_left_out(void **state) {
  (void)state;
  const struct {
    int32_t position, sequence;
    int64_t value;
  } outside[] = {{CONTEXT, 0, CONTEXT},
                 {-1, 1, -1},
                 {129, 0, 129},
                 {INT32_MAX, 0, INT32_MAX},
                 {0, SLOTS, SLOTS},
                 {3, -1, -1},
                 {5, INT32_MIN, INT32_MIN},
                 {INT32_MIN, 9, INT32_MIN},
                 {64, 0, -1}, /* of the page */
                 {65, 0, PAGES},
                 {127, 0, INT32_MAX}};
  for (size_t t = 0; t < 3; t++) {
    wh_graph *g = new_graph(kv_types[t]);
    for (int l = 0; l < n_levels; l++)
      for (size_t o = 0; o < sizeof outside / sizeof outside[0]; o++) {
        void *dev = open_device(levels[l].name, 2, NULL);
        fixture_block b = fixture_block_new(&wh_backend_cpu, dev, g, most);
        fixture_run r = fixture_run_new(&b, most), s = fixture_run_new(&b, most);
        batch bad = new_batch(6, 6, 0), good = bad; /* good: without row 1 */
        bad.positions[1] = outside[o].position;
        bad.sequences[1] = outside[o].sequence;
        if (bad.positions[1] > 63 && bad.positions[1] < CONTEXT) bad.pages[1] = (int32_t)outside[o].value;
        good.n = good.n_rows = 5;
        for (int i = 1; i < 5; i++) {
          good.ids[i] = bad.ids[i + 1];
          good.positions[i] = bad.positions[i + 1];
          good.sequences[i] = bad.sequences[i + 1];
        }
        for (int i = 0; i < 5; i++) good.rows[i] = i;
        run_batch(&r, &bad);
        run_batch(&s, &good);
        values got = read_values(&r), want = read_values(&s);
        for (int k = 0; k < 2; k++) {
          const wh_value state_value = fixture_value(g, k ? "values" : "keys");
          assert_memory_equal(got.data[state_value], want.data[state_value], got.n_bytes[state_value]);
        }
        for (size_t i = 0; i < 6; i++)
          assert_row(floats_of(g, &got, "att") + i * 64, 64,
                     i == 1 ? NULL : floats_of(g, &want, "att") + (i - (i > 1)) * 64, "att");
        assert_fault(&r, "ka", outside[o].value);
        free_values(&got);
        free_values(&want);
        fixture_run_free(&r);
        fixture_run_free(&s);
        fixture_block_free(&b);
        wh_backend_cpu.close(dev);
      }
    free_graph(g);
  }
}

/* A row of attention is its own whatever the order of the rows. */
static void rows_of_a_sequence_come_in_any_order(void **state) {
  (void)state;
  wh_graph *g = new_graph("f16");
  for (int l = 0; l < n_levels; l++) {
    void *dev = open_device(levels[l].name, 2, NULL);
    fixture_block b = fixture_block_new(&wh_backend_cpu, dev, g, most);
    fixture_run r = fixture_run_new(&b, most), s = fixture_run_new(&b, most);
    const batch ascending = new_batch(40, 1, 50);
    batch mixed = ascending;
    int from[40];
    for (int i = 0; i < 40; i++) {
      from[i] = 39 - i;
      mixed.ids[i] = ascending.ids[from[i]];
      mixed.positions[i] = ascending.positions[from[i]];
      mixed.sequences[i] = ascending.sequences[from[i]];
    }
    run_batch(&r, &ascending);
    run_batch(&s, &mixed);
    values want = read_values(&r), got = read_values(&s);
    for (int i = 0; i < 40; i++)
      assert_row(floats_of(g, &got, "att") + i * 64, 64, floats_of(g, &want, "att") + from[i] * 64, "att");
    assert_int_equal(fixture_take_fault(&s).node_plus_1, 0);
    free_values(&got);
    free_values(&want);
    fixture_run_free(&r);
    fixture_run_free(&s);
    fixture_block_free(&b);
    wh_backend_cpu.close(dev);
  }
  free_graph(g);
}

/* ---- values row by row ---- */

/* The graph and the reference's values say what the forms must hold. */
static void row_major_forms_are_as_defined(void **state) {
  (void)state;
  for (size_t t = 0; t < 3; t++) {
    expected e = expect(kv_types[t]);
    const values *v = &e.all[0];
    const float *k = floats_of(e.g, v, "kr");
    const wh_value keys = fixture_value(e.g, "keys"), h8 = fixture_value(e.g, "h8");
    size_t row;
    assert_true(wh_dtype_row_bytes(e.g->values[keys].shape.dtype, 32, &row));
    assert_int_equal(v->n_bytes[keys], PAGES * 64 * row);
    const batch first = new_batch(13, 13, 0);
    for (int64_t s = 0; s < SLOTS; s++)
      for (int64_t p = 0; p < CONTEXT; p++) {
        const unsigned char *at = v->data[keys] + (size_t)(first.pages[s * 2 + p / 64] * 64 + p % 64) * row;
        const int64_t rows_of[2] = {6, 7}, token = s * 6 + p; /* of batch 0 */
        unsigned char want[128] = {0};
        for (int d = 0; d < 32 && p < rows_of[s]; d++) {
          const float x = k[token * 32 + d];
          float top = 0.0f;
          for (int i = 0; i < 32; i++) top = fmaxf(top, fabsf(k[token * 32 + i]));
          const uint16_t half = wh_f16_from_f32(x), scale = wh_f16_from_f32(top / 127.0f);
          if (t == 0) memcpy(want + d * 2, &half, 2);
          if (t == 1) memcpy(want + d * 4, &x, 4);
          if (t == 2) {
            memcpy(want, &scale, 2);
            const float code = fminf(fmaxf(rintf(x * (1.0f / wh_f32_from_f16(scale))), -127.0f), 127.0f);
            want[2 + d] = (unsigned char)(int8_t)code;
          }
        }
        assert_memory_equal(at, want, row);
      }
    /* codes, shifts and scales are those of the activations */
    const float *h = floats_of(e.g, v, "h");
    assert_int_equal(v->n_bytes[h8], 13 * (64 + 2 + 4));
    for (int64_t i = 0; i < 13 * 64; i++) {
      const unsigned char *codes = v->data[h8] + i / 64 * (64 + 2 + 4), *shifts = codes + 64;
      float scale;
      memcpy(&scale, shifts + 2, 4);
      assert_true(shifts[i % 64 / 32] <= 3);
      const float step = ldexpf(scale, shifts[i % 64 / 32]), x = step * (float)(int8_t)codes[i % 64];
      assert_true(fabsf(x - h[i]) <= 0.51f * step);
    }
    /* and so are the wide ones: codes, then a scale for the block of 64 */
    const wh_value h13 = fixture_value(e.g, "h13");
    assert_int_equal(v->n_bytes[h13], 13 * (64 * 2 + 4));
    for (int64_t i = 0; i < 13 * 64; i++) {
      const unsigned char *codes = v->data[h13] + i / 64 * (64 * 2 + 4);
      float scale;
      int16_t code;
      memcpy(&code, codes + i % 64 * 2, 2);
      memcpy(&scale, codes + 64 * 2, 4);
      assert_true(code >= -4095 && code <= 4095 && scale > 0.0f);
      assert_true(fabsf(scale * (float)code - h[i]) <= 0.51f * scale);
    }
    free_expected(&e);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(indices_outside_are_zeros_and_a_fault),
      cmocka_unit_test(rows_outside_the_cache_are_left_out),
      cmocka_unit_test(rows_of_a_sequence_come_in_any_order),
      cmocka_unit_test(row_major_forms_are_as_defined),
  };
  return cmocka_run_group_tests(tests, find_device_levels, NULL);
}
