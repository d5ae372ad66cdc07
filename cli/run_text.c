/* run_text.c - see run_text.h. */
#include "cli/run_text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/embedding_facts.h"
#include "cli/json_out.h"
#include "cli/memory.h"
#include "cli/model_path.h"
#include "cli/token_inputs.h"

#define TOKENS_MAX 8192 /* of a text, where no file says less */

#define TEXT(field) offsetof(cli_text_options, field)
static const cli_option text_options[] = {
    {"text", 0, CLI_OPTION_STRINGS, TEXT(texts), "TEXT",
     "A text to embed; repeatable: several are one batch. The tokenizer\nis the tokenizer.json beside the "
     "model "
     "(WordPiece, byte-level BPE, Unigram).",
     0, 0, 0, 0},
    {"tokenizer", 0, CLI_OPTION_STRING, TEXT(tokenizer), "FILE", "Another tokenizer.json.", 0, 0, 0, 0},
    {"pooling", 0, CLI_OPTION_CHOICE, TEXT(pooling), "auto|mean|cls|last",
     "How tokens' states become a text's (default: what\n1_Pooling/config.json beside the model says, else "
     "mean).",
     0, 0, 0, 0},
    {"normalize", 0, CLI_OPTION_CHOICE, TEXT(normalize), "auto|yes|no",
     "Whether embeddings get the length 1 (default: what modules.json\nsays, else yes where states are "
     "pooled).",
     0, 0, 0, 0},
};

cli_option_group cli_text_group(cli_text_options *options) {
  return (cli_option_group){"Embeddings (ONNX)", text_options, CLI_N(text_options), options, NULL};
}

typedef struct job {
  const cli_text_options *o;
  cli_embedding_facts facts;
  wh_tokenizer_info info;
  int32_t *rows[CLI_STRINGS_MAX];
  size_t lengths[CLI_STRINGS_MAX];
  size_t n_texts, width, n_cut; /* width: tokens of the longest */
  float *embeddings;            /* [n_texts][size] */
  size_t size;
} job;

/* ---- in ---- */

static cli_exit tokenize(job *j, const wh_tokenizer_file *t) {
  const uint32_t flags = WH_TOKENIZE_ADD_SPECIAL | WH_TOKENIZE_PARSE_SPECIAL;
  size_t most = j->facts.max_tokens ? (size_t)j->facts.max_tokens : (size_t)j->info.max_tokens;
  if (!most || most > TOKENS_MAX) most = TOKENS_MAX;
  for (size_t i = 0; i < j->n_texts; i++) {
    const char *text = j->o->texts.items[i];
    size_t n, all;
    CLI_TRY_WH(wh_tokenizer_file_encode(t, text, strlen(text), flags, 0, NULL, 0, &all));
    CLI_TRY_WH(wh_tokenizer_file_encode(t, text, strlen(text), flags, most, NULL, 0, &n));
    j->rows[i] = calloc(n + 1, sizeof **j->rows);
    if (!j->rows[i]) return cli_fail(CLI_LIMIT, "out of memory");
    CLI_TRY_WH(wh_tokenizer_file_encode(t, text, strlen(text), flags, most, j->rows[i], n, &n));
    j->lengths[i] = n;
    j->n_cut += all > n;
    if (n > j->width) j->width = n;
    if (n == 0) return cli_fail(CLI_USAGE, "--text: text %zu has no tokens", i + 1);
  }
  if (j->n_cut)
    cli_warn("%zu of the texts were cut to %zu tokens, the most that the model takes", j->n_cut, most);
  return CLI_OK;
}

/* ---- out ---- */

/* One row of states becomes an embedding. */
static void pool(const job *j, cli_pooling pooling, const float *states, size_t row, float *out) {
  const size_t last = j->lengths[row] - 1;
  const size_t begin = pooling == CLI_POOLING_LAST ? last : 0,
               end = pooling == CLI_POOLING_CLS ? 1 : last + 1;
  for (size_t c = 0; c < j->size; c++) {
    double sum = 0;
    for (size_t i = begin; i < end; i++) sum += (double)states[(row * j->width + i) * j->size + c];
    out[c] = (float)(sum / (double)(end - begin));
  }
}

