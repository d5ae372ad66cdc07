/* image_resize.h - a picture in another size, as floats. */
#ifndef CLI_IMAGE_RESIZE_H
#define CLI_IMAGE_RESIZE_H

#include "cli/image_file.h"

typedef enum cli_fit {
  CLI_FIT_STRETCH,  /* all of the picture, whatever becomes of its proportions */
  CLI_FIT_CROP,     /* its largest centred part of the wanted proportions */
  CLI_FIT_LETTERBOX /* all of it, centred, between bars */
} cli_fit;

/* Fills out[height][width][3] with 0..255. Bilinear; where the picture becomes smaller, the triangle is as
 * wide as needed that every pixel counts (as Pillow and torchvision do by default). `pad` is what bars hold.
 * False: out of memory. */
WH_NODISCARD bool cli_image_resize(const cli_image *image, cli_fit fit, float pad, uint32_t width,
                                   uint32_t height, float *out);

#endif
