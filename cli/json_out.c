/* json_out.c - see json_out.h. */
#include "cli/json_out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool incomplete; /* an allocation failed since the last check */

void cli_json_set(json_t *object, const char *key, json_t *value) {
  if (json_object_set_new(object, key, value) != 0) incomplete = true;
}

void cli_json_append(json_t *array, json_t *value) {
  if (json_array_append_new(array, value) != 0) incomplete = true;
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629), 0 if there is none. */
static size_t utf8_length(const unsigned char *s, size_t n) {
  unsigned char c = s[0];
  if (c < 0x80) return 1;
  size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
  if (c < 0xc2 || c > 0xf4 || length > n) return 0;
  unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
  unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
  if (s[1] < low || s[1] > high) return 0;
  for (size_t i = 2; i < length; ++i)
    if ((s[i] & 0xc0) != 0x80) return 0;
  return length;
}

json_t *cli_json_string(const char *text, size_t n_bytes) {
  json_t *value = json_stringn(text, n_bytes);
  if (value || n_bytes > SIZE_MAX / 3 - 1) return value;
  /* Invalid UTF-8: each bad byte becomes U+FFFD, three bytes. */
  char *repaired = malloc(3 * n_bytes + 1);
  if (!repaired) return NULL;
  size_t n = 0;
  for (size_t i = 0; i < n_bytes;) {
    size_t length = utf8_length((const unsigned char *)text + i, n_bytes - i);
    memcpy(repaired + n, length ? text + i : "\xef\xbf\xbd", length ? length : 3);
    n += length ? length : 3;
    i += length ? length : 1;
  }
  value = json_stringn(repaired, n);
  free(repaired);
  return value;
}

void cli_json_set_text(json_t *object, const char *key, const char *text) {
  cli_json_set(object, key, text ? cli_json_string(text, strlen(text)) : json_null());
}

void cli_json_set_whole(json_t *object, const char *key, uint64_t value) {
  cli_json_set(object, key, json_integer((json_int_t)value));
}

void cli_json_set_real(json_t *object, const char *key, double value) {
  cli_json_set(object, key, isfinite(value) ? json_real(value) : json_null());
}

json_t *cli_json_model(const wh_model *model) {
  json_t *object = json_object();
  wh_model_info full = WH_MODEL_INFO_INIT, *info = &full;
  char hash[33] = "";
  wh_model_get_info(model, info);
  cli_json_set_text(object, "path", info->path);
  cli_json_set_text(object, "format", info->format);
  cli_json_set_text(object, "architecture", info->architecture);
  cli_json_set_text(object, "name", info->name);
  cli_json_set_whole(object, "layers", info->n_layers);
  cli_json_set_whole(object, "parameters", info->n_parameters);
  cli_json_set_whole(object, "file_bytes", info->file_bytes);
  cli_json_set_whole(object, "weight_bytes", info->weight_bytes);
  cli_json_set_whole(object, "context_length", info->context_length);
  cli_json_set_whole(object, "vocabulary", info->n_vocab);
  cli_json_set_whole(object, "embedding", info->n_embedding);
  cli_json_set_whole(object, "experts", info->n_experts);
  cli_json_set_whole(object, "experts_used", info->n_experts_used);
  if (wh_model_graph_hash(model, hash) == WH_OK) cli_json_set_text(object, "graph_hash", hash);
  return object;
}

