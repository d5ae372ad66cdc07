/* test_onnx_read.c - the ONNX reader on good and hostile bytes, and .npy files. */
#define _POSIX_C_SOURCE 200809L /* symlink */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/npy.h"
#include "formats/onnx/onnx.h"
#include "tests/formats/onnx_bytes.h"

/* x + w -> y, with w as raw f32[2] */
static void model(bytes *out) {
  static bytes node, graph, opset, w, info;
  static const float two[] = {1.5f, -2.0f};
  node.n = graph.n = opset.n = info.n = out->n = 0;
  text(&node, 1, "x");
  text(&node, 1, "w");
  text(&node, 2, "y");
  text(&node, 3, "sum");
  text(&node, 4, "Add");
  message(&graph, 1, &node);
  text(&graph, 2, "g");
  tensor(&w, "w", 1, 2, two, sizeof two);
  message(&graph, 5, &w);
  text(&info, 1, "x");
  message(&graph, 11, &info);
  info.n = 0;
  text(&info, 1, "y");
  message(&graph, 12, &info);
  number(&opset, 2, 13);
  number(out, 1, 8);
  message(out, 7, &graph);
  message(out, 8, &opset);
}

static wh_status read_bytes(const bytes *b, wh_onnx_file **out) {
  return wh_onnx_open_memory("m", b->data, b->n, NULL, out);
}

static void a_model_is_read(void **state) {
  (void)state;
  static bytes b;
  wh_onnx_file *f;
  float two[2];
  model(&b);
  assert_true(wh_onnx_looks_like(b.data, b.n));
  assert_int_equal(read_bytes(&b, &f), WH_OK);
  assert_int_equal(f->graph.n_nodes, 1);
  assert_true(wh_str_is(f->graph.nodes[0].op, "Add"));
  assert_int_equal(f->graph.nodes[0].n_inputs, 2);
  assert_int_equal(f->opsets[0].version, 13);
  assert_int_equal(f->graph.n_initializers, 1);
  wh_onnx_tensor_read(&f->graph.initializers[0], two);
  assert_true(two[0] == 1.5f && two[1] == -2.0f);
  wh_onnx_close(f);
}

/* Every beginning of the file is refused or read, and never read past: each is in memory of its own size. */
static void every_cut_is_survived(void **state) {
  (void)state;
  static bytes b;
  model(&b);
  size_t n_refused = 0;
  for (size_t n = 0; n < b.n; n++) {
    uint8_t *cut = malloc(n + !n);
    wh_onnx_file *f = NULL;
    memcpy(cut, b.data, n);
    if (wh_onnx_open_memory("m", cut, n, NULL, &f) == WH_OK)
      wh_onnx_close(f);
    else
      n_refused++;
    free(cut);
  }
  assert_true(n_refused > b.n / 2);
}

/* So is every change of one byte. */
static void every_changed_byte_is_survived(void **state) {
  (void)state;
  static bytes b;
  model(&b);
  for (size_t i = 0; i < b.n; i++)
    for (unsigned v = 0; v < 256; v += 5) {
      const uint8_t was = b.data[i];
      wh_onnx_file *f = NULL;
      b.data[i] = (uint8_t)v;
      if (read_bytes(&b, &f) == WH_OK) wh_onnx_close(f);
      b.data[i] = was;
    }
}

static wh_status read_weight(uint64_t type, uint64_t dim, size_t n_raw) {
  static bytes w, graph, b;
  static const uint8_t zeros[64];
  wh_onnx_file *f = NULL;
  graph.n = b.n = 0;
  tensor(&w, "w", type, dim, zeros, n_raw);
  message(&graph, 5, &w);
  number(&b, 1, 8);
  message(&b, 7, &graph);
  wh_status st = read_bytes(&b, &f);
  if (st == WH_OK) wh_onnx_close(f);
  return st;
}

static void sizes_are_checked(void **state) {
  (void)state;
  assert_int_equal(read_weight(1, 2, 8), WH_OK);
  assert_int_equal(read_weight(1, 3, 8), WH_ERR_CORRUPT);
  assert_non_null(strstr(wh_last_error()->message, "tensor 'w'"));
  assert_int_equal(read_weight(1, UINT64_C(1) << 62, 8), WH_ERR_CORRUPT);
  assert_int_equal(read_weight(1, UINT64_MAX, 8), WH_ERR_CORRUPT); /* a negative dimension */
  assert_int_equal(read_weight(99, 2, 8), WH_ERR_UNSUPPORTED);
}

/* Graphs in attributes of nodes in graphs ... */
static void nesting_is_bounded(void **state) {
  (void)state;
  static bytes graph, attr, node, b;
  wh_onnx_file *f = NULL;
  graph.n = 0;
  text(&graph, 2, "g");
  for (int i = 0; i < 1000; i++) {
    attr.n = node.n = 0;
    text(&attr, 1, "body");
    message(&attr, 6, &graph);
    number(&attr, 20, 5);
    message(&node, 5, &attr);
    graph.n = 0;
    message(&graph, 1, &node);
  }
  number(&b, 1, 8);
  message(&b, 7, &graph);
  assert_int_equal(read_bytes(&b, &f), WH_ERR_LIMIT);
  assert_non_null(strstr(wh_last_error()->message, "nested"));
}

