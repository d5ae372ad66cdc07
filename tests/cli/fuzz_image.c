/* fuzz_image.c - any bytes as a picture: pixels, which can all be read and resized, or a message. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "cli/image_resize.h"
#include "tests/base/memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define REQUIRE(x) \
  if (!(x)) abort()
#define WIDTH 7
#define HEIGHT 5
#define PIXELS_MAX (1 << 22) /* larger ones would only take time */

static void resize(const cli_image *image, cli_fit fit) {
  float out[HEIGHT * WIDTH * 3];
  REQUIRE(cli_image_resize(image, fit, 114, WIDTH, HEIGHT, out));
  for (size_t i = 0; i < sizeof out / sizeof out[0]; i++) REQUIRE(out[i] >= -0.01f && out[i] <= 255.01f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  const memory_file f = memory_file_create(data, n_bytes);
  cli_image image = {0};
  const cli_exit code = cli_image_read(f.path, &image);
  memory_file_close(&f);
  if (code != CLI_OK) {
    REQUIRE(cli_error_line()[0] && code != CLI_INTERNAL && !image.rgb);
    return 0;
  }
  REQUIRE(image.width > 0 && image.height > 0 && image.rgb);
  if ((uint64_t)image.width * image.height <= PIXELS_MAX) {
    resize(&image, CLI_FIT_STRETCH);
    resize(&image, CLI_FIT_CROP);
    resize(&image, CLI_FIT_LETTERBOX);
  }
  cli_image_deinit(&image);
  return 0;
}
