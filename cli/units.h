/* units.h - numbers for people. */
#ifndef CLI_UNITS_H
#define CLI_UNITS_H

#include <stdint.h>

#define CLI_BYTES_TEXT 24
/* "93.8 MiB"; "unknown" for 0. Returns `out`. */
const char *cli_bytes_text(uint64_t n_bytes, char out[CLI_BYTES_TEXT]);

#endif
