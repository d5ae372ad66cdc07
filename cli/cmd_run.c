/* cmd_run.c - `whimbrel run`: one prompt in, one answer out. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/chat_prompt.h"
#include "cli/drafting.h"
#include "cli/generate.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/memory.h"
#include "cli/model_path.h"
#include "cli/raw_prompt.h"
#include "cli/run_graph.h"
#include "cli/run_text.h"
#include "cli/verbs.h"

typedef struct run_options {
  const char *prompt, *file, *system, *load_state, *save_state, *labels;
  uint32_t max_tokens;
  bool chat, special, logits_hash, ignore_end;
  cli_strings stops;
} run_options;

#define RUN(field) offsetof(run_options, field)
static const cli_option run_option_list[] = {
    {"prompt", 'p', CLI_OPTION_STRING, RUN(prompt), "TEXT", "The prompt.", 0, 0, 0, 0},
    {"file", 'f', CLI_OPTION_STRING, RUN(file), "FILE",
     "Read the prompt from FILE, - for standard input; one newline\nat its end is dropped. Standard input is "
     "also what is read\n"
     "when there is neither -p nor -f.",
     0, 0, 0, 0},
    {"tokens", 'n', CLI_OPTION_U32, RUN(max_tokens), "N", "Most tokens of the answer (default 256).", 1,
     UINT32_C(1) << 24, 0, 0},
    {"chat", 0, CLI_OPTION_FLAG, RUN(chat), NULL, "Put the prompt into the model's chat template.", 0, 0, 0,
     0},
    {"no-chat", 0, CLI_OPTION_UNSET, RUN(chat), NULL, "Continue the prompt as it is (default).", 0, 0, 0, 0},
    {"special", 0, CLI_OPTION_FLAG, RUN(special), NULL,
     "Control tokens in the prompt's text (<|im_start|> ...) are read\nas such (default): a pasted template "
     "works.",
     0, 0, 0, 0},
    {"no-special", 0, CLI_OPTION_UNSET, RUN(special), NULL,
     "They are plain text: for text of others, which must not\nsteer the model.", 0, 0, 0, 0},
    {"system", 0, CLI_OPTION_STRING, RUN(system), "TEXT",
     "System message in front of the prompt; with --chat.", 0, 0, 0, 0},
    {"stop", 0, CLI_OPTION_STRINGS, RUN(stops), "TEXT", "End the answer before TEXT; repeatable.", 0, 0, 0,
     0},
    {"ignore-end", 0, CLI_OPTION_FLAG, RUN(ignore_end), NULL, "Go on when the model ends its answer.", 0, 0,
     0, 0},
    {"load-state", 0, CLI_OPTION_STRING, RUN(load_state), "FILE",
     "Go on where a run with --save-state ended; the prompt, if any,\nis put behind its text as it is.", 0, 0,
     0, 0},
    {"save-state", 0, CLI_OPTION_STRING, RUN(save_state), "FILE",
     "Save prompt, answer and what was computed of them.", 0, 0, 0, 0},
    {"logits-hash", 0, CLI_OPTION_FLAG, RUN(logits_hash), NULL,
     "After the answer, print `step N HASH`: the xxHash128 of each\nstep's logits.", 0, 0, 0, 0},
};

static const cli_option label_option_list[] = {
    {"labels", 0, CLI_OPTION_STRING, RUN(labels), "FILE",
     "Names of classes, a line each: the likeliest of each row of\noutputs with as many columns are printed.",
     0, 0, 0, 0},
};

/* The prompt's text from where the options say. */
static cli_exit read_prompt(const run_options *options, cli_buffer *text) {
  if (options->prompt && options->file)
    return cli_fail(CLI_USAGE, "give the prompt by -p or by -f, not both");
  if (options->prompt) return cli_buffer_add(text, options->prompt, strlen(options->prompt));
  if (!options->file && isatty(STDIN_FILENO) == 1) cli_note("[type the prompt, then Ctrl-D]");
  CLI_TRY(cli_read_all(options->file, text));
  if (text->n && text->data[text->n - 1] == '\n') {
    --text->n;
    if (text->n && text->data[text->n - 1] == '\r') --text->n; /* a line end of Windows is one, too */
    text->data[text->n] = '\0';
  }
  return CLI_OK;
}

