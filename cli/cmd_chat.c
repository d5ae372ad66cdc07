/* cmd_chat.c - `whimbrel chat`: a conversation, at a terminal or through a pipe.
 *
 * Each turn renders the whole conversation by the model's template and tokenises it again; the session keeps
 * what the new tokens have in common with the old, so only the new part is run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/chat_prompt.h"
#include "cli/drafting.h"
#include "cli/generate.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/verbs.h"

typedef struct chat_options {
  const char *system;
  uint32_t max_tokens;
  cli_strings stops;
} chat_options;

#define CHAT(field) offsetof(chat_options, field)
static const cli_option chat_option_list[] = {
    {"system", 0, CLI_OPTION_STRING, CHAT(system), "TEXT", "System message in front of the conversation.", 0,
     0, 0, 0},
    {"tokens", 'n', CLI_OPTION_U32, CHAT(max_tokens), "N", "Most tokens of one answer (default 1024).", 1,
     UINT32_C(1) << 24, 0, 0},
    {"stop", 0, CLI_OPTION_STRINGS, CHAT(stops), "TEXT", "End an answer before TEXT; repeatable.", 0, 0, 0,
     0},
};

typedef struct conversation {
  cli_engine engine;
  wh_generator *generator;
  cli_drafting drafting;
  json_t *messages;
  const chat_options *options;
  cli_output out;
  bool json;
  bool interactive; /* a person types */
  bool mid_line;    /* the last thing shown was not a newline */
} conversation;

static const char help_text[] =
    "  /reset  forget the conversation\n"
    "  /exit   leave (also Ctrl-D)\n"
    "  /help   this text\n"
    "  Ctrl-C stops an answer; twice at the prompt, it leaves.";

static void prompt_for_line(const conversation *c) {
  if (!c->interactive) return;
  fputs("> ", stderr);
  fflush(stderr);
}

static void start_messages(conversation *c) {
  json_array_clear(c->messages);
  if (c->options->system)
    cli_chat_append(c->messages, "system", c->options->system, strlen(c->options->system));
}

static cli_exit stream_text(void *ctx, const char *text, size_t n_bytes) {
  conversation *c = ctx;
  cli_output_text(&c->out, text, n_bytes);
  c->mid_line = text[n_bytes - 1] != '\n';
  return cli_output_flush(&c->out);
}

/* Messages before this one are never forgotten. */
static size_t first_turn(const conversation *c) { return c->options->system ? 1 : 0; }

/* Tokens of the conversation, after forgetting as many of the oldest turns as it takes to leave room for an
 * answer. A single message that does not fit is CLI_LIMIT. */
static cli_exit tokenize_fitting(conversation *c, int32_t **ids, size_t *n) {
  size_t context = wh_session_context(c->engine.session), forgotten = 0;
  size_t room = context / 8 < c->options->max_tokens ? context / 8 : c->options->max_tokens;
  for (;;) {
    CLI_TRY(cli_chat_tokenize(c->engine.model, c->messages, ids, n));
    if (*n + room <= context) break;
    size_t first = first_turn(c);
    if (json_array_size(c->messages) <= first + 1) {
      size_t needed = *n + room;
      free(*ids);
      *ids = NULL;
      return cli_fail(CLI_LIMIT,
                      "the message needs %zu of the context's %zu positions; shorten it or use --ctx %zu", *n,
                      context, needed);
    }
    free(*ids);
    *ids = NULL;
    /* A turn is a question and its answer. */
    json_array_remove(c->messages, first);
    if (json_array_size(c->messages) > first + 1) json_array_remove(c->messages, first);
    ++forgotten;
  }
  if (forgotten)
    cli_note("[the context of %zu positions is full: the oldest %zu turn%s forgotten; /reset starts over]",
             context, forgotten, forgotten == 1 ? " is" : "s are");
  return CLI_OK;
}

