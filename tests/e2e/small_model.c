/* small_model.c - see small_model.h. */
#include "tests/e2e/small_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a block of a type holds fp16 scales and minimums; MXFP4 has an exponent in one byte. */
static const struct {
  wh_dtype dtype;
  size_t n_fields, offsets[2];
} block_fields[] = {{WH_DTYPE_Q4_0, 1, {0}},    {WH_DTYPE_Q4_1, 2, {0, 2}}, {WH_DTYPE_Q5_0, 1, {0}},
                    {WH_DTYPE_Q5_1, 2, {0, 2}}, {WH_DTYPE_Q8_0, 1, {0}},    {WH_DTYPE_Q2_K, 2, {80, 82}},
                    {WH_DTYPE_Q3_K, 1, {108}},  {WH_DTYPE_Q4_K, 2, {0, 2}}, {WH_DTYPE_Q5_K, 2, {0, 2}},
                    {WH_DTYPE_Q6_K, 1, {208}},  {WH_DTYPE_IQ4_NL, 1, {0}},  {WH_DTYPE_IQ4_XS, 1, {0}},
                    {WH_DTYPE_MXFP4, 1, {0}},   {WH_DTYPE_F32, 1, {0}},     {WH_DTYPE_F16, 1, {0}},
                    {WH_DTYPE_BF16, 1, {0}}};

static size_t field_row(wh_dtype dtype) {
  size_t t = 0;
  while (block_fields[t].dtype != dtype) t++;
  return t;
}

/* A value of a type that is stored as float, fp16, bf16 or as MXFP4's exponent: sound (2^-9) or damaged. */
static void put_field(wh_dtype dtype, uint8_t *at, small_damage damage) {
  static const uint32_t f32[] = {0x3b000000, 0x7fc00000, 0x7f800000, 0xff800000};
  static const uint16_t f16[] = {0x1800, 0x7e00, 0x7c00, 0xfc00}, bf16[] = {0x3b00, 0x7fc0, 0x7f80, 0xff80};
  if (dtype == WH_DTYPE_F32)
    memcpy(at, &f32[damage], sizeof f32[0]);
  else if (dtype == WH_DTYPE_BF16)
    memcpy(at, &bf16[damage], sizeof bf16[0]);
  else if (dtype == WH_DTYPE_MXFP4)
    *at = damage == SMALL_SOUND ? 119 : 255; /* it has no infinities */
  else
    memcpy(at, &f16[damage], sizeof f16[0]);
}

static uint64_t next_random(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state >> 33;
}

static void fill(const wh_weight_view *w, uint8_t *out, uint64_t seed) {
  const wh_dtype_info *t = wh_dtype_get(w->dtype);
  uint64_t rng = seed;
  bool blocks = wh_dtype_is_quantised(w->dtype);
  for (size_t at = 0; at < w->n_bytes; at += t->block_bytes) {
    for (size_t i = 0; blocks && i < t->block_bytes; i++) out[at + i] = (uint8_t)next_random(&rng);
    for (size_t f = 0; f < block_fields[field_row(w->dtype)].n_fields; f++)
      put_field(w->dtype, out + at + block_fields[field_row(w->dtype)].offsets[f], SMALL_SOUND);
    if (!blocks) out[at + t->block_bytes - 1] ^= (uint8_t)(next_random(&rng) & 0x80); /* a random sign */
    if (!blocks && w->rank == 1) memcpy(out + at, &(float){1.0f}, sizeof(float));
  }
}

/* `experts`, `rows` 0: without that dimension */
static void add(small_model *m, const char *name, wh_dtype dtype, int64_t experts, int64_t rows,
                int64_t cols) {
  wh_weight_view *w = &m->weights[m->n_weights];
  const int64_t dims[] = {experts, rows, cols};
  size_t row_bytes;
  (void)snprintf(m->names[m->n_weights], sizeof m->names[0], "%s.weight", name);
  *w = (wh_weight_view){.name = wh_str_from(m->names[m->n_weights]), .dtype = dtype};
  if (!wh_dtype_row_bytes(dtype, (uint64_t)cols, &row_bytes)) abort();
  w->n_bytes = row_bytes;
  for (int i = 0; i < 3; i++) {
    if (dims[i]) w->dims[w->rank++] = dims[i];
    if (dims[i] && i < 2) w->n_bytes *= (size_t)dims[i];
  }
  uint8_t *data = malloc(w->n_bytes);
  if (!data) abort();
  fill(w, data, m->n_weights + 1);
  w->data = data;
  m->n_weights++;
}

