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
#include "cli/graph_engine.h"
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
  size_t n_cut;     /* answers that the end of the context cut */
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

/* The conversation that a question would be asked in, until it is known to be answered. */
typedef struct turn {
  json_t *messages;   /* with the question at the end; owned */
  size_t n_forgotten; /* of the oldest turns; a turn is a question and its answer */
  int32_t *ids;       /* owned */
  size_t n;
} turn;

static void turn_deinit(turn *t) {
  json_decref(t->messages);
  free(t->ids);
}

/* The conversation but for its oldest turns, with the question, as messages and as tokens. */
static cli_exit turn_make(const conversation *c, const char *question, size_t n_bytes, size_t n_forgotten,
                          turn *out) {
  turn t = {.messages = json_array(), .n_forgotten = n_forgotten};
  size_t first = first_turn(c), n = json_array_size(c->messages);
  for (size_t i = 0; i < n; ++i)
    if (i < first || i >= first + 2 * n_forgotten)
      cli_json_append(t.messages, json_incref(json_array_get(c->messages, i)));
  cli_chat_append(t.messages, "user", question, n_bytes);
  cli_exit code = cli_chat_tokenize(c->engine.model, t.messages, &t.ids, &t.n);
  if (code == CLI_OK)
    *out = t;
  else
    turn_deinit(&t);
  return code;
}

static cli_exit fail_too_long(const conversation *c, const turn *t, size_t room) {
  size_t context = wh_session_context(c->engine.session), needed = t->n + room;
  cli_exit code =
      cli_fail(CLI_LIMIT, "the message needs %zu of the context's %zu positions; shorten it", t->n, context);
  if (needed <= c->engine.info.context_length) cli_fail_append(" or use --ctx %zu", needed);
  return code;
}

/* The turn with room for an answer. Where the context is full, so many of the oldest turns are forgotten that
 * half of the room for earlier turns is free: what stays moves to other positions and is run again, which
 * would have to happen in each turn if only one was forgotten at a time. A message that does not fit without
 * any earlier turn is CLI_LIMIT. */
static cli_exit turn_fit(const conversation *c, const char *question, size_t n_bytes, turn *out) {
  size_t context = wh_session_context(c->engine.session);
  size_t room = context / 8 < c->options->max_tokens ? context / 8 : c->options->max_tokens;
  size_t n_turns = (json_array_size(c->messages) - first_turn(c)) / 2;
  turn t = {0};
  CLI_TRY(turn_make(c, question, n_bytes, 0, &t));
  if (t.n + room > context) {
    turn_deinit(&t);
    CLI_TRY(turn_make(c, question, n_bytes, n_turns, &t));
    size_t least = t.n, k = 0;
    if (least + room > context) {
      cli_exit code = fail_too_long(c, &t, room);
      turn_deinit(&t);
      return code;
    }
    do {
      turn_deinit(&t);
      CLI_TRY(turn_make(c, question, n_bytes, ++k, &t));
    } while (k < n_turns && t.n > least + (context - room - least) / 2);
  }
  *out = t;
  return CLI_OK;
}

static cli_exit write_turn_json(conversation *c, const turn *t, const cli_generation *g) {
  json_t *answer = json_object();
  cli_json_set_text(answer, "role", "assistant");
  cli_json_set(answer, "content", cli_json_string(g->text.data, g->text.n));
  cli_json_set_text(answer, "stop_reason", cli_stop_reason_name(g->reason));
  cli_json_set_whole(answer, "prompt_tokens", g->n_prompt);
  cli_json_set_whole(answer, "prompt_tokens_run", g->n_prompt_run);
  cli_json_set_whole(answer, "turns_forgotten", t->n_forgotten);
  cli_json_set_whole(answer, "tokens", g->n_tokens);
  cli_json_set_whole(answer, "decode_runs", g->n_runs);
  cli_json_set_whole(answer, "drafted_tokens", g->n_drafted);
  cli_json_set_whole(answer, "accepted_tokens", g->n_accepted);
  return cli_json_write(&c->out, answer, true);
}

static cli_exit finish_turn(conversation *c, const turn *t, const cli_generation *g) {
  if (c->json) {
    CLI_TRY(write_turn_json(c, t, g));
  } else {
    if (c->mid_line || g->n_tokens == 0) cli_output_write(&c->out, "\n", 1);
    CLI_TRY(cli_output_flush(&c->out));
  }
  c->mid_line = false;
  uint32_t context = wh_session_context(c->engine.session);
  if (t->n_forgotten)
    cli_warn("the context of %u positions is full: the oldest %zu turn%s forgotten", context, t->n_forgotten,
             t->n_forgotten == 1 ? " is" : "s are");
  if (g->reason == CLI_STOP_CONTEXT) {
    ++c->n_cut;
    if (c->interactive) cli_warn("the context of %u positions is full: the answer was cut", context);
  }
  if (g->reason == CLI_STOP_INTERRUPTED) cli_note("[stopped]");
  cli_note_timing(g);
  return CLI_OK;
}

