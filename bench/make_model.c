/* make_model.c - writes a GGUF model of a given shape and weight type with random weights: what speed is
 * measured on when the real file is too large to fetch. Codes are uniform, scales small and finite; the same
 * arguments give the same bytes.
 *
 *   make_model SHAPE TYPE OUT.gguf      e.g. make_model llama-1.1b q4_k_m model.gguf */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/exact_math.h"
#include "formats/gguf_write.h"

typedef struct shape {
  const char *name;
  int64_t n_embd, n_ff, n_layers, n_heads, n_kv_heads, n_vocab;
  int64_t n_experts, n_experts_used; /* 0: a llama; else a qwen3moe whose experts have n_ff */
} shape;

static const shape shapes[] = {{"tiny", 256, 768, 3, 4, 2, 2000, 0, 0},
                               {"llama-1.1b", 2048, 5632, 22, 32, 4, 32000, 0, 0},
                               {"smollm2-135m", 576, 1536, 30, 9, 3, 49152, 0, 0},
                               {"llama-8b-slice", 4096, 14336, 2, 32, 8, 128256, 0, 0},
                               {"llama-8b-layer", 4096, 14336, 1, 32, 8, 2048, 0, 0},
                               {"tiny-moe", 256, 256, 4, 4, 2, 2000, 8, 2},
                               {"moe-small", 1024, 768, 16, 16, 4, 32000, 32, 4}};

/* Where the fp16 scales of a block are; everything else in it is random. `scale` makes the weights' standard
 * deviation about 0.02, which keeps activations near 1, and the second field, `shift` times the scale, takes
 * their mean away: an error anywhere in the model then shows in its answer. */
typedef struct scale_field {
  wh_dtype dtype;
  int offset, shift_offset; /* -1: none */
  float scale, shift;
} scale_field;
static const scale_field scale_table[] = {
    {WH_DTYPE_Q4_0, 0, -1, 4.3e-3f, 0},   {WH_DTYPE_Q4_1, 0, 2, 4.3e-3f, -7.5f},
    {WH_DTYPE_Q5_0, 0, -1, 2.2e-3f, 0},   {WH_DTYPE_Q5_1, 0, 2, 2.2e-3f, -15.5f},
    {WH_DTYPE_Q8_0, 0, -1, 2.7e-4f, 0},   {WH_DTYPE_Q2_K, 80, 82, 1.5e-3f, 1.5f},
    {WH_DTYPE_Q3_K, 108, -1, 4.8e-4f, 0}, {WH_DTYPE_Q4_K, 0, 2, 8e-5f, 7.5f},
    {WH_DTYPE_Q5_K, 0, 2, 4e-5f, 15.5f},  {WH_DTYPE_Q6_K, 208, -1, 1.5e-5f, 0},
    {WH_DTYPE_IQ4_NL, 0, -1, 2.9e-4f, 0}, {WH_DTYPE_IQ4_XS, 0, -1, 1.5e-5f, 0},
};
#define FLOAT_RANGE 0.035f /* uniform in +- this: the same deviation */
#define OUTPUT_GAIN 4.0f   /* logits far from flat */

