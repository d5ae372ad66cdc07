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
} shape;

static const shape shapes[] = {{"llama-1.1b", 2048, 5632, 22, 32, 4, 32000},
                               {"smollm2-135m", 576, 1536, 30, 9, 3, 49152},
                               {"llama-8b-slice", 4096, 14336, 2, 32, 8, 128256}};

/* Where the fp16 scales of a block are; everything else in it is random. */
typedef struct scale_fields {
  wh_dtype dtype;
  int n, offset[2];
} scale_fields;
static const scale_fields scale_table[] = {
    {WH_DTYPE_Q4_0, 1, {0}},    {WH_DTYPE_Q4_1, 2, {0, 2}}, {WH_DTYPE_Q5_0, 1, {0}},
    {WH_DTYPE_Q5_1, 2, {0, 2}}, {WH_DTYPE_Q8_0, 1, {0}},    {WH_DTYPE_Q2_K, 2, {80, 82}},
    {WH_DTYPE_Q3_K, 1, {108}},  {WH_DTYPE_Q4_K, 2, {0, 2}}, {WH_DTYPE_Q5_K, 2, {0, 2}},
    {WH_DTYPE_Q6_K, 1, {208}},  {WH_DTYPE_IQ4_NL, 1, {0}},  {WH_DTYPE_IQ4_XS, 1, {0}},
};

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

static void fill_block(const wh_weight_view *w, const wh_dtype_info *info, uint8_t *p) {
  const wh_dtype dtype = w->dtype;
  if (dtype == WH_DTYPE_F32) {
    const float v = w->rank == 1 ? 1.0f : next_uniform() * 0.03f; /* norms are vectors */
    memcpy(p, &v, 4);
    return;
  }
  if (dtype == WH_DTYPE_F16) {
    put_f16(p, next_uniform() * 0.03f);
    return;
  }
  if (dtype == WH_DTYPE_BF16) {
    uint32_t u = wh_f32_bits(next_uniform() * 0.03f) >> 16;
    memcpy(p, &u, 2);
    return;
  }
  for (int i = 0; i < info->block_bytes; i += 8) {
    uint64_t r = next_random();
    memcpy(p + i, &r, (size_t)(info->block_bytes - i < 8 ? info->block_bytes - i : 8));
  }
  if (dtype == WH_DTYPE_MXFP4) p[0] = 120;
  for (size_t t = 0; t < sizeof scale_table / sizeof scale_table[0]; t++)
    for (int k = 0; scale_table[t].dtype == dtype && k < scale_table[t].n; k++)
      put_f16(p + scale_table[t].offset[k],
              (1.0f + 0.5f * next_uniform()) * (info->block_elems == 256 ? 2e-5f : 5e-4f));
}

enum { MAX_WEIGHTS = 1024, NAME_BYTES = 64 };
typedef struct plan {
  const shape *s;
  wh_dtype dtype, heavy; /* heavy: for output, ffn_down and attn_v in the k-quant mixes */
  wh_weight_view weights[MAX_WEIGHTS];
  char names[MAX_WEIGHTS][NAME_BYTES];
  size_t n;
} plan;

static void add(plan *p, const char *name, wh_dtype dtype, int64_t rows, int64_t cols) {
  (void)snprintf(p->names[p->n], NAME_BYTES, "%s", name);
  p->weights[p->n] = (wh_weight_view){.name = wh_str_from(p->names[p->n]),
                                      .dtype = dtype,
                                      .rank = rows ? 2 : 1,
                                      .dims = {rows ? rows : cols, rows ? cols : 0}};
  p->n++;
}

static void add_layer(plan *p, int64_t layer) {
  const shape *s = p->s;
  int64_t d = s->n_embd, kv = d / s->n_heads * s->n_kv_heads;
  const struct {
    const char *name;
    wh_dtype dtype;
    int64_t rows, cols;
  } weights[] = {{"attn_norm", WH_DTYPE_F32, 0, d},
                 {"attn_q", p->dtype, d, d},
                 {"attn_k", p->dtype, kv, d},
                 {"attn_v", p->heavy, kv, d},
                 {"attn_output", p->dtype, d, d},
                 {"ffn_norm", WH_DTYPE_F32, 0, d},
                 {"ffn_gate", p->dtype, s->n_ff, d},
                 {"ffn_up", p->dtype, s->n_ff, d},
                 {"ffn_down", layer % 2 ? p->dtype : p->heavy, d, s->n_ff}};
  for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "blk.%d.%s.weight", (int)layer, weights[i].name);
    add(p, name, weights[i].dtype, weights[i].rows, weights[i].cols);
  }
}

static wh_status produce(void *ctx, size_t i, wh_file_writer *file) {
  static uint8_t buffer[1 << 16];
  const wh_weight_view *w = &((const plan *)ctx)->weights[i];
  const wh_dtype_info *info = wh_dtype_get(w->dtype);
  uint64_t blocks = (uint64_t)w->dims[0] * (uint64_t)(w->rank == 2 ? w->dims[1] : 1) / info->block_elems;
  size_t per_buffer = sizeof buffer / info->block_bytes - 1;
  random_state = i;
  while (blocks) {
    size_t n = blocks < per_buffer ? (size_t)blocks : per_buffer;
    for (size_t b = 0; b < n; b++) fill_block(w, info, buffer + b * info->block_bytes);
    WH_TRY(wh_file_writer_append(file, buffer, n * info->block_bytes));
    blocks -= n;
  }
  return WH_OK;
}

static wh_status write_model(plan *p, const char *path) {
  const shape *s = p->s;
  add(p, "token_embd.weight", p->dtype, s->n_vocab, s->n_embd);
  for (int64_t l = 0; l < s->n_layers; l++) add_layer(p, l);
  add(p, "output_norm.weight", WH_DTYPE_F32, 0, s->n_embd);
  add(p, "output.weight", p->heavy, s->n_vocab, s->n_embd);
  const wh_meta_entry meta[] = {
      wh_gguf_meta_string("general.architecture", "llama"),
      wh_gguf_meta_string("general.name", s->name),
      wh_gguf_meta_u32("llama.block_count", (uint32_t)s->n_layers),
      wh_gguf_meta_u32("llama.context_length", 8192),
      wh_gguf_meta_u32("llama.embedding_length", (uint32_t)s->n_embd),
      wh_gguf_meta_u32("llama.feed_forward_length", (uint32_t)s->n_ff),
      wh_gguf_meta_u32("llama.attention.head_count", (uint32_t)s->n_heads),
      wh_gguf_meta_u32("llama.attention.head_count_kv", (uint32_t)s->n_kv_heads),
      wh_gguf_meta_u32("llama.vocab_size", (uint32_t)s->n_vocab),
      wh_gguf_meta_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f),
      wh_gguf_meta_f32("llama.rope.freq_base", 10000.0f),
      wh_gguf_meta_string("tokenizer.ggml.model", "no_vocab"),
  };
  const wh_gguf_content content = {.meta = meta,
                                   .n_meta = sizeof meta / sizeof meta[0],
                                   .weights = p->weights,
                                   .n_weights = p->n,
                                   .produce = produce,
                                   .ctx = p};
  return wh_gguf_write(path, &content, wh_allocator_default());
}

int main(int argc, char **argv) {
  static plan p;
  if (argc != 4) {
    fprintf(stderr,
            "usage: make_model SHAPE TYPE OUT.gguf\n  shapes: llama-1.1b smollm2-135m llama-8b-slice\n"
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