/* Whether a prompt is to be read at all. */
static bool has_prompt(const run_options *options) {
  return !options->load_state || options->prompt || options->file;
}

/* Prompt text to tokens: the conversation of one message, or the text itself. */
static cli_exit make_prompt(const cli_engine *engine, const run_options *options, const cli_buffer *text,
                            int32_t **ids, size_t *n) {
  if (!options->chat)
    return cli_raw_tokenize(engine->model, text->data, text->n, !options->load_state, options->special, ids,
                            n);
  json_t *messages = json_array();
  if (options->system) cli_chat_append(messages, "system", options->system, strlen(options->system));
  cli_chat_append(messages, "user", text->data, text->n);
  cli_exit code = cli_chat_tokenize(engine->model, messages, ids, n);
  json_decref(messages);
  return code;
}

typedef struct streamed {
  cli_output *out;
  char last;
} streamed;

static cli_exit stream_text(void *ctx, const char *text, size_t n_bytes) {
  streamed *s = ctx;
  cli_output_text(s->out, text, n_bytes);
  s->last = text[n_bytes - 1];
  return cli_output_flush(s->out);
}

static json_t *timing_json(const cli_engine *engine, const cli_generation *g) {
  json_t *timing = json_object();
  cli_json_set_real(timing, "load_seconds", engine->load_seconds);
  cli_json_set(timing, "weights", cli_json_packing(engine->session));
  cli_json_set_whole(timing, "prompt_tokens_computed", g->n_prompt_run);
  cli_json_set_real(timing, "prompt_seconds", g->prompt_seconds);
  cli_json_set_real(timing, "prompt_tokens_per_second", (double)g->n_prompt_run / g->prompt_seconds);
  cli_json_set_real(timing, "decode_seconds", g->decode_seconds);
  cli_json_set_real(timing, "decode_tokens_per_second", (double)g->n_steps / g->decode_seconds);
  cli_json_set_whole(timing, "decode_runs", g->n_runs);
  cli_json_set_whole(timing, "drafted_tokens", g->n_drafted);
  cli_json_set_whole(timing, "accepted_tokens", g->n_accepted);
  return timing;
}

static cli_exit write_json(cli_output *out, const cli_engine *engine, const cli_generation *g) {
  json_t *root = json_object(), *tokens = json_array();
  cli_json_set(root, "model", cli_json_model(engine->model));
  cli_json_set(root, "device", cli_json_device(engine->device));
  cli_json_set(root, "placement", cli_json_placement(engine->session));
  cli_json_set_whole(root, "prompt_tokens", g->n_prompt);
  for (size_t i = 0; i < g->n_tokens; ++i) cli_json_append(tokens, json_integer(g->tokens[i]));
  cli_json_set(root, "tokens", tokens);
  cli_json_set(root, "text", cli_json_string(g->text.data, g->text.n));
  cli_json_set_text(root, "stop_reason", cli_stop_reason_name(g->reason));
  if (g->hashes) {
    json_t *hashes = json_array();
    for (size_t i = 0; i < g->n_hashes; ++i) cli_json_append(hashes, json_string(g->hashes[i]));
    cli_json_set(root, "logits_hashes", hashes);
  }
  cli_json_set(root, "timing", timing_json(engine, g));
  cli_json_set_whole(root, "context", wh_session_context(engine->session));
  cli_json_set_whole(root, "memory_bytes", cli_process_bytes()); /* beyond files; compare inspect --plan */
  return cli_json_write(out, root, false);
}

static cli_exit write_end_of_text(cli_output *out, const streamed *s, const cli_generation *g) {
  if (s->last && s->last != '\n') cli_output_write(out, "\n", 1);
  for (size_t i = 0; i < g->n_hashes; ++i) cli_output_printf(out, "step %zu %s\n", i, g->hashes[i]);
  return cli_output_flush(out);
}

