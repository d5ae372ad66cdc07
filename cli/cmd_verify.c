/* cmd_verify.c - `whimbrel verify`: two configurations of one model, node by node.
 *
 * Both run the same tokens with tracing on. Each node's output is hashed position by position, so that
 * configurations with different --prompt-chunk compare; the tables of hashes are compared once both are full.
 * To show the values of the first difference, both run once more up to it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/raw_prompt.h"
#include "cli/reproducer.h"
#include "cli/sample_text.h"
#include "cli/trace_table.h"
#include "cli/verbs.h"
#include "cli/verify_graph.h"

#define DEFAULT_PROMPT_TOKENS 96
#define PROMPT_TOKENS_MAX 2048 /* the tables hold a hash for each node and token */

typedef struct verify_options {
  const char *prompt;
  uint32_t n_decode;
  const char *reproducer;
} verify_options;

#define VERIFY(field) offsetof(verify_options, field)
static const cli_option verify_option_list[] = {
    {"prompt", 'p', CLI_OPTION_STRING, VERIFY(prompt), "TEXT",
     "The prompt (default: a fixed text of 96 tokens).", 0, 0, 0, 0},
    {"tokens", 'n', CLI_OPTION_U32, VERIFY(n_decode), "N",
     "Tokens run one by one after the prompt (default 4).", 0, 1024, 0, 0},
    {"reproducer", 0, CLI_OPTION_STRING, VERIFY(reproducer), "DIR",
     "Where the first node that differs is written by itself, with what it\nread (default: reproducer-NODE "
     "in "
     "the current folder).",
     0, 0, 0, 0},
};

/* One of the two configurations. */
typedef struct subject {
  cli_engine_options options;
  cli_engine engine;
  cli_trace_table table;
} subject;

typedef struct verification {
  subject sides[2];
  int32_t *tokens; /* the prompt, then the decoded tokens, which side 0 picks */
  size_t n_prompt, n_decode;
  cli_trace_difference difference;
  cli_reproducer reproducer;
} verification;

/* --- running
 * -------------------------------------------------------------------------------------------------- */

/* The run that begins behind `done` tokens. */
static wh_batch next_batch(const verification *v, const subject *s, size_t done) {
  const size_t left = done < v->n_prompt ? v->n_prompt - done : 1;
  wh_batch batch = WH_BATCH_INIT;
  batch.n_tokens = left < s->engine.prompt_chunk ? (uint32_t)left : s->engine.prompt_chunk;
  batch.tokens = v->tokens + done;
  batch.n_outputs = done + batch.n_tokens >= v->n_prompt;
  return batch;
}

/* Runs prompt and decode steps under the table's trace. CLI_OK also when a capture ended the run early. */
static cli_exit run_traced(verification *v, subject *s, bool pick_tokens) {
  CLI_TRY_WH(wh_session_truncate(s->engine.session, 0, 0));
  size_t done = 0, total = v->n_prompt + v->n_decode;
  while (done < total && !s->table.captured) {
    if (cli_interrupted()) return cli_fail_interrupted();
    const wh_batch batch = next_batch(v, s, done);
    const uint32_t count = batch.n_tokens;
    cli_trace_begin_run(&s->table, done, count);
    wh_status status = wh_session_run(s->engine.session, &batch);
    CLI_TRY(s->table.failure);
    if (s->table.captured) break; /* the callback cancelled the run: it has what it wanted */
    if (status != WH_OK) return cli_fail_library(status);
    done += count;
    if (pick_tokens && done >= v->n_prompt && done < total) {
      const float *logits = wh_session_logits(s->engine.session, 0);
      if (!logits) return cli_fail(CLI_INTERNAL, "the session has no logits after a run");
      v->tokens[done] = cli_argmax(logits, s->engine.info.n_vocab);
    }
  }
  return CLI_OK;
}

static cli_exit trace_side(verification *v, const char *path, int side) {
  subject *s = &v->sides[side];
  size_t total = v->n_prompt + v->n_decode;
  cli_session_needs needs = {.context = (uint32_t)total};
  CLI_TRY(cli_engine_open(path, &s->options, &needs, &s->engine));
  if (wh_session_context(s->engine.session) < total)
    return cli_fail(CLI_LIMIT,
                    "prompt and decoded tokens need %zu positions but the context holds %u; use --ctx %zu",
                    total, wh_session_context(s->engine.session), total);
  cli_trace_table_init(&s->table, v->n_prompt, v->n_decode);
  wh_session_set_trace(s->engine.session, cli_trace_callback, &s->table);
  cli_progress("running configuration %d of 2 ...", side + 1);
  cli_exit code = run_traced(v, s, side == 0);
  cli_progress("%s", "");
  return code;
}

