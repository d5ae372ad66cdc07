/* host2_backend.c - the test backend's device and memory, and what it leaves to the CPU backend inside. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backends/cpu/cpu_backend.h"
#include "backends/host2/host2_internal.h"

const wh_backend *const host2_cpu = &wh_backend_cpu;
pthread_mutex_t host2_mutex = PTHREAD_MUTEX_INITIALIZER;

void host2_lock(void) { (void)pthread_mutex_lock(&host2_mutex); }
void host2_unlock(void) { (void)pthread_mutex_unlock(&host2_mutex); }

/* ---- device ---- */

/* The value of an option, of n bytes: a number, or the name of an op. */
static bool read_value_of(const char *name, const char *text, size_t n, uint64_t *out) {
  wh_op op;
  char *end = NULL;
  if (strcmp(name, "wrong") == 0 && wh_op_from_name(text, n, &op)) {
    *out = (uint64_t)op + 1;
    return true;
  }
  if (n == 0 || text[0] < '0' || text[0] > '9' || strcmp(name, "wrong") == 0) return false;
  *out = strtoull(text, &end, 10);
  return end == text + n;
}

static wh_status read_options(const char *text, host2_options *o) {
  const struct {
    const char *name;
    uint64_t *value;
  } known[] = {{"seed", &o->seed},
               {"delay", &o->delay},
               {"fail_alloc", &o->fail_alloc},
               {"fail_copy", &o->fail_copy},
               {"fail_submit", &o->fail_submit},
               {"refuse_copy", &o->refuse_copy},
               {"refuse_submit", &o->refuse_submit},
               {"memory", &o->memory},
               {"wrong", &o->wrong},
               {"after", &o->after}};
  if (!text || strcmp(text, "auto") == 0) return WH_OK;
  for (const char *at = text; *at;) {
    const size_t n = strcspn(at, ":"), n_value = at[n] ? strcspn(at + n + 1, ",") : 0;
    bool read = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0] && !read; i++)
      read = strlen(known[i].name) == n && strncmp(at, known[i].name, n) == 0 && at[n] &&
             read_value_of(known[i].name, at + n + 1, n_value, known[i].value);
    if (!read)
      return WH_FAIL(
          ERR_INVALID_ARGUMENT,
          "host2: option '%.64s' is none of seed, delay, fail_alloc, fail_copy, fail_submit, "
          "refuse_copy, refuse_submit, memory, after with a number behind a colon, or wrong with an op",
          at);
    at += n + 1 + n_value;
    at += *at == ',';
  }
  return WH_OK;
}

static uint32_t host2_count(void) { return 1; }

static wh_status host2_open(uint32_t index, const wh_device_options *options, void **out) {
  host2_options o = {.seed = 1, .delay = 200};
  const char *in_name = options->name ? strchr(options->name, ':') : NULL;
  WH_TRY(read_options(options->isa, &o));
  if (in_name) WH_TRY(read_options(in_name + 1, &o)); /* host2:seed:2,memory:65536 */
  if (options->numerics != WH_NUMERICS_EXACT)
    return WH_FAIL(ERR_UNSUPPORTED, "host2 knows exact numerics only");
  wh_device_options inner = *options;
  inner.name = "cpu";
  inner.isa = "ref";
  inner.n_threads = options->n_threads ? options->n_threads : 1;
  inner.binding = WH_BINDING_NONE;
  host2_device *d = wh_alloc_zeroed(options->allocator, sizeof *d);
  if (!d) return WH_OOM("host2 device");
  d->alloc = options->allocator;
  d->options = o;
  wh_status st = host2_cpu->open(index, &inner, &d->cpu);
  if (st != WH_OK) {
    wh_free(d->alloc, d);
    return st;
  }
  *out = d;
  return WH_OK;
}

static void host2_close(void *dev) {
  host2_device *d = dev;
  if (!d) return;
  host2_cpu->close(d->cpu);
  wh_free(d->alloc, d);
}

static void host2_get_info(void *dev, wh_device_info *info) {
  host2_cpu->get_info(((host2_device *)dev)->cpu, info);
  info->name = info->bus_id = wh_backend_host2.name; /* tests have a management library that knows it */
}

static wh_status host2_measure(void *dev, double seconds, wh_device_roofline *out) {
  return host2_cpu->measure(((host2_device *)dev)->cpu, seconds, out);
}

void host2_note_misuse(host2_device *d) {
  if (d->misused) return;
  d->misused = true;
  d->misuse = *wh_last_error();
}

/* ---- memory ---- */

static void protect(const wh_buffer *b, int how) { (void)mprotect(b->data, b->mapped_bytes, how); }

void host2_open_buffer(wh_buffer *b) {
  if (b->n_open++ == 0 && b->kind != WH_MEMORY_HOST) protect(b, PROT_READ | PROT_WRITE);
}
void host2_shut_buffer(wh_buffer *b) {
  if (--b->n_open == 0 && b->kind != WH_MEMORY_HOST) protect(b, PROT_NONE);
}