/* A tensor of a layer. */
typedef struct part {
  const char *name;
  int rows; /* in widths: 0 a vector, 1 the width, 2 half of it (four heads, two of them for keys) */
} part;

static void add_layer(small_model *m, int layer, wh_dtype dtype, int64_t width) {
  static const part parts[] = {{"attn_norm", 0}, {"attn_q", 1},      {"attn_k", 2},
                               {"attn_v", 2},    {"attn_output", 1}, {"ffn_norm", 0},
                               {"ffn_gate", 1},  {"ffn_up", 1},      {"ffn_down", 1}};
  char name[64];
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    const bool stacked = m->has_experts && i >= 6;
    (void)snprintf(name, sizeof name, "blk.%d.%s%s", layer, parts[i].name, stacked ? "_exps" : "");
    add(m, name, parts[i].rows ? dtype : WH_DTYPE_F32, stacked ? SMALL_N_EXPERTS : 0,
        parts[i].rows ? width / parts[i].rows : 0, width);
  }
  (void)snprintf(name, sizeof name, "blk.%d.ffn_gate_inp", layer);
  if (m->has_experts) add(m, name, WH_DTYPE_F32, 0, SMALL_N_EXPERTS, width);
}

static small_model *create(wh_dtype dtype, int64_t width, bool has_experts, int64_t n_vocab, bool is_tied) {
  small_model *m = calloc(1, sizeof *m);
  if (!m) abort();
  m->has_experts = has_experts;
  add(m, "token_embd", dtype, 0, n_vocab, width);
  add(m, "output_norm", WH_DTYPE_F32, 0, 0, width);
  if (!is_tied) add(m, "output", dtype, 0, n_vocab, width);
  for (int layer = 0; layer < SMALL_N_LAYERS; layer++) add_layer(m, layer, dtype, width);
  return m;
}

small_model *small_model_create(wh_dtype dtype, int64_t width) {
  return create(dtype, width, false, SMALL_N_VOCAB, false);
}
small_model *small_model_create_experts(wh_dtype dtype, int64_t width) {
  return create(dtype, width, true, SMALL_N_VOCAB, false);
}
small_model *small_model_create_tied(wh_dtype dtype, int64_t width, int64_t n_vocab) {
  return create(dtype, width, false, n_vocab, true);
}

void small_model_destroy(small_model *m) {
  for (size_t i = 0; i < m->n_weights; i++) {
    union {
      const void *in;
      void *out;
    } data = {m->weights[i].data}; /* made by add() */
    free(data.out);
  }
  free(m);
}

size_t small_model_n_fields(const small_model *m, size_t i) {
  return block_fields[field_row(m->weights[i].dtype)].n_fields;
}

void small_model_damage(small_model *m, size_t i, size_t field, bool last, small_damage damage) {
  const wh_weight_view *w = &m->weights[i];
  size_t block_bytes = wh_dtype_get(w->dtype)->block_bytes;
  union {
    const void *in;
    uint8_t *out;
  } data = {w->data};
  put_field(
      w->dtype,
      data.out + (last ? w->n_bytes - block_bytes : 0) + block_fields[field_row(w->dtype)].offsets[field],
      damage);
}

const char *const small_tokens[SMALL_N_VOCAB] = {
    "<s>", "</s>", "<|user|>", "a", "b", "c",  "d",      "e",      "f",      "g",      "h", "i",
    "j",   "k",    "l",        "m", "n", "o",  "p",      "q",      "r",      "s",      "t", "u",
    "v",   "w",    "x",        "y", "z", "ab", "\u0120", "\u010a", "\u00c3", "\u00a9", "<", ">",
    "|",   "/",    "A",        "B", "C", "D",  "E",      "F",      "G",      "H",      "I", "J"};

#define MAX_META 32

typedef struct meta_list {
  wh_meta_entry entries[MAX_META];
  size_t n;
} meta_list;

