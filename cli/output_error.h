/* output_error.h - how far the outputs of one model of tensors are from another's, on the same inputs. */
#ifndef CLI_OUTPUT_ERROR_H
#define CLI_OUTPUT_ERROR_H

#include "cli/graph_engine.h"
#include "cli/json_out.h"

/* Runs both and reports each output of numbers: a line, or an object appended to `list` unless that is NULL.
 */
WH_NODISCARD cli_exit cli_output_error(const char *const paths[2], const cli_engine_options *engine,
                                       const cli_graph_options *graph, cli_output *out, json_t *list);

#endif
