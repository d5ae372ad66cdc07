/* verify_graph.h - `whimbrel verify` of a model that takes tensors. */
#ifndef CLI_VERIFY_GRAPH_H
#define CLI_VERIFY_GRAPH_H

#include "cli/graph_engine.h"
#include "cli/output.h"

/* Runs the model once in each configuration with the same inputs and compares all nodes' outputs and the
 * model's. CLI_DIFFERENT when one differs. Ends the output. */
WH_NODISCARD cli_exit cli_verify_graph(const char *model, const cli_engine_options sides[2],
                                       const cli_graph_options *graph, const char *reproducer, bool json,
                                       cli_output *out);

#endif
