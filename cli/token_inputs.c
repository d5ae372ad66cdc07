/* token_inputs.c - see token_inputs.h. */
#include "cli/token_inputs.h"

#include <stdlib.h>
#include <string.h>

/* What an input of that name takes. */
typedef enum role {
  ROLE_IDS,
  ROLE_MASK,
  ROLE_TYPES,
  ROLE_POSITIONS,
  ROLE_CACHE,
  ROLE_USES_CACHE,
  ROLE_UNKNOWN
} role;

static role role_of(const char *name) {
  static const struct {
    const char *part;
    role role;
  } parts[] = {{"sequence_length", ROLE_UNKNOWN},
               {"use_cache", ROLE_USES_CACHE},
               {"past_key_values", ROLE_CACHE},
               {"past_", ROLE_CACHE},
               {"mask", ROLE_MASK},
               {"token_type", ROLE_TYPES},
               {"segment", ROLE_TYPES},
               {"position", ROLE_POSITIONS},
               {"input_ids", ROLE_IDS},
               {"ids", ROLE_IDS},
               {"tokens", ROLE_IDS}};
  for (size_t i = 0; i < CLI_N(parts); i++)
    if (strstr(name, parts[i].part)) return parts[i].role;
  return ROLE_UNKNOWN;
}

static int64_t value_at(const cli_token_rows *t, role what, size_t row, size_t i) {
  const bool inside = i < t->lengths[row];
  switch (what) {
    case ROLE_IDS:
      return inside ? t->rows[row][i] : t->padding;
    case ROLE_MASK:
      return inside;
    case ROLE_POSITIONS:
      return (int64_t)i;
    default:
      return 0;
  }
}

/* A number for each token. */
static cli_exit set_numbers(wh_runner *runner, size_t at, const wh_port_info *p, const char *option,
                            role what, const cli_token_rows *tokens) {
  wh_tensor t = WH_TENSOR_INIT;
  const size_t n = tokens->n * tokens->width;
  if (p->dtype != WH_DTYPE_I64 && p->dtype != WH_DTYPE_I32)
    return cli_fail(CLI_UNSUPPORTED, "%s: input '%s' takes %s, not token ids", option, p->name,
                    wh_dtype_name(p->dtype));
  int64_t *data = calloc(n + 1, sizeof *data);
  if (!data) return cli_fail(CLI_LIMIT, "out of memory");
  for (size_t i = 0; i < n; i++) {
    const int64_t v = value_at(tokens, what, i / tokens->width, i % tokens->width);
    if (p->dtype == WH_DTYPE_I64)
      data[i] = v;
    else
      ((int32_t *)data)[i] = (int32_t)v;
  }
  t.dtype = p->dtype;
  t.rank = 2;
  t.dims[0] = (int64_t)tokens->n;
  t.dims[1] = (int64_t)tokens->width;
  t.data = data;
  t.n_bytes = n * (p->dtype == WH_DTYPE_I64 ? 8 : 4);
  const wh_status st = wh_runner_set_input_at(runner, at, &t);
  free(data);
  return st == WH_OK ? CLI_OK : cli_fail_library(st);
}

/* A cache of nothing, [texts, heads, 0, ...]: what is open behind the first dim is the number of tokens. */
static cli_exit set_empty(wh_runner *runner, size_t at, const wh_port_info *p, const char *option,
                          const char *otherwise, size_t n_texts) {
  wh_tensor t = WH_TENSOR_INIT;
  bool empty = false;
  t.dtype = p->dtype;
  t.rank = p->rank;
  for (int d = 0; d < p->rank; d++) {
    const bool open = p->dims[d].min != p->dims[d].max;
    t.dims[d] = !open ? p->dims[d].min : d == 0 ? (int64_t)n_texts : 0;
    empty = empty || t.dims[d] == 0;
  }
  if (!empty)
    return cli_fail(CLI_UNSUPPORTED, "%s: input '%s', %s, is a cache that cannot be empty; %s", option,
                    p->name, p->text, otherwise);
  CLI_TRY_WH(wh_runner_set_input_at(runner, at, &t));
  return CLI_OK;
}

static cli_exit set_false(wh_runner *runner, size_t at, const wh_port_info *p, const char *option) {
  static const uint8_t no[8] = {0};
  wh_tensor t = WH_TENSOR_INIT;
  if (p->dtype != WH_DTYPE_BOOL && p->dtype != WH_DTYPE_I64)
    return cli_fail(CLI_UNSUPPORTED, "%s: input '%s' takes %s, not a boolean", option, p->name,
                    wh_dtype_name(p->dtype));
  t.dtype = p->dtype;
  t.rank = p->rank;
  for (int d = 0; d < p->rank; d++) t.dims[d] = 1;
  t.data = no;
  t.n_bytes = p->dtype == WH_DTYPE_BOOL ? 1 : sizeof no;
  CLI_TRY_WH(wh_runner_set_input_at(runner, at, &t));
  return CLI_OK;
}

static bool is_given(const cli_strings *inputs, const char *name) {
  for (size_t i = 0; i < inputs->n; i++)
    if (cli_value_of(inputs->items[i], name)) return true;
  return false;
}

cli_exit cli_set_token_inputs(const cli_graph_engine *g, const cli_graph_options *graph, const char *option,
                              const char *otherwise, const cli_token_rows *tokens) {
  bool has_ids = false;
  for (uint32_t i = 0; i < g->info.n_inputs; i++) {
    wh_port_info p = WH_PORT_INFO_INIT;
    CLI_TRY_WH(wh_model_get_input(g->engine.model, i, &p));
    const role what = role_of(p.name);
    if (is_given(&graph->inputs, p.name)) continue;
    if (what == ROLE_UNKNOWN)
      return cli_fail(CLI_UNSUPPORTED, "%s: input '%s' is none of ids, mask, types, positions and caches; %s",
                      option, p.name, otherwise);
    if (what == ROLE_CACHE)
      CLI_TRY(set_empty(g->runner, i, &p, option, otherwise, tokens->n));
    else if (what == ROLE_USES_CACHE)
      CLI_TRY(set_false(g->runner, i, &p, option));
    else
      CLI_TRY(set_numbers(g->runner, i, &p, option, what, tokens));
    has_ids |= what == ROLE_IDS;
  }
  return has_ids ? CLI_OK : cli_fail(CLI_UNSUPPORTED, "%s: the model has no input of token ids", option);
}