static void normalize(float *x, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
  for (size_t i = 0; i < n && sum > 0; i++) x[i] = (float)(x[i] / sqrt(sum));
}

/* States of all tokens, [texts][width][size], or embeddings, [texts][size]. */
static bool suits(const job *j, const wh_tensor *t, int rank) {
  return t->dtype == WH_DTYPE_F32 && t->rank == rank && t->dims[0] == (int64_t)j->n_texts &&
         t->dims[rank - 1] > 0 && (rank == 2 || t->dims[1] == (int64_t)j->width);
}

static cli_exit find_output(const job *j, const cli_graph_engine *g, const char **name, wh_tensor *out) {
  static const int ranks[] = {2, 3,
                              2}; /* named as an embedding; states; whatever there is a row of per text */
  for (size_t round = 0; round < CLI_N(ranks); round++)
    for (uint32_t i = 0; i < g->info.n_outputs; i++) {
      CLI_TRY(cli_graph_output(g, i, name, out));
      const bool named = strstr(*name, "embed") != NULL || strstr(*name, "sentence") != NULL;
      if (suits(j, out, ranks[round]) && (round || named)) return CLI_OK;
    }
  return cli_fail(CLI_UNSUPPORTED,
                  "--text: no output has a row of floats for each text, or for each of its tokens");
}

static cli_exit embed(job *j, const cli_graph_engine *g) {
  const char *name;
  wh_tensor t;
  CLI_TRY(find_output(j, g, &name, &t));
  const bool states = t.rank == 3;
  cli_pooling pooling = (cli_pooling)j->o->pooling;
  if (pooling == CLI_POOLING_AUTO) pooling = j->facts.pooling;
  if (pooling == CLI_POOLING_AUTO) pooling = CLI_POOLING_MEAN;
  const bool unit =
      j->o->normalize == 1 || (j->o->normalize == 0 && (j->facts.has_modules ? j->facts.normalizes : states));
  j->size = (size_t)t.dims[t.rank - 1];
  j->embeddings = calloc(j->n_texts * j->size, sizeof *j->embeddings);
  if (!j->embeddings) return cli_fail(CLI_LIMIT, "out of memory");
  for (size_t i = 0; i < j->n_texts; i++) {
    float *row = j->embeddings + i * j->size;
    if (states)
      pool(j, pooling, t.data, i, row);
    else
      memcpy(row, (const float *)t.data + i * j->size, j->size * sizeof *row);
    if (unit) normalize(row, j->size);
  }
  return CLI_OK;
}

static double cosine(const float *a, const float *b, size_t n) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < n; i++) {
    ab += (double)a[i] * (double)b[i];
    aa += (double)a[i] * (double)a[i];
    bb += (double)b[i] * (double)b[i];
  }
  return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* A line for each text: its tokens, and how alike the others are. */
static void write_text(const job *j, cli_output *out) {
  cli_output_printf(out, "%zu embeddings of %zu numbers%s\n", j->n_texts, j->size,
                    j->n_texts > 1 ? "; cosines with texts 1, 2, ..." : "");
  for (size_t i = 0; i < j->n_texts; i++) {
    const char *text = j->o->texts.items[i];
    cli_output_printf(out, "%4zu tokens ", j->lengths[i]);
    for (size_t k = 0; k < j->n_texts && j->n_texts > 1; k++)
      cli_output_printf(out, " %6.3f",
                        cosine(j->embeddings + i * j->size, j->embeddings + k * j->size, j->size));
    cli_output_printf(out, "  ");
    cli_output_text(out, text, strlen(text));
    cli_output_printf(out, "\n");
  }
}