static cli_exit write_turn_json(conversation *c, const cli_generation *g) {
  json_t *turn = json_object();
  cli_json_set_text(turn, "role", "assistant");
  cli_json_set(turn, "content", cli_json_string(g->text.data, g->text.n));
  cli_json_set_text(turn, "stop_reason", cli_stop_reason_name(g->reason));
  cli_json_set_whole(turn, "prompt_tokens", g->n_prompt);
  cli_json_set_whole(turn, "prompt_tokens_run", g->n_prompt_run);
  cli_json_set_whole(turn, "tokens", g->n_tokens);
  cli_json_set_whole(turn, "decode_runs", g->n_runs);
  cli_json_set_whole(turn, "drafted_tokens", g->n_drafted);
  cli_json_set_whole(turn, "accepted_tokens", g->n_accepted);
  return cli_json_write(&c->out, turn, true);
}

static cli_exit finish_turn(conversation *c, const cli_generation *g) {
  cli_chat_append(c->messages, "assistant", g->text.data, g->text.n);
  CLI_TRY(cli_json_check());
  if (c->json) {
    CLI_TRY(write_turn_json(c, g));
  } else {
    if (c->mid_line || g->n_tokens == 0) cli_output_write(&c->out, "\n", 1);
    CLI_TRY(cli_output_flush(&c->out));
  }
  c->mid_line = false;
  if (g->reason == CLI_STOP_CONTEXT)
    cli_note("[the context of %u positions is full, the answer was cut; /reset starts over]",
             wh_session_context(c->engine.session));
  if (g->reason == CLI_STOP_INTERRUPTED) cli_note("[stopped]");
  cli_note_timing(g);
  return CLI_OK;
}

/* One question and its answer. The question of a failed turn does not stay in the conversation. */
static cli_exit take_turn(conversation *c, const char *line, size_t n_bytes) {
  int32_t *ids = NULL;
  size_t n = 0;
  cli_generation g = {0};
  cli_generation_options generation = {.max_tokens = c->options->max_tokens,
                                       .stops = &c->options->stops,
                                       .on_text = c->json ? NULL : stream_text,
                                       .on_text_ctx = c};
  cli_chat_append(c->messages, "user", line, n_bytes);
  cli_exit code = tokenize_fitting(c, &ids, &n);
  if (code == CLI_OK)
    code = cli_generate(&c->engine, c->drafting.speculator, c->generator, ids, n, &generation, &g);
  if (code == CLI_OK)
    code = finish_turn(c, &g);
  else if (json_array_size(c->messages) > first_turn(c))
    json_array_remove(c->messages, json_array_size(c->messages) - 1);
  cli_generation_deinit(&g);
  free(ids);
  return code;
}

/* At a terminal a failed turn is told and the conversation goes on, unless nothing can be shown any more. */
static cli_exit recover(const conversation *c, cli_exit code) {
  if (code == CLI_OK || !c->interactive || code == CLI_IO || code == CLI_INTERNAL) return code;
  if (code == CLI_INTERRUPTED)
    cli_note("[stopped]");
  else
    cli_print_error();
  cli_interrupt_clear();
  return CLI_OK;
}

static bool is_command(const char *line, const char *command) { return strcmp(line, command) == 0; }

/* *leave: the person wants to go. */
static cli_exit handle_line(conversation *c, const char *line, size_t n_bytes, bool *leave) {
  if (n_bytes && line[n_bytes - 1] == '\r') --n_bytes;
  if (n_bytes == 0) return CLI_OK;
  if (is_command(line, "/exit") || is_command(line, "/quit")) {
    *leave = true;
    return CLI_OK;
  }
  if (is_command(line, "/reset")) {
    start_messages(c);
    cli_note("[the conversation is forgotten]");
    return cli_json_check();
  }
  if (is_command(line, "/help")) {
    fprintf(stderr, "%s\n", help_text);
    return CLI_OK;
  }
  if (c->interactive && line[0] == '/' && !strchr(line, ' ')) {
    fprintf(stderr, "There is no command %s.\n%s\n", line, help_text);
    return CLI_OK;
  }
  return recover(c, take_turn(c, line, n_bytes));
}

