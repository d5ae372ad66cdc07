/* test_batch.c - the contract for company: a sequence's logits do not depend on what shares its batch, on how
 * its tokens were cut into runs, on the threads or on the mode of its neighbours; and mode `fast` stays
 * within its bound. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/base/temp_folder.h"
#include "tests/e2e/small_model.h"
#include "whimbrel/whimbrel.h"

#define N_SEQ 5
#define LENGTH 90 /* crosses an attention chunk */

typedef struct engine {
  wh_device *device;
  wh_model *model;
  wh_session *session;
} engine;

static engine open_engine(const char *path, const char *isa, uint32_t threads, uint32_t numerics) {
  engine e;
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  d.isa = isa;
  d.n_threads = threads;
  d.numerics = numerics;
  s.context = 128;
  s.max_batch = N_SEQ * LENGTH;
  s.max_outputs = N_SEQ;
  s.max_sequences = N_SEQ;
  assert_int_equal(wh_device_create(&d, &e.device), WH_OK);
  assert_int_equal(wh_model_open(path, NULL, &e.model), WH_OK);
  assert_int_equal(wh_session_create(e.model, e.device, &s, &e.session), WH_OK);
  return e;
}

static void close_engine(engine *e) {
  wh_session_destroy(e->session);
  wh_model_destroy(e->model);
  wh_device_destroy(e->device);
}

static int32_t token_of(int seq, int i) {
  return (int32_t)((i * 7 + seq * 13 + i * i * (seq + 1)) % SMALL_N_VOCAB);
}
static int length_of(int seq) { return LENGTH - 17 * seq; }

/* Runs every sequence's tokens [from[s], to[s]) in one batch; logits of each one's last go to out[s]. */
static void run_together(wh_session *session, const int *from, const int *to,
                         float out[N_SEQ][SMALL_N_VOCAB]) {
  int32_t tokens[N_SEQ * LENGTH], sequences[N_SEQ * LENGTH], rows[N_SEQ];
  int owner[N_SEQ];
  wh_batch b = WH_BATCH_INIT;
  for (int s = 0; s < N_SEQ; s++) {
    for (int i = from[s]; i < to[s]; i++) {
      tokens[b.n_tokens] = token_of(s, i);
      sequences[b.n_tokens++] = s;
    }
    if (to[s] == from[s]) continue;
    owner[b.n_outputs] = s;
    rows[b.n_outputs++] = (int32_t)b.n_tokens - 1;
  }
  b.tokens = tokens;
  b.sequences = sequences;
  b.output_rows = rows;
  assert_int_equal(wh_session_run(session, &b), WH_OK);
  for (uint32_t i = 0; i < b.n_outputs; i++)
    memcpy(out[owner[i]], wh_session_logits(session, i), sizeof out[0]);
}

/* Each sequence on its own, token by token. */
static void run_alone(wh_session *session, float out[N_SEQ][SMALL_N_VOCAB]) {
  for (int s = 0; s < N_SEQ; s++)
    for (int i = 0; i < length_of(s); i++) {
      int from[N_SEQ] = {0}, to[N_SEQ] = {0};
      from[s] = i;
      to[s] = i + 1;
      run_together(session, from, to, out);
    }
}

