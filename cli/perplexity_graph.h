/* perplexity_graph.h - perplexity.h of an ONNX model: a decoder that takes token ids and gives logits for
 * each of them. Its tokenizer is the tokenizer.json beside it; its caches stay empty, each chunk is one run.
 */
#ifndef CLI_PERPLEXITY_GRAPH_H
#define CLI_PERPLEXITY_GRAPH_H

#include "cli/graph_engine.h"
#include "cli/perplexity.h"

/* The graph engine is left open for the caller to look at and to close, also on failure. */
WH_NODISCARD cli_exit cli_perplexity_of_graph(const char *model, const cli_engine_options *engine,
                                              const cli_perplexity_options *options, cli_graph_engine *g,
                                              cli_perplexity *out);

#endif
