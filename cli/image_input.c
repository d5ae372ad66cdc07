/* image_input.c - see image_input.h. A value is (pixel * scale - mean) / deviation of its channel. */
#include "cli/image_input.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/image_resize.h"

#define SIDE_MAX 16384
#define ELEMENTS_MAX (UINT64_C(1) << 28)

#define IMAGE(field) offsetof(cli_image_options, field)
static const cli_option image_options[] = {
    {"image", 0, CLI_OPTION_STRINGS, IMAGE(images), "NAME=FILE",
     "An input as a PNG or JPEG file; repeatable: several of one name\nare a batch.", 0, 0, 0, 0},
    {"image-size", 0, CLI_OPTION_STRING, IMAGE(size), "WxH",
     "Size to bring pictures to (default: the input's, or their own).", 0, 0, 0, 0},
    {"image-fit", 0, CLI_OPTION_CHOICE, IMAGE(fit), "stretch|crop|letterbox",
     "... how: all of it, its largest centred part, or all of it\nbetween bars (default stretch).", 0, 0, 0,
     0},
    {"image-pad", 0, CLI_OPTION_REAL, IMAGE(pad), "X", "What the bars hold, 0 to 255 (default 0).", 0, 0, 0,
     255},
    {"image-scale", 0, CLI_OPTION_REAL, IMAGE(scale), "X",
     "What pixels of 0 to 255 are multiplied with (default 1/255, for\ninputs of bytes 1).", 0, 0, 0, 1e6},
    {"image-mean", 0, CLI_OPTION_STRING, IMAGE(mean), "R,G,B",
     "What is then subtracted, one number or one per channel (default 0).", 0, 0, 0, 0},
    {"image-std", 0, CLI_OPTION_STRING, IMAGE(deviation), "R,G,B", "What is then divided by (default 1).", 0,
     0, 0, 0},
    {"image-layout", 0, CLI_OPTION_CHOICE, IMAGE(layout), "auto|nchw|nhwc",
     "Whether channels come first or last (default: where the input's\nshape has 1 or 3, else first).", 0, 0,
     0, 0},
    {"image-channels", 0, CLI_OPTION_CHOICE, IMAGE(order), "rgb|bgr",
     "Order of the channels (default rgb); means and deviations stay\nin the order red, green, blue. Inputs "
     "of "
     "one channel get the\ngrey of BT.601.",
     0, 0, 0, 0},
};

cli_option_group cli_image_group(cli_image_options *options) {
  return (cli_option_group){"Images (ONNX)", image_options, CLI_N(image_options), options, NULL};
}

const char *cli_value_of(const char *item, const char *name) {
  const size_t n = strlen(name);
  return strncmp(item, name, n) == 0 && item[n] == '=' ? item + n + 1 : NULL;
}

/* What becomes of each picture of one input. */
typedef struct recipe {
  const cli_image_options *o;
  wh_dtype dtype;
  bool channels_last;
  uint32_t width, height, channels; /* width 0: the first picture's size */
  double scale, mean[3], deviation[3];
} recipe;

static cli_exit read_numbers(const char *option, const char *text, double otherwise, double out[3]) {
  char *end = NULL;
  size_t n = 0;
  out[0] = out[1] = out[2] = otherwise;
  if (!text) return CLI_OK;
  for (const char *at = text; n < 3; at = end + 1) {
    out[n] = strtod(at, &end);
    if (end == at || !isfinite(out[n])) break;
    n++;
    if (*end != ',') break;
  }
  if (n == 1) out[1] = out[2] = out[0];
  if ((n == 1 || n == 3) && end && *end == '\0') return CLI_OK;
  return cli_fail(CLI_USAGE, "--%s %s: give one number, or three as in 0.485,0.456,0.406", option, text);
}

static cli_exit read_size(const char *text, recipe *r) {
  int used = 0;
  if (sscanf(text, "%5" SCNu32 "x%5" SCNu32 "%n", &r->width, &r->height, &used) == 2 && text[used] == '\0' &&
      r->width && r->width <= SIDE_MAX && r->height && r->height <= SIDE_MAX)
    return CLI_OK;
  return cli_fail(CLI_USAGE, "--image-size %s: give width and height as in 640x480, each at most %d", text,
                  SIDE_MAX);
}

