/* verify_graph.c - see verify_graph.h. A run of a graph is one position to the tables of traces. The model's
 * outputs are compared like nodes of an op "output", so that what the host worked out counts, too. */
#include "cli/verify_graph.h"

#include <stdio.h>
#include <string.h>

#include "cli/json_out.h"
#include "cli/reproducer.h"
#include "cli/trace_table.h"

typedef struct graph_side {
  cli_graph_engine g;
  cli_trace_table table;
} graph_side;

static cli_exit trace_outputs(graph_side *s) {
  for (uint32_t i = 0; i < s->g.info.n_outputs && !s->table.captured; i++) {
    wh_trace_event e = {.struct_size = sizeof e, .op = "output"};
    wh_tensor t;
    CLI_TRY(cli_graph_output(&s->g, i, &e.node, &t));
    e.dtype = t.dtype;
    e.rank = t.rank;
    memcpy(e.dims, t.dims, sizeof e.dims);
    e.data = t.data;
    e.n_bytes = t.n_bytes;
    (void)cli_trace_callback(&s->table, &e);
    CLI_TRY(s->table.failure);
  }
  return CLI_OK;
}

static cli_exit run_traced(graph_side *s) {
  cli_trace_begin_run(&s->table, 0, 1);
  cli_exit code = cli_graph_run(&s->g);
  CLI_TRY(s->table.failure);
  if (s->table.captured) return CLI_OK; /* the callback cancelled the run: it has what it wanted */
  CLI_TRY(code);
  return trace_outputs(s);
}

/* One more run of the first side, without a trace. */
static wh_status extract_node(void *ctx, const char *node, const char *folder) {
  const graph_side *side = ctx;
  wh_runner_set_trace(side->g.runner, NULL, NULL);
  wh_status status = wh_runner_extract(side->g.runner, node, folder);
  return status == WH_OK ? wh_runner_run(side->g.runner) : status;
}

static cli_exit locate_element(graph_side sides[2], cli_trace_difference *d) {
  for (int i = 0; i < 2; i++) {
    cli_trace_capture(&sides[i].table, d);
    CLI_TRY(run_traced(&sides[i]));
    if (!sides[i].table.captured)
      return cli_fail(CLI_DIFFERENT, "configuration %d does not repeat itself: node %s is not there again",
                      i + 1, d->node);
  }
  return cli_trace_compare_captured(&sides[0].table, &sides[1].table, d);
}

static cli_exit write_text(graph_side sides[2], const cli_trace_counts *counts, const cli_trace_difference *d,
                           const cli_reproducer *reproducer, cli_output *out) {
  for (int i = 0; i < 2; i++) {
    const wh_device_info info = cli_engine_device_info(&sides[i].g.engine);
    cli_output_printf(out, "%c: %s %s, %u thread%s, %s\n", "AB"[i], info.name, info.isa, info.n_threads,
                      info.n_threads == 1 ? "" : "s", info.numerics == WH_NUMERICS_FAST ? "fast" : "exact");
  }
  if (!d->node)
    cli_output_printf(out, "same: %zu nodes, %zu outputs\n", counts->nodes_compared,
                      counts->outputs_compared);
  else
    cli_output_printf(
        out,
        "DIFFERENT: first at node %s (%s)\n  element %zu: A has %s, B has %s; %zu of %zu elements "
        "differ\n",
        d->node, d->op, d->element, d->value_a, d->value_b, d->n_different, d->n_elements);
  cli_reproducer_report(reproducer, out);
  cli_output_printf(out, "not compared: %zu%s\n", counts->nodes_unmatched,
                    counts->nodes_unmatched ? " nodes that only one has or that differ in type" : "");
  return cli_output_flush(out);
}

static cli_exit write_json(graph_side sides[2], const cli_trace_counts *counts, const cli_trace_difference *d,
                           const cli_reproducer *reproducer, cli_output *out) {
  json_t *root = json_object(), *difference = d->node ? json_object() : json_null();
  cli_json_set(root, "same", json_boolean(!d->node));
  cli_json_set(root, "model", cli_json_model(sides[0].g.engine.model));
  cli_json_set(root, "a", cli_json_device(sides[0].g.engine.device));
  cli_json_set(root, "b", cli_json_device(sides[1].g.engine.device));
  cli_json_set_whole(root, "nodes_compared", counts->nodes_compared);
  cli_json_set_whole(root, "outputs_compared", counts->outputs_compared);
  cli_json_set_whole(root, "nodes_unmatched", counts->nodes_unmatched);
  if (d->node) {
    cli_json_set_text(difference, "node", d->node);
    cli_json_set_text(difference, "op", d->op);
    cli_json_set_whole(difference, "element", d->element);
    cli_json_set_text(difference, "a", d->value_a);
    cli_json_set_text(difference, "b", d->value_b);
    cli_json_set_whole(difference, "elements", d->n_elements);
    cli_json_set_whole(difference, "elements_different", d->n_different);
  }
  cli_json_set(root, "first_difference", difference);
  cli_json_set_text(root, "reproducer", reproducer->folder[0] ? reproducer->folder : NULL);
  return cli_json_write(out, root, false);
}

static bool same_numbers(const graph_side sides[2]) {
  return sides[0].g.engine.options.numerics == WH_NUMERICS_EXACT &&
         sides[1].g.engine.options.numerics == WH_NUMERICS_EXACT;
}

static cli_exit verify(graph_side sides[2], cli_reproducer *reproducer, bool json, cli_output *out) {
  cli_trace_counts counts = {0};
  cli_trace_difference d = {0};
  for (int i = 0; i < 2; i++) {
    cli_trace_table_init(&sides[i].table, 1, 0);
    wh_runner_set_trace(sides[i].g.runner, cli_trace_callback, &sides[i].table);
    CLI_TRY(run_traced(&sides[i]));
  }
  cli_trace_compare(&sides[0].table, &sides[1].table, &counts, &d);
  if (!counts.outputs_compared)
    return cli_fail(CLI_UNSUPPORTED,
                    "the two configurations have no node in common; nothing can be compared");
  if (d.node) CLI_TRY(locate_element(sides, &d));
  const bool by_itself = cli_is_graph_folder(sides[0].g.engine.info.path); /* already */
  if (d.node && !by_itself && same_numbers(sides))
    cli_reproducer_write(reproducer, d.node, extract_node, &sides[0]);
  CLI_TRY(json ? write_json(sides, &counts, &d, reproducer, out)
               : write_text(sides, &counts, &d, reproducer, out));
  CLI_TRY(cli_output_finish(out));
  return d.node ? cli_fail(CLI_DIFFERENT, "the configurations differ, first at node %s", d.node) : CLI_OK;
}

cli_exit cli_verify_graph(const char *model, const cli_engine_options sides[2],
                          const cli_graph_options *graph, const char *reproducer, bool json,
                          cli_output *out) {
  graph_side s[2] = {{.g = {.runner = NULL}}, {.g = {.runner = NULL}}};
  cli_graph_options options = *graph;
  cli_reproducer where = {.wanted = reproducer};
  options.random = true;
  cli_exit code = cli_graph_open(model, &sides[0], &options, &s[0].g);
  if (code == CLI_OK) code = cli_graph_open(model, &sides[1], &options, &s[1].g);
  if (code == CLI_OK) code = verify(s, &where, json, out);
  for (int i = 0; i < 2; i++) {
    cli_graph_close(&s[i].g);
    cli_trace_table_deinit(&s[i].table);
  }
  return code;
}
