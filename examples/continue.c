/* continue.c - continues a text with a model: continue MODEL.gguf TEXT N_TOKENS
 *
 *   cc continue.c $(pkg-config --cflags --libs whimbrel) -o continue
 *
 * Says what `whimbrel run MODEL.gguf -p TEXT -n N_TOKENS` says. Compiles as C99 and as C++17. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <whimbrel/whimbrel.h>

#define MAX_TOKENS 512

static void check(wh_status status) {
  if (status == WH_OK) return;
  fprintf(stderr, "continue: %s\n", wh_last_error()->message);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: continue MODEL.gguf TEXT N_TOKENS\n"), 2;
  wh_model *model = NULL;
  wh_device *device = NULL;
  wh_session *session = NULL;
  wh_generator *generator = NULL;
  wh_text_stream *stream = NULL;
  int32_t tokens[MAX_TOKENS];
  size_t n = 0;
  check(wh_model_open(argv[1], NULL, &model));
  check(wh_device_create(NULL, &device));
  check(wh_session_create(model, device, NULL, &session));
  check(wh_generator_create(model, NULL, &generator));
  check(wh_text_stream_create(model, NULL, 0, false, &stream));
  check(wh_model_tokenize(model, argv[2], strlen(argv[2]), WH_TOKENIZE_ADD_BOS | WH_TOKENIZE_PARSE_SPECIAL,
                          tokens, MAX_TOKENS, &n));
  if (n < 1 || n > MAX_TOKENS) return fprintf(stderr, "continue: 1 to %d tokens\n", MAX_TOKENS), 2;

  const char *text = "";
  size_t n_bytes = 0;
  for (int left = atoi(argv[3]); left > 0; left--) {
    wh_batch batch = WH_BATCH_INIT;
    batch.tokens = tokens; /* the prompt, then each token by itself */
    batch.n_tokens = (uint32_t)n;
    batch.n_outputs = 1;
    check(wh_session_run(session, &batch));
    check(wh_session_sample(session, 0, generator, &tokens[0]));
    n = 1;
    bool is_end = false, stopped = false;
    check(wh_model_token_is_end(model, tokens[0], &is_end));
    if (is_end) break;
    check(wh_text_stream_push(stream, tokens[0], &text, &n_bytes, &stopped));
    fwrite(text, 1, n_bytes, stdout);
  }
  check(wh_text_stream_finish(stream, &text, &n_bytes));
  fwrite(text, 1, n_bytes, stdout);
  putchar('\n');

  wh_text_stream_destroy(stream);
  wh_generator_destroy(generator);
  wh_session_destroy(session);
  wh_device_destroy(device);
  wh_model_destroy(model);
  return 0;
}
