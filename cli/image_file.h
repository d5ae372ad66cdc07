/* image_file.h - PNG and JPEG files as pixels, where the program was built with libpng and libjpeg. */
#ifndef CLI_IMAGE_FILE_H
#define CLI_IMAGE_FILE_H

#include <stdint.h>

#include "cli/report.h"

typedef struct cli_image {
  uint32_t width, height;
  uint8_t *rgb; /* [height][width][3], from the top */
} cli_image;

/* Transparent pixels lie over white. 16-bit samples become 8 bits; the orientation that a camera notes beside
 * the pixels is not applied. Cut or damaged files, and those of more than 2^26 pixels, are errors that name
 * the file. */
WH_NODISCARD cli_exit cli_image_read(const char *path, cli_image *out);
void cli_image_deinit(cli_image *image);

#endif
