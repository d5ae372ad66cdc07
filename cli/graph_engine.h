/* graph_engine.h - a model that takes tensors (ONNX): its options, and model, device and runner opened
 * together with all inputs set. What `run`, `bench`, `verify` and `inspect` share. */
#ifndef CLI_GRAPH_ENGINE_H
#define CLI_GRAPH_ENGINE_H

#include "cli/engine.h"
#include "cli/image_input.h"
#include "cli/tensor_numbers.h"

typedef struct cli_graph_options {
  cli_strings inputs;  /* NAME=FILE.npy */
  cli_strings dims;    /* NAME=N */
  const char *archive; /* .npz: inputs by their names; NULL: none */
  cli_image_options image;
  uint64_t seed, max_iterations;
  bool random;
  bool lists_host_nodes; /* no option: for `inspect` */
} cli_graph_options;

cli_option_group cli_graph_group(cli_graph_options *options);
/* Whether the options, or the model's name, ask for it. */
bool cli_is_graph(const char *model, const cli_graph_options *options);
bool cli_is_onnx(const char *model); /* by its name */
/* Whether the options say what any input is. */
bool cli_graph_has_inputs(const cli_graph_options *options);
/* The one error line of a verb that needs a language model. */
WH_NODISCARD cli_exit cli_refuse_graph(const char *model, const char *verb);

/* Owned: close frees what it holds. Zero-initialise. */
typedef struct cli_graph_engine {
  cli_engine engine; /* without session */
  wh_runner *runner;
  wh_graph_info info;
  cli_buffer said; /* a line about each input that was made of something else */
} cli_graph_engine;
/* Inputs without a file are random if the options say so, else not set. */
WH_NODISCARD cli_exit cli_graph_open(const char *path, const cli_engine_options *options,
                                     const cli_graph_options *graph, cli_graph_engine *out);
/* Runs once; Ctrl-C ends it between nodes. */
WH_NODISCARD cli_exit cli_graph_run(cli_graph_engine *g);
/* The i-th output of the last run, and its name. */
WH_NODISCARD cli_exit cli_graph_output(const cli_graph_engine *g, uint32_t i, const char **name,
                                       wh_tensor *tensor);
void cli_graph_close(cli_graph_engine *g);

#endif
