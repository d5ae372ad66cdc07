/* drafting.c - see drafting.h. */
#include "cli/drafting.h"

#define DRAFTING(field) offsetof(cli_drafting_options, field)
static const cli_option drafting_options[] = {
    {"lookup", 0, CLI_OPTION_U32, DRAFTING(lookup), "N",
     "Draft up to N tokens from earlier text and check them in one run:\nfaster where text repeats (default: "
     "off).",
     1, WH_SPECULATE_MAX_DRAFT, 0, 0},
    {"draft", 0, CLI_OPTION_STRING, DRAFTING(model), "MODEL",
     "Draft tokens with MODEL, a smaller one of the same vocabulary\n(default: off).", 0, 0, 0, 0},
    {"draft-tokens", 0, CLI_OPTION_U32, DRAFTING(n_tokens), "N",
     "With --draft: most tokens of a draft (default 8).", 1, WH_SPECULATE_MAX_DRAFT, 0, 0},
    {"draft-min-p", 0, CLI_OPTION_REAL, DRAFTING(min_probability), "X",
     "With --draft: the draft ends at a token that it holds less likely\nthan X (default 0.5).", 0, 0, 0, 1},
};

cli_option_group cli_drafting_group(cli_drafting_options *options) {
  return (cli_option_group){"Drafting (with exact numerics the same answer)", drafting_options,
                            CLI_N(drafting_options), options, NULL};
}

uint32_t cli_drafting_rows(const cli_drafting_options *options) {
  uint32_t n_draft = options->model ? options->n_tokens : 0;
  return 1 + (n_draft > options->lookup ? n_draft : options->lookup);
}

/* No draft is longer than the context, whatever was asked for. */
static uint32_t within(uint32_t n, uint32_t context) { return n < context ? n : context - 1; }

static cli_exit open_draft_model(cli_engine *engine, const cli_drafting_options *options, cli_drafting *d) {
  wh_model_info info = WH_MODEL_INFO_INIT;
  cli_engine_options engine_options = engine->options;
  uint32_t context = wh_session_context(engine->session);
  const cli_session_needs needs = {.max_outputs = 1, .find_prefixes = true};
  CLI_TRY(cli_model_open(options->model, &d->model));
  CLI_TRY_WH(wh_model_check_same_vocabulary(engine->model, d->model)); /* before anything large is done */
  wh_model_get_info(d->model, &info);
  engine_options.context = info.context_length < context ? (uint32_t)info.context_length : context;
  return cli_session_open(&engine_options, d->model, engine->device, &needs, &d->session);
}

cli_exit cli_drafting_open(cli_engine *engine, const cli_drafting_options *options, cli_drafting *out) {
  cli_drafting d = {0};
  double start = cli_seconds();
  uint32_t context = wh_session_context(engine->session);
  wh_speculator_options o = WH_SPECULATOR_OPTIONS_INIT;
  cli_exit code = options->model ? open_draft_model(engine, options, &d) : CLI_OK;
  if (code == CLI_OK) {
    o.max_lookup = within(options->lookup, context);
    o.max_draft = within(options->n_tokens, context);
    o.draft = d.session;
    o.min_probability = (float)options->min_probability;
    wh_status status = wh_speculator_create(engine->session, &o, &d.speculator);
    if (status != WH_OK) code = cli_fail_library(status);
  }
  if (code != CLI_OK) {
    cli_drafting_close(&d);
    return code;
  }
  engine->load_seconds += cli_seconds() - start;
  *out = d;
  return CLI_OK;
}

void cli_drafting_close(cli_drafting *d) {
  wh_speculator_destroy(d->speculator);
  if (d->session) cli_session_keep_packed(d->session);
  wh_session_destroy(d->session);
  wh_model_destroy(d->model);
  *d = (cli_drafting){0};
}
