/* cmd_calibrate.c - `whimbrel calibrate`: which columns of a model's matrices a text makes use of. */
#include <stdlib.h>

#include "cli/graph_engine.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/model_path.h"
#include "cli/raw_prompt.h"
#include "cli/verbs.h"

#define DEFAULT_CONTEXT 512

typedef struct calibrate_options {
  const char *file;
  uint32_t max_chunks;
} calibrate_options;

#define CALIBRATE(field) offsetof(calibrate_options, field)
static const cli_option calibrate_option_list[] = {
    {"file", 'f', CLI_OPTION_STRING, CALIBRATE(file), "FILE", "The text, - for standard input (default).", 0,
     0, 0, 0},
    {"chunks", 0, CLI_OPTION_U32, CALIBRATE(max_chunks), "N", "At most so many chunks (default: all).", 1,
     UINT32_MAX, 0, 0},
};

/* Each chunk from an empty context; the last one may be shorter. */
static cli_exit run_chunks(cli_engine *e, const calibrate_options *o, const int32_t *tokens, size_t n_tokens,
                           size_t *n_done) {
  const size_t chunk = wh_session_context(e->session);
  size_t n_chunks = (n_tokens + chunk - 1) / chunk;
  if (o->max_chunks && n_chunks > o->max_chunks) n_chunks = o->max_chunks;
  if (!n_chunks) return cli_fail(CLI_USAGE, "the text has no tokens");
  for (size_t i = 0; i < n_chunks; i++) {
    const size_t left = n_tokens - i * chunk;
    cli_progress("chunk %zu of %zu", i + 1, n_chunks);
    CLI_TRY_WH(wh_session_truncate(e->session, 0, 0));
    CLI_TRY(cli_run_tokens(e, 0, tokens + i * chunk, left < chunk ? left : chunk, e->prompt_chunk));
  }
  cli_progress("%s", "");
  *n_done = n_chunks * chunk < n_tokens ? n_chunks * chunk : n_tokens;
  return CLI_OK;
}

static cli_exit write_result(const cli_engine *e, const char *result, size_t n_tokens, bool json,
                             cli_output *out) {
  if (!json) {
    cli_output_printf(out, "%zu tokens -> %s\n", n_tokens, result);
    return cli_output_flush(out);
  }
  json_t *root = json_object();
  cli_json_set(root, "model", cli_json_model(e->model));
  cli_json_set(root, "device", cli_json_device(e->device));
  cli_json_set_text(root, "to", result);
  cli_json_set_whole(root, "tokens", n_tokens);
  return cli_json_write(out, root, false);
}

static cli_exit calibrate(const char *model, const char *result, const cli_engine_options *engine,
                          const calibrate_options *o, bool json, cli_output *out) {
  cli_engine e = {0};
  cli_buffer text = {0};
  int32_t *tokens = NULL;
  size_t n_tokens = 0, n_done = 0;
  wh_importance *importance = NULL;
  const cli_session_needs needs = {.context = DEFAULT_CONTEXT};
  cli_exit code = cli_is_standard_input(o->file) ? cli_model_path_check(model) : CLI_OK;
  wh_status st = WH_OK;
  if (code == CLI_OK) code = cli_read_all(o->file, &text);
  if (code == CLI_OK && !text.n) code = cli_fail(CLI_USAGE, "the text is empty: nothing can be measured");
  if (code == CLI_OK) code = cli_engine_open(model, engine, &needs, &e);
  if (code == CLI_OK) code = cli_raw_tokenize(e.model, text.data, text.n, true, false, &tokens, &n_tokens);
  if (code == CLI_OK) st = wh_importance_create(e.session, &importance);
  if (code == CLI_OK && st == WH_OK) code = run_chunks(&e, o, tokens, n_tokens, &n_done);
  if (code == CLI_OK && st == WH_OK) st = wh_importance_save(importance, result);
  if (st != WH_OK) code = cli_fail_library(st);
  if (code == CLI_OK) code = write_result(&e, result, n_done, json, out);
  wh_importance_destroy(importance);
  free(tokens);
  cli_buffer_deinit(&text);
  cli_engine_close(&e);
  return code;
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  calibrate_options options = {0};
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  cli_engine_options engine_options = CLI_ENGINE_OPTIONS_INIT;
  const cli_option_group groups[] = {
      {"Calibration", calibrate_option_list, CLI_N(calibrate_option_list), &options, NULL},
      cli_engine_group(&engine_options),
      cli_output_group(&output_options)};
  const char *paths[2] = {NULL, NULL};
  cli_positionals positionals = {paths, 2, 2, 0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &positionals));
  CLI_TRY(cli_require_positionals(verb, &positionals));
  CLI_TRY(cli_refuse_graph(paths[0], "calibrate"));
  cli_set_quiet(output_options.quiet);
  cli_output out = {0};
  cli_exit code = cli_output_open(output_options.path, &out);
  if (code == CLI_OK)
    code = calibrate(paths[0], paths[1], &engine_options, &options, output_options.json, &out);
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  return code;
}

static const cli_help helps[] = {
    {"ctx", "Tokens of a chunk, each run from an empty context (default 512)."},
    {NULL, NULL},
};

const cli_verb cli_verb_calibrate = {
    .name = "calibrate",
    .arguments = "MODEL RESULT -f TEXT [options]",
    .summary = "Measure which columns of a model's weights a text uses.",
    .details =
        "Runs a text and writes, for each column of each matrix, the mean square of what it is multiplied "
        "with: what\n"
        "`whimbrel quantize --importance` weighs errors with. A few hundred thousand tokens of the kind of "
        "text that\n"
        "the model is for are enough.",
    .examples = "  whimbrel calibrate model-f16.gguf importance.gguf -f text.txt --chunks 200",
    .run = run,
    .helps = helps,
    .surplus = "the text's file comes behind -f",
};
