/* cmd_quantize.c - `whimbrel quantize`: a model's weights in a smaller type, and what that costs. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/embedding_facts.h"
#include "cli/graph_engine.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/output_error.h"
#include "cli/perplexity_graph.h"
#include "cli/units.h"
#include "cli/verbs.h"

typedef struct quantize_options {
  const char *importance, *eval;
  const char *type;
  uint32_t threads, max_chunks;
  bool requantize;
  cli_graph_options graph; /* ONNX: what the outputs are compared on */
} quantize_options;

static const wh_dtype types[] = {WH_DTYPE_Q2_K,  WH_DTYPE_Q3_K, WH_DTYPE_Q4_K,   WH_DTYPE_Q5_K,
                                 WH_DTYPE_Q6_K,  WH_DTYPE_Q8_0, WH_DTYPE_Q4_0,   WH_DTYPE_Q4_1,
                                 WH_DTYPE_Q5_0,  WH_DTYPE_Q5_1, WH_DTYPE_IQ4_NL, WH_DTYPE_IQ4_XS,
                                 WH_DTYPE_MXFP4, WH_DTYPE_F16,  WH_DTYPE_BF16,   WH_DTYPE_F32};

#define QUANTIZE(field) offsetof(quantize_options, field)
static const cli_option quantize_option_list[] = {
    {"type", 0, CLI_OPTION_STRING, QUANTIZE(type), "TYPE",
     "The type of most weights: q2_k, q3_k, q4_k (default), q5_k, q6_k,\nq8_0, q4_0, q4_1, q5_0, q5_1, "
     "iq4_nl, iq4_xs, mxfp4, f16, bf16, f32.\nFor ONNX: int8-dynamic (default; inputs of products become "
     "codes, "
     "too),\nint8 or int4 (weights only).",
     0, 0, 0, 0},
    {"importance", 0, CLI_OPTION_STRING, QUANTIZE(importance), "FILE",
     "What errors of which columns count, from `whimbrel calibrate`\n(or llama.cpp's llama-imatrix, as "
     "GGUF).",
     0, 0, 0, 0},
    {"requantize", 0, CLI_OPTION_FLAG, QUANTIZE(requantize), NULL,
     "Convert what is quantised already, too: it loses twice.", 0, 0, 0, 0},
    {"eval", 0, CLI_OPTION_STRING, QUANTIZE(eval), "TEXT",
     "Measure both models' perplexity on the text in this file, as `eval` does.", 0, 0, 0, 0},
    {"chunks", 0, CLI_OPTION_U32, QUANTIZE(max_chunks), "N",
     "... on at most so many chunks of 512 tokens (default: all).", 1, UINT32_MAX, 0, 0},
    {"threads", 't', CLI_OPTION_U32, QUANTIZE(threads), "N", "Threads (default: one per physical core).", 1,
     1024, 0, 0},
};

typedef struct quantizing {
  cli_output *out;
  json_t *list; /* NULL: a table is printed */
  uint64_t bytes;
} quantizing;

static int report(void *ctx, const wh_quantized_weight *w) {
  quantizing *q = ctx;
  q->bytes += w->n_bytes;
  cli_progress("%s", w->name);
  if (q->list) {
    json_t *row = json_object();
    cli_json_set(row, "name", cli_json_string(w->name, strlen(w->name)));
    cli_json_set_text(row, "from", wh_dtype_name(w->from));
    cli_json_set_text(row, "to", wh_dtype_name(w->to));
    cli_json_set_whole(row, "bytes", w->n_bytes);
    cli_json_set_real(row, "relative_error", w->relative_error);
    cli_json_append(q->list, row);
  } else if (w->from != w->to) {
    cli_progress("%s", "");
    cli_output_printf(q->out, "%6.3f %%  %-6s -> %-6s  ", 100 * w->relative_error, wh_dtype_name(w->from),
                      wh_dtype_name(w->to));
    cli_output_text(q->out, w->name, strlen(w->name));
    cli_output_printf(q->out, "\n");
  }
  return cli_interrupted() || cli_output_flush(q->out) != CLI_OK;
}