static void check_model(small_model *m) {
  static float alone[N_SEQ][SMALL_N_VOCAB], prompt[N_SEQ][SMALL_N_VOCAB], stepped[N_SEQ][SMALL_N_VOCAB];
  temp_folder folder = temp_folder_create();
  const temp_path file = temp_path_of(&folder, "m.gguf");
  const char *path = file.text;
  small_model_write(m, path);
  engine e = open_engine(path, "ref", 1, WH_NUMERICS_EXACT);
  run_alone(e.session, alone);
  close_engine(&e);
  for (uint32_t threads = 1; threads <= 3; threads++) {
    e = open_engine(path, NULL, threads, WH_NUMERICS_EXACT);
    int from[N_SEQ] = {0}, to[N_SEQ];
    for (int s = 0; s < N_SEQ; s++) to[s] = length_of(s);
    run_together(e.session, from, to, prompt); /* all prompts in one run */
    assert_memory_equal(prompt, alone, sizeof alone);
    for (int s = 0; s < N_SEQ; s++) {
      assert_int_equal(wh_session_truncate(e.session, (uint32_t)s, (uint32_t)(length_of(s) - 6)), WH_OK);
      from[s] = length_of(s) - 6;
    }
    for (int step = 0; step < 6; step++) { /* then their ends again, decoded side by side */
      for (int s = 0; s < N_SEQ; s++) to[s] = from[s] + 1;
      run_together(e.session, from, to, stepped);
      memcpy(from, to, sizeof from);
    }
    assert_memory_equal(stepped, alone, sizeof alone);
    close_engine(&e);
  }
  small_model_destroy(m);
  temp_folder_remove(&folder);
}

static void test_neighbours_do_not_show(void **state) {
  (void)state;
  static const wh_dtype types[] = {WH_DTYPE_Q4_1, WH_DTYPE_Q8_0, WH_DTYPE_Q4_K, WH_DTYPE_Q6_K, WH_DTYPE_F16};
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) check_model(small_model_create(types[i], 256));
}

/* Whose tokens share an expert's rows does not show, either. */
static void test_neighbours_among_experts_do_not_show(void **state) {
  (void)state;
  static const wh_dtype types[] = {WH_DTYPE_Q4_0, WH_DTYPE_Q4_K, WH_DTYPE_F16};
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    check_model(small_model_create_experts(types[i], 256));
}

/* fp32 products in another order: each element moves by at most about K eps times the sum of magnitudes; over
 * two layers that stays far below a thousandth of the logits' spread. The test also sees that OpenBLAS ran.
 */
static void test_fast_is_close(void **state) {
  (void)state;
  static float exact[N_SEQ][SMALL_N_VOCAB], fast[N_SEQ][SMALL_N_VOCAB];
  temp_folder folder = temp_folder_create();
  const temp_path file = temp_path_of(&folder, "m.gguf");
  const char *path = file.text;
  small_model *m = small_model_create(WH_DTYPE_F32, 256);
  small_model_write(m, path);
  int from[N_SEQ] = {0}, to[N_SEQ];
  for (int s = 0; s < N_SEQ; s++) to[s] = length_of(s);
  engine e = open_engine(path, NULL, 2, WH_NUMERICS_EXACT);
  run_together(e.session, from, to, exact);
  close_engine(&e);
  e = open_engine(path, NULL, 2, WH_NUMERICS_FAST);
  run_together(e.session, from, to, fast);
  int n_blas = 0;
  wh_instruction_info info = WH_INSTRUCTION_INFO_INIT;
  for (uint32_t i = 0; wh_session_get_instruction(e.session, i, &info) == WH_OK; i++)
    n_blas += strstr(info.kernel, "openblas") != NULL;
  close_engine(&e);
  float low = exact[0][0], high = exact[0][0];
  for (int s = 0; s < N_SEQ; s++)
    for (int i = 0; i < SMALL_N_VOCAB; i++) {
      low = fminf(low, exact[s][i]);
      high = fmaxf(high, exact[s][i]);
    }
  for (int s = 0; s < N_SEQ; s++)
    for (int i = 0; i < SMALL_N_VOCAB; i++)
      assert_true(fabsf(fast[s][i] - exact[s][i]) <= 1e-3f * (high - low));
  small_model_destroy(m);
  temp_folder_remove(&folder);
  if (!n_blas) {
    print_message("OpenBLAS is not installed: mode fast used this project's kernels\n");
    skip();
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_neighbours_do_not_show),
                                     cmocka_unit_test(test_neighbours_among_experts_do_not_show),
                                     cmocka_unit_test(test_fast_is_close)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
