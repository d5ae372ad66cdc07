/* test_family_goldens.c - whole models through the public API: the logits of data/<family>.golden within a
 * derived bound, and the contract of docs/NUMERICS.md: the same bits at every ISA level, thread count and
 * chunking. */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf_write.h"
#include "tests/base/temp_folder.h"
#include "tests/models/tiny_cmocka.h"
#include "tests/models/tiny_model.h"
#include "whimbrel/session.h"

/* Bounds of the root mean square error of a row of logits over its standard deviation.
 *
 * Float weights, both sides in fp32: a product of K terms errs by at most K eps relative to the sum of |a b|,
 * by about sqrt(K) eps in practice; 20 products of K = 256 one after another give 20 * 16 * 6e-8 = 2e-5.
 * Softmax and norms add less. */
#define BOUND_FLOAT 2e-5
/* 16-bit weights against fp32 throughout: activations and weights are rounded to steps of top / 4095, where
 * top is the largest of 128, about 3 standard deviations: each errs by 3 / 4095 / sqrt(12) = 2.1e-4, both by
 * 3e-4. 21 products add up to 1.4e-3 where they are independent. (Operands rounded to bf16 would err by eight
 * times that.) */
#define BOUND_WIDE 3e-3
/* Quantised weights against fp32 throughout: activations are rounded to steps of at most top / 127, where top
 * is the largest of 256: about 3 standard deviations. That is an error of 3 / 127 / sqrt(12) = 0.7 % at the
 * input of a product; 15 to 21 products in a model of 2 or 3 layers add up to 3 % where they are independent.
 */
#define BOUND_REAL 6e-2
/* Quantised weights against a reference that rounds activations by the same rule: the float bound, unless an
 * input lies so near a rounding boundary that fp32 error decides. Then a code differs by 1, and others after
 * it, up to the whole rounding error. The rows are early ones, so that most have no such code. */
#define BOUND_ROUNDED BOUND_FLOAT
#define ROUNDED_ROWS_WITHIN 0.75
/* Queries, keys and values rounded to blocks of 8 bits against fp32 throughout: fewer roundings than
 * BOUND_REAL has, three a layer. */
#define BOUND_Q8_STATE BOUND_REAL
/* Where a router sees rounded values, some tokens choose other experts, and the rows after them attend to
 * those: the bound holds for most rows. */
#define ROUTED_ROWS_WITHIN 0.5

#define MAX_ROWS 128
#define MAX_VOCAB 256

static const char *const isa_levels[] = {"ref", "avx2", "avx512vnni", "amxint8"};
#define N_ISA 4
static const uint32_t thread_counts[] = {1, 2};
#define N_THREADS 2
/* What is run at every level: chunks of the prompt, and the index of the thread count. */
static const struct { size_t chunk, threads; } ways[] = {{64, 0}, {7, 1}, {1, 0}, {64, 1}};
#define N_WAYS 4

static wh_device *devices[N_ISA][N_THREADS]; /* NULL: this machine lacks the level */
static wh_device *best;
static temp_folder folder;

typedef struct all_logits {
  float rows[MAX_ROWS][MAX_VOCAB];
} all_logits;

static void need(wh_status status) {
  if (status != WH_OK) fail_msg("%s", wh_last_error()->message);
}

/* Runs the prompt `chunk` tokens at a time; keeps every row of logits, or each run's last only. */
static void run_prompt(wh_model *model, wh_device *device, const tiny_case *c, wh_dtype kv, size_t chunk,
                       bool all_rows, all_logits *out) {
  wh_session_options options = WH_SESSION_OPTIONS_INIT;
  options.context = 128;
  options.max_batch = options.max_outputs = (uint32_t)chunk;
  options.kv_dtype = kv;
  wh_session *session = NULL;
  need(wh_session_create(model, device, &options, &session));
  int32_t rows[MAX_ROWS];
  for (size_t i = 0; i < MAX_ROWS; i++) rows[i] = (int32_t)i;
  for (size_t at = 0; at < c->n_tokens; at += chunk) {
    size_t n = c->n_tokens - at < chunk ? c->n_tokens - at : chunk;
    wh_batch batch = WH_BATCH_INIT;
    batch.n_tokens = (uint32_t)n;
    batch.tokens = c->tokens + at;
    batch.n_outputs = all_rows ? (uint32_t)n : 1;
    batch.output_rows = all_rows ? rows : NULL;
    need(wh_session_run(session, &batch));
    for (size_t i = 0; i < batch.n_outputs; i++) {
      const float *logits = wh_session_logits(session, (uint32_t)i);
      assert_non_null(logits);
      memcpy(out->rows[all_rows ? at + i : at + n - 1], logits, c->n_vocab * sizeof *logits);
    }
  }
  wh_session_destroy(session);
}