static uint64_t file_bytes(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* The perplexities of both, in the order of `paths`, with an ONNX model's tokenizer. */
static cli_exit evaluate(const char *const paths[2], const quantize_options *o, const char *tokenizer,
                         cli_perplexity results[2]) {
  cli_engine_options engine = CLI_ENGINE_OPTIONS_INIT;
  engine.threads = o->threads;
  const cli_perplexity_options options = {
      .file = o->eval, .max_chunks = o->max_chunks, .tokenizer = tokenizer};
  for (int i = 0; i < 2; i++) {
    cli_graph_engine g = {.runner = NULL};
    cli_exit code = tokenizer ? cli_perplexity_of_graph(paths[i], &engine, &options, &g, &results[i])
                              : cli_perplexity_of(paths[i], &engine, &options, &g.engine, &results[i]);
    cli_graph_close(&g);
    CLI_TRY(code);
  }
  return CLI_OK;
}

static cli_exit write_summary(const quantizing *q, const char *const paths[2], const cli_perplexity *p,
                              json_t *root) {
  const uint64_t before = file_bytes(paths[0]), after = file_bytes(paths[1]);
  char a[CLI_BYTES_TEXT], b[CLI_BYTES_TEXT];
  if (root) {
    cli_json_set_text(root, "from", paths[0]);
    cli_json_set_text(root, "to", paths[1]);
    cli_json_set_whole(root, "bytes_before", before);
    cli_json_set_whole(root, "bytes_after", after);
    if (p) cli_json_set_real(root, "perplexity_before", p[0].perplexity);
    if (p) cli_json_set_real(root, "perplexity_after", p[1].perplexity);
    return CLI_OK;
  }
  cli_output_printf(q->out, "%s (%s) -> ", paths[0], cli_bytes_text(before, a));
  cli_output_printf(q->out, "%s (%s); errors: root of the mean square, of the weights'\n", paths[1],
                    cli_bytes_text(after, b));
  if (p)
    cli_output_printf(q->out, "perplexity %.4f +/- %.4f -> %.4f +/- %.4f\n", p[0].perplexity, p[0].error,
                      p[1].perplexity, p[1].error);
  return cli_output_flush(q->out);
}

typedef struct named_type {
  const char *name;
  wh_dtype dtype;
  bool dynamic;
} named_type;
static const named_type onnx_types[] = {
    {"int8-dynamic", WH_DTYPE_I8, true}, {"int8", WH_DTYPE_I8, false}, {"int4", WH_DTYPE_I4, false}};

/* The type of that name, or the kind of model's first. */
static cli_exit find_type(const char *name, bool is_graph, wh_quantize_options *out) {
  named_type known[CLI_N(types)];
  const char *names[CLI_N(types)];
  const size_t n = is_graph ? CLI_N(onnx_types) : CLI_N(types);
  for (size_t i = 0; i < n; i++) {
    known[i] = is_graph ? onnx_types[i] : (named_type){wh_dtype_name(types[i]), types[i], false};
    names[i] = known[i].name;
    if (strcmp(names[i], name ? name : is_graph ? "int8-dynamic" : "q4_k") != 0) continue;
    out->dtype = known[i].dtype;
    out->dynamic = known[i].dynamic;
    return CLI_OK;
  }
  const char *near = cli_closest(name, names, n);
  return cli_fail(CLI_USAGE, "--type %s: no type of weights of %s models%s%s%s", name,
                  is_graph ? "ONNX" : "GGUF", near ? "; did you mean " : "", near ? near : "",
                  near ? "?" : "; see whimbrel quantize --help");
}

/* What the result's outputs lack, where there are inputs to run both models with. */
static cli_exit compare_outputs(const char *const paths[2], const quantize_options *o, cli_output *out,
                                json_t *root) {
  cli_engine_options engine = CLI_ENGINE_OPTIONS_INIT;
  engine.threads = o->threads;
  if (!cli_graph_has_inputs(&o->graph)) return CLI_OK;
  json_t *list = root ? json_array() : NULL;
  cli_exit code = cli_output_error(paths, &engine, &o->graph, out, list);
  if (root) cli_json_set(root, "outputs", list);
  return code;
}

static cli_exit quantize(const char *const paths[2], const quantize_options *o, bool json, cli_output *out) {
  quantizing q = {.out = out, .list = json ? json_array() : NULL};
  cli_perplexity results[2];
  wh_quantize_options w = WH_QUANTIZE_OPTIONS_INIT;
  const bool is_graph = cli_is_graph(paths[0], &o->graph);
  char tokenizer[CLI_PATH_BYTES];
  CLI_TRY(find_type(o->type, is_graph, &w));
  if (o->graph.dims.n && !o->graph.random)
    return cli_fail(CLI_USAGE, "--dim %s is for random inputs: give --random", o->graph.dims.items[0]);
  if (o->eval && access(o->eval, R_OK) != 0) /* not after an hour of work */
    return cli_fail(CLI_MODEL, "cannot read %s: %s", o->eval, strerror(errno));
  if (o->eval && is_graph) CLI_TRY(cli_tokenizer_path(paths[0], NULL, tokenizer)); /* likewise */
  w.importance = o->importance;
  w.n_threads = o->threads;
  w.may_requantize = o->requantize;
  w.report = report;
  w.report_ctx = &q;
  wh_status st = wh_quantize(paths[0], paths[1], &w);
  cli_progress("%s", "");
  if (st == WH_ERR_CANCELLED) return cli_interrupted() ? cli_fail_interrupted() : cli_output_flush(out);
  if (st != WH_OK) {
    cli_exit code = cli_fail_library(st);
    if (st == WH_ERR_UNSUPPORTED && strstr(cli_error_line(), "quantising twice"))
      cli_fail_append(" (--requantize)");
    return code;
  }
  if (o->eval) CLI_TRY(evaluate(paths, o, is_graph ? tokenizer : NULL, results));
  json_t *root = json ? json_object() : NULL;
  CLI_TRY(write_summary(&q, paths, o->eval ? results : NULL, root));
  if (is_graph) CLI_TRY(compare_outputs(paths, o, out, root));
  if (!root) return CLI_OK;
  cli_json_set(root, "weights", q.list);
  return cli_json_write(out, root, false);
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  quantize_options options = {.type = NULL};
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  const cli_option_group groups[] = {
      {"Quantisation", quantize_option_list, CLI_N(quantize_option_list), &options, NULL},
      cli_graph_group(&options.graph),
      cli_image_group(&options.graph.image),
      cli_output_group(&output_options)};
  const char *paths[2] = {NULL, NULL};
  cli_positionals positionals = {paths, 2, 2, 0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &positionals));
  CLI_TRY(cli_require_positionals(verb, &positionals));
  struct stat a, b;
  if (stat(paths[0], &a) == 0 && stat(paths[1], &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
    return cli_fail(CLI_USAGE, "%s is the model itself; give the result another name", paths[1]);
  cli_set_quiet(output_options.quiet);
  cli_output out = {0};
  cli_exit code = cli_output_open(output_options.path, &out);
  if (code == CLI_OK) code = quantize(paths, &options, output_options.json, &out);
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  return code;
}

static const cli_help helps[] = {
    {"output", "Write the table of errors to FILE, which appears whole or not at all."},
    {NULL, NULL},
};

const cli_verb cli_verb_quantize = {
    .name = "quantize",
    .arguments = "MODEL RESULT [options]",
    .summary = "Write a model with its weights in a smaller type.",
    .details =
        "Writes the model's weights in the type of --type to RESULT, which appears whole or not at all, and "
        "prints\n"
        "each weight's relative error. The output matrix gets q6_k where the type is smaller, rows that do "
        "not fit\n"
        "blocks of 256 a type of 32; vectors, norms and a mixture's router stay as they are.\n\n"
        "An ONNX model's products, tables and (int8) convolutions get codes, in operators that other "
        "runtimes "
        "have,\n"
        "too; with --random, --input or --image both models run, and each output's error is printed.",
    .examples =
        "  whimbrel quantize model-f16.gguf model-q4_k.gguf\n"
        "  whimbrel calibrate model-f16.gguf importance.gguf -f text.txt\n"
        "  whimbrel quantize model-f16.gguf small.gguf --type q3_k --importance importance.gguf --eval "
        "test.txt\n"
        "  whimbrel quantize encoder.onnx encoder-int8.onnx --type int8-dynamic --random --dim sequence=32",
    .run = run,
    .helps = helps,
};