/* A dimension that the model fixes; 0: open. */
static int64_t fixed(const wh_port_info *p, int d) {
  return p->dims[d].min == p->dims[d].max ? p->dims[d].min : 0;
}

static bool is_channels(int64_t n) { return n == 1 || n == 3; }

static cli_exit read_port(const wh_port_info *p, recipe *r) {
  const int first = p->rank - 3;
  if (p->rank >= 0 && p->rank != 3 && p->rank != 4)
    return cli_fail(CLI_USAGE, "--image: input '%s' has %d dimensions; pictures have 3 or 4", p->name,
                    p->rank);
  if (p->dtype != WH_DTYPE_F32 && p->dtype != WH_DTYPE_U8)
    return cli_fail(CLI_UNSUPPORTED, "--image: input '%s' takes %s; pictures become f32 or u8", p->name,
                    wh_dtype_name(p->dtype));
  r->dtype = p->dtype;
  r->channels = 3;
  r->channels_last = r->o->layout == 2;
  if (p->rank < 0) return CLI_OK;
  if (r->o->layout == 0)
    r->channels_last = !is_channels(fixed(p, first)) && is_channels(fixed(p, p->rank - 1));
  const int rows = r->channels_last ? first : first + 1;
  const int64_t channels = fixed(p, r->channels_last ? p->rank - 1 : first);
  if (channels && !is_channels(channels))
    return cli_fail(CLI_USAGE, "--image: input '%s' has %" PRId64 " channels; pictures have 1 or 3 (%s)",
                    p->name, channels, "--image-layout says where they are");
  if (channels) r->channels = (uint32_t)channels;
  const int64_t height = fixed(p, rows), width = fixed(p, rows + 1);
  if (height > 0 && width > 0 && height <= SIDE_MAX && width <= SIDE_MAX)
    r->height = (uint32_t)height, r->width = (uint32_t)width;
  return CLI_OK;
}

static cli_exit read_recipe(const wh_port_info *p, const cli_image_options *o, recipe *r) {
  *r = (recipe){.o = o};
  CLI_TRY(read_port(p, r));
  if (o->size) CLI_TRY(read_size(o->size, r));
  r->scale = o->scale > 0 ? o->scale : p->dtype == WH_DTYPE_U8 ? 1 : 1.0 / 255;
  CLI_TRY(read_numbers("image-mean", o->mean, 0, r->mean));
  CLI_TRY(read_numbers("image-std", o->deviation, 1, r->deviation));
  for (int c = 0; c < 3; c++)
    if (!(r->deviation[c] != 0))
      return cli_fail(CLI_USAGE, "--image-std: values are divided by it, not by 0");
  return CLI_OK;
}

static void put(const recipe *r, double v, size_t at, void *to) {
  if (r->dtype == WH_DTYPE_F32)
    ((float *)to)[at] = (float)v;
  else
    ((uint8_t *)to)[at] = (uint8_t)fmin(fmax(round(v), 0), 255);
}

/* One picture's elements from the position `at` of `to` on. */
static void convert(const recipe *r, const float *rgb, size_t at, void *to) {
  const size_t n = (size_t)r->width * r->height;
  for (size_t i = 0; i < n; i++) {
    double v[3];
    for (int c = 0; c < 3; c++) v[c] = rgb[3 * i + c];
    if (r->channels == 1) {
      const double grey = 0.299 * v[0] + 0.587 * v[1] + 0.114 * v[2];
      put(r, (grey * r->scale - r->mean[0]) / r->deviation[0], at + i, to);
      continue;
    }
    for (size_t c = 0; c < 3; c++) {
      const size_t place = r->o->order ? 2 - c : c;
      put(r, (v[c] * r->scale - r->mean[c]) / r->deviation[c],
          at + (r->channels_last ? 3 * i + place : place * n + i), to);
    }
  }
}

