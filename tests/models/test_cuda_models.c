/* test_cuda_models.c - small random models of every family and tensor type on the emulated GPU: the
 * processor's bits, in a prompt, in decoding, in what is sampled, with the model's last layers on the GPU
 * alone, and on two GPUs that share layers or tensors; and what happens when one of the two fails. The shared
 * object is the one that a user has, and the kernels are its PTX. The same of HIP, whose runtime is then the
 * one that runs kernels on the host (backends/gpu/simt). */
#define _GNU_SOURCE /* setenv, RTLD_NOLOAD */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf_write.h"
#include "tests/base/temp_folder.h"
#include "tests/models/tiny_cmocka.h"
#include "tests/models/tiny_model.h"
#include "whimbrel/session.h"

#define MAX_VOCAB 256
enum { PROMPT = 6, TOKENS = 8 }; /* interpreted: few */
#define LEAST_MODELS 100         /* so that none is lost unseen */

static wh_device *cpu, *gpu, *second; /* second: a GPU beside it; NULL: the machine has one */
static temp_folder folder;
static size_t n_models;
static bool emulated; /* by ptxemu, which counts and reports */

typedef struct logits {
  float rows[TOKENS][MAX_VOCAB];
} logits;

static void need(wh_status status, const char *what) {
  if (status != WH_OK) fail_msg("%s: %s", what, wh_last_error()->message);
}

/* What the offload has: its last layers, of which the first so many leave what follows their attention. */
typedef struct split {
  uint32_t layers, kept_experts;
  wh_split_mode mode; /* of two GPUs */
} split;

/* A prompt in one run, then a token at a time; a row of logits for each token. */
static wh_status run_on(wh_model *model, wh_device *device, wh_device *offload, bool with_second, split s,
                        const tiny_case *c, wh_dtype kv, logits *out) {
  static const int32_t rows[TOKENS] = {0, 1, 2, 3, 4, 5, 6, 7};
  wh_session_options options = WH_SESSION_OPTIONS_INIT;
  options.context = 70; /* two pages: parts of attention that are joined */
  options.max_batch = options.max_outputs = PROMPT;
  options.kv_dtype = kv;
  options.offload = offload;
  options.offload_layers = s.layers;
  options.kept_experts = s.kept_experts;
  options.peers = &second;
  options.n_peers = with_second && second;
  options.split_mode = s.mode;
  wh_session *session = NULL;
  wh_status st = wh_session_create(model, device, &options, &session);
  for (size_t at = 0; at < TOKENS && st == WH_OK;) {
    const uint32_t n = at ? 1 : PROMPT;
    wh_batch batch = WH_BATCH_INIT;
    batch.n_tokens = batch.n_outputs = n;
    batch.tokens = c->tokens + at;
    batch.output_rows = rows;
    st = wh_session_run(session, &batch);
    for (uint32_t i = 0; i < n && st == WH_OK; i++) {
      const float *row = wh_session_logits(session, i); /* copied when it is asked for, which may fail */
      st = row ? WH_OK : wh_session_row_status(session, i);
      if (row) memcpy(out->rows[at + i], row, c->n_vocab * sizeof(float));
    }
    at += n;
  }
  wh_session_destroy(session);
  return st;
}

static wh_status run(wh_model *model, wh_device *device, wh_device *offload, split s, const tiny_case *c,
                     wh_dtype kv, logits *out) {
  return run_on(model, device, offload, false, s, c, kv, out);
}

static void compare(const tiny_case *c, wh_dtype dtype, const char *how, const logits *want,
                    const logits *got) {
  for (size_t row = 0; row < TOKENS; row++)
    if (memcmp(want->rows[row], got->rows[row], c->n_vocab * sizeof(float)) != 0)
      fail_msg("%s with %s weights, %s: row %zu has other bits", c->name, wh_dtype_name(dtype), how, row);
}

/* A model of the case with weights of this type; one at a time, as they have one file. */
static wh_model *open_tiny(const tiny_case *c, wh_dtype dtype) {
  temp_path path = temp_path_of(&folder, "tiny.gguf");
  tiny_model *m = tiny_model_make(c, dtype);
  wh_model *model = NULL;
  tiny_model_write(m, path.text);
  tiny_model_free(m);
  need(wh_model_open(path.text, NULL, &model), c->name);
  return model;
}

