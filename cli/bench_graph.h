/* bench_graph.h - `whimbrel bench` of a model that takes tensors: what one run takes. */
#ifndef CLI_BENCH_GRAPH_H
#define CLI_BENCH_GRAPH_H

#include "cli/graph_engine.h"
#include "cli/json_out.h"

/* `repetitions` runs; 0: as many as take about a second. The result is a paragraph, or an element of `list`
 * when there is one. CLI_DIFFERENT when a repetition gave other bits than the first run. */
WH_NODISCARD cli_exit cli_bench_graph(const char *model, const cli_engine_options *engine,
                                      const cli_graph_options *graph, uint32_t repetitions, cli_output *out,
                                      json_t *list);

#endif
