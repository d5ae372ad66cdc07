/* image_input.h - pictures as a model's inputs: which files, and what is done to their pixels. */
#ifndef CLI_IMAGE_INPUT_H
#define CLI_IMAGE_INPUT_H

#include "cli/args.h"
#include "cli/input.h"

typedef struct cli_image_options {
  cli_strings images;           /* NAME=FILE; several of one name are a batch */
  const char *size;             /* "WxH"; NULL: the input's, or the picture's own */
  const char *mean, *deviation; /* a number, or one per channel, of the scaled values; NULL: 0 and 1 */
  double scale;                 /* 0: 1/255 for floats, 1 for bytes */
  double pad;                   /* what bars of letterbox hold, 0..255 */
  uint32_t fit;                 /* cli_fit */
  uint32_t layout;              /* 0: by the input's shape; 1: nchw; 2: nhwc */
  uint32_t order;               /* 0: rgb; 1: bgr */
} cli_image_options;

cli_option_group cli_image_group(cli_image_options *options);

/* Sets the runner's input i from all the files whose NAME is the port's, and appends a line to `said` that
 * says what was done. */
WH_NODISCARD cli_exit cli_image_set(wh_runner *runner, size_t i, const wh_port_info *port,
                                    const cli_image_options *options, cli_buffer *said);

/* The part of NAME=VALUE behind the "=" that ends such a name; NULL: it is another's. */
const char *cli_value_of(const char *item, const char *name);

#endif
