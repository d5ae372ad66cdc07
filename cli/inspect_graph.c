/* inspect_graph.c - see inspect_graph.h. */
#include "cli/inspect_graph.h"

#include <inttypes.h>
#include <string.h>

#include "cli/json_out.h"
#include "cli/kernel_table.h"
#include "cli/units.h"

typedef struct program {
  const wh_runner *runner;
  uint32_t at;
} program;

static wh_status instruction(const void *p, uint32_t i, wh_instruction_info *info) {
  const program *x = p;
  return wh_runner_get_instruction(x->runner, x->at, i, info);
}

typedef wh_status (*text_fn)(const wh_runner *runner, uint32_t at, char **out);

static cli_exit write_section(cli_output *out, const program *p, const char *title, text_fn text) {
  char *s = NULL;
  CLI_TRY_WH(text(p->runner, p->at, &s));
  cli_output_printf(out, "\n%s:\n", title);
  cli_output_text(out, s, strlen(s));
  wh_string_destroy(s);
  return cli_output_flush(out);
}

static cli_exit write_memory(cli_output *out, const wh_program_info *info) {
  const struct {
    const char *text;
    uint64_t n_bytes;
  } rows[] = {
      {"activations, planned", info->activations},
      {"  no plan can be below", info->activations_lower_bound},
      {"  without sharing", info->activations_unshared},
      {"states", info->states},
      {"packed weights", info->packed_weights},
      {"used from the mapped file", info->mapped_weights},
  };
  cli_output_printf(out, "\nmemory:\n");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
    char bytes[CLI_BYTES_TEXT];
    cli_output_printf(out, "  %-26s %14" PRIu64 "  %s\n", rows[i].text, rows[i].n_bytes,
                      rows[i].n_bytes ? cli_bytes_text(rows[i].n_bytes, bytes) : "");
  }
  return cli_output_flush(out);
}

/* A model's own text, and blanks up to the width. */
static void write_padded(cli_output *out, const char *text, int width) {
  const int n = (int)strlen(text);
  cli_output_text(out, text, (size_t)n);
  cli_output_printf(out, "%*s  ", n < width ? width - n : 0, "");
}

static cli_exit write_host_nodes(cli_output *out, const wh_runner *runner) {
  wh_host_node_info info = WH_HOST_NODE_INFO_INIT;
  for (uint32_t i = 0; wh_runner_get_host_node(runner, i, &info) == WH_OK; ++i) {
    if (i == 0)
      cli_output_printf(out, "\non the host:\n  %5s  %-20s  %-36s  %s\n", "times", "op", "node", "why");
    cli_output_printf(out, "  %5" PRIu32 "  ", info.times);
    write_padded(out, info.op, 20);
    write_padded(out, info.node, 36);
    cli_output_printf(out, "%s\n", info.reason);
  }
  return cli_output_flush(out);
}

cli_exit cli_inspect_graph_text(cli_output *out, const wh_runner *runner, bool graph, bool plan,
                                bool kernels) {
  wh_program_info info = WH_PROGRAM_INFO_INIT;
  uint32_t n = 0;
  while (wh_runner_get_program(runner, n, &info) == WH_OK) ++n;
  for (uint32_t i = 0; i < n; ++i) {
    const program p = {runner, i};
    CLI_TRY_WH(wh_runner_get_program(runner, i, &info));
    cli_output_printf(out, "\nprogram %" PRIu32 " of %" PRIu32 ", %" PRIu32 " instructions\n", i + 1, n,
                      info.n_instructions);
    if (graph) CLI_TRY(write_section(out, &p, "graph", wh_runner_graph_text));
    if (plan) {
      CLI_TRY(write_memory(out, &info));
      CLI_TRY(write_section(out, &p, "program", wh_runner_plan_text));
    }
    if (kernels) CLI_TRY(cli_write_kernels(out, instruction, &p));
  }
  return kernels ? write_host_nodes(out, runner) : cli_output_flush(out);
}

static cli_exit set_section(json_t *object, const program *p, const char *name, text_fn text) {
  char *s = NULL;
  CLI_TRY_WH(text(p->runner, p->at, &s));
  cli_json_set_text(object, name, s);
  wh_string_destroy(s);
  return CLI_OK;
}

static void set_memory(json_t *object, const wh_program_info *info) {
  json_t *memory = json_object();
  cli_json_set_whole(memory, "activations", info->activations);
  cli_json_set_whole(memory, "activations_lower_bound", info->activations_lower_bound);
  cli_json_set_whole(memory, "activations_unshared", info->activations_unshared);
  cli_json_set_whole(memory, "states", info->states);
  cli_json_set_whole(memory, "packed_weights", info->packed_weights);
  cli_json_set_whole(memory, "mapped_weights", info->mapped_weights);
  cli_json_set(object, "memory", memory);
}

cli_exit cli_inspect_graph_json(json_t *root, const wh_runner *runner, bool graph, bool plan, bool kernels) {
  json_t *programs = json_array();
  wh_program_info info = WH_PROGRAM_INFO_INIT;
  cli_json_set(root, "programs", programs);
  for (uint32_t i = 0; wh_runner_get_program(runner, i, &info) == WH_OK; ++i) {
    const program p = {runner, i};
    json_t *object = json_object();
    cli_json_append(programs, object);
    if (graph) CLI_TRY(set_section(object, &p, "graph", wh_runner_graph_text));
    if (plan) {
      set_memory(object, &info);
      CLI_TRY(set_section(object, &p, "plan", wh_runner_plan_text));
    }
    if (!kernels) continue;
    json_t *list = json_array();
    cli_json_set(object, "instructions", list);
    CLI_TRY(cli_kernels_json(list, instruction, &p));
  }
  if (!kernels) return CLI_OK;
  json_t *hosts = json_array();
  wh_host_node_info host = WH_HOST_NODE_INFO_INIT;
  cli_json_set(root, "host_nodes", hosts);
  for (uint32_t i = 0; wh_runner_get_host_node(runner, i, &host) == WH_OK; ++i) {
    json_t *item = json_object();
    cli_json_set_text(item, "node", host.node);
    cli_json_set_text(item, "op", host.op);
    cli_json_set_text(item, "reason", host.reason);
    cli_json_set_whole(item, "times", host.times);
    cli_json_append(hosts, item);
  }
  return CLI_OK;
}