static void check(const tiny_case *c, wh_dtype dtype, bool all_states) {
  static const wh_dtype states[] = {WH_DTYPE_F16, WH_DTYPE_F32, WH_DTYPE_Q8_0};
  static logits want, got;
  const split none = {0, 0, WH_SPLIT_LAYERS};
  char what[128];
  wh_model *model = open_tiny(c, dtype);
  (void)snprintf(what, sizeof what, "%s with %s weights", c->name, wh_dtype_name(dtype));
  for (size_t i = 0; i < (all_states ? 3 : 1); i++) {
    const wh_status st = run(model, cpu, NULL, none, c, states[i], &want);
    if (st == WH_ERR_UNSUPPORTED && states[i] == WH_DTYPE_Q8_0) continue; /* heads that are no whole blocks */
    need(st, what);
    memset(&got, 0xff, sizeof got);
    need(run(model, gpu, NULL, none, c, states[i], &got), what);
    compare(c, dtype, wh_dtype_name(states[i]), &want, &got);
    if (second && !i && (all_states || dtype == WH_DTYPE_Q4_K)) {
      need(run_on(model, gpu, NULL, true, (split){0, 0, WH_SPLIT_TENSORS}, c, states[i], &got), what);
      compare(c, dtype, "tensors on two GPUs", &want, &got);
      need(run_on(model, gpu, NULL, true, none, c, states[i], &got), what);
      compare(c, dtype, "layers on two GPUs", &want, &got);
    }
    if (!all_states) continue;
    need(run(model, cpu, gpu, (split){1, 0, WH_SPLIT_LAYERS}, c, states[i], &got), what);
    compare(c, dtype, "the last layer on the GPU", &want, &got);
    if (i) continue;
    need(run(model, cpu, gpu, (split){WH_LAYERS_AUTO, 0, WH_SPLIT_LAYERS}, c, states[i], &got), what);
    compare(c, dtype, "as many layers as fit on the GPU", &want, &got);
    need(run(model, cpu, gpu, (split){UINT32_MAX, 1, WH_SPLIT_LAYERS}, c, states[i], &got), what);
    compare(c, dtype, "all on the GPU but the first layer's experts", &want, &got);
  }
  wh_model_destroy(model);
  n_models++;
}