static wh_status read_external(const char *location) {
  static bytes w, entry, graph, b;
  wh_onnx_file *f = NULL;
  w.n = entry.n = graph.n = b.n = 0;
  number(&w, 1, 2);
  number(&w, 2, 1);
  text(&w, 8, "w");
  text(&entry, 1, "location");
  text(&entry, 2, location);
  message(&w, 13, &entry);
  number(&w, 14, 1);
  message(&graph, 5, &w);
  number(&b, 1, 8);
  message(&b, 7, &graph);
  FILE *out = fopen("external_test.onnx", "wb");
  assert_non_null(out);
  fwrite(b.data, 1, b.n, out);
  fclose(out);
  wh_status st = wh_onnx_open("external_test.onnx", NULL, &f);
  if (st == WH_OK) wh_onnx_close(f);
  remove("external_test.onnx");
  return st;
}

static void external_data_stays_in_its_folder(void **state) {
  (void)state;
  assert_int_equal(read_external("../../etc/passwd"), WH_ERR_CORRUPT);
  assert_non_null(strstr(wh_last_error()->message, "outside"));
  assert_int_equal(read_external("/etc/passwd"), WH_ERR_CORRUPT);
  assert_int_equal(read_external("a/../../b"), WH_ERR_CORRUPT);
  assert_int_equal(read_external(""), WH_ERR_CORRUPT);
  assert_int_equal(read_external("external_test_missing"), WH_ERR_NOT_FOUND);
  FILE *data = fopen("external_test_data", "wb");
  assert_non_null(data);
  fwrite("12345678", 1, 8, data);
  fclose(data);
  assert_int_equal(read_external("external_test_data"), WH_OK);
  (void)remove("external_test_link");
  assert_int_equal(symlink("external_test_data", "external_test_link"), 0); /* wherever a link leads */
  assert_int_equal(read_external("external_test_link"), WH_ERR_UNSUPPORTED);
  assert_non_null(strstr(wh_last_error()->message, "symbolic link 'external_test_link'"));
  remove("external_test_link");
  remove("external_test_data");
}

/* ---- .npy ---- */

static void npy_is_written_and_read(void **state) {
  (void)state;
  static const float v[] = {1, 2, 3, 4, 5, 6};
  static const int64_t dims[] = {2, 3}, seven[] = {7};
  uint8_t file[WH_NPY_HEADER_BYTES + sizeof v];
  char header[WH_NPY_HEADER_BYTES];
  size_t n;
  wh_npy a;
  assert_int_equal(wh_npy_header(WH_DTYPE_F32, 2, dims, header, &n), WH_OK);
  assert_int_equal(n % 64, 0);
  memcpy(file, header, n);
  memcpy(file + n, v, sizeof v);
  assert_int_equal(wh_npy_read("f", file, n + sizeof v, &a), WH_OK);
  assert_int_equal(a.dtype, WH_DTYPE_F32);
  assert_int_equal(a.rank, 2);
  assert_int_equal(a.dims[1], 3);
  assert_memory_equal(a.data, v, sizeof v);
  for (size_t cut = 0; cut < n + sizeof v; cut++) {
    uint8_t *part = malloc(cut + !cut);
    memcpy(part, file, cut);
    assert_int_not_equal(wh_npy_read("f", part, cut, &a), WH_OK);
    free(part);
  }
  assert_int_equal(wh_npy_header(WH_DTYPE_I64, 1, seven, header, &n), WH_OK);
  assert_non_null(strstr(header + 10, "(7,)"));
  assert_int_equal(wh_npy_header(WH_DTYPE_Q4_0, 1, seven, header, &n), WH_ERR_UNSUPPORTED);
}

static wh_status read_header(const char *dict) {
  uint8_t file[256] = "\x93NUMPY\x01";
  wh_npy a;
  const size_t n = strlen(dict);
  file[8] = (uint8_t)n;
  memcpy(file + 10, dict, n);
  return wh_npy_read("f", file, 10 + n + 8, &a);
}

static void npy_headers_are_checked(void **state) {
  (void)state;
  assert_int_equal(read_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"), WH_OK);
  assert_int_equal(read_header("{'descr': '<f8', 'fortran_order': False, 'shape': (), }"), WH_OK);
  assert_int_equal(read_header("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }"),
                   WH_ERR_UNSUPPORTED);
  assert_int_equal(read_header("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }"),
                   WH_ERR_UNSUPPORTED);
  assert_int_equal(read_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"), WH_ERR_CORRUPT);
  assert_int_equal(read_header("{'descr': '<f4', 'shape': (99999999999999999999,), }"), WH_ERR_CORRUPT);
  assert_int_equal(read_header("{'descr': '<f4', 'shape': (1,1,1,1,1,1,1,1,2), }"), WH_ERR_CORRUPT);
  assert_int_equal(read_header("{'descr': '<f4'"), WH_ERR_CORRUPT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_model_is_read),
      cmocka_unit_test(every_cut_is_survived),
      cmocka_unit_test(every_changed_byte_is_survived),
      cmocka_unit_test(sizes_are_checked),
      cmocka_unit_test(nesting_is_bounded),
      cmocka_unit_test(external_data_stays_in_its_folder),
      cmocka_unit_test(npy_is_written_and_read),
      cmocka_unit_test(npy_headers_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
