/* test_coverage.c - nothing of a file is left out silently: a tensor or key that takes part in the
 * computation is used or refused by name; what changes no answer is accepted and changes no graph. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <string.h>

#include "formats/gguf_write.h"
#include "import/families/model.h"
#include "tests/base/temp_folder.h"
#include "tests/models/tiny_cmocka.h"
#include "tests/models/tiny_model.h"

static temp_folder folder;
static const float values[4096] = {0.5f};

typedef struct subject {
  tiny_goldens *g;
  tiny_model *m;
} subject;

static subject make(const char *file) {
  subject s = {.g = tiny_goldens_load(file)};
  s.m = tiny_model_make(tiny_find_case(s.g, file), WH_DTYPE_F32);
  return s;
}

static void unmake(subject *s) {
  tiny_model_free(s->m);
  tiny_goldens_free(s->g);
}

static void add_tensor(subject *s, const char *name, int64_t n) {
  assert_true(s->m->n_weights < TINY_MAX_TENSORS);
  s->m->weights[s->m->n_weights++] = (wh_weight_view){.name = wh_str_from(name),
                                                      .dtype = WH_DTYPE_F32,
                                                      .rank = 1,
                                                      .dims = {n},
                                                      .data = values,
                                                      .n_bytes = (size_t)n * sizeof(float)};
}

/* The graph's hash, or the refusal. */
static wh_status build(const subject *s, wh_hash128 *hash) {
  temp_path path = temp_path_of(&folder, "tiny.gguf");
  wh_model_file *file = NULL;
  wh_graph *g = NULL;
  tiny_model_write(s->m, path.text);
  if (wh_model_file_open(path.text, NULL, &file) != WH_OK) fail_msg("%s", wh_last_error()->message);
  wh_status st = wh_model_build_graph(file, NULL, NULL, &g, NULL);
  if (st == WH_OK) assert_int_equal(wh_graph_hash(g, hash), WH_OK);
  wh_graph_destroy(g);
  wh_model_file_close(file);
  return st;
}

static void assert_refused(const subject *s, const char *name, const char *architecture) {
  wh_hash128 hash;
  wh_status st = build(s, &hash);
  if (st != WH_ERR_UNSUPPORTED) fail_msg("%s in %s: %s", name, architecture, wh_status_name(st));
  const char *message = wh_last_error()->message;
  char quoted[128];
  (void)snprintf(quoted, sizeof quoted, "'%s'", name);
  if (!strstr(message, quoted) || !strstr(message, architecture) || !strstr(message, "tiny.gguf"))
    fail_msg("'%s' does not name %s, %s and the file", message, name, architecture);
}

static void other_tensors_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *family, *tensor;
    int64_t n;
  } cases[] = {
      {"llama", "blk.0.attn_q_norm.weight", 64},
      {"llama", "blk.0.attn_k_norm.weight", 64},
      {"llama", "blk.1.attn_norm.bias", 256},
      {"llama", "blk.0.ffn_norm.bias", 256},
      {"llama", "blk.0.post_attention_norm.weight", 256},
      {"llama", "blk.0.post_ffw_norm.weight", 256},
      {"llama", "blk.0.attn_sinks.weight", 4},
      {"llama", "blk.0.attn_sub_norm.weight", 256},
      {"llama", "blk.0.attn_q.scale", 1},
      {"llama", "blk.0.ffn_down.scale", 1},
      {"llama", "blk.0.attn_output_norm.weight", 256},
      {"llama", "blk.0.layer_output_norm.weight", 256},
      {"llama", "blk.0.attn_gate.weight", 256},
      {"llama", "output_norm.bias", 256},
      {"llama", "token_embd_norm.weight", 256},
      {"llama", "position_embd.weight", 512},
      {"llama", "cls.output.weight", 256},
      {"llama", "blk.2.attn_norm.weight", 256},
      {"llama", "rope_factors.weight", 32},
      {"llama", "something", 1},
      {"qwen2", "blk.0.attn_q_norm.weight", 64},
      {"qwen3", "blk.1.attn_norm_2.weight", 256},
      {"mixtral", "blk.0.exp_probs_b.bias", 8},
      {"mixtral", "blk.0.ffn_gate_inp.bias", 8},
      {"mixtral", "blk.0.ffn_up_exps.bias", 2048},
      {"qwen3moe", "blk.0.ffn_gate_inp_shexp.weight", 256},
      {"qwen2moe", "blk.1.exp_probs_b.bias", 12},
      {"gemma2", "blk.0.attn_q_norm.weight", 64},
      {"gemma3", "blk.2.laurel_post_norm.weight", 256},
      {"gemma3", "per_layer_proj_norm.weight", 256},
      {"phi3", "blk.0.attn_q.bias", 256},
      {"phi3", "blk.1.ffn_gate.bias", 256},
      {"phi3", "rope_factors.weight", 24},
      {"phi3", "blk.0.attn_norm.bias", 256},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    subject s = make(cases[i].family);
    add_tensor(&s, cases[i].tensor, cases[i].n);
    assert_refused(&s, cases[i].tensor, strcmp(cases[i].family, "mixtral") ? cases[i].family : "llama");
    add_tensor(&s, "yet.another", 1);
    assert_refused(&s, cases[i].tensor, "(and 1 more)");
    unmake(&s);
  }
  subject s = make("llama"); /* fewer layers than the file has */
  tiny_model_set(s.m, wh_gguf_meta_u32("llama.block_count", 1));
  assert_refused(&s, "blk.1.attn_norm.weight", "(and 8 more)");
  unmake(&s);
}

