/* cmd_devices.c - `whimbrel devices`: what computes here. */
#include <inttypes.h>
#include <string.h>

#include "cli/json_out.h"
#include "cli/units.h"
#include "cli/verbs.h"

typedef struct devices_options {
  bool measure;
  double seconds;
} devices_options;

static const cli_option devices_option_list[] = {
    {"measure", 0, CLI_OPTION_FLAG, offsetof(devices_options, measure), NULL,
     "Measure read bandwidth, int8 and fp32 peaks.", 0, 0, 0, 0},
    {"seconds", 0, CLI_OPTION_REAL, offsetof(devices_options, seconds), "S",
     "How long to measure (default 1).", 0, 0, 0.01, 60},
};

static cli_exit write_text(cli_output *out, const wh_device_info *info, const wh_device_roofline *roofline) {
  char l1[CLI_BYTES_TEXT], l2[CLI_BYTES_TEXT], l3[CLI_BYTES_TEXT], memory[CLI_BYTES_TEXT];
  cli_output_printf(out, "%s: %s\n", info->name, info->description ? info->description : "unknown processor");
  cli_output_printf(out, "  threads      %u of %u cores, %u logical processors, %u NUMA node%s\n",
                    info->n_threads, info->n_cores, info->n_cpus, info->n_numa_nodes,
                    info->n_numa_nodes == 1 ? "" : "s");
  cli_output_printf(out, "  bound to     %s (%s)\n", info->binding, info->binding_reason);
  if (info->cpu_quota > 0) cli_output_printf(out, "  quota        %.2f processors\n", info->cpu_quota);
  cli_output_printf(out, "  isa          %s; this machine has %s\n", info->isa, info->isa_levels);
  if (info->no_amx_reason) cli_output_printf(out, "  no amxint8   %s\n", info->no_amx_reason);
  cli_output_printf(out, "  prefetch     %s (%s)\n", info->prefetch, info->prefetch_reason);
  cli_output_printf(out, "  caches       L1d %s, L2 %s, L3 %s\n", cli_bytes_text(info->l1d_bytes, l1),
                    cli_bytes_text(info->l2_bytes, l2), cli_bytes_text(info->l3_bytes, l3));
  cli_output_printf(out, "  memory       %s\n", cli_bytes_text(info->memory_bytes, memory));
  if (roofline) {
    cli_output_printf(out, "  measured     %.1f GB/s read, %.1f int8 GOP/s, %.1f fp32 GFLOP/s\n",
                      roofline->read_bytes_per_s / 1e9, roofline->int8_ops_per_s / 1e9,
                      roofline->f32_ops_per_s / 1e9);
    cli_output_printf(out, "  best loops   %s on %u of %u threads; %s; %s\n", roofline->read_loop,
                      roofline->read_threads, info->n_threads, roofline->int8_loop, roofline->f32_loop);
  }
  return cli_output_flush(out);
}

static cli_exit write_json(cli_output *out, const wh_device *d, const wh_device_roofline *roofline) {
  json_t *root = json_object(), *list = json_array(), *device = cli_json_device(d);
  if (roofline) cli_json_set(device, "roofline", cli_json_roofline(roofline));
  cli_json_append(list, device);
  cli_json_set(root, "devices", list);
  return cli_json_write(out, root, false);
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  devices_options options = {.seconds = 1};
  cli_engine_options engine_options = CLI_ENGINE_OPTIONS_INIT;
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  const cli_option_group groups[] = {{"Devices", devices_option_list, CLI_N(devices_option_list), &options},
                                     cli_device_group(&engine_options),
                                     cli_output_group(&output_options)};
  cli_positionals none = {0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &none));
  cli_set_quiet(output_options.quiet);

  wh_device *device = NULL;
  wh_device_info info = WH_DEVICE_INFO_INIT;
  wh_device_roofline roofline = {0};
  cli_output out = {0};
  cli_exit code = cli_output_open(output_options.path, &out);
  if (code == CLI_OK) code = cli_device_open(&engine_options, &device);
  if (code == CLI_OK && options.measure) {
    cli_progress("measuring ...");
    wh_status status = wh_device_measure(device, options.seconds, &roofline);
    cli_progress("%s", "");
    if (status != WH_OK) code = cli_fail_library(status);
  }
  if (code == CLI_OK) {
    wh_device_get_info(device, &info);
    const wh_device_roofline *measured = options.measure ? &roofline : NULL;
    code = output_options.json ? write_json(&out, device, measured) : write_text(&out, &info, measured);
  }
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  wh_device_destroy(device);
  return code;
}

const cli_verb cli_verb_devices = {
    .name = "devices",
    .arguments = "[options]",
    .summary = "List what this machine can compute with.",
    .details =
        "Lists the devices that models can run on: the processor with its instruction-set levels, the cores "
        "that\n"
        "the process may use, caches and memory. --isa and --threads show what would be used with them.",
    .examples =
        "  whimbrel devices\n"
        "  whimbrel devices --measure --json\n"
        "  whimbrel devices --isa avx2 --threads 1",
    .run = run,
};
