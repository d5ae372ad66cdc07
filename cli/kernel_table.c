/* kernel_table.c - see kernel_table.h. */
#include "cli/kernel_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json_out.h"
#include "cli/units.h"

/* Instructions that run the same kernel for the same reason. Strings are the program's. */
typedef struct kernel_use {
  wh_instruction_info first;
  uint32_t count;
  uint64_t weight_bytes;
} kernel_use;

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }
static const char *or_empty(const char *s) { return s ? s : ""; }

static uint32_t count(cli_instruction_fn get, const void *program) {
  wh_instruction_info info = WH_INSTRUCTION_INFO_INIT;
  uint32_t n = 0;
  while (get(program, n, &info) == WH_OK) n++;
  return n;
}

static cli_exit collect(cli_instruction_fn get, const void *program, uint32_t n, kernel_use *uses,
                        uint32_t *n_uses) {
  *n_uses = 0;
  for (uint32_t i = 0; i < n; ++i) {
    wh_instruction_info info = WH_INSTRUCTION_INFO_INIT;
    CLI_TRY_WH(get(program, i, &info));
    uint32_t u = 0;
    while (u < *n_uses &&
           !(same_text(uses[u].first.op, info.op) && same_text(uses[u].first.kernel, info.kernel) &&
             same_text(uses[u].first.reason, info.reason)))
      ++u;
    if (u == *n_uses) uses[(*n_uses)++] = (kernel_use){.first = info};
    ++uses[u].count;
    uses[u].weight_bytes += info.weight_bytes;
  }
  return CLI_OK;
}

cli_exit cli_write_kernels(cli_output *out, cli_instruction_fn get, const void *program) {
  const uint32_t n = count(get, program);
  uint32_t n_uses = 0;
  kernel_use *uses = calloc((size_t)n + 1, sizeof *uses);
  if (!uses) return cli_fail(CLI_LIMIT, "out of memory");
  cli_exit code = collect(get, program, n, uses, &n_uses);
  if (code == CLI_OK) {
    cli_output_printf(out, "\nkernels (%" PRIu32 " instructions):\n  %5s  %-16s %-36s %10s  %s\n", n, "times",
                      "op", "kernel", "weights", "why");
    for (uint32_t u = 0; u < n_uses; ++u) {
      char bytes[CLI_BYTES_TEXT] = "";
      if (uses[u].weight_bytes) cli_bytes_text(uses[u].weight_bytes, bytes);
      cli_output_printf(out, "  %5" PRIu32 "  %-16s %-36s %10s  %s\n", uses[u].count,
                        or_empty(uses[u].first.op), or_empty(uses[u].first.kernel), bytes,
                        or_empty(uses[u].first.reason));
    }
    code = cli_output_flush(out);
  }
  free(uses);
  return code;
}

cli_exit cli_kernels_json(json_t *list, cli_instruction_fn get, const void *program) {
  const uint32_t n = count(get, program);
  for (uint32_t i = 0; i < n; ++i) {
    wh_instruction_info info = WH_INSTRUCTION_INFO_INIT;
    CLI_TRY_WH(get(program, i, &info));
    json_t *item = json_object();
    cli_json_set_text(item, "node", info.node);
    cli_json_set_text(item, "op", info.op);
    cli_json_set_text(item, "kernel", info.kernel);
    cli_json_set_text(item, "reason", info.reason);
    cli_json_set_whole(item, "weight_bytes", info.weight_bytes);
    cli_json_set(item, "barrier", json_boolean(info.barrier));
    cli_json_append(list, item);
  }
  return CLI_OK;
}
