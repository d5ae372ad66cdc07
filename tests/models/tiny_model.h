/* tiny_model.h - the tiny random models of data/<file>.golden (make_family_goldens.py says what is in them).
 * Test code: a failure is a failed assertion. */
#ifndef WH_TESTS_TINY_MODEL_H
#define WH_TESTS_TINY_MODEL_H

#include "core/base/arena.h"
#include "formats/model_file.h"

#define TINY_MAX_CASES 24
#define TINY_MAX_META 40
#define TINY_MAX_TENSORS 96
#define TINY_MAX_LOGITS 64

typedef struct tiny_tensor {
  const char *name;
  const char *role; /* "weight", "router", "norm", "norm_f16", "norm_bf16", "bias" or "values" */
  int rank;
  int64_t dims[3];
  const float *values;
} tiny_tensor;

/* A row of logits that the prompt must give with weights of `dtype`. */
typedef struct tiny_logits {
  wh_dtype dtype;
  bool rounded; /* computed with rounded activations, not in fp32 throughout */
  int row;
  const float *values;
} tiny_logits;

typedef struct tiny_case {
  const char *name;
  wh_meta_entry meta[TINY_MAX_META];
  tiny_tensor tensors[TINY_MAX_TENSORS];
  tiny_logits logits[TINY_MAX_LOGITS];
  size_t n_meta, n_tensors, n_logits, n_vocab, n_tokens;
  const int32_t *tokens;
} tiny_case;

typedef struct tiny_goldens {
  wh_arena arena;
  tiny_case cases[TINY_MAX_CASES];
  size_t n_cases;
} tiny_goldens;

/* data/<name>.golden */
tiny_goldens *tiny_goldens_load(const char *name);
void tiny_goldens_free(tiny_goldens *g);
const tiny_case *tiny_find_case(const tiny_goldens *g, const char *name);

/* A case's model with weights of one type; tests may change it before they write it. */
typedef struct tiny_model {
  wh_arena arena;
  wh_meta_entry meta[TINY_MAX_META];
  wh_weight_view weights[TINY_MAX_TENSORS];
  size_t n_meta, n_weights;
} tiny_model;
tiny_model *tiny_model_make(const tiny_case *c, wh_dtype dtype);
void tiny_model_free(tiny_model *m);
void tiny_model_write(const tiny_model *m, const char *path);
wh_meta_value *tiny_model_meta(tiny_model *m, const char *key); /* NULL when absent */
wh_weight_view *tiny_model_weight(tiny_model *m, const char *name);
void tiny_model_set(tiny_model *m, wh_meta_entry entry); /* replaces or adds */
void tiny_model_drop_meta(tiny_model *m, const char *key);
void tiny_model_drop_weight(tiny_model *m, const char *name);

#endif
