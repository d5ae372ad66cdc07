/* run_graph.h - `whimbrel run` for a model that is no language model: tensors in, tensors out. */
#ifndef CLI_RUN_GRAPH_H
#define CLI_RUN_GRAPH_H

#include "cli/graph_engine.h"

typedef struct cli_graph_outputs {
  const char *path;   /* a folder, which takes each output as NAME.npy, or a .npz; NULL: only the summary is
                         printed */
  const char *labels; /* a file of the classes' names; NULL: none */
  bool json;          /* the summary is a document */
} cli_graph_outputs;

/* Runs the model once. */
WH_NODISCARD cli_exit cli_run_graph(const char *model, const cli_engine_options *engine,
                                    const cli_graph_options *options, const cli_graph_outputs *outputs);

#endif