static double relative_error(const float *got, const float *want, size_t n) {
  double error = 0, sum = 0, squares = 0;
  for (size_t i = 0; i < n; i++) {
    double d = (double)got[i] - (double)want[i];
    error += d * d;
    sum += (double)want[i];
    squares += (double)want[i] * (double)want[i];
  }
  return sqrt(error / (squares - sum * sum / (double)n));
}

/* Rows of one golden file that were computed with rounded activations. */
typedef struct rounded_rows {
  size_t n, n_within;
} rounded_rows;

static void check_goldens(const tiny_case *c, wh_dtype dtype, const all_logits *got, rounded_rows *rounded) {
  for (size_t i = 0; i < c->n_logits; i++) {
    const tiny_logits *l = &c->logits[i];
    if (l->dtype != dtype) continue;
    double error = relative_error(got->rows[l->row], l->values, c->n_vocab);
    double bound = wh_dtype_is_quantised(dtype) ? BOUND_REAL
                   : dtype == WH_DTYPE_F32      ? BOUND_FLOAT
                                                : BOUND_WIDE;
    rounded->n += l->rounded;
    rounded->n_within += l->rounded && error <= BOUND_ROUNDED;
    if (getenv("WH_TEST_VERBOSE"))
      print_message("%s %s row %d%s: %.2e\n", c->name, wh_dtype_name(dtype), l->row,
                    l->rounded ? " rounded" : "", error);
    if (!(error <= bound))
      fail_msg("%s with %s weights, row %d%s: error %.3g, at most %.3g is explained", c->name,
               wh_dtype_name(dtype), l->row, l->rounded ? " (rounded activations)" : "", error, bound);
  }
}

static void check_same_bits(const all_logits *a, const all_logits *b, size_t row, const tiny_case *c,
                            wh_dtype dtype, const char *isa, uint32_t threads, size_t chunk) {
  if (memcmp(a->rows[row], b->rows[row], c->n_vocab * sizeof(float)) != 0)
    fail_msg("%s with %s weights: row %zu has other bits at %s, %u threads, chunks of %zu", c->name,
             wh_dtype_name(dtype), row, isa, threads, chunk);
}

/* Every level in several ways against `want`. */
static void check_contract(wh_model *model, const tiny_case *c, wh_dtype dtype, const all_logits *want) {
  static all_logits got;
  for (size_t i = 0; i < N_ISA; i++)
    for (size_t k = 0; k < N_WAYS; k++) {
      wh_device *device = devices[i][ways[k].threads];
      if (!device) continue;
      memset(&got, 0xff, sizeof got);
      run_prompt(model, device, c, WH_DTYPE_F32, ways[k].chunk, true, &got);
      for (size_t row = 0; row < c->n_tokens; row++)
        check_same_bits(want, &got, row, c, dtype, isa_levels[i], thread_counts[ways[k].threads],
                        ways[k].chunk);
    }
  /* one row of logits per run: the end of the last layer computes that row alone */
  run_prompt(model, best, c, WH_DTYPE_F32, 7, false, &got);
  for (size_t row = 6; row < c->n_tokens; row += 7)
    check_same_bits(want, &got, row, c, dtype, "any level", 0, 7);
}

static bool takes_q8_state(const wh_model *model) { /* heads must be whole blocks of 32 */
  wh_session_options options = WH_SESSION_OPTIONS_INIT;
  options.kv_dtype = WH_DTYPE_Q8_0;
  wh_session *session = NULL;
  wh_status status = wh_session_create(model, best, &options, &session);
  wh_session_destroy(session);
  if (status != WH_ERR_UNSUPPORTED) need(status);
  return status == WH_OK;
}