/* Runs both sides again up to the difference and compares what its node put out there. */
static cli_exit locate_element(verification *v) {
  for (int side = 0; side < 2; ++side) {
    subject *s = &v->sides[side];
    cli_trace_capture(&s->table, &v->difference);
    CLI_TRY(run_traced(v, s, false));
    if (!s->table.captured)
      return cli_fail(CLI_DIFFERENT, "configuration %d does not repeat itself: node %s is not there again",
                      side + 1, v->difference.node);
  }
  return cli_trace_compare_captured(&v->sides[0].table, &v->sides[1].table, &v->difference);
}

/* The first side's runs again, without a trace, up to the one that has the difference. */
static wh_status extract_node(void *ctx, const char *node, const char *folder) {
  verification *v = ctx;
  const subject *s = &v->sides[0];
  wh_session_set_trace(s->engine.session, NULL, NULL);
  wh_status status = wh_session_truncate(s->engine.session, 0, 0);
  for (size_t done = 0; status == WH_OK;) {
    const wh_batch batch = next_batch(v, s, done);
    const bool last = v->difference.position < done + batch.n_tokens;
    if (last) status = wh_session_extract(s->engine.session, node, folder);
    if (status == WH_OK) status = wh_session_run(s->engine.session, &batch);
    done += batch.n_tokens;
    if (last) break;
  }
  return status;
}

/* Sides that are to compute the same: a difference is a fault of one of them. */
static bool same_numbers(const verification *v) {
  const cli_engine_options *a = &v->sides[0].options, *b = &v->sides[1].options;
  return a->numerics == WH_NUMERICS_EXACT && b->numerics == WH_NUMERICS_EXACT && a->kv == b->kv;
}

/* --- tokens
 * --------------------------------------------------------------------------------------------------- */

static cli_exit make_tokens(verification *v, const char *path, const verify_options *options) {
  wh_model *model = NULL;
  int32_t *prompt = NULL;
  size_t n = DEFAULT_PROMPT_TOKENS;
  CLI_TRY(cli_model_open(path, &model));
  cli_exit code = options->prompt ? cli_raw_tokenize(model, options->prompt, strlen(options->prompt), true,
                                                     true, &prompt, &n)
                                  : cli_sample_tokens(model, n, &prompt);
  wh_model_destroy(model);
  if (code == CLI_OK && (n == 0 || n > PROMPT_TOKENS_MAX))
    code = cli_fail(CLI_USAGE, "the prompt has %zu tokens; verify takes 1 to %d", n, PROMPT_TOKENS_MAX);
  if (code == CLI_OK) {
    v->tokens = calloc(n + options->n_decode, sizeof *v->tokens);
    if (!v->tokens) code = cli_fail(CLI_LIMIT, "out of memory");
  }
  if (code == CLI_OK) {
    memcpy(v->tokens, prompt, n * sizeof *prompt);
    v->n_prompt = n;
    v->n_decode = options->n_decode;
  }
  free(prompt);
  return code;
}

/* --- results
 * -------------------------------------------------------------------------------------------------- */

static void describe(const subject *s, char *out, size_t n_bytes) {
  const wh_device_info info = cli_engine_device_info(&s->engine), *d = &info;
  snprintf(out, n_bytes, "%s %s, %u thread%s, runs of %u, %s, kv %s", d->name, d->isa, d->n_threads,
           d->n_threads == 1 ? "" : "s", s->engine.prompt_chunk,
           d->numerics == WH_NUMERICS_FAST ? "fast" : "exact", cli_kv_type_of(&s->options)->name);
  wh_session_placement p = WH_SESSION_PLACEMENT_INIT;
  size_t n = strlen(out);
  for (uint32_t i = 1; n < n_bytes && wh_session_get_placement(s->engine.session, i, &p) == WH_OK; i++)
    n += (size_t)snprintf(out + n, n_bytes - n, ", %u layers on %s", p.n_layers, p.device);
}

