/* trace_table.h - what every node put out, as hashes by node and position; comparing two such tables. */
#ifndef CLI_TRACE_TABLE_H
#define CLI_TRACE_TABLE_H

#include "cli/report.h"

#define CLI_DIGEST_CHARS 32
/* Hash of one node's output at one position; all zero: none was seen. */
typedef struct cli_trace_digest {
  char hash[CLI_DIGEST_CHARS];
} cli_trace_digest;

/* Nodes are matched by name, op and occurrence: how many of that name and op came earlier in a run. */
typedef struct cli_trace_node {
  char *name, *op;
  uint32_t occurrence;
  wh_dtype dtype;
  size_t last_run;           /* number of the run that last showed it */
  cli_trace_digest *digests; /* [n_positions] */
} cli_trace_node;

/* The first place where two tables differ. Strings are table A's. */
typedef struct cli_trace_difference {
  const char *node, *op; /* NULL: there is none */
  uint32_t occurrence;
  size_t position, step; /* step 0: the prompt; else the decode step, from 1 */
  size_t element, n_elements, n_different;
  char value_a[48], value_b[48];
} cli_trace_difference;

/* Owned by the caller: init, deinit. */
typedef struct cli_trace_table {
  cli_trace_node *nodes; /* in the order of their first appearance */
  size_t n_nodes, capacity;
  size_t n_prompt, n_positions;
  /* the run under way */
  size_t run, first_position, n_tokens, cursor;
  cli_exit failure;
  /* capture: one output is wanted instead of hashes */
  const cli_trace_difference *wanted;
  void *captured;
  size_t captured_bytes;
  wh_dtype captured_dtype;
} cli_trace_table;

typedef struct cli_trace_counts {
  size_t nodes_compared, outputs_compared;
  size_t nodes_unmatched; /* only in one table, or of another type there */
} cli_trace_counts;

void cli_trace_table_init(cli_trace_table *table, size_t n_prompt, size_t n_decode);
void cli_trace_table_deinit(cli_trace_table *table);

/* Says which positions the next run's rows are. */
void cli_trace_begin_run(cli_trace_table *table, size_t first_position, size_t n_tokens);
/* For wh_session_set_trace, with the table as context. Returns non-zero to cancel the run. */
int cli_trace_callback(void *ctx, const wh_trace_event *event);

/* Compares in the order of execution: the prompt before the decode steps, then nodes, then positions. */
void cli_trace_compare(const cli_trace_table *a, const cli_trace_table *b, cli_trace_counts *counts,
                       cli_trace_difference *difference);

/* From now on the callback looks only for the output at `wanted` (borrowed), copies it and cancels the run.
 */
void cli_trace_capture(cli_trace_table *table, const cli_trace_difference *wanted);
/* Fills the element, its values and the counts of `difference` from both captured outputs. */
WH_NODISCARD cli_exit cli_trace_compare_captured(const cli_trace_table *a, const cli_trace_table *b,
                                                 cli_trace_difference *difference);

#endif