/* Keys and values in blocks of 8 bits: near the goldens, and the same bits at every level, in other runs. */
static void check_q8_state(wh_model *model, const tiny_case *c, wh_dtype dtype, const all_logits *exact) {
  static all_logits want, got;
  run_prompt(model, best, c, WH_DTYPE_Q8_0, 64, true, &want);
  wh_model_info info = WH_MODEL_INFO_INIT;
  wh_model_get_info(model, &info);
  size_t n_within = 0;
  for (size_t row = 0; row < c->n_tokens; row++) {
    double error = relative_error(want.rows[row], exact->rows[row], c->n_vocab);
    if (getenv("WH_TEST_VERBOSE")) print_message("%s q8 state row %zu: %.2e\n", c->name, row, error);
    n_within += error <= BOUND_Q8_STATE;
    if (!(error <= BOUND_Q8_STATE) && !info.n_experts)
      fail_msg("%s: row %zu: error %.3g with a q8_0 state", c->name, row, error);
  }
  if ((double)n_within < ROUTED_ROWS_WITHIN * (double)c->n_tokens)
    fail_msg("%s: only %zu of %zu rows are near with a q8_0 state", c->name, n_within, c->n_tokens);
  for (size_t i = 0; i < N_ISA; i++) {
    wh_device *device = devices[i][i % N_THREADS];
    if (!device) continue;
    run_prompt(model, device, c, WH_DTYPE_Q8_0, 7, true, &got);
    for (size_t row = 0; row < c->n_tokens; row++)
      check_same_bits(&want, &got, row, c, dtype, isa_levels[i], thread_counts[i % N_THREADS], 7);
  }
}

static wh_model *write_and_open(const tiny_model *m) {
  temp_path path = temp_path_of(&folder, "tiny.gguf");
  wh_model *model = NULL;
  tiny_model_write(m, path.text);
  need(wh_model_open(path.text, NULL, &model));
  return model;
}

static void check_case(const tiny_case *c, wh_dtype dtype, rounded_rows *rounded) {
  static all_logits want;
  assert_true(c->n_tokens <= MAX_ROWS && c->n_vocab <= MAX_VOCAB);
  tiny_model *m = tiny_model_make(c, dtype);
  wh_model *model = write_and_open(m);
  tiny_model_free(m);
  run_prompt(model, best, c, WH_DTYPE_F32, 64, true, &want);
  check_goldens(c, dtype, &want, rounded);
  check_contract(model, c, dtype, &want);
  if (dtype == WH_DTYPE_F32 && takes_q8_state(model)) check_q8_state(model, c, dtype, &want);
  wh_model_destroy(model);
}

static void check_file(const char *name) {
  tiny_goldens *g = tiny_goldens_load(name);
  rounded_rows rounded = {0};
  assert_true(g->n_cases > 0);
  for (size_t i = 0; i < g->n_cases; i++) {
    wh_dtype previous = WH_DTYPE_FORCE_32;
    for (size_t k = 0; k < g->cases[i].n_logits; k++) { /* grouped by type */
      if (g->cases[i].logits[k].dtype != previous)
        check_case(&g->cases[i], g->cases[i].logits[k].dtype, &rounded);
      previous = g->cases[i].logits[k].dtype;
    }
  }
  if ((double)rounded.n_within < ROUNDED_ROWS_WITHIN * (double)rounded.n)
    fail_msg("%s: only %zu of %zu rows with rounded activations agree", name, rounded.n_within, rounded.n);
  tiny_goldens_free(g);
}