/* One question and its answer. A turn that fails changes nothing of the conversation. */
static cli_exit take_turn(conversation *c, const char *question, size_t n_bytes) {
  turn t = {0};
  cli_generation g = {0};
  cli_generation_options generation = {.max_tokens = c->options->max_tokens,
                                       .stops = &c->options->stops,
                                       .on_text = c->json ? NULL : stream_text,
                                       .on_text_ctx = c};
  CLI_TRY(turn_fit(c, question, n_bytes, &t));
  cli_exit code = cli_generate(&c->engine, c->drafting.speculator, c->generator, t.ids, t.n, &generation, &g);
  if (code == CLI_OK) {
    cli_chat_append(t.messages, "assistant", g.text.data, g.text.n);
    code = cli_json_check();
  }
  if (code == CLI_OK) {
    json_t *before = c->messages;
    c->messages = t.messages;
    t.messages = before;
    code = finish_turn(c, &t, &g);
  }
  cli_generation_deinit(&g);
  turn_deinit(&t);
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

/* What a line says, without what ends it: a script that was written on Windows sends CR LF. */
static size_t text_length(const char *line, size_t n_bytes) {
  return n_bytes && line[n_bytes - 1] == '\r' ? n_bytes - 1 : n_bytes;
}

/* Blanks behind a command are not seen by the person who typed them. */
static size_t trimmed_length(const char *line, size_t n_bytes) {
  while (n_bytes && (line[n_bytes - 1] == ' ' || line[n_bytes - 1] == '\t')) --n_bytes;
  return n_bytes;
}

static bool is_command(const char *line, size_t n_bytes, const char *command) {
  return n_bytes == strlen(command) && memcmp(line, command, n_bytes) == 0;
}

/* *leave: the person wants to go. */
static cli_exit handle_line(conversation *c, const char *line, size_t n_bytes, bool *leave) {
  n_bytes = text_length(line, n_bytes);
  if (n_bytes == 0) return CLI_OK;
  size_t n = trimmed_length(line, n_bytes);
  if (is_command(line, n, "/exit") || is_command(line, n, "/quit")) {
    *leave = true;
    return CLI_OK;
  }
  if (is_command(line, n, "/reset")) {
    start_messages(c);
    cli_note("[the conversation is forgotten]");
    return cli_json_check();
  }
  if (is_command(line, n, "/help")) {
    fprintf(stderr, "%s\n", help_text);
    return CLI_OK;
  }
  if (c->interactive && line[0] == '/' && !memchr(line, ' ', n)) {
    fprintf(stderr, "There is no command %.*s.\n%s\n", (int)n, line, help_text);
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

/* A person saw it happen and went on; a script learns it at the end, when all answers are written. */
static cli_exit fail_cut(const conversation *c) {
  return cli_fail(CLI_LIMIT,
                  "%zu answer%s cut where the context of %u positions was full; use a larger --ctx or a "
                  "smaller -n",
                  c->n_cut, c->n_cut == 1 ? " was" : "s were", wh_session_context(c->engine.session));
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
  cli_session_needs needs = {.max_outputs = cli_drafting_rows(drafting),
                             .find_prefixes = true,
                             .may_keep_packed = true,
                             .answers_soon = true};
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
  const cli_option_group groups[] = {
      {"Conversation", chat_option_list, CLI_N(chat_option_list), &options, NULL},
      cli_sampling_group(&sampling),
      cli_drafting_group(&drafting),
      cli_engine_group(&engine_options),
      cli_output_group(&output_options)};
  const char *model = NULL;
  cli_positionals positionals = {&model, 1, 1, 0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &positionals));
  CLI_TRY(cli_require_positionals(verb, &positionals));
  CLI_TRY(cli_refuse_graph(model, "chat"));
  cli_set_quiet(output_options.quiet);

  conversation c = {.options = &options, .json = output_options.json};
  c.interactive = isatty(STDIN_FILENO) == 1;
  cli_exit code = conversation_open(&c, model, &engine_options, &drafting, &sampling, output_options.path);
  if (code == CLI_OK) cli_note_packing(&c.engine);
  if (code == CLI_OK && c.interactive) cli_note("%s; /help lists commands", c.engine.info.name);
  if (code == CLI_OK) code = converse(&c);
  if (code == CLI_OK) code = cli_output_finish(&c.out);
  if (code == CLI_OK && c.n_cut && !c.interactive) code = fail_cut(&c);
  conversation_deinit(&c);
  return code;
}

static const cli_help helps[] = {
    {"pack-cache",
     "Keep packed weights in DIR, for a faster next start (default: those\nof large models, in the user's "
     "cache "
     "folder, if its disk has room)."},
    {NULL, NULL},
};

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
        "oldest turns are forgotten, so many that half of their room is free again, and a warning says so; "
        "an "
        "answer\n"
        "that is cut by the end of the context is told at a terminal, and through a pipe by exit code 5 at "
        "the "
        "end.\n"
        "Commands: /reset, /exit, /help.",
    .examples =
        "  whimbrel chat model.gguf\n"
        "  whimbrel chat model.gguf --system \"Answer in one sentence.\" --temp 0.7\n"
        "  printf 'Hello!\\nWhat did I just say?\\n' | whimbrel chat model.gguf --json",
    .run = run,
    .helps = helps,
    .surplus = "messages are typed, or come from standard input; `whimbrel run` takes one behind -p",
};