static cli_exit write_json(const job *j, const cli_graph_engine *g, cli_output *out) {
  json_t *root = json_object(), *list = json_array();
  cli_json_set(root, "model", cli_json_model(g->engine.model));
  for (size_t i = 0; i < j->n_texts; i++) {
    json_t *row = json_object(), *tokens = json_array(), *numbers = json_array();
    for (size_t k = 0; k < j->lengths[i]; k++) cli_json_append(tokens, json_integer(j->rows[i][k]));
    for (size_t k = 0; k < j->size; k++)
      cli_json_append(numbers, json_real((double)j->embeddings[i * j->size + k]));
    cli_json_set(row, "text", cli_json_string(j->o->texts.items[i], strlen(j->o->texts.items[i])));
    cli_json_set(row, "tokens", tokens);
    cli_json_set(row, "embedding", numbers);
    cli_json_append(list, row);
  }
  cli_json_set(root, "texts", list);
  return cli_json_write(out, root, false);
}

static cli_exit write_file(const job *j, const char *folder) {
  wh_tensor t = WH_TENSOR_INIT;
  char path[CLI_PATH_BYTES];
  if (mkdir(folder, 0777) != 0 && errno != EEXIST) return cli_fail(CLI_IO, "%s: %s", folder, strerror(errno));
  (void)snprintf(path, sizeof path, "%s/embedding.npy", folder);
  t.dtype = WH_DTYPE_F32;
  t.rank = 2;
  t.dims[0] = (int64_t)j->n_texts;
  t.dims[1] = (int64_t)j->size;
  t.data = j->embeddings;
  t.n_bytes = j->n_texts * j->size * sizeof(float);
  CLI_TRY_WH(wh_npy_save(path, &t));
  return CLI_OK;
}

static cli_exit read_tokenizer(job *j, const char *model) {
  wh_tokenizer_file *t = NULL;
  CLI_TRY(cli_embedding_facts_read(model, j->o->tokenizer, &j->facts));
  const wh_status st = wh_tokenizer_file_load(j->facts.tokenizer, cli_allocator(), &t);
  if (st != WH_OK) return cli_fail_input(st);
  j->info = (wh_tokenizer_info)WH_TOKENIZER_INFO_INIT;
  cli_exit code = CLI_OK;
  const wh_status said = wh_tokenizer_file_get_info(t, &j->info);
  if (said != WH_OK) code = cli_fail_library(said);
  if (code == CLI_OK) code = tokenize(j, t);
  wh_tokenizer_file_destroy(t);
  return code;
}

cli_exit cli_run_text(const char *model, const cli_engine_options *engine, const cli_graph_options *graph,
                      const cli_text_options *options, const char *folder, bool json) {
  job j = {.o = options, .n_texts = options->texts.n};
  cli_output out = {0};
  cli_graph_engine g = {.runner = NULL};
  CLI_TRY(cli_model_path_check(model));
  if (cli_is_gguf(model))
    return cli_fail(CLI_USAGE, "%s: --text is for ONNX encoders; a language model takes its prompt by -p",
                    model);
  cli_exit code = cli_output_open(NULL, &out);
  if (code == CLI_OK) code = read_tokenizer(&j, model);
  if (code == CLI_OK) code = cli_graph_open(model, engine, graph, &g);
  const cli_token_rows tokens = {j.rows, j.lengths, j.n_texts, j.width, j.info.padding_id};
  if (code == CLI_OK) code = cli_set_token_inputs(&g, graph, "--text", "give it by --input", &tokens);
  if (code == CLI_OK) code = cli_graph_run(&g);
  if (code == CLI_OK) code = embed(&j, &g);
  if (code == CLI_OK && folder) code = write_file(&j, folder);
  if (code == CLI_OK && json) code = write_json(&j, &g, &out);
  if (code == CLI_OK && !json) write_text(&j, &out);
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  cli_graph_close(&g);
  for (size_t i = 0; i < j.n_texts; i++) free(j.rows[i]);
  free(j.embeddings);
  return code;
}