/* The k-th of the files of this name. */
static const char *file_of(const cli_image_options *o, const char *name, size_t k) {
  for (size_t i = 0; i < o->images.n; i++) {
    const char *file = cli_value_of(o->images.items[i], name);
    if (file && k-- == 0) return file;
  }
  return NULL;
}

typedef struct batch {
  uint64_t n;
  float *rgb; /* one picture, resized */
  void *data;
} batch;

static cli_exit begin_batch(const wh_port_info *p, recipe *r, const cli_image *first, batch *b) {
  if (!r->width) r->width = first->width, r->height = first->height;
  const uint64_t pixels = (uint64_t)r->width * r->height;
  if (p->rank == 3 && b->n > 1)
    return cli_fail(CLI_USAGE, "--image: input '%s' takes one picture, not %" PRIu64, p->name, b->n);
  if (pixels * r->channels * b->n > ELEMENTS_MAX)
    return cli_fail(CLI_LIMIT, "--image: input '%s' would be too large: give a smaller --image-size",
                    p->name);
  b->rgb = malloc((size_t)pixels * 3 * sizeof *b->rgb);
  b->data = malloc((size_t)(pixels * r->channels * b->n) * sizeof(float));
  return b->rgb && b->data ? CLI_OK : cli_fail(CLI_LIMIT, "out of memory");
}

static cli_exit say(const wh_port_info *p, const recipe *r, const char *path, const cli_image *image,
                    cli_buffer *said) {
  static const char *const fits[] = {"stretched", "cropped", "letterboxed"};
  char line[512];
  const bool same = image->width == r->width && image->height == r->height;
  const int n =
      snprintf(line, sizeof line, "%.100s  %.200s, %ux%u%s%s to %ux%u, %s\n", p->name, path, image->width,
               image->height, same ? "" : ", ", same ? "" : fits[r->o->fit], r->width, r->height,
               r->channels == 1 ? "grey"
               : r->o->order    ? "bgr"
                                : "rgb");
  return cli_buffer_add(said, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static cli_exit read_batch(const wh_port_info *p, recipe *r, batch *b, cli_buffer *said) {
  for (size_t k = 0; k < b->n; k++) {
    cli_image image;
    const char *path = file_of(r->o, p->name, k);
    CLI_TRY(cli_image_read(path, &image));
    cli_exit code = k == 0 ? begin_batch(p, r, &image, b) : CLI_OK;
    if (code == CLI_OK &&
        !cli_image_resize(&image, (cli_fit)r->o->fit, (float)r->o->pad, r->width, r->height, b->rgb))
      code = cli_fail(CLI_LIMIT, "out of memory");
    if (code == CLI_OK) code = say(p, r, path, &image, said);
    cli_image_deinit(&image);
    CLI_TRY(code);
    convert(r, b->rgb, k * r->channels * r->width * r->height, b->data);
  }
  return CLI_OK;
}

cli_exit cli_image_set(wh_runner *runner, size_t i, const wh_port_info *p, const cli_image_options *o,
                       cli_buffer *said) {
  recipe r;
  batch b = {0};
  wh_tensor t = WH_TENSOR_INIT;
  while (file_of(o, p->name, (size_t)b.n)) b.n++;
  CLI_TRY(read_recipe(p, o, &r));
  cli_exit code = read_batch(p, &r, &b, said);
  if (code == CLI_OK) {
    t.dtype = r.dtype;
    t.rank = p->rank == 3 ? 3 : 4;
    int64_t *dims = t.dims + (t.rank - 3);
    t.dims[0] = (int64_t)b.n;
    dims[0] = r.channels_last ? r.height : r.channels;
    dims[1] = r.channels_last ? r.width : r.height;
    dims[2] = r.channels_last ? r.channels : r.width;
    t.data = b.data;
    t.n_bytes = b.n * r.channels * r.width * r.height * (r.dtype == WH_DTYPE_F32 ? sizeof(float) : 1);
    const wh_status st = wh_runner_set_input_at(runner, i, &t);
    if (st != WH_OK) code = cli_fail_library(st);
  }
  free(b.rgb);
  free(b.data);
  return code;
}
