/* conformance.c - runs ONNX's own tests and closes with "N passed, N failed, N skipped".
 *
 *   onnx_conformance [--device NAME] [--backends FOLDER] [--isa LEVEL] [--threads N]
 *                    [--quiet] [--open] [--ulp] FOLDER ...
 *
 * A FOLDER is a test (model.onnx and test_data_set_*), or holds tests at any depth. A test passes when the
 * model gives as many outputs as there are, each with the expected dtype and shape and values within 1e-7 +
 * 1e-3 |want| (NaN equals NaN; strings, integers and booleans: by the same rule, which for those means
 * exactly, up to a thousand; bf16: 2^-6 |want|, two of its last places, as ONNX's own runner has it; narrower
 * types: their bytes; single tests: what ONNX's tests of its own evaluator grant them, `grants`). With
 * --open, models run on inputs whose dims are larger by one first, as if no dim of theirs were said; what
 * stayed open then has to be right for the test's own. A folder that holds no model file, but the address of
 * one, is skipped and said. With --ulp, a table follows: for each operator the largest difference of a
 * floating-point element in the passed tests whose graph is that one node, in units in the last place of the
 * expected element (of 1e-4 where it is smaller: there the 1e-7 decides), and of the largest element of its
 * output.
 */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/api_internal.h"
#include "api/onnx_engine.h"
#include "api/onnx_runner.h"
#include "core/base/exact_math.h"
#include "import/onnx/importer.h"

#define MOST_PORTS 64
#define PATH_BYTES 4096

typedef struct counts {
  int passed, failed, skipped;
} counts;

static struct {
  wh_device *device;
  bool quiet, ulp, open;
  counts total;
  double relative;              /* what the running test grants in place of 1e-3, or 0 */
  double ulps, ulps_of_largest; /* the largest differences in it yet; below 0: no floats were compared */
  struct op_ulps {
    char op[96], test[96];
    double ulps, ulps_of_largest;
    int n_tests;
  } ops[512];
  size_t n_ops;
  int n_open; /* sets that a graph of other dims served */
} tool;

/* Tests whose data is not what their model says, with the relative difference that ONNX's own tests of its
 * reference evaluator grant (onnx/test/reference_evaluator_backend_test.py). */
static const struct grant {
  const char *test;
  double relative;
} grants[] = {
    {"test_adam_multiple", 1e-2}, /* made with another epsilon than the node has */
};

/* ---- expected values ---- */

static double number_of(const wh_datum *d, size_t i) {
  const void *p = d->data;
  switch (d->dtype) {
    case WH_DTYPE_F32:
      return ((const float *)p)[i];
    case WH_DTYPE_F64:
      return ((const double *)p)[i];
    case WH_DTYPE_F16:
      return wh_f32_from_f16(((const uint16_t *)p)[i]);
    case WH_DTYPE_BF16:
      return wh_f32_from_bf16(((const uint16_t *)p)[i]);
    case WH_DTYPE_I8:
      return ((const int8_t *)p)[i];
    case WH_DTYPE_U8:
    case WH_DTYPE_BOOL:
      return ((const uint8_t *)p)[i];
    case WH_DTYPE_I16:
      return ((const int16_t *)p)[i];
    case WH_DTYPE_U16:
      return ((const uint16_t *)p)[i];
    case WH_DTYPE_I32:
      return ((const int32_t *)p)[i];
    case WH_DTYPE_U32:
      return ((const uint32_t *)p)[i];
    case WH_DTYPE_I64:
      return (double)((const int64_t *)p)[i];
    case WH_DTYPE_U64:
      return (double)((const uint64_t *)p)[i];
    default:
      return NAN;
  }
}

