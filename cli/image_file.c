/* image_file.c - see image_file.h. */
#include "cli/image_file.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/input.h"
#ifdef CLI_HAS_PNG
#include <png.h>
#endif
#ifdef CLI_HAS_JPEG
#include <jpeglib.h>
/* behind the library's own header, which it needs */
#include <jerror.h>
#endif

#define PIXELS_MAX (UINT64_C(1) << 26)

#if defined(CLI_HAS_PNG) || defined(CLI_HAS_JPEG)
/* Room for the pixels, before any is decoded: a small file may claim any size. */
static cli_exit take_room(const char *path, uint32_t width, uint32_t height, cli_image *out) {
  if (!width || !height || (uint64_t)width * height > PIXELS_MAX)
    return cli_fail(CLI_LIMIT, "%s: %u x %u pixels; at most %u million are read: make it smaller", path,
                    width, height, (unsigned)(PIXELS_MAX >> 20));
  out->rgb = malloc((size_t)width * height * 3);
  if (!out->rgb) return cli_fail(CLI_LIMIT, "%s: out of memory", path);
  out->width = width;
  out->height = height;
  return CLI_OK;
}
#endif

#ifdef CLI_HAS_PNG
static void put_over_white(const uint8_t *rgba, size_t n, uint8_t *rgb) {
  for (size_t i = 0; i < n; i++)
    for (size_t c = 0; c < 3; c++) {
      const unsigned alpha = rgba[4 * i + 3];
      rgb[3 * i + c] = (uint8_t)((rgba[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
}

static cli_exit decode_png(const char *path, const cli_buffer *file, cli_image *out) {
  png_image png = {.version = PNG_IMAGE_VERSION};
  if (!png_image_begin_read_from_memory(&png, file->data, file->n))
    return cli_fail(CLI_MODEL, "%s: the PNG cannot be read: %s", path, png.message);
  png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  png.format = PNG_FORMAT_RGBA;
  cli_exit code = take_room(path, png.width, png.height, out);
  uint8_t *rgba = code == CLI_OK ? malloc((size_t)png.width * png.height * 4) : NULL;
  if (code == CLI_OK && !rgba) code = cli_fail(CLI_LIMIT, "%s: out of memory", path);
  if (code == CLI_OK && !png_image_finish_read(&png, NULL, rgba, 0, NULL))
    code = cli_fail(CLI_MODEL, "%s: the PNG is damaged: %s", path, png.message);
  if (code == CLI_OK) put_over_white(rgba, (size_t)png.width * png.height, out->rgb);
  free(rgba);
  png_image_free(&png);
  return code;
}
#else
static cli_exit decode_png(const char *path, const cli_buffer *file, cli_image *out) {
  (void)file, (void)out;
  return cli_fail(CLI_UNSUPPORTED,
                  "%s: this program was built without libpng: save the image as JPEG or .npy", path);
}
#endif

#ifdef CLI_HAS_JPEG
/* Each scan of a progressive file goes over all of the picture: a small file can hold thousands. */
#define SCANS_MAX 200

typedef struct jpeg_job {
  struct jpeg_decompress_struct d;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf back;
  const char *path;
  cli_exit code;
} jpeg_job;

static _Noreturn void give_up(jpeg_job *j, cli_exit code) {
  j->code = code;
  longjmp(j->back, 1);
}

static void on_error(j_common_ptr d) {
  char text[JMSG_LENGTH_MAX];
  jpeg_job *j = d->client_data;
  d->err->format_message(d, text);
  give_up(j, cli_fail(CLI_MODEL, "%s: the JPEG cannot be read: %s", j->path, text));
}

/* The library would fill with grey what a cut file lacks. */
static void on_message(j_common_ptr d, int level) {
  const int code = d->err->msg_code;
  if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE))
    on_error(d);
}

static void on_progress(j_common_ptr d) {
  jpeg_job *j = d->client_data;
  if (j->d.input_scan_number > SCANS_MAX)
    give_up(j, cli_fail(CLI_LIMIT, "%s: the JPEG has more than %d scans", j->path, SCANS_MAX));
}

/* Returns by j->code; a failure inside the library comes back to the top. */
static void run_jpeg(jpeg_job *j, const cli_buffer *file, cli_image *out) {
  if (setjmp(j->back)) return;
  jpeg_create_decompress(&j->d);
  j->d.client_data = j;
  j->d.progress = &j->progress;
  jpeg_mem_src(&j->d, (const unsigned char *)file->data, (unsigned long)file->n);
  (void)jpeg_read_header(&j->d, TRUE);
  j->code = take_room(j->path, j->d.image_width, j->d.image_height, out);
  if (j->code != CLI_OK) return;
  j->d.out_color_space = JCS_RGB;
  (void)jpeg_start_decompress(&j->d);
  while (j->d.output_scanline < j->d.output_height) {
    JSAMPROW row = out->rgb + (size_t)j->d.output_scanline * out->width * 3;
    (void)jpeg_read_scanlines(&j->d, &row, 1);
  }
  (void)jpeg_finish_decompress(&j->d);
}

static cli_exit decode_jpeg(const char *path, const cli_buffer *file, cli_image *out) {
  jpeg_job j = {.path = path, .code = CLI_OK};
  j.d.err = jpeg_std_error(&j.errors);
  j.d.client_data = &j; /* the library keeps it and err when it clears the rest */
  j.errors.error_exit = on_error;
  j.errors.emit_message = on_message;
  j.progress.progress_monitor = on_progress;
  run_jpeg(&j, file, out);
  jpeg_destroy_decompress(&j.d);
  return j.code;
}
#else
static cli_exit decode_jpeg(const char *path, const cli_buffer *file, cli_image *out) {
  (void)file, (void)out;
  return cli_fail(CLI_UNSUPPORTED,
                  "%s: this program was built without libjpeg: save the image as PNG or .npy", path);
}
#endif

cli_exit cli_image_read(const char *path, cli_image *out) {
  cli_buffer file = {0};
  *out = (cli_image){0};
  cli_exit code = cli_read_all(path, &file);
  if (code == CLI_OK && file.n > 8 && memcmp(file.data, "\x89PNG\r\n\x1a\n", 8) == 0)
    code = decode_png(path, &file, out);
  else if (code == CLI_OK && file.n > 3 && memcmp(file.data, "\xff\xd8\xff", 3) == 0)
    code = decode_jpeg(path, &file, out);
  else if (code == CLI_OK)
    code = cli_fail(CLI_MODEL, "%s is neither a PNG nor a JPEG file", path);
  cli_buffer_deinit(&file);
  if (code != CLI_OK) cli_image_deinit(out);
  return code;
}

void cli_image_deinit(cli_image *image) {
  free(image->rgb);
  *image = (cli_image){0};
}
