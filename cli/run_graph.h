/* run_graph.h - `whimbrel run` for a model that is no language model: tensors in, tensors out. */
#ifndef CLI_RUN_GRAPH_H
#define CLI_RUN_GRAPH_H

#include "cli/options.h"

typedef struct cli_graph_options {
  cli_strings inputs; /* NAME=FILE.npy */
  cli_strings dims;   /* NAME=N */
  uint64_t seed;
  bool random;
} cli_graph_options;

/* Whether the options, or the model's name, ask for it. */
bool cli_is_graph_run(const char *model, const cli_graph_options *options);
/* Runs the model once. `folder` takes each output as NAME.npy; NULL: only the summary is printed. */
WH_NODISCARD cli_exit cli_run_graph(const char *model, const cli_engine_options *engine,
                                    const cli_graph_options *options, const char *folder);

#endif