#define FAMILY_TEST(name)          \
  static void name(void **state) { \
    (void)state;                   \
    check_file(#name);             \
  }
FAMILY_TEST(llama)
FAMILY_TEST(qwen2)
FAMILY_TEST(qwen3)
FAMILY_TEST(mixtral)
FAMILY_TEST(qwen2moe)
FAMILY_TEST(qwen3moe)
FAMILY_TEST(gemma2)
FAMILY_TEST(gemma3)
FAMILY_TEST(phi3)
FAMILY_TEST(variants)

/* The goldens would notice: a hyperparameter that is off by a little moves the logits past the bound. */
static void a_small_change_shows(void **state) {
  (void)state;
  static const struct {
    const char *file, *name, *key;
    double value;
    bool is_int;
  } changes[] = {
      {"llama", "llama", "llama.attention.layer_norm_rms_epsilon", 1e-4, false},
      {"llama", "llama", "llama.rope.freq_base", 10100, false},
      {"llama", "llama", "llama.rope.dimension_count", 62, true},
      {"variants", "llama_window", "llama.attention.sliding_window", 17, true},
      {"variants", "llama_linear", "llama.rope.scaling.factor", 4.01, false},
      {"variants", "llama_yarn", "llama.rope.scaling.factor", 4.01, false},
      {"variants", "llama_yarn", "llama.rope.scaling.original_context_length", 250, true},
      {"gemma2", "gemma2", "gemma2.attn_logit_softcapping", 5.05, false},
      {"gemma2", "gemma2", "gemma2.final_logit_softcapping", 3.01, false},
      {"gemma2", "gemma2", "gemma2.attention.scale", 0.145, false},
      {"gemma2", "gemma2", "gemma2.attention.sliding_window", 25, true},
      {"gemma3", "gemma3", "gemma3.attention.sliding_window_pattern", 2, true},
      {"gemma3", "gemma3", "gemma3.rope.freq_base_swa", 10100, false},
      {"gemma3", "gemma3", "gemma3.rope.scaling.factor", 8.05, false},
      {"phi3", "phi3", "phi3.attention.sliding_window", 29, true},
      {"mixtral", "mixtral", "llama.expert_used_count", 3, true},
      {"qwen2moe", "qwen2moe", "qwen2moe.expert_weights_scale", 1.001, false},
      {"qwen3moe", "qwen3moe", "qwen3moe.expert_used_count", 2, true},
      {"variants", "phi3_longrope_long", "phi3.rope.scaling.attn_factor", 1.23, false},
      {"variants", "phi3_longrope_long", "phi3.rope.scaling.original_context_length", 128, true},
  };
  static all_logits got;
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    tiny_goldens *g = tiny_goldens_load(changes[i].file);
    const tiny_case *c = tiny_find_case(g, changes[i].name);
    tiny_model *m = tiny_model_make(c, WH_DTYPE_F32);
    const char *key = changes[i].key;
    tiny_model_set(m, changes[i].is_int ? wh_gguf_meta_u32(key, (uint32_t)changes[i].value)
                                        : wh_gguf_meta_f32(key, (float)changes[i].value));
    wh_model *model = write_and_open(m);
    run_prompt(model, best, c, WH_DTYPE_F32, 64, true, &got);
    assert_int_equal(c->logits[1].dtype, WH_DTYPE_F32);
    double error = relative_error(got.rows[c->logits[1].row], c->logits[1].values, c->n_vocab);
    if (!(error > 2 * BOUND_FLOAT))
      fail_msg("%s = %g goes unnoticed: error %.3g", key, changes[i].value, error);
    wh_model_destroy(model);
    tiny_model_free(m);
    tiny_goldens_free(g);
  }
}

static int open_devices(void **state) {
  (void)state;
  folder = temp_folder_create();
  for (size_t i = 0; i < N_ISA; i++)
    for (size_t t = 0; t < N_THREADS; t++) {
      wh_device_options options = WH_DEVICE_OPTIONS_INIT;
      options.isa = isa_levels[i];
      options.n_threads = thread_counts[t];
      wh_status status = wh_device_create(&options, &devices[i][t]);
      if (status == WH_ERR_UNAVAILABLE) print_message("this machine lacks %s: not tested\n", isa_levels[i]);
      if (status != WH_OK && status != WH_ERR_UNAVAILABLE) return -1;
    }
  wh_device_options options = WH_DEVICE_OPTIONS_INIT;
  return wh_device_create(&options, &best) == WH_OK ? 0 : -1;
}

static int close_devices(void **state) {
  (void)state;
  temp_folder_remove(&folder);
  wh_device_destroy(best);
  for (size_t i = 0; i < N_ISA; i++)
    for (size_t t = 0; t < N_THREADS; t++) wh_device_destroy(devices[i][t]);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(llama),
      cmocka_unit_test(qwen2),
      cmocka_unit_test(qwen3),
      cmocka_unit_test(mixtral),
      cmocka_unit_test(qwen2moe),
      cmocka_unit_test(qwen3moe),
      cmocka_unit_test(gemma2),
      cmocka_unit_test(gemma3),
      cmocka_unit_test(phi3),
      cmocka_unit_test(variants),
      cmocka_unit_test(a_small_change_shows),
  };
  return cmocka_run_group_tests(tests, open_devices, close_devices);
}