/* A session with room for the prompt and the answer, in runs no longer than the prompt, and no more: memory
 * that is not taken need not be cleared. */
static cli_exit start_session(cli_engine *engine, const run_options *options,
                              const cli_drafting_options *drafting, size_t n_prompt, cli_drafting *out) {
  uint64_t wanted = ((uint64_t)n_prompt + options->max_tokens + 63) / 64 * 64;
  if (wanted > engine->info.context_length) wanted = engine->info.context_length;
  if (options->load_state) wanted = 0; /* how long the saved text is, only the session can tell */
  const cli_session_needs needs = {.context = (uint32_t)wanted,
                                   .max_outputs = cli_drafting_rows(drafting),
                                   .find_prefixes = true,
                                   .may_keep_packed = true,
                                   .answers_soon = true};
  if (!options->load_state && !engine->options.prompt_chunk && n_prompt < CLI_PROMPT_CHUNK)
    engine->options.prompt_chunk = (uint32_t)n_prompt;
  CLI_TRY(cli_engine_start(engine, &needs));
  return cli_drafting_open(engine, drafting, out);
}

/* The answer ended where the context did. What there is of it is the result. */
static cli_exit fail_cut(const cli_engine *engine, const cli_generation *g, cli_output *out) {
  uint32_t context = wh_session_context(engine->session);
  CLI_TRY(cli_output_finish(out));
  cli_exit code =
      cli_fail(CLI_LIMIT, "the context of %u positions is full: the answer was cut after %zu tokens; ",
               context, g->n_tokens);
  if (context < engine->info.context_length)
    cli_fail_append("use a larger --ctx, or a smaller -n");
  else
    cli_fail_append("the model was trained for no more; use a shorter prompt or a smaller -n");
  return code;
}

/* Puts the prompt behind the saved tokens. Their pages are found again while `saved` holds them. */
static cli_exit load_state(const cli_engine *engine, const char *path, int32_t **prompt, size_t *n_prompt,
                           wh_sequence **saved) {
  uint32_t n_saved;
  CLI_TRY_WH(wh_sequence_load(engine->session, path, saved));
  const int32_t *tokens = wh_sequence_tokens(*saved, &n_saved);
  int32_t *all = calloc(n_saved + *n_prompt + 1, sizeof *all);
  if (!all) return cli_fail(CLI_LIMIT, "out of memory");
  if (n_saved) memcpy(all, tokens, n_saved * sizeof *all);
  if (*n_prompt) memcpy(all + n_saved, *prompt, *n_prompt * sizeof *all);
  free(*prompt);
  *prompt = all;
  *n_prompt += n_saved;
  return CLI_OK;
}

/* The answer's last token may not have been computed; it belongs to the text. */
static cli_exit save_state(const cli_engine *engine, wh_speculator *speculator, const cli_generation *g,
                           const char *path) {
  wh_sequence *sequence = NULL;
  uint32_t n_held;
  CLI_TRY_WH(wh_speculator_append(speculator, NULL, 0, false)); /* drops what was drafted */
  CLI_TRY_WH(wh_session_get_sequence(engine->session, 0, &sequence));
  (void)wh_sequence_tokens(sequence, &n_held);
  const size_t n = g->n_prompt + g->n_tokens, most = wh_session_context(engine->session);
  if (n_held < n && n <= most)
    CLI_TRY_WH(wh_sequence_append(sequence, g->tokens + (n_held - g->n_prompt), n - n_held, 0));
  CLI_TRY_WH(wh_sequence_save(sequence, path));
  return CLI_OK;
}