static uint64_t random_state;
static uint64_t next_random(void) { /* splitmix64 (Steele et al. 2014) */
  uint64_t z = random_state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
static float next_uniform(void) { return (float)(next_random() >> 40) * 0x1p-23f - 1.0f; } /* [-1, 1) */

static void put_f16(uint8_t *p, float v) {
  uint16_t h = wh_f16_from_f32(v);
  memcpy(p, &h, 2);
}

static void fill_block(const wh_weight_view *w, const wh_dtype_info *info, float gain, uint8_t *p) {
  const wh_dtype dtype = w->dtype;
  if (dtype == WH_DTYPE_F32) {
    const float v = w->rank == 1 ? 1.0f : next_uniform() * FLOAT_RANGE * gain; /* norms are vectors */
    memcpy(p, &v, 4);
    return;
  }
  if (dtype == WH_DTYPE_F16) {
    put_f16(p, next_uniform() * FLOAT_RANGE * gain);
    return;
  }
  if (dtype == WH_DTYPE_BF16) {
    uint32_t u = wh_f32_bits(next_uniform() * FLOAT_RANGE * gain) >> 16;
    memcpy(p, &u, 2);
    return;
  }
  for (int i = 0; i < info->block_bytes; i += 8) {
    uint64_t r = next_random();
    memcpy(p + i, &r, (size_t)(info->block_bytes - i < 8 ? info->block_bytes - i : 8));
  }
  if (dtype == WH_DTYPE_MXFP4) p[0] = gain > 1 ? 122 : 120;
  for (size_t t = 0; t < sizeof scale_table / sizeof scale_table[0]; t++) {
    const scale_field *f = &scale_table[t];
    if (f->dtype != dtype) continue;
    const float scale = (1.0f + 0.5f * next_uniform()) * f->scale * gain;
    put_f16(p + f->offset, scale);
    if (f->shift_offset >= 0) put_f16(p + f->shift_offset, scale * f->shift);
  }
}

/* A vocabulary with a token for every byte, so that any program can read a text; the rest is filler. */
enum {
  TOKEN_NORMAL = 1,
  TOKEN_UNKNOWN = 2,
  TOKEN_CONTROL = 3,
  TOKEN_BYTE = 6,
  FIRST_BYTE = 3,
  TOKEN_TEXT = 16
};
typedef struct vocabulary {
  char (*text)[TOKEN_TEXT];
  wh_str *tokens;
  double *scores;
  int64_t *types;
} vocabulary;

static bool vocabulary_init(vocabulary *v, int64_t n) {
  static const char *const special[FIRST_BYTE] = {"<unk>", "<s>", "</s>"};
  *v = (vocabulary){calloc((size_t)n, sizeof *v->text), calloc((size_t)n, sizeof *v->tokens),
                    calloc((size_t)n, sizeof *v->scores), calloc((size_t)n, sizeof *v->types)};
  if (!v->text || !v->tokens || !v->scores || !v->types) return false;
  for (int64_t i = 0; i < n; i++) {
    const int64_t byte = i - FIRST_BYTE;
    if (i < FIRST_BYTE) {
      (void)snprintf(v->text[i], TOKEN_TEXT, "%s", special[i]);
      v->types[i] = i ? TOKEN_CONTROL : TOKEN_UNKNOWN;
    } else if (byte < 256) {
      (void)snprintf(v->text[i], TOKEN_TEXT, "<0x%02X>", (unsigned)byte);
      v->types[i] = TOKEN_BYTE;
    } else { /* U+E000 is nobody's character */
      (void)snprintf(v->text[i], TOKEN_TEXT, "\xee\x80\x80%d", (int)i);
      v->types[i] = TOKEN_NORMAL;
      v->scores[i] = -(double)i;
    }
    v->tokens[i] = wh_str_from(v->text[i]);
  }
  return true;
}

static void vocabulary_deinit(vocabulary *v) {
  free(v->text);
  free(v->tokens);
  free(v->scores);
  free(v->types);
}

enum { MAX_WEIGHTS = 1024, MAX_META = 24, NAME_BYTES = 64 };
typedef struct plan {
  const shape *s;
  wh_dtype dtype, heavy; /* heavy: for output, ffn_down and attn_v in the k-quant mixes */
  wh_weight_view weights[MAX_WEIGHTS];
  char names[MAX_WEIGHTS][NAME_BYTES];
  size_t n;
} plan;

/* A stack of `experts` matrices of rows x cols; experts 0: a matrix; rows 0: a vector. */
static void add(plan *p, const char *name, wh_dtype dtype, int64_t experts, int64_t rows, int64_t cols) {
  wh_weight_view *w = &p->weights[p->n];
  const int64_t dims[] = {experts, rows, cols};
  (void)snprintf(p->names[p->n], NAME_BYTES, "%s", name);
  *w = (wh_weight_view){.name = wh_str_from(p->names[p->n]), .dtype = dtype};
  for (int i = 0; i < 3; i++)
    if (dims[i]) w->dims[w->rank++] = dims[i];
  p->n++;
}

typedef struct layer_weight {
  const char *name;
  wh_dtype dtype;
  int64_t experts, rows, cols;
} layer_weight;

static void add_to_layer(plan *p, int64_t layer, const layer_weight *weights, size_t n) {
  for (size_t i = 0; i < n; i++) {
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "blk.%d.%s.weight", (int)layer, weights[i].name);
    add(p, name, weights[i].dtype, weights[i].experts, weights[i].rows, weights[i].cols);
  }
}

