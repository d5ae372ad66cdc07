/* fuzz_chat_template.c - template = the input up to its first zero byte; what follows is offered as the
 * context, and a fixed conversation is used as well. Anything may be an error; nothing may crash, hang or
 * leak. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "text/chat_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  static const char fixed[] =
      "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": "
      "[{\"type\": \"text\", \"text\": \"h\\u00e9\"}]}, {\"role\": \"assistant\", \"content\": null, "
      "\"tool_calls\": "
      "[{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": 1.5}}}]}], \"tools\": [{\"a\": [1, true]}], "
      "\"add_generation_prompt\": true, \"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}";
  const uint8_t *zero = n ? memchr(data, 0, n) : NULL;
  size_t n_source = zero ? (size_t)(zero - data) : n;
  wh_chat_template *t = NULL;
  wh_text_buffer out;
  if (wh_chat_template_compile((wh_str){(const char *)data, n_source}, NULL, &t) != WH_OK) return 0;
  wh_text_buffer_init(&out, NULL);
  (void)!wh_chat_template_render(t, (wh_str){fixed, sizeof fixed - 1}, 1751809506, &out);
  if (zero) {
    wh_str context = {(const char *)zero + 1, n - n_source - 1};
    (void)!wh_chat_template_render(t, context, 0, &out);
  }
  wh_text_buffer_deinit(&out);
  wh_chat_template_destroy(t);
  return 0;
}