/* Every case of the file with F32 weights, and the first with every type that it has. */
static void check_file(const char *name) {
  tiny_goldens *g = tiny_goldens_load(name);
  assert_true(g->n_cases > 0);
  for (size_t i = 0; i < g->n_cases; i++) {
    const tiny_case *c = &g->cases[i];
    wh_dtype previous = WH_DTYPE_FORCE_32;
    assert_true(c->n_tokens >= TOKENS && c->n_vocab <= MAX_VOCAB);
    for (size_t k = 0; k < c->n_logits; k++) { /* grouped by type */
      const wh_dtype dtype = c->logits[k].dtype;
      if (dtype != previous && (dtype == WH_DTYPE_F32 || i == 0))
        check(c, dtype, dtype == WH_DTYPE_F32 && i == 0);
      previous = dtype;
    }
  }
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

/* ---- sampling ---- */

static void *of_emulator(const char *name) {
  void *emulator = dlopen(WH_BACKENDS "/whimbrel-ptxemu.so", RTLD_NOW | RTLD_NOLOAD);
  assert_non_null(emulator);
  void *address = dlsym(emulator, name);
  assert_non_null(address);
  return address;
}

/* Calls of the driver so far; 0 where nobody counts them. */
static unsigned n_calls(void) {
  union {
    void *address;
    unsigned (*count)(void);
  } calls = {emulated ? of_emulator("ptxemu_calls") : NULL};
  return emulated ? calls.count() : 0;
}

/* Tokens of an answer, picked from the device's largest logits or from all of them. `peer`: a second device.
 */
static void answer_on(wh_model *model, wh_device *device, wh_device *peer, wh_split_mode mode,
                      const tiny_case *c, const wh_sampling *sampling, bool from_logits,
                      int32_t out[TOKENS]) {
  wh_session_options options = WH_SESSION_OPTIONS_INIT;
  wh_session *session = NULL;
  wh_generator *generator = NULL;
  /* by the largest logits: the others stay where they are */
  const bool decided =
      !sampling->presence_penalty && (sampling->temperature == 0 || sampling->top_k || sampling->min_p > 0);
  options.context = 64;
  options.peers = &peer;
  options.n_peers = peer != NULL;
  options.split_mode = mode;
  need(wh_session_create(model, device, &options, &session), "session");
  for (uint32_t i = 0; i < 1 + options.n_peers; i++) {
    wh_session_placement placement = WH_SESSION_PLACEMENT_INIT;
    need(wh_session_get_placement(session, i, &placement), "placement");
    assert_true(placement.n_layers > 0 && placement.kv_state > 0);
  }
  need(wh_generator_create(model, sampling, &generator), "generator");
  for (uint32_t i = 0; i < TOKENS; i++) {
    wh_batch batch = WH_BATCH_INIT;
    batch.tokens = i ? &out[i - 1] : c->tokens;
    batch.n_tokens = i ? 1 : PROMPT;
    batch.n_outputs = 1;
    need(wh_session_run(session, &batch), "run");
    const unsigned before = n_calls();
    if (from_logits)
      need(wh_generator_sample(generator, wh_session_logits(session, 0), &out[i]), "sampling");
    else
      need(wh_session_sample(session, 0, generator, &out[i]), "sampling");
    if (device == gpu && emulated) assert_int_equal(n_calls() > before, from_logits || !decided);
  }
  wh_generator_destroy(generator);
  wh_session_destroy(session);
}

static void answer(wh_model *model, wh_device *device, const tiny_case *c, const wh_sampling *sampling,
                   bool from_logits, int32_t out[TOKENS]) {
  answer_on(model, device, NULL, WH_SPLIT_LAYERS, c, sampling, from_logits, out);
}

/* The processor's tokens, whatever the options; the logits are copied only where they are looked at. */
static void sampling(void **state) {
  (void)state;
  tiny_goldens *g = tiny_goldens_load("llama");
  wh_model *model = open_tiny(&g->cases[0], WH_DTYPE_F32);
  for (int i = 0; i < 6; i++) {
    wh_sampling s = WH_SAMPLING_INIT;
    int32_t want[TOKENS], got[TOKENS];
    s.temperature = i ? 1.5f : 0.0f;
    s.seed = (uint64_t)i;
    if (i == 2) s.top_k = 5;
    if (i == 3) s.top_p = 0.7f;
    if (i == 4) s.min_p = 0.2f;
    if (i == 5) s.presence_penalty = 0.5f;
    answer(model, cpu, &g->cases[0], &s, true, want);
    answer(model, gpu, &g->cases[0], &s, false, got);
    assert_memory_equal(want, got, sizeof want);
    answer(model, gpu, &g->cases[0], &s, true, got);
    assert_memory_equal(want, got, sizeof want);
    answer(model, cpu, &g->cases[0], &s, false, got);
    assert_memory_equal(want, got, sizeof want);
  }
  wh_model_destroy(model);
  tiny_goldens_free(g);
}

/* ---- two GPUs ---- */

/* Each of two devices has some layers, or a part of all, and they give the processor's tokens; the last one's
 * largest logits pick them. HIP's two have waves of 64 and of 32, where nothing else is asked for. */
static void answers_of_two(void **state) {
  (void)state;
  if (!second) skip();
  tiny_goldens *g = tiny_goldens_load("llama");
  wh_model *model = open_tiny(&g->cases[0], WH_DTYPE_Q4_K);
  for (int mode = WH_SPLIT_LAYERS; mode <= WH_SPLIT_TENSORS; mode++) {
    wh_sampling s = WH_SAMPLING_INIT;
    int32_t want[TOKENS], got[TOKENS];
    s.temperature = 1.5f;
    s.top_k = 9;
    s.seed = 3;
    answer(model, cpu, &g->cases[0], &s, false, want);
    answer_on(model, gpu, second, (wh_split_mode)mode, &g->cases[0], &s, false, got);
    assert_memory_equal(want, got, sizeof want);
  }
  wh_model_destroy(model);
  tiny_goldens_free(g);
}

/* ---- one of them fails ---- */

static void set_emulator(const char *options) {
  union {
    void *address;
    int (*set)(const char *);
  } set = {of_emulator("ptxemu_set")};
  assert_int_equal(set.set(options), 0);
}

/* Calls of the driver fail here and there, once or from then on: an error of that session. The next one gives
 * the bits. */
static void one_of_two_fails(void **state) {
  (void)state;
  static logits want, got;
  if (!emulated) skip();
  tiny_goldens *g = tiny_goldens_load("llama");
  const tiny_case *c = &g->cases[0];
  wh_model *model = open_tiny(c, WH_DTYPE_F32);
  need(run(model, cpu, NULL, (split){0, 0, WH_SPLIT_LAYERS}, c, WH_DTYPE_F16, &want), "model");
  for (int mode = 0; mode < 2; mode++) {
    const split s = {0, 0, mode ? WH_SPLIT_TENSORS : WH_SPLIT_LAYERS};
    set_emulator("fail=0");
    need(run_on(model, gpu, NULL, true, s, c, WH_DTYPE_F16, &got), "no call fails");
    const unsigned n = n_calls();
    unsigned n_failed = 0;
    for (unsigned at = 1; at <= n; at += n / 6) {
      char options[64];
      (void)snprintf(options, sizeof options, "fail=%u,fail_code=%s", at, at % 2 ? "719,lost" : "0");
      set_emulator(options);
      const wh_status st = run_on(model, gpu, NULL, true, s, c, WH_DTYPE_F16, &got);
      if (st != WH_OK && st != WH_ERR_DEVICE && st != WH_ERR_OUT_OF_MEMORY)
        fail_msg("call %u: status %d, '%s'", at, st, wh_last_error()->message);
      n_failed += st != WH_OK;
      set_emulator("fail=0,fail_code=0,lost=0");
      need(run_on(model, gpu, NULL, true, s, c, WH_DTYPE_F16, &got), "after a failure");
      compare(c, WH_DTYPE_F32, "two GPUs, after a failure", &want, &got);
    }
    print_message("%s: %u of %u calls failed one by one\n", mode ? "tensors" : "layers", n_failed, n);
    assert_true(n_failed >= 4);
  }
  wh_model_destroy(model);
  tiny_goldens_free(g);
}

/* What the emulator found wrong with kernels, copies and waits of all of it. */
static void nothing_is_reported(void **state) {
  (void)state;
  print_message("%zu models\n", n_models);
  assert_true(n_models >= LEAST_MODELS);
  if (!emulated) return;
  union {
    void *address;
    unsigned (*count)(void);
  } reports = {of_emulator("ptxemu_report_count")};
  assert_int_equal(reports.count(), 0);
}

static int open_devices(void **state) {
  (void)state;
  folder = temp_folder_create();
  wh_device_options options = WH_DEVICE_OPTIONS_INIT;
  if (wh_device_create(&options, &cpu) != WH_OK) return -1;
  options.name = getenv("WH_TEST_GPU") ? "cuda" : WH_TEST_DEVICE; /* scripts/gpu-check: the machine has one */
  emulated = strstr(options.name, "emulated") != NULL;
  options.backend_folder = WH_BACKENDS;
  if (setenv("PTXEMU", "strict,refuse_approx,seed=5,memory=512,devices=2", 1) != 0) return -1;
  if (wh_device_create(&options, &gpu) == WH_OK) {
    char name[32];
    (void)snprintf(name, sizeof name, "%s:1", options.name);
    options.name = name;
    return wh_device_create(&options, &second) == WH_OK || getenv("WH_TEST_GPU") ? 0 : -1;
  }
  print_message("%s\n", wh_last_error()->message);
  return -1;
}

static int close_devices(void **state) {
  (void)state;
  temp_folder_remove(&folder);
  wh_device_destroy(second);
  wh_device_destroy(gpu);
  wh_device_destroy(cpu);
  return 0;
}

int main(int argc, char **argv) {
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
      cmocka_unit_test(sampling),
      cmocka_unit_test(answers_of_two),
      cmocka_unit_test(one_of_two_fails),
      cmocka_unit_test(nothing_is_reported),
  };
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  return cmocka_run_group_tests_name("cuda_models", tests, open_devices, close_devices);
}