static wh_datum *datum_of(const wh_onnx_value *v, wh_arena *arena) {
  wh_datum *d = wh_arena_alloc(arena, sizeof *d);
  if (!d) abort();
  if (v->kind == WH_ONNX_TENSOR) {
    if (ox_weight_of(&v->tensor, arena, d) != WH_OK) abort();
    if ((uintptr_t)d->data % sizeof(uint64_t)) { /* it lies in the file, anywhere */
      void *aligned = wh_arena_alloc(arena, v->tensor.n_bytes + 1);
      if (!aligned) abort();
      d->data = memcpy(aligned, d->data, v->tensor.n_bytes);
    }
    d->is_weight = d->is_kept = d->is_cheap = false;
    return d;
  }
  d->kind = v->kind == WH_ONNX_SEQUENCE ? WH_DATUM_SEQUENCE : WH_DATUM_OPTIONAL;
  d->n_items = v->n;
  d->items = wh_arena_array(arena, v->n + 1, sizeof *d->items);
  for (size_t i = 0; i < v->n; i++) d->items[i] = datum_of(&v->items[i], arena);
  return d;
}

/* ---- comparison: NULL, or what is wrong ---- */

static char wrong[512];

static const char *shape_text(const wh_datum *d, char *out, size_t n) {
  size_t at = (size_t)snprintf(out, n, "%s[", wh_dtype_name(d->dtype));
  for (int i = 0; i < d->rank && at < n; i++)
    at += (size_t)snprintf(out + at, n - at, "%s%lld", i ? ", " : "", (long long)d->dims[i]);
  if (at < n) snprintf(out + at, n - at, "]");
  return out;
}

/* Types that number_of does not know. */
static bool has_no_number(wh_dtype d) {
  const wh_dtype_info *t = wh_dtype_get(d);
  return t->block_elems > 1 || (t->class_of == WH_CLASS_FLOAT && t->block_bytes == 1) ||
         t->class_of == WH_CLASS_COMPLEX;
}

/* Of f8e5m2, which has several; others have one, or one of each sign. */
static bool is_f8_nan(wh_dtype d, uint8_t byte) { return d == WH_DTYPE_F8E5M2 && (byte & 0x7f) > 0x7c; }

/* Rows, as they may end within a byte. */
static const char *compare_bytes(const wh_datum *got, const wh_datum *want) {
  size_t row = want->rank ? (size_t)want->dims[want->rank - 1] : 1, n_bytes;
  if (row == 0 || !wh_dtype_row_bytes(want->dtype, row, &n_bytes)) return row ? "it has no bytes" : NULL;
  n_bytes *= want->n / row;
  const uint8_t *g = got->data, *w = want->data;
  for (size_t i = 0; i < n_bytes; i++) {
    if (g[i] == w[i] || (is_f8_nan(want->dtype, g[i]) && is_f8_nan(want->dtype, w[i]))) continue;
    snprintf(wrong, sizeof wrong, "byte %zu of its %s is %02x, not %02x", i, wh_dtype_name(want->dtype), g[i],
             w[i]);
    return wrong;
  }
  return NULL;
}

/* Of the significand, its leading bit included. */
static int precision_of(wh_dtype d) {
  return d == WH_DTYPE_F64 ? 53 : d == WH_DTYPE_F32 ? 24 : d == WH_DTYPE_F16 ? 11 : 8;
}

static double ulp_of(wh_dtype dtype, double value) {
  int exponent;
  frexp(value, &exponent);
  return ldexp(1, exponent - precision_of(dtype));
}

static bool is_finite(double v) { return !isnan(v) && !isinf(v); }

static void note_ulps(const wh_datum *got, const wh_datum *want) {
  double largest = 1e-4;
  for (size_t i = 0; i < want->n; i++)
    if (is_finite(number_of(want, i))) largest = fmax(largest, fabs(number_of(want, i)));
  tool.ulps = fmax(tool.ulps, 0);
  for (size_t i = 0; i < want->n; i++) {
    const double w = number_of(want, i), difference = fabs(number_of(got, i) - w);
    if (!is_finite(difference)) continue;
    tool.ulps = fmax(tool.ulps, difference / ulp_of(want->dtype, fmax(fabs(w), 1e-4)));
    tool.ulps_of_largest = fmax(tool.ulps_of_largest, difference / ulp_of(want->dtype, largest));
  }
}