static void add_layer(plan *p, int64_t layer) {
  const shape *s = p->s;
  const int64_t d = s->n_embd, head = d / s->n_heads, kv = head * s->n_kv_heads, e = s->n_experts;
  const wh_dtype f32 = WH_DTYPE_F32, down = layer % 2 ? p->dtype : p->heavy;
  const layer_weight attention[] = {{"attn_norm", f32, 0, 0, d},        {"attn_q", p->dtype, 0, d, d},
                                    {"attn_k", p->dtype, 0, kv, d},     {"attn_v", p->heavy, 0, kv, d},
                                    {"attn_output", p->dtype, 0, d, d}, {"ffn_norm", f32, 0, 0, d}};
  const layer_weight mlp[] = {{"ffn_gate", p->dtype, 0, s->n_ff, d},
                              {"ffn_up", p->dtype, 0, s->n_ff, d},
                              {"ffn_down", down, 0, d, s->n_ff}};
  const layer_weight mixture[] = {
      {"attn_q_norm", f32, 0, 0, head},         {"attn_k_norm", f32, 0, 0, head},
      {"ffn_gate_inp", f32, 0, e, d},           {"ffn_gate_exps", p->dtype, e, s->n_ff, d},
      {"ffn_up_exps", p->dtype, e, s->n_ff, d}, {"ffn_down_exps", down, e, d, s->n_ff}};
  add_to_layer(p, layer, attention, sizeof attention / sizeof attention[0]);
  if (e)
    add_to_layer(p, layer, mixture, sizeof mixture / sizeof mixture[0]);
  else
    add_to_layer(p, layer, mlp, sizeof mlp / sizeof mlp[0]);
}

static wh_status produce(void *ctx, size_t i, wh_file_writer *file) {
  static uint8_t buffer[1 << 16];
  const wh_weight_view *w = &((const plan *)ctx)->weights[i];
  const wh_dtype_info *info = wh_dtype_get(w->dtype);
  uint64_t blocks = 1;
  for (int d = 0; d < w->rank; d++) blocks *= (uint64_t)w->dims[d];
  blocks /= info->block_elems;
  size_t per_buffer = sizeof buffer / info->block_bytes - 1;
  const float gain = wh_str_is(w->name, "output.weight") ? OUTPUT_GAIN : 1.0f;
  random_state = i;
  while (blocks) {
    size_t n = blocks < per_buffer ? (size_t)blocks : per_buffer;
    for (size_t b = 0; b < n; b++) fill_block(w, info, gain, buffer + b * info->block_bytes);
    WH_TRY(wh_file_writer_append(file, buffer, n * info->block_bytes));
    blocks -= n;
  }
  return WH_OK;
}

/* Keys of an architecture are "<architecture>.<key>". */
typedef struct meta_list {
  const char *architecture;
  wh_meta_entry entries[MAX_META];
  char keys[MAX_META][NAME_BYTES];
  size_t n;
} meta_list;

static const char *next_key(meta_list *m, const char *key) {
  (void)snprintf(m->keys[m->n], NAME_BYTES, "%s.%s", m->architecture, key);
  return m->keys[m->n];
}
static void add_u32(meta_list *m, const char *key, int64_t v) {
  m->entries[m->n] = wh_gguf_meta_u32(next_key(m, key), (uint32_t)v);
  m->n++;
}
static void add_f32(meta_list *m, const char *key, float v) {
  m->entries[m->n] = wh_gguf_meta_f32(next_key(m, key), v);
  m->n++;
}

static void add_array(meta_list *m, const char *key, wh_meta_value value) {
  value.kind = WH_META_ARRAY;
  m->entries[m->n++] = (wh_meta_entry){wh_str_from(key), value};
}

