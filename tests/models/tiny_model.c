/* tiny_model.c - reads golden files and makes the models that they describe. */
#include "tests/models/tiny_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/exact_math.h"
#include "formats/gguf_write.h"
#include "tests/models/tiny_cmocka.h"

/* ---- random bytes, as in tiny_weights.py ---- */

static uint64_t fnv1a(uint64_t h, const char *s) {
  for (; *s; s++) h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001B3);
  return h;
}

/* Output i of splitmix64. */
static uint64_t splitmix(uint64_t seed, uint64_t i) {
  uint64_t z = seed + (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

/* A scale or minimum inside a block: `base` with random bits where `mask` has ones. */
typedef struct block_field {
  uint16_t offset, bytes, base, mask;
} block_field;

#define ANY_SIGN 0x83ff
#define F16(exponent) ((exponent + 15) << 10)
#define SUBNORMAL 0x200 /* [2^-15, 2^-14) */
static const struct {
  wh_dtype dtype;
  int n_fields;
  block_field fields[2];
} block_types[] = {
    {WH_DTYPE_Q4_0, 1, {{0, 2, F16(-7), ANY_SIGN}}},
    {WH_DTYPE_Q4_1, 2, {{0, 2, F16(-7), 0x3ff}, {2, 2, 0x8000 | F16(-4), 0x3ff}}},
    {WH_DTYPE_Q5_0, 1, {{0, 2, F16(-8), ANY_SIGN}}},
    {WH_DTYPE_Q5_1, 2, {{0, 2, F16(-8), 0x3ff}, {2, 2, 0x8000 | F16(-4), 0x3ff}}},
    {WH_DTYPE_Q8_0, 1, {{0, 2, F16(-11), ANY_SIGN}}},
    {WH_DTYPE_Q2_K, 2, {{80, 2, F16(-8), 0xff}, {82, 2, F16(-8), 0x3ff}}},
    {WH_DTYPE_Q3_K, 1, {{108, 2, F16(-10), ANY_SIGN}}},
    {WH_DTYPE_Q4_K, 2, {{0, 2, F16(-13), 0x3ff}, {2, 2, F16(-10), 0x3ff}}},
    {WH_DTYPE_Q5_K, 2, {{0, 2, F16(-14), 0x3ff}, {2, 2, F16(-10), 0x3ff}}},
    {WH_DTYPE_Q6_K, 1, {{208, 2, SUBNORMAL, 0x8000 | (SUBNORMAL - 1)}}},
    {WH_DTYPE_IQ4_NL, 1, {{0, 2, F16(-11), ANY_SIGN}}},
    {WH_DTYPE_IQ4_XS, 1, {{0, 2, SUBNORMAL, 0x8000 | (SUBNORMAL - 1)}}},
    {WH_DTYPE_MXFP4, 1, {{0, 1, 121, 1}}},
};

static void random_blocks(wh_dtype dtype, uint8_t *out, size_t n_bytes, uint64_t seed) {
  size_t t = 0, block_bytes = wh_dtype_get(dtype)->block_bytes, words = block_bytes / 8 + 1;
  while (block_types[t].dtype != dtype) t++;
  size_t n_fields = (size_t)block_types[t].n_fields;
  for (size_t block = 0; block < n_bytes / block_bytes; block++) {
    uint64_t at = block * (words + n_fields);
    uint8_t *b = out + block * block_bytes;
    for (size_t i = 0; i < block_bytes; i++) b[i] = (uint8_t)(splitmix(seed, at + i / 8) >> (8 * (i % 8)));
    for (size_t f = 0; f < n_fields; f++) {
      block_field field = block_types[t].fields[f];
      uint64_t value = field.base | (splitmix(seed, at + words + f) & field.mask);
      for (size_t i = 0; i < field.bytes; i++) b[field.offset + i] = (uint8_t)(value >> (8 * i));
    }
  }
}

static void put_float(wh_dtype dtype, void *out, size_t i, float x) {
  if (dtype == WH_DTYPE_F32) ((float *)out)[i] = x;
  if (dtype == WH_DTYPE_F16) ((uint16_t *)out)[i] = wh_f16_from_f32(x);
  if (dtype == WH_DTYPE_BF16) ((uint16_t *)out)[i] = (uint16_t)(wh_f32_bits(x) >> 16); /* exact */
}

static void random_floats(wh_dtype dtype, void *out, size_t n, uint64_t seed) {
  for (size_t i = 0; i < n; i++) {
    uint64_t z = splitmix(seed, i);
    float x =
        dtype == WH_DTYPE_F32 ? (float)(int16_t)(z >> 48) * 0x1p-18f : (float)(int8_t)(z >> 56) * 0x1p-10f;
    put_float(dtype, out, i, x);
  }
}

/* ---- golden files ---- */

static void *take(wh_arena *arena, size_t n_bytes) {
  void *p = wh_arena_alloc(arena, n_bytes ? n_bytes : 1);
  assert_non_null(p);
  return p;
}

/* The next word of a line, cut out in place; NULL at its end. */
static char *next_word(char **line) {
  char *word = *line + strspn(*line, " "), *end = word + strcspn(word, " ");
  *line = *end ? end + 1 : end;
  if (word == end) return NULL;
  *end = '\0';
  return word;
}

static long long next_int(char **line) {
  const char *word = next_word(line);
  return word ? strtoll(word, NULL, 10) : 0;
}

static size_t hex_floats(wh_arena *arena, const char *hex, const float **out) {
  size_t n = strlen(hex) / 8;
  float *x = take(arena, n * sizeof *x);
  for (size_t i = 0; i < n; i++) {
    char digits[9] = {0};
    memcpy(digits, hex + 8 * i, 8);
    x[i] = wh_f32_from_bits((uint32_t)strtoul(digits, NULL, 16));
  }
  *out = x;
  return n;
}

static wh_meta_entry read_meta(wh_arena *arena, char *line) {
  const char *kind = next_word(&line), *key = next_word(&line);
  if (strcmp(kind, "string") == 0) return wh_gguf_meta_string(key, next_word(&line));
  if (strcmp(kind, "bool") == 0) return wh_gguf_meta_bool(key, next_int(&line) != 0);
  if (strcmp(kind, "u32") == 0) return wh_gguf_meta_u32(key, (uint32_t)next_int(&line));
  assert_string_equal(kind, "f32");
  const float *value;
  hex_floats(arena, next_word(&line), &value);
  return wh_gguf_meta_f32(key, *value);
}

static tiny_tensor read_tensor(wh_arena *arena, char *line, bool by_value) {
  tiny_tensor t = {.name = next_word(&line), .role = "values", .rank = 1};
  if (by_value) {
    t.dims[0] = (int64_t)hex_floats(arena, next_word(&line), &t.values);
    return t;
  }
  t.role = next_word(&line);
  for (t.rank = 0; t.rank < 3 && (t.dims[t.rank] = next_int(&line)); t.rank++) continue;
  return t;
}

static tiny_logits read_logits(wh_arena *arena, char *line, size_t *n) {
  tiny_logits l = {0};
  const char *dtype = next_word(&line);
  assert_true(wh_dtype_from_name(dtype, strlen(dtype), &l.dtype));
  l.rounded = strcmp(next_word(&line), "q8a") == 0;
  l.row = (int)next_int(&line);
  *n = hex_floats(arena, next_word(&line), &l.values);
  return l;
}

static void read_line(tiny_goldens *g, char *line) {
  const char *word = next_word(&line);
  if (!word || *word == '#' || strcmp(word, "end") == 0) return;
  if (strcmp(word, "case") == 0) {
    assert_true(g->n_cases < TINY_MAX_CASES);
    g->cases[g->n_cases++].name = next_word(&line);
    return;
  }
  assert_true(g->n_cases > 0);
  tiny_case *c = &g->cases[g->n_cases - 1];
  assert_true(c->n_meta < TINY_MAX_META && c->n_tensors < TINY_MAX_TENSORS && c->n_logits < TINY_MAX_LOGITS);
  if (strcmp(word, "meta") == 0) {
    c->meta[c->n_meta++] = read_meta(&g->arena, line);
  } else if (strcmp(word, "tensor") == 0 || strcmp(word, "values") == 0) {
    c->tensors[c->n_tensors++] = read_tensor(&g->arena, line, *word == 'v');
  } else if (strcmp(word, "logits") == 0) {
    c->logits[c->n_logits++] = read_logits(&g->arena, line, &c->n_vocab);
  } else {
    assert_string_equal(word, "tokens");
    int32_t *tokens = take(&g->arena, (strlen(line) / 2 + 1) * sizeof *tokens);
    for (const char *t = next_word(&line); t; t = next_word(&line)) tokens[c->n_tokens++] = atoi(t);
    c->tokens = tokens;
  }
}

tiny_goldens *tiny_goldens_load(const char *name) {
  tiny_goldens *g = calloc(1, sizeof *g);
  assert_non_null(g);
  wh_arena_init(&g->arena, NULL, 0);
  char path[512];
  (void)snprintf(path, sizeof path, "%s/%s.golden", WH_TEST_DATA_DIR, name);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  assert_int_equal(fseek(f, 0, SEEK_END), 0);
  size_t n = (size_t)ftell(f);
  rewind(f);
  char *text = take(&g->arena, n + 1);
  assert_int_equal(fread(text, 1, n, f), n);
  (void)fclose(f);
  for (char *line = text, *end; line < text + n; line = end + 1) {
    end = line + strcspn(line, "\n");
    *end = '\0';
    read_line(g, line);
  }
  return g;
}

void tiny_goldens_free(tiny_goldens *g) {
  wh_arena_deinit(&g->arena);
  free(g);
}

const tiny_case *tiny_find_case(const tiny_goldens *g, const char *name) {
  for (size_t i = 0; i < g->n_cases; i++)
    if (strcmp(g->cases[i].name, name) == 0) return &g->cases[i];
  fail_msg("no case '%s'", name);
  return NULL;
}

/* ---- models ---- */

static wh_dtype role_dtype(const char *role, wh_dtype weights) {
  if (strcmp(role, "weight") == 0) return weights;
  if (strcmp(role, "norm_f16") == 0) return WH_DTYPE_F16;
  if (strcmp(role, "norm_bf16") == 0) return WH_DTYPE_BF16;
  return WH_DTYPE_F32;
}

static wh_weight_view make_weight(wh_arena *arena, const tiny_case *c, const tiny_tensor *t,
                                  wh_dtype weights) {
  wh_weight_view w = {
      .name = wh_str_from(t->name), .rank = t->rank, .dims = {t->dims[0], t->dims[1], t->dims[2]}};
  w.dtype = role_dtype(t->role, weights);
  uint64_t seed = fnv1a(fnv1a(fnv1a(UINT64_C(0xCBF29CE484222325), c->name), "/"), t->name);
  size_t rows = 1, row;
  for (int i = 0; i + 1 < t->rank; i++) rows *= (size_t)t->dims[i];
  size_t n = rows * (size_t)t->dims[t->rank - 1];
  assert_true(wh_dtype_row_bytes(w.dtype, (uint64_t)t->dims[t->rank - 1], &row));
  w.n_bytes = rows * row;
  void *data = take(arena, w.n_bytes);
  if (t->values)
    memcpy(data, t->values, w.n_bytes);
  else if (wh_dtype_is_quantised(w.dtype))
    random_blocks(w.dtype, data, w.n_bytes, seed);
  else if (strcmp(t->role, "weight") == 0 || strcmp(t->role, "router") == 0)
    random_floats(w.dtype, data, n, seed);
  else
    for (size_t i = 0; i < n; i++) {
      uint64_t z = splitmix(seed, i);
      bool bias = strcmp(t->role, "bias") == 0;
      float x = bias ? (float)(int8_t)(z >> 56) * 0x1p-10f : 0.75f + (float)((z >> 32) % 33) / 64.0f;
      put_float(w.dtype, data, i, x);
    }
  w.data = data;
  return w;
}

tiny_model *tiny_model_make(const tiny_case *c, wh_dtype dtype) {
  tiny_model *m = calloc(1, sizeof *m);
  assert_non_null(m);
  wh_arena_init(&m->arena, NULL, 0);
  memcpy(m->meta, c->meta, sizeof m->meta);
  m->n_meta = c->n_meta;
  for (; m->n_weights < c->n_tensors; m->n_weights++)
    m->weights[m->n_weights] = make_weight(&m->arena, c, &c->tensors[m->n_weights], dtype);
  return m;
}

void tiny_model_free(tiny_model *m) {
  wh_arena_deinit(&m->arena);
  free(m);
}

void tiny_model_write(const tiny_model *m, const char *path) {
  wh_gguf_content content = {
      .meta = m->meta, .n_meta = m->n_meta, .weights = m->weights, .n_weights = m->n_weights};
  if (wh_gguf_write(path, &content, NULL) != WH_OK) fail_msg("%s", wh_last_error()->message);
}

wh_meta_value *tiny_model_meta(tiny_model *m, const char *key) {
  for (size_t i = 0; i < m->n_meta; i++)
    if (wh_str_is(m->meta[i].key, key)) return &m->meta[i].value;
  return NULL;
}

wh_weight_view *tiny_model_weight(tiny_model *m, const char *name) {
  for (size_t i = 0; i < m->n_weights; i++)
    if (wh_str_is(m->weights[i].name, name)) return &m->weights[i];
  fail_msg("no weight '%s'", name);
  return NULL;
}

void tiny_model_set(tiny_model *m, wh_meta_entry entry) {
  for (size_t i = 0; i < m->n_meta; i++)
    if (wh_str_equal(m->meta[i].key, entry.key)) {
      m->meta[i] = entry;
      return;
    }
  assert_true(m->n_meta < TINY_MAX_META);
  m->meta[m->n_meta++] = entry;
}

void tiny_model_drop_meta(tiny_model *m, const char *key) {
  for (size_t i = 0; i < m->n_meta; i++)
    if (wh_str_is(m->meta[i].key, key)) {
      m->meta[i] = m->meta[--m->n_meta];
      return;
    }
  fail_msg("no key '%s'", key);
}

void tiny_model_drop_weight(tiny_model *m, const char *name) {
  *tiny_model_weight(m, name) = m->weights[m->n_weights - 1];
  m->n_weights--;
}
