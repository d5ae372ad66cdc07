/* cmd_eval.c - `whimbrel eval`: how well a model predicts a text. */
#include "cli/graph_engine.h"
#include "cli/json_out.h"
#include "cli/perplexity_graph.h"
#include "cli/verbs.h"

#define EVAL(field) offsetof(cli_perplexity_options, field)
static const cli_option eval_option_list[] = {
    {"file", 'f', CLI_OPTION_STRING, EVAL(file), "FILE", "The text, - for standard input (default).", 0, 0, 0,
     0},
    {"chunks", 0, CLI_OPTION_U32, EVAL(max_chunks), "N", "At most so many chunks (default: all).", 1,
     UINT32_MAX, 0, 0},
    {"special", 0, CLI_OPTION_FLAG, EVAL(special), NULL,
     "Control tokens in the text (<|im_start|> ...) are read as such.", 0, 0, 0, 0},
    {"no-special", 0, CLI_OPTION_UNSET, EVAL(special), NULL,
     "They are plain text (default), as for llama-perplexity.", 0, 0, 0, 0},
    {"tokenizer", 0, CLI_OPTION_STRING, EVAL(tokenizer), "FILE",
     "An ONNX model's tokenizer.json (default: the one beside it).", 0, 0, 0, 0},
};

static cli_exit write_result(const cli_engine *e, const cli_perplexity *p, bool json, cli_output *out) {
  const double rate = (double)(p->n_chunks * p->chunk) / p->seconds;
  if (!json) {
    cli_output_printf(out, "perplexity %.4f +/- %.4f\n", p->perplexity, p->error);
    cli_output_printf(out, "%zu tokens scored in %zu chunks of %zu; %.1f tokens/s\n", p->n_scored,
                      p->n_chunks, p->chunk, rate);
    return cli_output_flush(out);
  }
  json_t *root = json_object();
  cli_json_set(root, "model", cli_json_model(e->model));
  cli_json_set(root, "device", cli_json_device(e->device));
  cli_json_set_real(root, "perplexity", p->perplexity);
  cli_json_set_real(root, "standard_error", p->error);
  cli_json_set_real(root, "mean_negative_log_likelihood", p->mean_nll);
  cli_json_set_whole(root, "tokens_scored", p->n_scored);
  cli_json_set_whole(root, "chunks", p->n_chunks);
  cli_json_set_whole(root, "chunk_tokens", p->chunk);
  cli_json_set_real(root, "seconds", p->seconds);
  cli_json_set_real(root, "tokens_per_second", rate);
  return cli_json_write(out, root, false);
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  cli_perplexity_options options = {0};
  cli_engine_options engine_options = CLI_ENGINE_OPTIONS_INIT;
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  const cli_option_group groups[] = {
      {"Evaluation", eval_option_list, CLI_N(eval_option_list), &options, NULL},
      cli_engine_group(&engine_options),
      cli_output_group(&output_options)};
  const char *model = NULL;
  cli_positionals positionals = {&model, 1, 1, 0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &positionals));
  CLI_TRY(cli_require_positionals(verb, &positionals));
  const bool is_onnx = cli_is_onnx(model);
  if (options.tokenizer && !is_onnx)
    return cli_fail(CLI_USAGE, "--tokenizer is for ONNX models; a GGUF file has its own");
  cli_set_quiet(output_options.quiet);

  cli_graph_engine g = {.runner = NULL};
  cli_perplexity result;
  cli_output out = {0};
  cli_exit code = cli_output_open(output_options.path, &out);
  if (code == CLI_OK)
    code = is_onnx ? cli_perplexity_of_graph(model, &engine_options, &options, &g, &result)
                   : cli_perplexity_of(model, &engine_options, &options, &g.engine, &result);
  if (code == CLI_OK) code = write_result(&g.engine, &result, output_options.json, &out);
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  cli_graph_close(&g);
  return code;
}

static const cli_help helps[] = {
    {"ctx", "Tokens of a chunk, each run from an empty context (default 512)."},
    {NULL, NULL},
};

const cli_verb cli_verb_eval = {
    .name = "eval",
    .arguments = "MODEL -f TEXT [options]",
    .summary = "Measure a model's perplexity on a text.",
    .details =
        "Computes the perplexity of a text in chunks of --ctx tokens (default 512), each from an empty "
        "context, its\n"
        "second half scored: the definition of llama.cpp's llama-perplexity, so that the numbers compare. An "
        "ONNX\n"
        "model takes token ids, gives logits for each, and has a tokenizer.json beside it.",
    .examples =
        "  whimbrel eval model.gguf -f wiki.test.raw\n"
        "  whimbrel eval model.gguf -f text.txt --ctx 1024 --chunks 20 --json\n"
        "  whimbrel eval decoder/model.onnx -f text.txt",
    .run = run,
    .helps = helps,
    .surplus = "the text's file comes behind -f",
};