static void describe_vocabulary(const vocabulary *v, size_t n, meta_list *m) {
  m->entries[m->n++] = wh_gguf_meta_string("tokenizer.ggml.model", "llama");
  add_array(
      m, "tokenizer.ggml.tokens",
      (wh_meta_value){
          .elem_kind = WH_META_STRING, .file_type = WH_GGUF_VALUE_STRING, .n = n, .strings = v->tokens});
  add_array(m, "tokenizer.ggml.scores",
            (wh_meta_value){
                .elem_kind = WH_META_FLOAT, .file_type = WH_GGUF_VALUE_F32, .n = n, .floats = v->scores});
  add_array(
      m, "tokenizer.ggml.token_type",
      (wh_meta_value){.elem_kind = WH_META_INT, .file_type = WH_GGUF_VALUE_I32, .n = n, .ints = v->types});
  m->entries[m->n++] = wh_gguf_meta_u32("tokenizer.ggml.unknown_token_id", 0);
  m->entries[m->n++] = wh_gguf_meta_u32("tokenizer.ggml.bos_token_id", 1);
  m->entries[m->n++] = wh_gguf_meta_u32("tokenizer.ggml.eos_token_id", 2);
}

static void describe(const shape *s, meta_list *m) {
  m->architecture = s->n_experts ? "qwen3moe" : "llama";
  m->entries[m->n++] = wh_gguf_meta_string("general.architecture", m->architecture);
  m->entries[m->n++] = wh_gguf_meta_string("general.name", s->name);
  add_u32(m, "block_count", s->n_layers);
  add_u32(m, "context_length", 8192);
  add_u32(m, "embedding_length", s->n_embd);
  add_u32(m, "feed_forward_length", s->n_ff);
  add_u32(m, "attention.head_count", s->n_heads);
  add_u32(m, "attention.head_count_kv", s->n_kv_heads);
  add_u32(m, "vocab_size", s->n_vocab);
  add_f32(m, "attention.layer_norm_rms_epsilon", 1e-5f);
  add_f32(m, "rope.freq_base", 10000.0f);
  if (s->n_experts) {
    add_u32(m, "expert_count", s->n_experts);
    add_u32(m, "expert_used_count", s->n_experts_used);
    add_u32(m, "expert_feed_forward_length", s->n_ff);
  }
}

static wh_status write_model(plan *p, const char *path) {
  static meta_list meta;
  const shape *s = p->s;
  add(p, "token_embd.weight", p->dtype, 0, s->n_vocab, s->n_embd);
  for (int64_t l = 0; l < s->n_layers; l++) add_layer(p, l);
  add(p, "output_norm.weight", WH_DTYPE_F32, 0, 0, s->n_embd);
  add(p, "output.weight", p->heavy, 0, s->n_vocab, s->n_embd);
  describe(s, &meta);
  vocabulary v;
  if (!vocabulary_init(&v, s->n_vocab)) {
    vocabulary_deinit(&v);
    return WH_OOM("vocabulary");
  }
  describe_vocabulary(&v, (size_t)s->n_vocab, &meta);
  const wh_gguf_content content = {.meta = meta.entries,
                                   .n_meta = meta.n,
                                   .weights = p->weights,
                                   .n_weights = p->n,
                                   .produce = produce,
                                   .ctx = p};
  wh_status status = wh_gguf_write(path, &content, wh_allocator_default());
  vocabulary_deinit(&v);
  return status;
}

int main(int argc, char **argv) {
  static plan p;
  if (argc != 4) {
    fprintf(
        stderr,
        "usage: make_model SHAPE TYPE OUT.gguf\n  shapes: llama-1.1b smollm2-135m llama-8b-slice moe-small\n"
        "  types: any weight type (q4_0, q8_0, f16 ...) and q4_k_m\n");
    return 2;
  }
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
    if (strcmp(argv[1], shapes[i].name) == 0) p.s = &shapes[i];
  bool mix = strcmp(argv[2], "q4_k_m") == 0,
       known = mix || wh_dtype_from_name(argv[2], strlen(argv[2]), &p.dtype);
  if (mix) p.dtype = WH_DTYPE_Q4_K;
  p.heavy = mix ? WH_DTYPE_Q6_K : p.dtype;
  if (!p.s || !known) {
    fprintf(stderr, "make_model: unknown %s '%s'\n", p.s ? "type" : "shape", p.s ? argv[2] : argv[1]);
    return 2;
  }
  if (write_model(&p, argv[3]) != WH_OK) {
    fprintf(stderr, "make_model: %s\n", wh_last_error()->message);
    return 1;
  }
  return 0;
}