static cli_exit converse(conversation *c) {
  cli_line_reader reader = {0};
  bool leave = false, warned = false;
  cli_exit code = CLI_OK;
  while (code == CLI_OK && !leave) {
    const char *line = NULL;
    size_t n = 0;
    cli_line_result result = CLI_LINE_END;
    cli_interrupt_clear();
    prompt_for_line(c);
    code = cli_read_line(&reader, &result, &line, &n);
    if (code != CLI_OK) break;
    if (result == CLI_LINE_END) {
      if (c->interactive) fputc('\n', stderr);
      leave = true;
    } else if (result == CLI_LINE_BROKEN_OFF) {
      if (warned || !c->interactive) code = cli_fail_interrupted();
      if (code == CLI_OK) fprintf(stderr, "\n[Ctrl-C again or /exit leaves]\n");
      warned = true;
    } else {
      warned = false;
      code = handle_line(c, line, n, &leave);
      /* Through a pipe nobody is there to go on after a Ctrl-C. */
      if (code == CLI_OK && cli_interrupted() && !c->interactive) code = cli_fail_interrupted();
    }
  }
  cli_line_reader_deinit(&reader);
  return code;
}

static void conversation_deinit(conversation *c) {
  cli_output_abandon(&c->out);
  wh_generator_destroy(c->generator);
  cli_drafting_close(&c->drafting);
  cli_engine_close(&c->engine);
  json_decref(c->messages);
}

static cli_exit conversation_open(conversation *c, const char *model,
                                  const cli_engine_options *engine_options,
                                  const cli_drafting_options *drafting, const cli_sampling_options *sampling,
                                  const char *path) {
  cli_session_needs needs = {.max_outputs = cli_drafting_rows(drafting), .may_keep_packed = true};
  wh_sampling s = cli_sampling(sampling);
  CLI_TRY(cli_output_open(path, &c->out));
  c->messages = json_array();
  if (!c->messages) return cli_fail(CLI_LIMIT, "out of memory");
  start_messages(c);
  CLI_TRY(cli_engine_open(model, engine_options, &needs, &c->engine));
  CLI_TRY(cli_drafting_open(&c->engine, drafting, &c->drafting));
  CLI_TRY_WH(wh_generator_create(c->engine.model, &s, &c->generator));
  return CLI_OK;
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  chat_options options = {.max_tokens = 1024};
  cli_drafting_options drafting = CLI_DRAFTING_OPTIONS_INIT;
  cli_engine_options engine_options = CLI_ENGINE_OPTIONS_INIT;
  cli_sampling_options sampling = CLI_SAMPLING_OPTIONS_INIT;
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  const cli_option_group groups[] = {{"Conversation", chat_option_list, CLI_N(chat_option_list), &options},
                                     cli_sampling_group(&sampling),
                                     cli_drafting_group(&drafting),
                                     cli_engine_group(&engine_options),
                                     cli_output_group(&output_options)};
  const char *model = NULL;
  cli_positionals positionals = {&model, 1, 1, 0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &positionals));
  CLI_TRY(cli_require_positionals(verb, &positionals));
  cli_set_quiet(output_options.quiet);

  conversation c = {.options = &options, .json = output_options.json};
  c.interactive = isatty(STDIN_FILENO) == 1;
  cli_exit code = conversation_open(&c, model, &engine_options, &drafting, &sampling, output_options.path);
  if (code == CLI_OK) cli_note_packing(&c.engine);
  if (code == CLI_OK && c.interactive) cli_note("%s; /help lists commands", c.engine.info.name);
  if (code == CLI_OK) code = converse(&c);
  if (code == CLI_OK) code = cli_output_finish(&c.out);
  conversation_deinit(&c);
  return code;
}

const cli_verb cli_verb_chat = {
    .name = "chat",
    .arguments = "MODEL [options]",
    .summary = "Talk with a model, over several turns.",
    .details =
        "Holds a conversation by the model's chat template: one line in, one answer out. Works at a terminal "
        "and\n"
        "through a pipe, where each line of standard input is a message; --json then writes a line of JSON "
        "for\n"
        "each answer. Ctrl-C stops an answer; twice at the prompt, it leaves. When the context is full, the\n"
        "oldest turns are forgotten. Commands: /reset, /exit, /help.",
    .examples =
        "  whimbrel chat model.gguf\n"
        "  whimbrel chat model.gguf --system \"Answer in one sentence.\" --temp 0.7\n"
        "  printf 'Hello!\\nWhat did I just say?\\n' | whimbrel chat model.gguf --json",
    .run = run,
};