static uint64_t host2_footprint(void *dev, wh_memory_kind kind, uint64_t n_bytes) {
  (void)dev;
  (void)kind;
  const uint64_t page = 4096, some = n_bytes ? n_bytes : 1;
  return some > UINT64_MAX - page ? UINT64_MAX : (some + page - 1) / page * page;
}

static wh_status map_buffer(host2_device *d, wh_buffer *b) {
  const int how = b->kind == WH_MEMORY_HOST ? PROT_READ | PROT_WRITE : PROT_NONE;
  const uint64_t bytes = host2_footprint(d, b->kind, b->n_bytes);
  if (bytes > SIZE_MAX / 2)
    return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %llu bytes", (unsigned long long)b->n_bytes);
  void *p = mmap(NULL, (size_t)bytes, how, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %llu bytes", (unsigned long long)b->n_bytes);
  b->data = p;
  b->mapped_bytes = (size_t)bytes;
  return host2_cpu->buffer_import(d->cpu, b->data, b->n_bytes, &b->cpu);
}

static void free_buffer(host2_device *d, wh_buffer *b) {
  if (b->cpu) host2_cpu->buffer_destroy(d->cpu, b->cpu);
  if (b->data) (void)munmap(b->data, b->mapped_bytes);
  wh_free(d->alloc, b->history.items);
  wh_free(d->alloc, b);
}

/* Locked. */
static uint64_t free_bytes(const host2_device *d) {
  if (!d->options.memory) return UINT64_MAX;
  return d->options.memory > d->taken ? d->options.memory - d->taken : 0;
}

static wh_status host2_free_memory(void *dev, uint64_t *n_bytes) {
  host2_lock();
  *n_bytes = free_bytes(dev);
  host2_unlock();
  return WH_OK;
}

static wh_status host2_buffer_create(void *dev, wh_memory_kind kind, uint64_t n_bytes, wh_buffer **out) {
  host2_device *d = dev;
  host2_lock();
  const bool fails = ++d->n_allocs == d->options.fail_alloc;
  const uint64_t left = free_bytes(d);
  host2_unlock();
  if (fails) return WH_FAIL(ERR_OUT_OF_MEMORY, "a buffer was refused, as was asked for");
  if (host2_footprint(d, kind, n_bytes) > left)
    return WH_FAIL(ERR_OUT_OF_MEMORY, "host2: %llu bytes are needed, %llu are free",
                   (unsigned long long)n_bytes, (unsigned long long)left);
  wh_buffer *b = wh_alloc_zeroed(d->alloc, sizeof *b);
  if (!b) return WH_OOM("buffer");
  b->d = d;
  b->kind = kind;
  b->n_bytes = n_bytes;
  wh_status st = map_buffer(d, b);
  if (st != WH_OK) {
    free_buffer(d, b);
    return st;
  }
  host2_lock();
  b->next = d->buffers;
  d->buffers = b;
  d->taken += b->mapped_bytes;
  host2_unlock();
  *out = b;
  return WH_OK;
}

static wh_status host2_buffer_import(void *dev, const void *host, uint64_t n_bytes, wh_buffer **out) {
  (void)dev;
  (void)host;
  (void)n_bytes;
  (void)out;
  return WH_FAIL(ERR_UNSUPPORTED, "host2 cannot read the host's memory");
}

/* Waits until work that nobody has waited for is done, and says whether there was any. Called and returns
 * locked. */
static bool finish(int place, uint64_t value) {
  if (value <= host2_host.done[place]) return false;
  wh_queue *q = host2_queue_at(place);
  host2_unlock();
  if (q) (void)host2_wait((wh_point){q, value});
  host2_lock();
  return true;
}

static void host2_buffer_destroy(void *dev, wh_buffer *b) {
  host2_device *d = dev;
  if (!b) return;
  host2_lock();
  bool pending = false;
  for (size_t i = 0; i < b->history.n; i++)
    pending |= finish(b->history.items[i].queue, b->history.items[i].value);
  if (pending) {
    (void)WH_FAIL(ERR_DEVICE, "a buffer of %llu bytes was destroyed while work used it",
                  (unsigned long long)b->n_bytes);
    host2_note_misuse(d);
  }
  wh_buffer **at = &d->buffers;
  while (*at != b) at = &(*at)->next;
  *at = b->next;
  d->taken -= b->mapped_bytes;
  host2_unlock();
  free_buffer(d, b);
}

static void *host2_buffer_host(void *dev, wh_buffer *buffer) {
  (void)dev;
  return buffer->kind == WH_MEMORY_HOST ? buffer->data : NULL;
}

/* ---- what the CPU backend answers ---- */

static wh_status host2_claim(void *dev, const wh_graph *g, wh_node node, const int64_t *dims, wh_claim *out) {
  return host2_cpu->claim(((host2_device *)dev)->cpu, g, node, dims, out);
}

static wh_status host2_value_bytes(void *dev, const wh_graph *g, wh_value v, const int64_t *dims,
                                   uint64_t *out) {
  return host2_cpu->value_bytes(((host2_device *)dev)->cpu, g, v, dims, out);
}

static wh_status host2_pack(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks) {
  return host2_cpu->pack(((host2_device *)dev)->cpu, g, tasks, n_tasks);
}

static void host2_parallel(void *dev, wh_parallel_fn fn, void *arg) {
  wh_backend_parallel(host2_cpu, ((host2_device *)dev)->cpu, fn, arg);
}

static wh_status host2_compile(void *dev, const wh_block *block, wh_code **out) {
  host2_device *d = dev;
  wh_code *code = wh_alloc_zeroed(d->alloc, sizeof *code);
  if (!code) return WH_OOM("code");
  code->block = *block;
  wh_status st = host2_cpu->compile(d->cpu, block, &code->cpu);
  if (st != WH_OK) {
    wh_free(d->alloc, code);
    return st;
  }
  *out = code;
  return WH_OK;
}

static void host2_code_destroy(void *dev, wh_code *code) {
  host2_device *d = dev;
  if (!code) return;
  host2_lock();
  bool pending = false;
  for (int i = 0; i < HOST2_MAX_QUEUES; i++) pending |= finish(i, code->used.done[i]);
  if (pending) {
    (void)WH_FAIL(ERR_DEVICE, "code was destroyed while work used it");
    host2_note_misuse(d);
  }
  for (int i = 0; i < HOST2_MAX_QUEUES; i++) /* another code may get its address */
    if (host2_queue_at(i)) host2_forget_frames(host2_queue_at(i), code);
  host2_unlock();
  host2_cpu->code_destroy(d->cpu, code->cpu);
  wh_free(d->alloc, code);
}

static void host2_describe(void *dev, const wh_code *code, size_t step, wh_step_info *out) {
  host2_cpu->describe(((host2_device *)dev)->cpu, code->cpu, step, out);
}

static wh_status read_ready(host2_device *d, const wh_graph *g, wh_value v, const int64_t *dims,
                            wh_buffer *buffer, uint64_t offset) {
  uint64_t n_bytes = 0;
  host2_accesses reads = {0};
  WH_TRY(host2_cpu->value_bytes(d->cpu, g, v, dims, &n_bytes));
  WH_TRY(host2_check_range(d, buffer, offset, n_bytes, g->values[v].name));
  WH_TRY(host2_add_access(d, &reads, buffer, offset, n_bytes, false));
  wh_status st = host2_check_order(&reads, &host2_host, "a value that is read");
  wh_free(d->alloc, reads.items);
  return st;
}

static wh_status host2_read_value(void *dev, const wh_graph *g, wh_value v, const int64_t *dims,
                                  wh_buffer *buffer, uint64_t offset, void *row_major) {
  host2_device *d = dev;
  host2_lock();
  wh_status st = read_ready(d, g, v, dims, buffer, offset);
  if (st == WH_OK) host2_open_buffer(buffer);
  host2_unlock();
  if (st != WH_OK) return st;
  st = host2_cpu->read_value(d->cpu, g, v, dims, buffer->cpu, offset, row_major);
  host2_lock();
  host2_shut_buffer(buffer);
  host2_unlock();
  return st;
}

const wh_backend wh_backend_host2 = {
    .struct_size = sizeof(wh_backend),
    .abi_version = WH_BACKEND_ABI_VERSION,
    .name = "host2",
    .traits = WH_BACKEND_CHAINS | WH_BACKEND_PEERS | WH_BACKEND_BLOCKS,
    .pack_version = 6, /* the layouts of level "ref", checked with the CPU's */
    .count = host2_count,
    .open = host2_open,
    .close = host2_close,
    .get_info = host2_get_info,
    .measure = host2_measure,
    .buffer_create = host2_buffer_create,
    .buffer_import = host2_buffer_import,
    .buffer_destroy = host2_buffer_destroy,
    .buffer_host = host2_buffer_host,
    .buffer_footprint = host2_footprint,
    .claim = host2_claim,
    .value_bytes = host2_value_bytes,
    .pack = host2_pack,
    .compile = host2_compile,
    .code_destroy = host2_code_destroy,
    .describe = host2_describe,
    .queue_create = host2_queue_create,
    .queue_destroy = host2_queue_destroy,
    .submit = host2_submit,
    .upload = host2_upload,
    .download = host2_download,
    .copy = host2_copy,
    .wait = host2_wait,
    .read_value = host2_read_value,
    .parallel = host2_parallel,
    .free_memory = host2_free_memory,
};
