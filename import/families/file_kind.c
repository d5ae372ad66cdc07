/* file_kind.c - GGUF files that hold no language model: says what they are and which file to give. */
#include <string.h>

#include "import/families/builder.h"

typedef struct file_kind {
  const char *name, *what;
} file_kind;

#define TEXT_HALF                                                                                        \
  "the image or sound half of a multimodal model (mmproj): give the file of its text model, which lies " \
  "beside it"

/* By "general.type". */
static const file_kind types[] = {
    {"adapter",
     "a LoRA adapter and no model: merge it into its base model (llama.cpp's llama-export-lora does) and "
     "give "
     "the result"},
    {"imatrix", "an importance matrix, which quantising a model uses: give the model"},
    {"mmproj", TEXT_HALF},
};

/* By "general.architecture": files from before "general.type", and models that write no text. */
static const file_kind architectures[] = {
    {"clip", TEXT_HALF},
    {"controlvector", "a control vector and no model: give the model; control vectors are not supported"},
    {"bert", "an embedding model"},
    {"modern-bert", "an embedding model"},
    {"neo-bert", "an embedding model"},
    {"nomic-bert", "an embedding model"},
    {"nomic-bert-moe", "an embedding model"},
    {"jina-bert-v2", "an embedding model"},
    {"jina-bert-v3", "an embedding model"},
    {"eurobert", "an embedding model"},
    {"gemma-embedding", "an embedding model"},
    {"llama-embed", "an embedding model"},
    {"t5encoder", "an encoder"},
    {"wavtokenizer-dec", "a decoder of sound"},
    {"whisper", "a speech recogniser"},
    {"flux", "an image generator"},
    {"sd1", "an image generator"},
    {"sdxl", "an image generator"},
    {"sd3", "an image generator"},
    {"aura", "an image generator"},
    {"lumina2", "an image generator"},
    {"hidream", "an image generator"},
    {"qwen_image", "an image generator"},
    {"wan", "a video generator"},
    {"ltxv", "a video generator"},
    {"hyvid", "a video generator"},
    {"cosmos", "a video generator"},
};

static const char *find(const file_kind *kinds, size_t n, wh_str name) {
  for (size_t i = 0; i < n; i++)
    if (wh_str_is(name, kinds[i].name)) return kinds[i].what;
  return NULL;
}
#define FIND(kinds, name) find(kinds, sizeof(kinds) / sizeof(kinds)[0], name)

/* A string of the file; "" when it has none of that key. */
static wh_str text_of(const wh_model_file *file, const char *key) {
  const wh_meta_value *v = wh_model_file_find_meta(file, key);
  return v && v->kind == WH_META_STRING ? v->s : wh_str_from("");
}

static bool has_lora_tensors(const wh_model_file *file) {
  const wh_weight_view *w = wh_model_file_weight(file, 0);
  static const char suffix[] = ".lora_a";
  const size_t n = sizeof suffix - 1;
  return w && w->name.len > n && memcmp(w->name.data + w->name.len - n, suffix, n - 1) == 0; /* or .lora_b */
}

static wh_status check(const wh_model_file *file) {
  const wh_str type = text_of(file, "general.type"), architecture = text_of(file, "general.architecture");
  const char *what = FIND(types, type);
  if (!what && has_lora_tensors(file)) what = types[0].what;
  if (what) return WH_FAIL(ERR_UNSUPPORTED, "this is %s", what);
  if (type.len && !wh_str_is(type, "model"))
    return WH_FAIL(ERR_UNSUPPORTED,
                   "this is no model but, as metadata 'general.type' says, of type '" WH_STR_FMT "'",
                   WH_STR_ARG(type));
  what = FIND(architectures, architecture);
  if (what && strchr(what, ':')) return WH_FAIL(ERR_UNSUPPORTED, "this is %s", what);
  if (what)
    return WH_FAIL(ERR_UNSUPPORTED,
                   "this is %s (architecture '" WH_STR_FMT "'), which writes no text: give a language model",
                   what, WH_STR_ARG(architecture));
  if (wh_model_file_n_weights(file) == 0)
    return WH_FAIL(ERR_UNSUPPORTED, "this file holds %s and no weights: give the model's own file",
                   wh_model_file_find_meta(file, "tokenizer.ggml.tokens") ? "a vocabulary" : "metadata");
  return WH_OK;
}

void wh_builder_check_kind(wh_builder *b) {
  if (b->status == WH_OK) wh_builder_check(b, check(b->file));
}
