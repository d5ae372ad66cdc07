/* cmd_devices.c - `whimbrel devices`: what computes here. */
#include <stdio.h>
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

/* Of every device, one by one. */
typedef struct listing {
  const devices_options *options;
  cli_engine_options engine;
  cli_output *out;
  json_t *devices, *unavailable; /* NULL: text is written */
} listing;

static void write_processor(cli_output *out, const wh_device_info *info) {
  char l1[CLI_BYTES_TEXT], l2[CLI_BYTES_TEXT], l3[CLI_BYTES_TEXT];
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
}

static bool is_gpu(const wh_device_info *info) {
  return strcmp(info->name, "cuda") == 0 || strcmp(info->name, "hip") == 0;
}

static cli_exit write_text(cli_output *out, const char *name, const wh_device_info *info,
                           const wh_device_roofline *roofline) {
  char memory[CLI_BYTES_TEXT];
  cli_output_printf(out, "%s: %s\n", name, info->description ? info->description : "unknown processor");
  if (is_gpu(info))
    cli_output_printf(out, "  driver       %s\n  isa          %s, %u multiprocessors\n", info->binding_reason,
                      info->isa, info->n_cores);
  else
    write_processor(out, info);
  if (info->numerics == WH_NUMERICS_FAST) cli_output_printf(out, "  numerics     fast\n");
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

static cli_exit write_device(const listing *l, const char *name, wh_device *d) {
  wh_device_info info = WH_DEVICE_INFO_INIT;
  wh_device_roofline roofline = {0};
  if (l->options->measure) {
    cli_progress("measuring ...");
    const wh_status status = wh_device_measure(d, l->options->seconds, &roofline);
    cli_progress("%s", "");
    if (status != WH_OK) return cli_fail_library(status);
  }
  const wh_device_roofline *measured = l->options->measure ? &roofline : NULL;
  wh_device_get_info(d, &info);
  if (!l->devices) return write_text(l->out, name, &info, measured);
  json_t *device = cli_json_device(d);
  if (measured) cli_json_set(device, "roofline", cli_json_roofline(measured));
  cli_json_append(l->devices, device);
  return CLI_OK;
}

/* What was looked for and cannot be used. */
static cli_exit write_unavailable(const listing *l, const char *name) {
  const char *reason = wh_last_error()->message;
  if (!l->devices) {
    cli_output_printf(l->out, "%s: not usable: %s\n", name, reason);
    return cli_output_flush(l->out);
  }
  json_t *object = json_object();
  cli_json_set_text(object, "name", name);
  cli_json_set_text(object, "reason", reason);
  cli_json_append(l->unavailable, object);
  return CLI_OK;
}

/* All GPUs of a backend whose object lies beside the program. */
static cli_exit list_gpus(listing *l, const char *backend) {
  enum { MOST_GPUS = 8 };
  char name[32];
  for (int i = 0; i < MOST_GPUS; ++i) {
    wh_device *device = NULL;
    snprintf(name, sizeof name, i ? "%s:%d" : "%s", backend, i);
    const wh_status status = cli_device_try(&l->engine, name, &device);
    if (status != WH_OK) return i || status == WH_ERR_INVALID_ARGUMENT ? CLI_OK : write_unavailable(l, name);
    const cli_exit code = write_device(l, name, device);
    wh_device_destroy(device);
    CLI_TRY(code);
  }
  return CLI_OK;
}

static cli_exit list_devices(listing *l) {
  wh_device *device = NULL;
  const char *named = l->engine.device;
  if (named && strchr(named, '+')) return cli_fail(CLI_USAGE, "`whimbrel devices` takes one --device");
  CLI_TRY(cli_device_open(&l->engine, &device));
  cli_exit code = write_device(l, named ? named : "cpu", device);
  wh_device_destroy(device);
  if (named || code != CLI_OK) return code;
  l->engine = (cli_engine_options)CLI_ENGINE_OPTIONS_INIT; /* what was chosen is for the processor */
  CLI_TRY(list_gpus(l, "cuda"));
  return list_gpus(l, "hip");
}

static cli_exit write_json(listing *l) {
  json_t *root = json_object();
  l->devices = json_array();
  l->unavailable = json_array();
  const cli_exit code = list_devices(l);
  cli_json_set(root, "devices", l->devices);
  cli_json_set(root, "unavailable", l->unavailable);
  if (code == CLI_OK) return cli_json_write(l->out, root, false);
  json_decref(root);
  return code;
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  devices_options options = {.seconds = 1};
  cli_engine_options engine_options = CLI_ENGINE_OPTIONS_INIT;
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  const cli_option_group groups[] = {
      {"Devices", devices_option_list, CLI_N(devices_option_list), &options, NULL},
      cli_device_group(&engine_options),
      cli_output_group(&output_options)};
  cli_positionals none = {0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &none));
  cli_set_quiet(output_options.quiet);

  cli_output out = {0};
  cli_exit code = cli_output_open(output_options.path, &out);
  listing l = {.options = &options, .engine = engine_options, .out = &out};
  if (code == CLI_OK) code = output_options.json ? write_json(&l) : list_devices(&l);
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  return code;
}

const cli_verb cli_verb_devices = {
    .name = "devices",
    .arguments = "[options]",
    .summary = "List what this machine can compute with.",
    .details =
        "Lists the devices that models can run on: the processor with its instruction-set levels, the cores "
        "that\n"
        "the process may use, caches and memory, and the GPUs, or why there is none. --isa and --threads "
        "show "
        "what\n"
        "would be used with them.",
    .examples =
        "  whimbrel devices\n"
        "  whimbrel devices --measure --json\n"
        "  whimbrel devices --isa avx2 --threads 1\n"
        "  whimbrel devices --device cuda:emulated",
    .run = run,
};
