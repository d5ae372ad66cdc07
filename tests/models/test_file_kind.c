/* test_file_kind.c - GGUF files that hold no language model: each is named, with what to give instead. */
#define _DEFAULT_SOURCE
#include <string.h>

#include "formats/gguf_write.h"
#include "import/families/model.h"
#include "tests/base/temp_folder.h"
#include "tests/models/tiny_cmocka.h"

static temp_folder folder;

static void refused(const char *type, const char *architecture, const char *tensor, bool vocabulary,
                    const char *what, const char *advice) {
  static const float zeros[32];
  const wh_str tokens[] = {wh_str_from("a"), wh_str_from("b")};
  wh_meta_entry meta[4];
  const wh_weight_view weight = {.name = wh_str_from(tensor ? tensor : ""),
                                 .dtype = WH_DTYPE_F32,
                                 .rank = 1,
                                 .dims = {32},
                                 .data = zeros,
                                 .n_bytes = sizeof zeros};
  wh_gguf_content content = {.meta = meta, .weights = &weight, .n_weights = tensor != NULL};
  if (type) meta[content.n_meta++] = wh_gguf_meta_string("general.type", type);
  if (architecture) meta[content.n_meta++] = wh_gguf_meta_string("general.architecture", architecture);
  if (vocabulary)
    meta[content.n_meta++] = (wh_meta_entry){wh_str_from("tokenizer.ggml.tokens"),
                                             {.kind = WH_META_ARRAY,
                                              .elem_kind = WH_META_STRING,
                                              .file_type = WH_GGUF_VALUE_STRING,
                                              .n = 2,
                                              .strings = tokens}};
  temp_path path = temp_path_of(&folder, "it.gguf");
  wh_model_file *file = NULL;
  wh_graph *g = NULL;
  assert_int_equal(wh_gguf_write(path.text, &content, NULL), WH_OK);
  if (wh_model_file_open(path.text, NULL, &file) != WH_OK) fail_msg("%s", wh_last_error()->message);
  wh_status st = wh_model_build_graph(file, NULL, NULL, &g, NULL);
  const char *message = wh_last_error()->message;
  if (st != WH_ERR_UNSUPPORTED || !strstr(message, "it.gguf: ") || !strstr(message, what) ||
      !strstr(message, advice))
    fail_msg("%s: '%s', want '%s' and '%s'", wh_status_name(st), message, what, advice);
  wh_model_file_close(file);
}

static void each_is_named(void **state) {
  (void)state;
  static const char *const embedders[] = {"bert", "nomic-bert", "jina-bert-v2", "gemma-embedding"},
                           *const painters[] = {"flux", "sd1", "sdxl", "qwen_image"};
  refused("adapter", "llama", "blk.0.attn_q.weight.lora_a", false, "a LoRA adapter",
          "merge it into its base model");
  refused("adapter", "llama", NULL, false, "a LoRA adapter", "merge it");
  refused(NULL, "llama", "blk.0.attn_q.weight.lora_b", false, "a LoRA adapter", "merge it");
  refused("imatrix", NULL, "blk.0.attn_q.weight.in_sum2", false, "an importance matrix", "give the model");
  refused("mmproj", "clip", "v.blk.0.attn_q.weight", false, "(mmproj)", "give the file of its text model");
  refused(NULL, "clip", "v.blk.0.attn_q.weight", false, "(mmproj)", "give the file of its text model");
  refused(NULL, "controlvector", "direction.1", false, "a control vector", "give the model");
  refused("lookup", "llama", "x", false, "no model", "'general.type' says, of type 'lookup'");
  refused("model", "llama", NULL, true, "a vocabulary and no weights", "give the model's own file");
  refused(NULL, "gpt2", NULL, true, "a vocabulary and no weights", "give the model's own file");
  refused(NULL, "llama", NULL, false, "metadata and no weights", "give the model's own file");
  refused(NULL, "llama-5", "x", false, "architecture 'llama-5' is not supported", "known are llama, qwen2");
  for (size_t i = 0; i < 4; i++) {
    refused("model", embedders[i], "token_embd.weight", true, "an embedding model", "give a language model");
    refused(NULL, painters[i], "x", false, "an image generator", "give a language model");
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
  const struct CMUnitTest tests[] = {cmocka_unit_test(each_is_named)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