static const char *compare(const wh_datum *got, const wh_datum *want) {
  char a[128], b[128];
  if (got->kind != want->kind) return "it is of another kind (tensor, sequence, optional)";
  if (want->kind != WH_DATUM_TENSOR) {
    if (got->n_items != want->n_items) {
      snprintf(wrong, sizeof wrong, "it has %zu items, not %zu", got->n_items, want->n_items);
      return wrong;
    }
    for (size_t i = 0; i < want->n_items; i++) {
      const char *w = compare(got->items[i], want->items[i]);
      if (w) return w;
    }
    return NULL;
  }
  if (got->dtype != want->dtype || got->rank != want->rank ||
      memcmp(got->dims, want->dims, (size_t)want->rank * sizeof *want->dims) != 0) {
    snprintf(wrong, sizeof wrong, "it is %s, not %s", shape_text(got, a, sizeof a),
             shape_text(want, b, sizeof b));
    return wrong;
  }
  if (want->dtype != WH_DTYPE_STRING && has_no_number(want->dtype)) return compare_bytes(got, want);
  const double relative = tool.relative > 0 ? tool.relative : want->dtype == WH_DTYPE_BF16 ? 0x1p-6 : 1e-3;
  if (tool.ulp && wh_dtype_is_float(want->dtype)) note_ulps(got, want);
  for (size_t i = 0; i < want->n; i++) {
    if (want->dtype == WH_DTYPE_STRING) {
      if (wh_str_equal(got->strings[i], want->strings[i])) continue;
      snprintf(wrong, sizeof wrong, "element %zu is '" WH_STR_FMT "', not '" WH_STR_FMT "'", i,
               WH_STR_ARG(got->strings[i]), WH_STR_ARG(want->strings[i]));
      return wrong;
    }
    const double g = number_of(got, i), w = number_of(want, i);
    if ((isnan(g) && isnan(w)) || g == w || fabs(g - w) <= 1e-7 + relative * fabs(w)) continue;
    snprintf(wrong, sizeof wrong, "element %zu of %s is %.9g, not %.9g", i, shape_text(want, a, sizeof a), g,
             w);
    return wrong;
  }
  return NULL;
}

/* ---- one test ---- */

static bool exists(const char *path) {
  struct stat st;
  return stat(path, &st) == 0;
}

static wh_onnx_type_kind kind_of(const wh_onnx_value_info *info) {
  return info->type.kind == WH_ONNX_NO_TYPE ? WH_ONNX_TENSOR : info->type.kind;
}

typedef struct data_set {
  wh_arena arena;
  wh_onnx_value_file *files[2 * MOST_PORTS];
  size_t n_files;
} data_set;

static wh_status load(data_set *s, const char *folder, const char *kind, size_t i,
                      const wh_onnx_value_info *info, wh_datum **out) {
  char path[PATH_BYTES];
  snprintf(path, sizeof path, "%.3900s/%s_%zu.pb", folder, kind, i);
  *out = NULL;
  if (!exists(path)) return WH_OK;
  wh_onnx_value_file *f;
  WH_TRY(wh_onnx_value_open(path, kind_of(info), NULL, &f));
  s->files[s->n_files++] = f;
  *out = datum_of(wh_onnx_value_get(f), &s->arena);
  /* The test data was written through NumPy, which has no bf16: its bits are there as u16. */
  if (info->type.dtype == WH_DTYPE_BF16 && (*out)->dtype == WH_DTYPE_U16) (*out)->dtype = WH_DTYPE_BF16;
  return WH_OK;
}

/* Says which output is wrong. */
static const char *in_output(size_t i, const char *w) {
  char text[sizeof wrong];
  if (!w || i == 0) return w;
  snprintf(text, sizeof text, "%s", w);
  snprintf(wrong, sizeof wrong, "output %zu: %.480s", i, text);
  return wrong;
}

/* ---- open dims ---- */

/* Dims of floats have names, the same for the same number; false: there is an input that a runner does not
 * take. */