static cli_exit answer(cli_engine *engine, wh_generator *generator, const run_options *options,
                       const cli_drafting_options *drafting_options, const cli_buffer *text,
                       const cli_output_options *output_options, cli_output *out) {
  int32_t *prompt = NULL;
  size_t n_prompt = 0;
  cli_drafting drafting = {0};
  cli_generation g = {0};
  streamed s = {out, '\0'};
  cli_generation_options generation = {.max_tokens = options->max_tokens,
                                       .stops = &options->stops,
                                       .ignore_end = options->ignore_end,
                                       .keep_hashes = options->logits_hash,
                                       .on_text = output_options->json ? NULL : stream_text,
                                       .on_text_ctx = &s};
  wh_sequence *saved = NULL;
  cli_exit code = has_prompt(options) ? make_prompt(engine, options, text, &prompt, &n_prompt) : CLI_OK;
  if (code == CLI_OK) code = start_session(engine, options, drafting_options, n_prompt, &drafting);
  if (code == CLI_OK && options->load_state)
    code = load_state(engine, options->load_state, &prompt, &n_prompt, &saved);
  if (code == CLI_OK)
    code = cli_generate(engine, drafting.speculator, generator, prompt, n_prompt, &generation, &g);
  wh_sequence_destroy(saved);
  if (code == CLI_OK && options->save_state)
    code = save_state(engine, drafting.speculator, &g, options->save_state);
  if (code == CLI_OK && output_options->json) cli_engine_keep_packed(engine); /* the result tells of it */
  if (code == CLI_OK)
    code = output_options->json ? write_json(out, engine, &g) : write_end_of_text(out, &s, &g);
  if (code == CLI_OK) cli_note_packing(engine);
  if (code == CLI_OK) cli_note_timing(&g);
  if (code == CLI_OK && g.reason == CLI_STOP_CONTEXT) code = fail_cut(engine, &g, out);
  if (code == CLI_OK && g.reason == CLI_STOP_INTERRUPTED) code = cli_fail_interrupted();
  cli_generation_deinit(&g);
  cli_drafting_close(&drafting);
  free(prompt);
  return code;
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  run_options options = {.max_tokens = 256, .special = true};
  cli_drafting_options drafting = CLI_DRAFTING_OPTIONS_INIT;
  cli_engine_options engine_options = CLI_ENGINE_OPTIONS_INIT;
  cli_sampling_options sampling = CLI_SAMPLING_OPTIONS_INIT;
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  cli_graph_options graph = {.random = false};
  cli_text_options texts = {.tokenizer = NULL};
  const char *of_text = NULL, *of_tensors = NULL; /* the first option of each kind */
  cli_option_group groups[] = {
      {"Prompt and answer", run_option_list, CLI_N(run_option_list), &options, &of_text},
      cli_graph_group(&graph),
      cli_image_group(&graph.image),
      cli_text_group(&texts),
      {"Classes (ONNX)", label_option_list, CLI_N(label_option_list), &options, &of_tensors},
      cli_sampling_group(&sampling),
      cli_drafting_group(&drafting),
      cli_engine_group(&engine_options),
      cli_output_group(&output_options)};
  groups[1].given = groups[2].given = groups[3].given = &of_tensors;
  groups[5].given = groups[6].given = &of_text;
  const char *model = NULL;
  cli_positionals positionals = {&model, 1, 1, 0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &positionals));
  CLI_TRY(cli_require_positionals(verb, &positionals));
  if (options.system && !options.chat) return cli_fail(CLI_USAGE, "--system needs --chat");
  if (!options.special && options.chat)
    return cli_fail(CLI_USAGE, "--no-special is for a prompt without --chat: a template needs its tokens");
  if (options.load_state && options.chat)
    return cli_fail(CLI_USAGE, "--load-state goes on with a text as it is; it takes no --chat");
  cli_set_quiet(output_options.quiet);
  const bool is_graph = texts.texts.n || cli_is_graph(model, &graph);
  if (is_graph && of_text)
    return cli_fail(CLI_USAGE, "--%s is for language models (GGUF) that continue text; %s", of_text,
                    "a model that is run on tensors takes --input, --inputs, --image, --random or --text");
  if (!is_graph && of_tensors)
    return cli_fail(CLI_USAGE, "--%s is for models that are run on tensors (ONNX)", of_tensors);
  if (texts.texts.n)
    return cli_run_text(model, &engine_options, &graph, &texts, output_options.path, output_options.json);
  if (is_graph)
    return cli_run_graph(
        model, &engine_options, &graph,
        &(cli_graph_outputs){
            .path = output_options.path, .labels = options.labels, .json = output_options.json});

  cli_buffer text = {0};
  cli_output out = {0};
  cli_engine engine = {0};
  wh_generator *generator = NULL;
  cli_exit code = cli_output_open(output_options.path, &out);
  /* Nobody is to type a prompt for a model that is not there. */
  if (code == CLI_OK && has_prompt(&options) && !options.prompt && cli_is_standard_input(options.file))
    code = cli_model_path_check(model);
  if (code == CLI_OK && has_prompt(&options)) code = read_prompt(&options, &text);
  if (code == CLI_OK) code = cli_engine_begin(model, &engine_options, &engine);
  if (code == CLI_OK) {
    wh_sampling s = cli_sampling(&sampling);
    wh_status status = wh_generator_create(engine.model, &s, &generator);
    code = status == WH_OK ? answer(&engine, generator, &options, &drafting, &text, &output_options, &out)
                           : cli_fail_library(status);
  }
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  wh_generator_destroy(generator);
  cli_engine_close(&engine);
  cli_buffer_deinit(&text);
  return code;
}