static cli_exit write_text(const verification *v, const cli_trace_counts *counts, cli_output *out) {
  const cli_trace_difference *d = &v->difference;
  for (int side = 0; side < 2; ++side) {
    char text[256];
    describe(&v->sides[side], text, sizeof text);
    cli_output_printf(out, "%c: %s\n", "AB"[side], text);
  }
  if (!d->node) {
    cli_output_printf(out, "same: %zu nodes, %zu outputs, over %zu prompt and %zu decoded tokens\n",
                      counts->nodes_compared, counts->outputs_compared, v->n_prompt, v->n_decode);
  } else {
    cli_output_printf(out, "DIFFERENT: first at node %s (%s), position %zu", d->node, d->op, d->position);
    if (d->step) cli_output_printf(out, ", decode step %zu", d->step);
    cli_output_printf(out, "\n  element %zu: A has %s, B has %s; %zu of %zu elements differ\n", d->element,
                      d->value_a, d->value_b, d->n_different, d->n_elements);
  }
  cli_reproducer_report(&v->reproducer, out);
  cli_output_printf(out, "not compared: %zu%s\n", counts->nodes_unmatched,
                    counts->nodes_unmatched ? " nodes that only one has or that differ in type" : "");
  return cli_output_flush(out);
}

static json_t *difference_json(const cli_trace_difference *d) {
  json_t *object = json_object();
  cli_json_set_text(object, "node", d->node);
  cli_json_set_text(object, "op", d->op);
  cli_json_set_whole(object, "position", d->position);
  cli_json_set_whole(object, "decode_step", d->step);
  cli_json_set_whole(object, "element", d->element);
  cli_json_set_text(object, "a", d->value_a);
  cli_json_set_text(object, "b", d->value_b);
  cli_json_set_whole(object, "elements", d->n_elements);
  cli_json_set_whole(object, "elements_different", d->n_different);
  return object;
}

static cli_exit write_json(const verification *v, const cli_trace_counts *counts, cli_output *out) {
  json_t *root = json_object();
  static const char *const names[] = {"a", "b"};
  cli_json_set(root, "same", json_boolean(!v->difference.node));
  cli_json_set(root, "model", cli_json_model(v->sides[0].engine.model));
  for (int side = 0; side < 2; ++side) {
    json_t *s = cli_json_device(v->sides[side].engine.device);
    cli_json_set_whole(s, "prompt_chunk", v->sides[side].engine.prompt_chunk);
    cli_json_set_text(s, "kv", cli_kv_type_of(&v->sides[side].options)->name);
    cli_json_set(root, names[side], s);
  }
  cli_json_set_whole(root, "prompt_tokens", v->n_prompt);
  cli_json_set_whole(root, "decoded_tokens", v->n_decode);
  cli_json_set_whole(root, "nodes_compared", counts->nodes_compared);
  cli_json_set_whole(root, "outputs_compared", counts->outputs_compared);
  cli_json_set_whole(root, "nodes_unmatched", counts->nodes_unmatched);
  cli_json_set(root, "first_difference", v->difference.node ? difference_json(&v->difference) : json_null());
  cli_json_set_text(root, "reproducer", v->reproducer.folder[0] ? v->reproducer.folder : NULL);
  return cli_json_write(out, root, false);
}

/* --- the verb
 * ------------------------------------------------------------------------------------------------- */

/* Two nodes of one name that never met would make everything look the same. */
static cli_exit require_something(const cli_trace_counts *counts) {
  if (counts->outputs_compared) return CLI_OK;
  return cli_fail(CLI_UNSUPPORTED, "the two configurations have no node in common; nothing can be compared");
}

static cli_exit verify(verification *v, const char *path, const verify_options *options, bool json,
                       cli_output *out) {
  cli_trace_counts counts = {0};
  CLI_TRY(make_tokens(v, path, options));
  for (int side = 0; side < 2; ++side) CLI_TRY(trace_side(v, path, side));
  cli_trace_compare(&v->sides[0].table, &v->sides[1].table, &counts, &v->difference);
  CLI_TRY(require_something(&counts));
  if (v->difference.node) CLI_TRY(locate_element(v));
  v->reproducer.wanted = options->reproducer;
  if (v->difference.node && same_numbers(v))
    cli_reproducer_write(&v->reproducer, v->difference.node, extract_node, v);
  CLI_TRY(json ? write_json(v, &counts, out) : write_text(v, &counts, out));
  CLI_TRY(cli_output_finish(out));
  return v->difference.node
             ? cli_fail(CLI_DIFFERENT, "the configurations differ, first at node %s", v->difference.node)
             : CLI_OK;
}

