/* json_out.h - building and writing the machine-readable results. */
#ifndef CLI_JSON_OUT_H
#define CLI_JSON_OUT_H

#include <jansson.h>

#include "cli/engine.h"
#include "cli/output.h"

/* A failed allocation inside jansson shows as NULL: a setter with a NULL value, or on a NULL object,
 * remembers that the document is incomplete, and cli_json_check or cli_json_write then reports it. The value
 * is consumed. */
void cli_json_set(json_t *object, const char *key, json_t *value);
void cli_json_append(json_t *array, json_t *value);
void cli_json_set_text(json_t *object, const char *key, const char *text); /* NULL becomes null */
void cli_json_set_whole(json_t *object, const char *key, uint64_t value);
void cli_json_set_real(json_t *object, const char *key, double value); /* not finite becomes null */
/* Bytes that are not UTF-8 are replaced: the document stays valid. */
json_t *cli_json_string(const char *text, size_t n_bytes);

/* {"path": ..., "architecture": ...} and {"name": "cpu", "isa": ...}: how every document names what was run.
 */
json_t *cli_json_model(const wh_model *model);
json_t *cli_json_device(const wh_device *device);
/* {"packed": 154, "from_cache": 0, ...}: how the weights were loaded */
json_t *cli_json_packing(const wh_session *session);
/* [{"name": "cpu", "layers": 20, "packed_weights": ...}, ...]: what runs on which of its devices */
json_t *cli_json_placement(const wh_session *session);
json_t *cli_json_roofline(const wh_device_roofline *roofline);

/* Fails if a value was lost since the last check. */
WH_NODISCARD cli_exit cli_json_check(void);
/* Writes the document, indented unless `lines`, and a newline. `root` is consumed. */
WH_NODISCARD cli_exit cli_json_write(cli_output *out, json_t *root, bool lines);

#endif