json_t *cli_json_device(const wh_device *device) {
  json_t *object = json_object();
  wh_device_info full = WH_DEVICE_INFO_INIT, *info = &full;
  wh_device_get_info(device, info);
  cli_json_set_text(object, "name", info->name);
  cli_json_set_text(object, "description", info->description);
  cli_json_set_text(object, "isa", info->isa);
  cli_json_set_text(object, "isa_levels", info->isa_levels);
  cli_json_set_text(object, "no_amx_reason", info->no_amx_reason);
  cli_json_set_whole(object, "threads", info->n_threads);
  cli_json_set_text(object, "numerics", info->numerics == WH_NUMERICS_FAST ? "fast" : "exact");
  cli_json_set_whole(object, "cores", info->n_cores);
  cli_json_set_whole(object, "cpus", info->n_cpus);
  cli_json_set_whole(object, "numa_nodes", info->n_numa_nodes);
  cli_json_set_text(object, "binding", info->binding);
  cli_json_set_text(object, "prefetch", info->prefetch);
  cli_json_set_text(object, "prefetch_reason", info->prefetch_reason);
  cli_json_set(object, "cpu_quota", info->cpu_quota > 0 ? json_real(info->cpu_quota) : json_null());
  cli_json_set_whole(object, "l1d_bytes", info->l1d_bytes);
  cli_json_set_whole(object, "l2_bytes", info->l2_bytes);
  cli_json_set_whole(object, "l3_bytes", info->l3_bytes);
  cli_json_set_whole(object, "memory_bytes", info->memory_bytes);
  cli_json_set_text(object, "bus_id", info->bus_id);
  return object;
}

json_t *cli_json_packing(const wh_session *session) {
  wh_session_packing p = WH_SESSION_PACKING_INIT;
  wh_session_get_packing(session, &p);
  json_t *object = json_object();
  cli_json_set_whole(object, "packed", p.n_packed);
  cli_json_set_whole(object, "from_cache", p.n_cached);
  cli_json_set_whole(object, "in_place", p.n_in_place);
  cli_json_set(object, "model_hashed", json_boolean(p.hashed_model));
  cli_json_set(object, "stored", json_boolean(p.stored));
  return object;
}

json_t *cli_json_placement(const wh_session *session) {
  json_t *list = json_array();
  wh_session_placement p = WH_SESSION_PLACEMENT_INIT;
  for (uint32_t i = 0; wh_session_get_placement(session, i, &p) == WH_OK; ++i) {
    json_t *device = json_object();
    cli_json_set_text(device, "name", p.device);
    cli_json_set_whole(device, "layers", p.n_layers);
    cli_json_set_whole(device, "layers_without_experts", p.n_kept_experts);
    cli_json_set_whole(device, "packed_weights", p.packed_weights);
    cli_json_set_whole(device, "mapped_weights", p.mapped_weights);
    cli_json_set_whole(device, "kv_state", p.kv_state);
    cli_json_set_whole(device, "activations", p.activations);
    cli_json_set(device, "free_bytes", p.free_bytes ? json_integer((json_int_t)p.free_bytes) : json_null());
    cli_json_append(list, device);
  }
  return list;
}

json_t *cli_json_roofline(const wh_device_roofline *roofline) {
  json_t *object = json_object();
  cli_json_set_real(object, "read_bytes_per_second", roofline->read_bytes_per_s);
  cli_json_set_real(object, "int8_ops_per_second", roofline->int8_ops_per_s);
  cli_json_set_real(object, "f32_ops_per_second", roofline->f32_ops_per_s);
  cli_json_set_text(object, "read_loop", roofline->read_loop);
  cli_json_set_whole(object, "read_threads", roofline->read_threads);
  cli_json_set_text(object, "int8_loop", roofline->int8_loop);
  cli_json_set_text(object, "f32_loop", roofline->f32_loop);
  return object;
}

static int write_piece(const char *data, size_t n_bytes, void *ctx) {
  cli_output *out = ctx;
  cli_output_write(out, data, n_bytes);
  return out->write_errno ? -1 : 0;
}

cli_exit cli_json_check(void) {
  bool lost = incomplete;
  incomplete = false;
  return lost ? cli_fail(CLI_LIMIT, "out of memory while building JSON") : CLI_OK;
}

cli_exit cli_json_write(cli_output *out, json_t *root, bool lines) {
  size_t flags = JSON_REAL_PRECISION(9) | (lines ? JSON_COMPACT : JSON_INDENT(2));
  cli_exit code = cli_json_check();
  if (code == CLI_OK && json_dump_callback(root, write_piece, out, flags) != 0 && !out->write_errno)
    code = cli_fail(CLI_LIMIT, "out of memory while writing JSON");
  json_decref(root);
  CLI_TRY(code);
  cli_output_write(out, "\n", 1);
  return cli_output_flush(out);
}
