/* advice.c - see advice.h. */
#include "cli/advice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cli_exit cli_check_engine_options(const cli_engine_options *options) {
  cli_split split;
  CLI_TRY(cli_split_of(options, &split));
  if (options->no_pack_cache && options->pack_cache)
    return cli_fail(CLI_USAGE, "--pack-cache and --no-pack-cache exclude each other");
  if (options->no_pack_cache && options->pack_cache_mapped)
    return cli_fail(CLI_USAGE, "--map-packed needs kept weights, and --no-pack-cache keeps none");
  if (options->split_mode == WH_SPLIT_TENSORS && (!options->device || !strchr(options->device, '+')))
    return cli_fail(CLI_USAGE,
                    "--split-mode tensor is for devices that work together, as in --device "
                    "cuda:0+cuda:1");
  if (options->split_mode == WH_SPLIT_TENSORS && split.is_wanted)
    return cli_fail(CLI_USAGE,
                    "--split-mode tensor shares all of the model: without --gpu-layers and "
                    "--cpu-experts");
  return CLI_OK;
}

/* Cores that the process may use, or as many as its share of time pays for. */
static void advise_on_threads(const cli_engine *engine) {
  if (!engine->options.threads) return; /* asking the device takes time */
  wh_device_info info = cli_engine_device_info(engine);
  double cores = info.n_cores;
  if (info.cpu_quota > 0 && info.cpu_quota < cores) cores = info.cpu_quota;
  if (cores > 0 && info.n_threads > cores && info.n_threads > 1)
    cli_note("[%u threads for %g core%s: they wait for each other; without -t there is one for each]",
             info.n_threads, cores, cores > 1 ? "s" : "");
}

/* The file's "ARCHITECTURE.KEY" as a number; 0: none. */
static double metadata_number(const cli_engine *engine, const char *key) {
  char name[256], value[64];
  const char *architecture = engine->info.architecture;
  size_t n = wh_model_n_metadata(engine->model), prefix = strlen(architecture);
  for (size_t i = 0; i < n; ++i)
    if (wh_model_get_metadata(engine->model, i, name, sizeof name, value, sizeof value) == WH_OK &&
        strncmp(name, architecture, prefix) == 0 && name[prefix] == '.' &&
        strcmp(name + prefix + 1, key) == 0)
      return strtod(value, NULL);
  return 0;
}

/* Positions that the model can be trusted with. Files of models whose rotary positions are stretched (YaRN,
 * LongRoPE, linear) mostly state the stretched length as the context, but some the original one. */
static double usable_context(const cli_engine *engine) {
  double stated = (double)engine->info.context_length;
  double stretched = metadata_number(engine, "rope.scaling.original_context_length") *
                     metadata_number(engine, "rope.scaling.factor");
  return stretched > stated ? stretched : stated;
}

static void advise_on_context(const cli_engine *engine) {
  uint32_t context = wh_session_context(engine->session);
  if (!engine->options.context || context <= engine->info.context_length || !engine->info.context_length)
    return;
  double usable = usable_context(engine);
  if (context > usable)
    cli_note("[a context of %u positions, but the model was trained for %.0f: text beyond may be poor]",
             context, usable);
}

static void advise_on_packing(const cli_engine *engine) {
  wh_session_packing p = WH_SESSION_PACKING_INIT;
  wh_session_get_packing(engine->session, &p);
  if (!engine->options.pack_cache_mapped || p.n_cached || !p.n_packed) return;
  if (!engine->options.pack_cache)
    cli_warn("--map-packed does nothing, as no packed weights are kept; --pack-cache DIR keeps them");
  else
    cli_note("[--map-packed: nothing is kept yet, so the weights were packed; the next start maps them]");
}

/* What each device has, in order. */
static void advise_on_devices(const cli_engine *engine) {
  wh_session_placement p = WH_SESSION_PLACEMENT_INIT;
  char text[512] = "";
  size_t n = 0;
  for (uint32_t i = 0; n < sizeof text && wh_session_get_placement(engine->session, i, &p) == WH_OK; i++)
    n += (size_t)snprintf(text + n, sizeof text - n, "%s%u on %s", i ? ", " : "", p.n_layers, p.device);
  if (engine->options.split_mode == WH_SPLIT_TENSORS)
    cli_note("[a part of every layer on each of %u devices]", engine->n_peers + 1);
  else
    cli_note("[layers: %s]", text);
}

/* What --gpu-layers auto came to. */
static void advise_on_placement(const cli_engine *engine) {
  wh_session_placement p = WH_SESSION_PLACEMENT_INIT;
  if (engine->n_peers) {
    advise_on_devices(engine);
    return;
  }
  if (!engine->offload || wh_session_get_placement(engine->session, 1, &p) != WH_OK) return;
  const bool chosen = !engine->options.gpu_layers || strcmp(engine->options.gpu_layers, "auto") == 0;
  if (!p.n_layers && chosen)
    cli_warn("no layer of the model fits on %s, of which %.1f MiB are free: the processor computes all of it",
             p.device, (double)p.free_bytes / 0x1p20);
  else if (p.n_kept_experts)
    cli_note("[%u of %u layers on %s, %u of them without their experts]", p.n_layers, engine->info.n_layers,
             p.device, p.n_kept_experts);
  else
    cli_note("[%u of %u layers on %s]", p.n_layers, engine->info.n_layers, p.device);
}

void cli_advise(const cli_engine *engine) {
  advise_on_placement(engine);
  advise_on_threads(engine);
  advise_on_context(engine);
  advise_on_packing(engine);
}