static const cli_help helps[] = {
    {"ctx",
     "Positions of context (default: what the prompt and -n need, at most\nwhat the model was trained for)."},
    {"prompt-chunk", "Most prompt tokens in one run (default 512, or the prompt's length)."},
    {"pack-cache",
     "Keep packed weights in DIR, for a faster next start (default: those\nof large models, in the user's "
     "cache "
     "folder, if its disk has room)."},
    {NULL, NULL},
};

const cli_verb cli_verb_run = {
    .name = "run",
    .arguments = "MODEL [options]",
    .summary = "Continue a prompt, or answer it (--chat).",
    .details =
        "Generates text from a language model. The prompt is continued as it is; --chat puts it into the "
        "model's\n"
        "chat template first. The answer is streamed to standard output. Without sampling options the "
        "likeliest\n"
        "token is taken each time; with them the answer is a function of the seed. Either way it does not "
        "depend\n"
        "on the machine, the threads, --prompt-chunk, --lookup or --draft. An answer that is cut because the "
        "context\n"
        "is full stays printed, and the exit code is 5.\n\n"
        "An ONNX model takes tensors: --input, --inputs, --image or --random give them, and each output is\n"
        "summarised in a line. --output DIR then writes each as DIR/NAME.npy, --output FILE.npz all into "
        "one.\n"
        "--text gives an encoder texts and prints how alike their embeddings are; --json prints the "
        "embeddings,\n"
        "--output DIR writes DIR/embedding.npy.",
    .examples =
        "  whimbrel run model.gguf -p \"The whimbrel is a bird that\" -n 40\n"
        "  whimbrel run model.gguf --chat -p \"Name three wading birds.\" --temp 0.7 --seed 1\n"
        "  git log -5 | whimbrel run model.gguf --chat --system \"Summarise.\"\n"
        "  whimbrel run model.gguf -p \"1 2 3\" -n 8 --logits-hash --isa ref\n"
        "  whimbrel run model.gguf -f long.txt -n 1 --save-state long.state\n"
        "  whimbrel run model.gguf --load-state long.state -p \"In short:\"\n"
        "  whimbrel run model.onnx --input pixels=image.npy --output results\n"
        "  whimbrel run resnet.onnx --image x=bird.jpg --image-fit crop --labels names.txt\n"
        "  whimbrel run minilm/model.onnx --text \"A wading bird.\" --text \"A wader.\" --output vectors",
    .run = run,
    .helps = helps,
    .surplus = "a prompt comes behind -p, in quotes",
};
