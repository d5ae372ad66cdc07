/* reproducer.c - see reproducer.h. */
#include "cli/reproducer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void name_folder(cli_reproducer *r, const char *node) {
  if (r->wanted) {
    snprintf(r->folder, sizeof r->folder, "%s", r->wanted);
    return;
  }
  size_t n = (size_t)snprintf(r->folder, sizeof r->folder, "reproducer-");
  for (; *node && n < NAME_MAX; ++node)
    r->folder[n++] = isalnum((unsigned char)*node) || *node == '.' || *node == '_' ? *node : '-';
  r->folder[n] = '\0';
}

void cli_reproducer_write(cli_reproducer *r, const char *node, cli_extract_fn extract, void *ctx) {
  name_folder(r, node);
  if (mkdir(r->folder, 0777) != 0 && errno != EEXIST)
    snprintf(r->reason, sizeof r->reason, "%.256s: %.200s", r->folder, strerror(errno));
  else if (extract(ctx, node, r->folder) != WH_OK)
    snprintf(r->reason, sizeof r->reason, "%s", wh_last_error()->message);
  if (r->reason[0]) r->folder[0] = '\0';
}

void cli_reproducer_report(const cli_reproducer *r, cli_output *out) {
  if (r->folder[0])
    cli_output_printf(out, "  the node by itself: %s, which verify takes for a model\n", r->folder);
  else if (r->reason[0])
    cli_output_printf(out, "  the node could not be written by itself: %s\n", r->reason);
}
