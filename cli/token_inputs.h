/* token_inputs.h - the inputs of an ONNX model that takes tokens, found by their names: ids, mask, types and
 * positions, and of a decoder the caches of the tokens before, of which there are none. */
#ifndef CLI_TOKEN_INPUTS_H
#define CLI_TOKEN_INPUTS_H

#include "cli/graph_engine.h"

typedef struct cli_token_rows {
  int32_t *const *rows;  /* [n] texts */
  const size_t *lengths; /* [n] */
  size_t n, width;       /* width: the longest's */
  int32_t padding;       /* the id behind shorter ones */
} cli_token_rows;

/* Sets all inputs but those that `graph` gives files for. `option` is named in errors. An input that is none
 * of these is refused by name, and what to do is `otherwise`. */
WH_NODISCARD cli_exit cli_set_token_inputs(const cli_graph_engine *g, const cli_graph_options *graph,
                                           const char *option, const char *otherwise,
                                           const cli_token_rows *tokens);

#endif
