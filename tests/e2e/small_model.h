/* small_model.h - a llama-shaped model file of random weights for tests of the public API: any weight type,
 * and any weight damaged. */
#ifndef WH_TESTS_SMALL_MODEL_H
#define WH_TESTS_SMALL_MODEL_H

#include "formats/gguf_write.h"

#define SMALL_N_VOCAB 48
#define SMALL_N_LAYERS 2
#define SMALL_MAX_TENSORS 32
#define SMALL_N_EXPERTS 4
#define SMALL_N_EXPERTS_USED 2

/* What a damaged weight looks like. */
typedef enum small_damage { SMALL_SOUND, SMALL_NAN, SMALL_INFINITE, SMALL_NEGATIVE_INFINITE } small_damage;

typedef struct small_model {
  wh_weight_view weights[SMALL_MAX_TENSORS];
  char names[SMALL_MAX_TENSORS][64];
  size_t n_weights;
  bool has_experts;
} small_model;

/* `width` (a multiple of the type's blocks) is the embedding's length; matrices have type `dtype`, vectors
 * are f32. */
small_model *small_model_create(wh_dtype dtype, int64_t width);
/* The same with a choice of experts in every layer. */
small_model *small_model_create_experts(wh_dtype dtype, int64_t width);
/* With a vocabulary of `n_vocab` tokens, whose embedding is the output matrix, too. */
small_model *small_model_create_tied(wh_dtype dtype, int64_t width, int64_t n_vocab);
void small_model_destroy(small_model *m);
/* Number of values (a scale, a minimum, an element) of weight i that can be damaged in one place. */
size_t small_model_n_fields(const small_model *m, size_t i);
/* Puts the damage into field `field` of the first or last block or element of weight i; SOUND repairs it. */
void small_model_damage(small_model *m, size_t i, size_t field, bool last, small_damage damage);
void small_model_write(const small_model *m, const char *path);
/* Creates, writes and destroys. */
void small_model_put(const char *path, wh_dtype dtype, int64_t width);

/* The same with a byte-level tokenizer, whose token n is small_tokens[n], that wants a BOS, and a chat
 * template that writes one: "<s>", then "<|user|>", the content and a newline for each message. */
#define SMALL_BOS 0
#define SMALL_EOS 1
#define SMALL_USER 2 /* <|user|> */
extern const char *const small_tokens[SMALL_N_VOCAB];
void small_model_write_with_text(const small_model *m, const char *path);

#endif