/* Options up to --against are the first configuration's, the rest the second's. */
static cli_exit parse(const cli_verb *verb, int argc, char **argv, verification *v, verify_options *options,
                      cli_graph_options *graph, cli_output_options *output_options,
                      cli_positionals *positionals) {
  int split = argc;
  for (int i = 0; i < argc && split == argc && strcmp(argv[i], "--") != 0; ++i)
    if (strcmp(argv[i], "--against") == 0) split = i;
  for (int side = 0; side < 2; ++side) {
    cli_option_group engine_group = cli_engine_group(&v->sides[side].options);
    engine_group.title = "Configuration (before --against: the first; after it: the second)";
    const cli_option_group groups[] = {
        {"What to run", verify_option_list, CLI_N(verify_option_list), options, NULL},
        cli_graph_group(graph),
        cli_image_group(&graph->image),
        engine_group,
        cli_output_group(output_options)};
    int begin = side == 0 ? 0 : split + 1, end = side == 0 ? split : argc;
    if (side && begin < end && argv[begin][0] != '-' && positionals->n) /* --against cpu */
      v->sides[1].options.device = argv[begin++];
    if (begin < end) CLI_TRY(cli_parse(verb, groups, CLI_N(groups), end - begin, argv + begin, positionals));
  }
  if (split == argc) {
    v->sides[1].options.isa = "ref";
    v->sides[1].options.threads = 1;
  }
  return cli_require_positionals(verb, positionals);
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  verification v = {.sides = {{.options = CLI_ENGINE_OPTIONS_INIT}, {.options = CLI_ENGINE_OPTIONS_INIT}}};
  verify_options options = {.n_decode = 4};
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  cli_graph_options graph = {.random = false};
  const char *model = NULL;
  cli_positionals positionals = {&model, 1, 1, 0};
  CLI_TRY(parse(verb, argc, argv, &v, &options, &graph, &output_options, &positionals));
  cli_set_quiet(output_options.quiet);

  cli_output out = {0};
  cli_exit code = cli_output_open(output_options.path, &out);
  const cli_engine_options sides[2] = {v.sides[0].options, v.sides[1].options};
  if (code == CLI_OK)
    code = cli_is_graph(model, &graph)
               ? cli_verify_graph(model, sides, &graph, options.reproducer, output_options.json, &out)
               : verify(&v, model, &options, output_options.json, &out);
  cli_output_abandon(&out);
  for (int side = 0; side < 2; ++side) {
    cli_engine_close(&v.sides[side].engine);
    cli_trace_table_deinit(&v.sides[side].table);
  }
  free(v.tokens);
  return code;
}

static const cli_help helps[] = {
    {"ctx", "Positions of context (default: what the tokens need)."},
    {NULL, NULL},
};

const cli_verb cli_verb_verify = {
    .name = "verify",
    .arguments = "MODEL [configuration] [--against [DEVICE] configuration] [options]",
    .summary = "Check node by node that two configurations compute the same bits.",
    .details =
        "Runs the same tokens in two configurations and compares every node's output, bit by bit. Options "
        "before\n"
        "--against belong to the first, options after it to the second; without it the second is the "
        "reference\n"
        "kernels on one thread. Exits with 0 when all is the same and with 1 when not; the first difference "
        "is\n"
        "named with its node, element and both values. An ONNX model is run once, with inputs from --input "
        "or "
        "random\n"
        "ones.\n\n"
        "A node that differs is written by itself: a folder with a graph of it (graph.txt) and with its "
        "weights and\n"
        "inputs as NumPy files, which verify, run and inspect take for a model. So a fault can be shown "
        "where "
        "the\n"
        "model is not.",
    .examples =
        "  whimbrel verify model.gguf\n"
        "  whimbrel verify model.gguf --isa avx2 --threads 2 --against --isa avx512 --threads 1\n"
        "  whimbrel verify model.gguf --prompt-chunk 7 --against --prompt-chunk 64 --json\n"
        "  whimbrel verify model.onnx --dim batch=2 --isa avx2\n"
        "  whimbrel verify model.gguf --device cuda --against cpu\n"
        "  whimbrel verify reproducer-blk.3.attn_q --device cuda --against cpu",
    .run = run,
    .helps = helps,
};