static void unneeded_tensors_change_nothing(void **state) {
  (void)state;
  static const struct {
    const char *family, *tensor;
  } cases[] = {{"llama", "blk.0.attn_rot_embd.weight"},
               {"gemma3", "v.blk.0.attn_q.weight"},
               {"gemma3", "mm.input_projection.weight"},
               {"qwen2", "a.conv1d.1.bias"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    wh_hash128 without, with;
    subject s = make(cases[i].family);
    assert_int_equal(build(&s, &without), WH_OK);
    add_tensor(&s, cases[i].tensor, 32);
    if (build(&s, &with) != WH_OK) fail_msg("%s", wh_last_error()->message);
    assert_memory_equal(&without, &with, sizeof with);
    unmake(&s);
  }
}

/* Layers that predict further tokens stand behind the others, and the file says how many they are. */
static void prediction_layers_are_left_out(void **state) {
  (void)state;
  wh_hash128 without, with;
  subject s = make("llama");
  assert_int_equal(build(&s, &without), WH_OK);
  tiny_model_set(s.m, wh_gguf_meta_u32("llama.block_count", 3));
  tiny_model_set(s.m, wh_gguf_meta_u32("llama.nextn_predict_layers", 1));
  add_tensor(&s, "blk.2.nextn.eh_proj.weight", 64);
  add_tensor(&s, "blk.2.attn_norm.weight", 256);
  if (build(&s, &with) != WH_OK) fail_msg("%s", wh_last_error()->message);
  assert_memory_equal(&without, &with, sizeof with);
  add_tensor(&s, "blk.3.attn_norm.weight", 256);
  assert_refused(&s, "blk.3.attn_norm.weight", "llama");
  unmake(&s);
  s = make("llama");
  tiny_model_set(s.m, wh_gguf_meta_u32("llama.nextn_predict_layers", 2));
  assert_int_equal(build(&s, &with), WH_ERR_CORRUPT); /* none is left */
  unmake(&s);
}

typedef struct key_case {
  const char *family, *key;
  enum { INT, FLOAT, BOOL, TEXT } kind;
  double value;
} key_case;

static void set_key(subject *s, const key_case *c) {
  tiny_model_set(s->m, c->kind == INT     ? wh_gguf_meta_u32(c->key, (uint32_t)c->value)
                       : c->kind == FLOAT ? wh_gguf_meta_f32(c->key, (float)c->value)
                       : c->kind == BOOL  ? wh_gguf_meta_bool(c->key, c->value != 0)
                                          : wh_gguf_meta_string(c->key, "text"));
}

static void computing_keys_are_refused(void **state) {
  (void)state;
  static const key_case cases[] = {
      {"llama", "llama.logit_scale", FLOAT, 0.5},
      {"llama", "llama.embedding_scale", FLOAT, 12},
      {"llama", "llama.residual_scale", FLOAT, 0.22},
      {"llama", "llama.residual_multiplier", FLOAT, 0.22},
      {"llama", "llama.attention.clamp_kqv", FLOAT, 8},
      {"llama", "llama.attention.max_alibi_bias", FLOAT, 8},
      {"llama", "llama.attention.output_scale", FLOAT, 0.1},
      {"llama", "llama.attention.temperature_scale", FLOAT, 0.1},
      {"llama", "llama.attention.sinks", BOOL, 1},
      {"llama", "llama.attention.kind", TEXT, 0},
      {"llama", "llama.attention.kv_lora_rank", INT, 512},
      {"llama", "llama.attention.shared_kv_layers", INT, 2},
      {"llama", "llama.rope.scaling.alpha", FLOAT, 1000},
      {"llama", "llama.rope.scaling.yarn_log_multiplier", FLOAT, 0.1},
      {"llama", "llama.rope.global.freq_base", FLOAT, 1000000},
      {"llama", "llama.use_parallel_residual", BOOL, 1},
      {"llama", "llama.swiglu_clamp_exp", FLOAT, 7},
      {"llama", "llama.router_logit_softcapping", FLOAT, 30},
      {"llama", "llama.ssm.state_size", INT, 16},
      {"llama", "llama.full_attention_interval", INT, 4},
      {"mixtral", "llama.leading_dense_block_count", INT, 1},
      {"mixtral", "llama.moe_every_n_layers", INT, 2},
      {"mixtral", "llama.interleave_moe_layer_step", INT, 2},
      {"mixtral", "llama.expert_group_scale", FLOAT, 2},
      {"mixtral", "llama.expert_something_new", INT, 1},
      {"phi3", "phi3.attention.sliding_window_pattern", INT, 2},
      {"phi3", "phi3.rope.freq_base_swa", FLOAT, 500},
      {"gemma2", "gemma2.attention.key_length_swa", INT, 32},
      {"gemma3", "gemma3.rope.local.freq_base", FLOAT, 10000},
      {"qwen3", "qwen3.rope.dimension_sections", INT, 16},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    subject s = make(cases[i].family);
    set_key(&s, &cases[i]);
    assert_refused(&s, cases[i].key, strcmp(cases[i].family, "mixtral") ? cases[i].family : "llama");
    unmake(&s);
  }
  /* a list counts by its elements */
  subject s = make("llama");
  int64_t list[] = {0, 0};
  wh_meta_entry e = {wh_str_from("llama.swiglu_clamp_shexp"),
                     {.kind = WH_META_ARRAY,
                      .elem_kind = WH_META_INT,
                      .file_type = WH_GGUF_VALUE_I32,
                      .n = 2,
                      .ints = list}};
  wh_hash128 hash;
  tiny_model_set(s.m, e);
  assert_int_equal(build(&s, &hash), WH_OK);
  list[1] = 7;
  assert_refused(&s, "llama.swiglu_clamp_shexp", "llama");
  unmake(&s);
}

static void other_keys_change_nothing(void **state) {
  (void)state;
  static const key_case cases[] = {
      {"llama", "llama.vocab_size", INT, 192},
      {"llama", "llama.tensor_data_layout", TEXT, 0},
      {"llama", "llama.rope.scaling.finetuned", BOOL, 1},
      {"llama", "llama.attention.layer_norm_epsilon", FLOAT, 1e-5},
      {"llama", "llama.attention.clamp_kqv", FLOAT, 0},
      {"llama", "llama.logit_scale", FLOAT, 1},
      {"llama", "llama.residual_scale", FLOAT, 0},
      {"llama", "llama.use_parallel_residual", BOOL, 0},
      {"llama", "llama.expert_used_count", INT, 0},
      {"llama", "llama.expert_feed_forward_length", INT, 64},
      {"llama", "llama.attention.sliding_window_pattern", INT, 4}, /* no layer has a window */
      {"llama", "llama.rope.freq_base_swa", FLOAT, 77},
      {"llama", "llama.pooling_type", INT, 3},
      {"llama", "llama.anything_else", TEXT, 0},
      {"llama", "general.scale", FLOAT, 5}, /* not the architecture's */
      {"llama", "llamas.logit_scale", FLOAT, 5},
      {"mixtral", "llama.expert_shared_count", INT, 1},
      {"mixtral", "llama.moe_every_n_layers", INT, 1},
      {"phi3", "phi3.attention.key_length_swa", INT, 64},
      {"gemma3", "gemma3.vision.attention.layer_norm_epsilon", FLOAT, 1e-6},
      {"gemma3", "gemma3.mm.tokens_per_image", INT, 256},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    wh_hash128 without, with;
    subject s = make(cases[i].family);
    assert_int_equal(build(&s, &without), WH_OK);
    set_key(&s, &cases[i]);
    if (build(&s, &with) != WH_OK) fail_msg("%s", wh_last_error()->message);
    assert_memory_equal(&without, &with, sizeof with);
    unmake(&s);
  }
}

static int make_folder(void **state) {
  (void)state;
  folder = temp_folder_create();
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  temp_folder_remove(&folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(other_tensors_are_refused),      cmocka_unit_test(unneeded_tensors_change_nothing),
      cmocka_unit_test(prediction_layers_are_left_out), cmocka_unit_test(computing_keys_are_refused),
      cmocka_unit_test(other_keys_change_nothing),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
