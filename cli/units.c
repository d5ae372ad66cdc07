/* units.c - see units.h. */
#include "cli/units.h"

#include <inttypes.h>
#include <stdio.h>

const char *cli_bytes_text(uint64_t n_bytes, char out[CLI_BYTES_TEXT]) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = (double)n_bytes;
  int unit = 0;
  while (value >= 1023.95 && unit < 6) value /= 1024, ++unit;
  if (n_bytes == 0)
    snprintf(out, CLI_BYTES_TEXT, "unknown");
  else if (unit == 0)
    snprintf(out, CLI_BYTES_TEXT, "%" PRIu64 " B", n_bytes);
  else
    snprintf(out, CLI_BYTES_TEXT, "%.1f %s", value, units[unit]);
  return out;
}