static void put(meta_list *l, wh_meta_entry e) {
  if (l->n == MAX_META) abort();
  l->entries[l->n++] = e;
}

static meta_list describe(const small_model *m) {
  const uint32_t width = (uint32_t)m->weights[0].dims[1];
  meta_list l = {.n = 0};
  put(&l, wh_gguf_meta_string("general.architecture", "llama"));
  put(&l, wh_gguf_meta_string("general.name", "small"));
  put(&l, wh_gguf_meta_u32("llama.block_count", SMALL_N_LAYERS));
  put(&l, wh_gguf_meta_u32("llama.context_length", 128));
  put(&l, wh_gguf_meta_u32("llama.embedding_length", width));
  put(&l, wh_gguf_meta_u32("llama.feed_forward_length", width));
  put(&l, wh_gguf_meta_u32("llama.attention.head_count", 4));
  put(&l, wh_gguf_meta_u32("llama.attention.head_count_kv", 2));
  put(&l, wh_gguf_meta_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f));
  if (!m->has_experts) return l;
  put(&l, wh_gguf_meta_u32("llama.expert_count", SMALL_N_EXPERTS));
  put(&l, wh_gguf_meta_u32("llama.expert_used_count", SMALL_N_EXPERTS_USED));
  return l;
}

static void write_model(const small_model *m, const meta_list *l, const char *path) {
  const wh_gguf_content content = {
      .meta = l->entries, .n_meta = l->n, .weights = m->weights, .n_weights = m->n_weights};
  if (wh_gguf_write(path, &content, NULL) != WH_OK) abort();
}

void small_model_write(const small_model *m, const char *path) {
  const meta_list l = describe(m);
  write_model(m, &l, path);
}

void small_model_write_with_text(const small_model *m, const char *path) {
  meta_list l = describe(m);
  wh_str tokens[SMALL_N_VOCAB];
  int64_t types[SMALL_N_VOCAB];
  const wh_str merges[] = {wh_str_from("a b")};
  for (int i = 0; i < SMALL_N_VOCAB; i++) {
    tokens[i] = wh_str_from(small_tokens[i]);
    types[i] = i <= SMALL_USER ? 3 : 1; /* control, normal */
  }
  const wh_meta_value token_list = {.kind = WH_META_ARRAY,
                                    .elem_kind = WH_META_STRING,
                                    .file_type = WH_GGUF_VALUE_STRING,
                                    .n = SMALL_N_VOCAB,
                                    .strings = tokens};
  const wh_meta_value type_list = {.kind = WH_META_ARRAY,
                                   .elem_kind = WH_META_INT,
                                   .file_type = WH_GGUF_VALUE_I32,
                                   .n = SMALL_N_VOCAB,
                                   .ints = types};
  const wh_meta_value merge_list = {.kind = WH_META_ARRAY,
                                    .elem_kind = WH_META_STRING,
                                    .file_type = WH_GGUF_VALUE_STRING,
                                    .n = 1,
                                    .strings = merges};
  put(&l, wh_gguf_meta_string("tokenizer.ggml.model", "gpt2"));
  put(&l, wh_gguf_meta_string("tokenizer.ggml.pre", "gpt-2"));
  put(&l, (wh_meta_entry){wh_str_from("tokenizer.ggml.tokens"), token_list});
  put(&l, (wh_meta_entry){wh_str_from("tokenizer.ggml.token_type"), type_list});
  put(&l, (wh_meta_entry){wh_str_from("tokenizer.ggml.merges"), merge_list});
  put(&l, wh_gguf_meta_u32("tokenizer.ggml.bos_token_id", SMALL_BOS));
  put(&l, wh_gguf_meta_u32("tokenizer.ggml.eos_token_id", SMALL_EOS));
  put(&l, wh_gguf_meta_bool("tokenizer.ggml.add_bos_token", true));
  put(&l, wh_gguf_meta_string("tokenizer.chat_template",
                              "{{ bos_token }}{% for message in messages %}<|user|>{{ message.content }}\n"
                              "{% endfor %}"));
  write_model(m, &l, path);
}

void small_model_put(const char *path, wh_dtype dtype, int64_t width) {
  small_model *m = small_model_create(dtype, width);
  small_model_write(m, path);
  small_model_destroy(m);
}
