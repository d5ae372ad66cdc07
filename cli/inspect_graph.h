/* inspect_graph.h - the programs of a runner that has run, for `inspect`: their graphs, memory, plans and
 * kernels, and what of an ONNX model the host works out itself. */
#ifndef CLI_INSPECT_GRAPH_H
#define CLI_INSPECT_GRAPH_H

#include <jansson.h>

#include "cli/output.h"

WH_NODISCARD cli_exit cli_inspect_graph_text(cli_output *out, const wh_runner *runner, bool graph, bool plan,
                                             bool kernels);
/* Adds "programs" and, with kernels, "host_nodes". */
WH_NODISCARD cli_exit cli_inspect_graph_json(json_t *root, const wh_runner *runner, bool graph, bool plan,
                                             bool kernels);

#endif