static bool leave_dims_open(const wh_onnx_net *net, wh_datum *const *in, size_t n) {
  static const char names[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  for (size_t i = 0; i < n; i++) {
    union {
      const wh_onnx_value_info *in;
      wh_onnx_value_info *out;
    } u = {wh_onnx_net_input(net, i)};
    if (!in[i] || in[i]->kind != WH_DATUM_TENSOR || !ox_size_of(in[i]->dtype)) return false;
    u.out->type.has_shape = true;
    u.out->type.rank = in[i]->rank;
    for (int d = 0; d < in[i]->rank; d++) {
      const bool open = wh_dtype_is_float(in[i]->dtype) && in[i]->dims[d] < (int64_t)sizeof names - 1;
      u.out->type.dims[d].value = open ? -1 : in[i]->dims[d];
      u.out->type.dims[d].param = open ? (wh_str){names + in[i]->dims[d], 1} : (wh_str){"", 0};
    }
  }
  return true;
}

/* The tensor, with `more` in each open dim, its elements from the beginning on again. */
static wh_tensor tensor_of(data_set *s, const wh_onnx_net *net, size_t i, const wh_datum *d, int64_t more) {
  wh_tensor t = WH_TENSOR_INIT;
  size_t n = 1, bytes = 0;
  t.dtype = d->dtype;
  t.rank = d->rank;
  for (int k = 0; k < d->rank; k++) {
    const bool grows = wh_onnx_net_input(net, i)->type.dims[k].value == -1 && d->dims[k] > 1;
    t.dims[k] = d->dims[k] + (grows ? more : 0);
    n *= (size_t)t.dims[k];
  }
  const size_t size = ox_size_of(d->dtype);
  t.n_bytes = n * size;
  char *data = wh_arena_alloc(&s->arena, n * size + 64);
  for (bytes = 0; d->n && data && size && bytes < n * size; bytes += size)
    memcpy(data + bytes, (const char *)d->data + bytes % (d->n * size), size);
  t.data = data;
  return t;
}

static const char *run_open(const wh_onnx_net *net, const char *folder, data_set *s, wh_datum *const *in) {
  const size_t n_in = wh_onnx_net_n_inputs(net), n_out = wh_onnx_net_n_outputs(net);
  const wh_plan_device device = {.backend = tool.device->backend, .dev = tool.device->device};
  wh_tensor tensors[2][MOST_PORTS];
  const wh_tensor *list[2][MOST_PORTS];
  wh_onnx_runner *r = NULL;
  const char *w = NULL;
  for (size_t i = 0; i < n_in; i++)
    for (int k = 0; k < 2; k++) {
      tensors[k][i] = tensor_of(s, net, i, in[i], !k);
      list[k][i] = &tensors[k][i];
    }
  if (wh_onnx_runner_create(net, &device, 0, NULL, NULL, &r) != WH_OK) return wh_last_error()->message;
  const bool first = wh_onnx_runner_run(r, list[0]) == WH_OK;
  if (wh_onnx_runner_run(r, list[1]) != WH_OK) {
    snprintf(wrong, sizeof wrong, "%s", wh_last_error()->message);
    w = wrong;
  }
  if (!w && first && n_in && wh_onnx_runner_n_programs(r) == 1) tool.n_open++;
  for (size_t i = 0; i < n_out && !w; i++) {
    wh_datum *want, got = {.kind = WH_DATUM_TENSOR, .n = 1};
    wh_tensor t;
    if (load(s, folder, "output", i, wh_onnx_net_output(net, i), &want) != WH_OK)
      w = wh_last_error()->message;
    if (w || !want || wh_onnx_runner_output(r, i, &t) != WH_OK) continue; /* sequences, strings: not here */
    got.dtype = t.dtype;
    got.rank = t.rank;
    memcpy(got.dims, t.dims, sizeof got.dims);
    for (int d = 0; d < t.rank; d++) got.n *= (size_t)t.dims[d];
    got.data = t.data;
    w = in_output(i, compare(&got, want));
  }
  wh_onnx_runner_destroy(r);
  return w;
}

static const char *run_set(const wh_onnx_net *net, const char *folder, data_set *s) {
  const size_t n_in = wh_onnx_net_n_inputs(net), n_out = wh_onnx_net_n_outputs(net);
  wh_datum *in[MOST_PORTS] = {NULL};
  if (n_in > MOST_PORTS || n_out > MOST_PORTS) return "too many ports";
  for (size_t i = 0; i < n_in; i++)
    if (load(s, folder, "input", i, wh_onnx_net_input(net, i), &in[i]) != WH_OK)
      return wh_last_error()->message;
  if (tool.open && leave_dims_open(net, in, n_in)) return run_open(net, folder, s, in);
  const wh_plan_device device = {.backend = tool.device->backend, .dev = tool.device->device};
  wh_engine *engine = NULL;
  wh_onnx_result *r = NULL;
  const char *w = NULL;
  if (wh_engine_create(&device, 4, 0, NULL, &engine) != WH_OK) return wh_last_error()->message;
  const wh_onnx_engine face = wh_engine_face(engine);
  if (wh_onnx_execute(net, (const wh_datum *const *)in, &face, NULL, &r) != WH_OK) {
    snprintf(wrong, sizeof wrong, "%s", wh_last_error()->message);
    w = wrong;
  }
  for (size_t i = 0; i < n_out && !w; i++) {
    wh_datum *want;
    if (load(s, folder, "output", i, wh_onnx_net_output(net, i), &want) != WH_OK)
      w = wh_last_error()->message;
    else if (!want)
      w = "an expected output is missing";
    else
      w = in_output(i, compare(wh_onnx_result_output(r, i), want));
  }
  char more[PATH_BYTES];
  snprintf(more, sizeof more, "%.3900s/output_%zu.pb", folder, n_out);
  if (!w && exists(more)) w = "more outputs are expected";
  wh_onnx_result_destroy(r);
  wh_engine_destroy(engine);
  return w;
}

/* A passed test's difference goes to its only node's operator; constants do not count. */
static void keep_ulps(const wh_onnx_file *file, const char *test) {
  const wh_onnx_node *node = NULL;
  for (size_t i = 0; i < file->graph.n_nodes; i++) {
    if (wh_str_is(file->graph.nodes[i].op, "Constant")) continue;
    if (node) return;
    node = &file->graph.nodes[i];
  }
  if (!node || tool.ulps < 0) return;
  char op[sizeof tool.ops[0].op];
  if (node->domain.len == 0 || wh_str_is(node->domain, "ai.onnx"))
    snprintf(op, sizeof op, WH_STR_FMT, WH_STR_ARG(node->op));
  else
    snprintf(op, sizeof op, WH_STR_FMT "." WH_STR_FMT, WH_STR_ARG(node->domain), WH_STR_ARG(node->op));
  size_t i = 0;
  while (i < tool.n_ops && strcmp(tool.ops[i].op, op) != 0) i++;
  if (i == sizeof tool.ops / sizeof *tool.ops) abort();
  struct op_ulps *o = &tool.ops[i];
  if (i == tool.n_ops) {
    tool.n_ops++;
    *o = (struct op_ulps){.ulps = -1};
    snprintf(o->op, sizeof o->op, "%s", op);
  }
  o->n_tests++;
  o->ulps_of_largest = fmax(o->ulps_of_largest, tool.ulps_of_largest);
  if (tool.ulps <= o->ulps) return;
  o->ulps = tool.ulps;
  snprintf(o->test, sizeof o->test, "%s", test);
}

static const char *run_test(const char *folder, const char *name) {
  char path[PATH_BYTES];
  wh_onnx_file *file = NULL;
  wh_onnx_net *net = NULL;
  const char *w = NULL;
  int sets = 0;
  tool.relative = 0;
  tool.ulps = tool.ulps_of_largest = -1;
  for (size_t i = 0; i < sizeof grants / sizeof *grants; i++)
    if (strcmp(grants[i].test, name) == 0) tool.relative = grants[i].relative;
  snprintf(path, sizeof path, "%.3900s/model.onnx", folder);
  if (wh_onnx_open(path, NULL, &file) != WH_OK || wh_onnx_net_create(file, NULL, &net) != WH_OK) {
    snprintf(wrong, sizeof wrong, "%s", wh_last_error()->message);
    w = wrong;
  }
  for (int i = 0; !w; i++, sets++) {
    data_set s = {.n_files = 0};
    snprintf(path, sizeof path, "%.3900s/test_data_set_%d", folder, i);
    if (!exists(path)) break;
    wh_arena_init(&s.arena, NULL, 0);
    w = run_set(net, path, &s);
    if (w && w != wrong) {
      snprintf(wrong, sizeof wrong, "%s", w);
      w = wrong;
    }
    for (size_t f = 0; f < s.n_files; f++) wh_onnx_value_close(s.files[f]);
    wh_arena_deinit(&s.arena);
  }
  if (!w && sets == 0) w = "it has no data";
  if (!w && tool.ulp) keep_ulps(file, name);
  wh_onnx_net_destroy(net);
  wh_onnx_close(file);
  return w;
}

static int by_op(const void *a, const void *b) {
  return strcmp(((const struct op_ulps *)a)->op, ((const struct op_ulps *)b)->op);
}

static void print_ulps(void) {
  size_t n_equal = 0;
  qsort(tool.ops, tool.n_ops, sizeof *tool.ops, by_op);
  printf("| operator | tests | of the element | in | of the largest |\n|---|---|---|---|---|\n");
  for (size_t i = 0; i < tool.n_ops; i++) {
    const struct op_ulps *o = &tool.ops[i];
    n_equal += o->ulps == 0;
    if (o->ulps > 0)
      printf("| %s | %d | %.3g | %s | %.3g |\n", o->op, o->n_tests, o->ulps, o->test, o->ulps_of_largest);
  }
  printf("| the other %zu | | 0 | | 0 |\n", n_equal);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void walk(const char *folder) {
  char path[PATH_BYTES];
  snprintf(path, sizeof path, "%.3900s/model.onnx", folder);
  const char *name = strrchr(folder, '/') ? strrchr(folder, '/') + 1 : folder;
  if (exists(path)) {
    const char *w = run_test(folder, name);
    *(w ? &tool.total.failed : &tool.total.passed) += 1;
    if (w)
      printf("FAILED %s: %s\n", name, w);
    else if (!tool.quiet)
      printf("passed %s\n", name);
    fflush(stdout);
    return;
  }
  snprintf(path, sizeof path, "%.3900s/data.json", folder);
  if (exists(path)) {
    tool.total.skipped++;
    printf("skipped %s: the model is elsewhere\n", name);
    return;
  }
  DIR *d = opendir(folder);
  char **names = NULL;
  size_t n = 0;
  for (const struct dirent *e; d && (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    names = realloc(names, (n + 1) * sizeof *names);
    names[n++] = strdup(e->d_name);
  }
  if (d) closedir(d);
  if (n) qsort(names, n, sizeof *names, by_name);
  for (size_t i = 0; i < n; i++) {
    struct stat st;
    snprintf(path, sizeof path, "%.2000s/%.1900s", folder, names[i]);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) walk(path);
    free(names[i]);
  }
  free(names);
}

int main(int argc, char **argv) {
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  int first = 1;
  for (; first < argc && argv[first][0] == '-'; first++) {
    const char *a = argv[first];
    if (strcmp(a, "--quiet") == 0)
      tool.quiet = true;
    else if (strcmp(a, "--open") == 0)
      tool.open = true;
    else if (strcmp(a, "--ulp") == 0)
      tool.ulp = true;
    else if (first + 1 < argc && strcmp(a, "--device") == 0)
      o.name = argv[++first];
    else if (first + 1 < argc && strcmp(a, "--backends") == 0)
      o.backend_folder = argv[++first];
    else if (first + 1 < argc && strcmp(a, "--isa") == 0)
      o.isa = argv[++first];
    else if (first + 1 < argc && strcmp(a, "--threads") == 0)
      o.n_threads = (uint32_t)atoi(argv[++first]);
    else {
      fprintf(stderr, "onnx_conformance: unknown option %s\n", a);
      return 2;
    }
  }
  if (wh_device_create(&o, &tool.device) != WH_OK) {
    fprintf(stderr, "onnx_conformance: %s\n", wh_last_error()->message);
    return 2;
  }
  for (int i = first; i < argc; i++) walk(argv[i]);
  if (tool.ulp) print_ulps();
  if (tool.open) printf("%d data sets ran a graph of other dims\n", tool.n_open);
  printf("%d passed, %d failed, %d skipped\n", tool.total.passed, tool.total.failed, tool.total.skipped);
  wh_device_destroy(tool.device);
  return tool.total.failed || tool.total.passed == 0;
}
