/* test_pack_cache.c - packed weights on disk, through the public API: warm starts, hostile files, folders
 * that cannot be written, and several writers at once. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/base/failing_allocator.h"
#include "tests/base/temp_folder.h"
#include "tests/e2e/small_model.h"
#include "whimbrel/whimbrel.h"

#define N_MATRICES (1 + 7 * SMALL_N_LAYERS) /* that products read; the embedding is looked up in place */

typedef struct messages {
  wh_log log;
  int n;
  char last[1024];
} messages;

static void keep_message(void *ctx, wh_log_level level, const char *message) {
  messages *m = ctx;
  assert_true(level >= m->log.min_level);
  assert_null(strchr(message, '\n'));
  m->n++;
  (void)snprintf(m->last, sizeof m->last, "%s", message);
}

/* Files of one test: a model, and the cache's folder beside it. */
typedef struct place {
  temp_folder folder, cache;
  temp_path model;
  messages said;
} place;

static place *place_create(wh_dtype dtype, int64_t width) {
  place *p = calloc(1, sizeof *p);
  if (!p) abort();
  p->folder = temp_folder_create();
  p->cache = temp_folder_create();
  p->model = temp_path_of(&p->folder, "small.gguf");
  p->said.log = (wh_log){&p->said, WH_LOG_WARNING, keep_message};
  small_model_put(p->model.text, dtype, width);
  return p;
}

static void place_remove(place *p) {
  temp_folder_remove(&p->folder);
  temp_folder_remove(&p->cache);
  free(p);
}

typedef struct start {
  const char *cache, *isa; /* NULL: none; all there is */
  bool mapped, one_thread;
  int n_more_runs;
  const wh_allocator *alloc;
} start;

typedef struct outcome {
  wh_status status;
  wh_session_packing packing;
  wh_session_memory memory;
  float logits[SMALL_N_VOCAB];
  bool mapped_at_first, mapped_at_last; /* the cache's file: in the first run, and after the last */
} outcome;

/* Of a mapping of the process whose name ends in ".pack". */
static bool maps_packed_file(void) {
  FILE *f = fopen("/proc/self/maps", "re");
  char line[1024];
  bool found = false;
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) found |= strstr(line, ".pack\n") != NULL;
  assert_int_equal(fclose(f), 0);
  return found;
}

/* The same tokens over and over: weights that move from the cache's file into memory do so between runs. */
static wh_status run_again(wh_session *session, const wh_batch *batch, int n_runs, const outcome *first) {
  for (int i = 0; i < n_runs; i++) {
    wh_status st = wh_session_truncate(session, 0, 0);
    if (st == WH_OK) st = wh_session_run(session, batch);
    if (st != WH_OK) return st;
    assert_memory_equal(wh_session_logits(session, 0), first->logits, sizeof first->logits);
  }
  return WH_OK;
}

/* One start of a program: opens everything, runs a few tokens, keeps the weights, closes everything. */
static outcome begin(place *p, start how) {
  outcome o = {.packing = WH_SESSION_PACKING_INIT, .memory = WH_SESSION_MEMORY_INIT};
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  wh_model_options m = WH_MODEL_OPTIONS_INIT;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  wh_device *device = NULL;
  wh_model *model = NULL;
  wh_session *session = NULL;
  d.allocator = m.allocator = s.allocator = how.alloc;
  d.n_threads = how.alloc || how.one_thread ? 1 : 2; /* the failing allocator counts without locks */
  d.isa = how.isa;
  s.context = 32;
  s.max_batch = 8;
  s.pack_cache = how.cache;
  s.pack_cache_mapped = how.mapped;
  s.log = &p->said.log;
  o.status = wh_device_create(&d, &device);
  if (o.status == WH_OK) o.status = wh_model_open(p->model.text, &m, &model);
  if (o.status == WH_OK) o.status = wh_session_create(model, device, &s, &session);
  if (o.status == WH_OK) {
    static const int32_t tokens[5] = {1, 7, 3, 0, SMALL_N_VOCAB - 1};
    wh_batch b = WH_BATCH_INIT;
    b.n_tokens = 5;
    b.tokens = tokens;
    b.n_outputs = 1;
    o.status = wh_session_run(session, &b);
    if (o.status == WH_OK) memcpy(o.logits, wh_session_logits(session, 0), sizeof o.logits);
    o.mapped_at_first = maps_packed_file();
    if (o.status == WH_OK) o.status = run_again(session, &b, how.n_more_runs, &o);
    o.mapped_at_last = maps_packed_file();
    if (o.status == WH_OK) o.status = wh_session_keep_packed(session);
    wh_session_get_packing(session, &o.packing);
    wh_session_get_memory(session, &o.memory);
  }
  wh_session_destroy(session);
  wh_model_destroy(model);
  wh_device_destroy(device);
  return o;
}

static outcome begin_well(place *p, start how) {
  outcome o = begin(p, how);
  if (o.status != WH_OK) fail_msg("%s", wh_last_error()->message);
  return o;
}

static void assert_same_logits(const outcome *a, const outcome *b) {
  assert_memory_equal(a->logits, b->logits, sizeof a->logits);
}

/* The first file of the cache whose name ends so. */
static temp_path file_ending(const temp_folder *f, const char *suffix) {
  DIR *dir = opendir(f->path);
  temp_path found = {""};
  if (!dir) abort();
  for (struct dirent *e; (e = readdir(dir));) {
    size_t n = strlen(e->d_name), m = strlen(suffix);
    if (n > m && strcmp(e->d_name + n - m, suffix) == 0) found = temp_path_of(f, e->d_name);
  }
  (void)closedir(dir);
  return found;
}

static bool x86_panels(void) { /* the reference kernels read the file's own layout: nothing is packed */
  outcome o;
  place *p = place_create(WH_DTYPE_Q4_0, 64);
  o = begin_well(p, (start){0});
  place_remove(p);
  return o.packing.n_packed > 0;
}

/* ---- good files ---- */

static void a_second_start_packs_nothing(void **state) {
  (void)state;
  static const wh_dtype types[] = {WH_DTYPE_Q4_0, WH_DTYPE_Q4_K, WH_DTYPE_F16, WH_DTYPE_F32};
  for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
    place *p = place_create(types[t], 256);
    outcome plain = begin_well(p, (start){0});
    assert_int_equal(plain.packing.n_packed, N_MATRICES);
    outcome cold = begin_well(p, (start){.cache = p->cache.path});
    assert_int_equal(cold.packing.n_packed, N_MATRICES);
    assert_int_equal(cold.packing.n_cached, 0);
    assert_true(cold.packing.stored);
    assert_same_logits(&plain, &cold);
    for (int mapped = 0; mapped < 2; mapped++) {
      outcome warm = begin_well(p, (start){.cache = p->cache.path, .mapped = mapped});
      assert_int_equal(warm.packing.n_packed, 0);
      assert_int_equal(warm.packing.n_cached, N_MATRICES);
      assert_false(warm.packing.stored);
      assert_same_logits(&plain, &warm);
      assert_true((warm.memory.cached_weights > 0) == mapped);
      assert_true((warm.memory.packed_weights > 0) == !mapped);
      assert_true(mapped ? warm.memory.peak < plain.memory.peak : warm.memory.peak == plain.memory.peak);
    }
    assert_int_equal(p->said.n, 0);
    place_remove(p);
  }
}

/* Weights of some ten megabytes take several runs to move; every run has the same logits. */
static void weights_move_while_the_model_runs(void **state) {
  (void)state;
  place *p = place_create(WH_DTYPE_F32, 512);
  outcome cold = begin_well(p, (start){.cache = p->cache.path, .n_more_runs = 3});
  assert_false(cold.mapped_at_first || cold.mapped_at_last);
  assert_true(cold.memory.packed_weights > (uint64_t)8 << 20);
  for (int one_thread = 0; one_thread < 2; one_thread++) {
    for (int n = 0; n < 8; n++) {
      outcome warm =
          begin_well(p, (start){.cache = p->cache.path, .one_thread = one_thread, .n_more_runs = n});
      assert_same_logits(&cold, &warm);
      assert_int_equal(warm.packing.n_cached, N_MATRICES);
      assert_true(warm.mapped_at_first);
      if (n < 3) assert_true(warm.mapped_at_last); /* two moves at least, and none before the second run */
      if (n == 7) assert_false(warm.mapped_at_last);
    }
    outcome shared = begin_well(p, (start){.cache = p->cache.path, .mapped = true, .n_more_runs = 7});
    assert_same_logits(&cold, &shared);
    assert_true(shared.mapped_at_first && shared.mapped_at_last);
  }
  assert_int_equal(p->said.n, 0);
  place_remove(p);
}

static void a_changed_model_is_packed_anew(void **state) {
  (void)state;
  place *p = place_create(WH_DTYPE_Q4_0, 64);
  outcome first = begin_well(p, (start){.cache = p->cache.path});
  small_model *m = small_model_create(WH_DTYPE_Q4_0, 64);
  union {
    const void *in;
    uint8_t *out;
  } data = {m->weights[2].data}; /* the output head */
  data.out[2] ^= 0x11;           /* codes of its first block; sizes and names stay */
  small_model_write(m, p->model.text);
  outcome other = begin_well(p, (start){.cache = p->cache.path});
  assert_int_equal(other.packing.n_packed, N_MATRICES);
  assert_memory_not_equal(first.logits, other.logits, sizeof first.logits);
  outcome again = begin_well(p, (start){.cache = p->cache.path});
  assert_int_equal(again.packing.n_cached, N_MATRICES);
  assert_same_logits(&other, &again);
  data.out[2] ^= 0x11; /* the first content once more: its file is still there */
  small_model_write(m, p->model.text);
  outcome back = begin_well(p, (start){.cache = p->cache.path});
  assert_int_equal(back.packing.n_cached, N_MATRICES);
  assert_same_logits(&first, &back);
  assert_int_equal(p->said.n, 0);
  small_model_destroy(m);
  place_remove(p);
}

/* What a level reads as it lies in the model file is not in the cache. */
static void weights_in_place_are_not_cached(void **state) {
  (void)state;
  place *p = place_create(WH_DTYPE_Q4_0, 64);
  outcome ref = begin_well(p, (start){.cache = p->cache.path, .isa = "ref"});
  assert_int_equal(ref.packing.n_packed, 0);
  assert_int_equal(ref.packing.n_cached, 0);
  assert_int_equal(ref.packing.n_in_place, N_MATRICES);
  assert_int_equal(temp_folder_count(&p->cache), 0);
  outcome best = begin_well(p, (start){.cache = p->cache.path});
  assert_same_logits(&ref, &best);
  outcome lower = begin_well(p, (start){.cache = p->cache.path, .isa = "avx2"});
  assert_int_equal(lower.packing.n_cached, N_MATRICES); /* levels of one layout share the file */
  assert_same_logits(&ref, &lower);
  place_remove(p);
}

/* ---- bad files ---- */

static void spoil(const temp_path *path, long at, const void *bytes, size_t n) {
  FILE *f = fopen(path->text, "r+b");
  assert_non_null(f);
  assert_int_equal(fseek(f, at, SEEK_SET), 0);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

static void flip(const temp_path *path, long at) {
  FILE *f = fopen(path->text, "rb");
  assert_non_null(f);
  assert_int_equal(fseek(f, at, SEEK_SET), 0);
  uint8_t c = (uint8_t)(fgetc(f) ^ 0x40);
  assert_int_equal(fclose(f), 0);
  spoil(path, at, &c, 1);
}

typedef struct stamps {
  temp_path path[2];
  uint8_t bytes[2][64];
  int n;
} stamps;

static stamps stamps_of(const temp_folder *f) {
  DIR *dir = opendir(f->path);
  stamps s = {.n = 0}; /* in the order of their names */
  assert_non_null(dir);
  for (struct dirent *e; (e = readdir(dir));) {
    if (!strstr(e->d_name, ".stamp")) continue;
    assert_true(s.n < 2);
    s.path[s.n++] = temp_path_of(f, e->d_name);
  }
  (void)closedir(dir);
  if (s.n == 2 && strcmp(s.path[0].text, s.path[1].text) > 0) {
    const temp_path first = s.path[1];
    s.path[1] = s.path[0];
    s.path[0] = first;
  }
  for (int i = 0; i < s.n; i++) {
    FILE *file = fopen(s.path[i].text, "rb");
    assert_non_null(file);
    assert_int_equal(fread(s.bytes[i], 1, 64, file), 64);
    assert_int_equal(fclose(file), 0);
  }
  return s;
}

static void wait_until_files_are_settled(void) {
  assert_int_equal(nanosleep(&(struct timespec){2, 200000000}, NULL), 0);
}

/* Stamps make hashing the model, and the cache's own file, unnecessary, but only once these are old enough
 * for their times to tell changes apart. */
static void a_known_file_is_not_hashed(void **state) {
  (void)state;
  place *p = place_create(WH_DTYPE_Q4_0, 64);
  const start cached = {.cache = p->cache.path};
  assert_true(begin_well(p, cached).packing.hashed_model);
  assert_true(begin_well(p, cached).packing.hashed_model);
  assert_int_equal(temp_folder_count(&p->cache), 1);
  wait_until_files_are_settled();
  outcome o = begin_well(p, cached); /* leaves the two stamps */
  assert_true(o.packing.hashed_model && o.packing.n_packed == 0);
  assert_int_equal(temp_folder_count(&p->cache), 3);
  o = begin_well(p, cached);
  assert_true(!o.packing.hashed_model && o.packing.n_packed == 0);
  const stamps good = stamps_of(&p->cache);
  int n_hashed_model = 0;
  assert_int_equal(good.n, 2);
  for (int i = 0; i < 2; i++)
    for (long at = 0; at < 64; at++) { /* a damaged stamp is no stamp; it is written again */
      const uint8_t other = good.bytes[i][at] ^ 1;
      spoil(&good.path[i], at, &other, 1);
      o = begin_well(p, cached);
      assert_int_equal(o.packing.n_packed, 0);
      n_hashed_model += o.packing.hashed_model != 0;
      const stamps again = stamps_of(&p->cache);
      assert_memory_equal(again.bytes, good.bytes, sizeof good.bytes);
    }
  assert_int_equal(n_hashed_model, 64); /* one of the two is the model's */
  for (int i = 0; i < 2; i++) assert_int_equal(truncate(good.path[i].text, 63), 0);
  assert_true(begin_well(p, cached).packing.hashed_model);
  assert_int_equal(utimensat(AT_FDCWD, p->model.text, NULL, 0), 0); /* touched: the content may be another */
  o = begin_well(p, cached);
  assert_true(o.packing.hashed_model && o.packing.n_packed == 0);
  assert_int_equal(p->said.n, 0);
  place_remove(p);
}

/* What was found sound once is hashed again after any change, even one that hides its time. */
static void a_stamp_does_not_cover_later_damage(void **state) {
  (void)state;
  place *p = place_create(WH_DTYPE_Q4_0, 64);
  const start cached = {.cache = p->cache.path};
  outcome good = begin_well(p, cached);
  temp_path path = file_ending(&p->cache, ".pack");
  wait_until_files_are_settled();
  assert_int_equal(begin_well(p, cached).packing.n_packed, 0);
  assert_int_equal(temp_folder_count(&p->cache), 3);
  struct stat before;
  assert_int_equal(stat(path.text, &before), 0);
  flip(&path, before.st_size / 2);
  assert_int_equal(utimensat(AT_FDCWD, path.text, (struct timespec[2]){before.st_atim, before.st_mtim}, 0),
                   0);
  wait_until_files_are_settled();
  assert_int_equal(p->said.n, 0);
  outcome o = begin_well(p, cached);
  assert_same_logits(&good, &o);
  assert_int_equal(o.packing.n_packed, N_MATRICES);
  assert_int_equal(p->said.n, 1);
  assert_non_null(strstr(p->said.last, "is damaged"));
  place_remove(p);
}

/* The spoilt file is named in one warning, and replaced by a good one. */
static void expect_rebuilt(place *p, const outcome *good, const char *path, const char *why) {
  for (int mapped = 0; mapped < 2; mapped++) {
    p->said.n = 0;
    outcome o = begin_well(p, (start){.cache = p->cache.path, .mapped = mapped});
    assert_same_logits(good, &o);
    if (mapped) { /* the first round has repaired it */
      assert_int_equal(p->said.n, 0);
      assert_int_equal(o.packing.n_cached, N_MATRICES);
      continue;
    }
    assert_int_equal(o.packing.n_packed, N_MATRICES);
    assert_true(o.packing.stored);
    assert_int_equal(p->said.n, 1);
    if (!strstr(p->said.last, why) || !strstr(p->said.last, path))
      fail_msg("'%s' does not say '%s' of %s", p->said.last, why, path);
  }
}

static void bad_files_are_replaced(void **state) {
  (void)state;
  place *p = place_create(WH_DTYPE_Q4_0, 64);
  outcome good = begin_well(p, (start){.cache = p->cache.path});
  temp_path path = file_ending(&p->cache, ".pack");
  struct stat whole;
  assert_int_equal(stat(path.text, &whole), 0);
  static const struct {
    long from, to; /* bytes of the header, each flipped in turn */
    const char *why;
  } fields[] = {{0, 8, "is no pack cache"},
                {8, 12, "another kind of machine"},
                {12, 20, "another version"},
                {20, 56, "damaged header"},
                {56, 72, "another instruction set"},
                {72, 88, "another model"},
                {88, 104, "is damaged"},
                {104, 120, "is damaged"}};
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
    for (long at = fields[i].from; at < fields[i].to; at++) {
      flip(&path, at);
      expect_rebuilt(p, &good, path.text, fields[i].why);
    }
  for (long at = 4096; at < whole.st_size; at += 997) { /* anywhere in the data, its ends among them */
    flip(&path, at);
    expect_rebuilt(p, &good, path.text, "is damaged");
  }
  flip(&path, whole.st_size - 1);
  expect_rebuilt(p, &good, path.text, "is damaged");
  static const long sizes[] = {1, 8, 103, 104, 119, 4096, 4097};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    assert_int_equal(truncate(path.text, sizes[i]), 0);
    expect_rebuilt(p, &good, path.text, "is cut short");
  }
  for (int d = -1; d <= 1; d += 2) {
    assert_int_equal(truncate(path.text, whole.st_size + d), 0);
    expect_rebuilt(p, &good, path.text, "is cut short or too long");
  }
  assert_int_equal(truncate(path.text, 0), 0);
  expect_rebuilt(p, &good, path.text, "is empty");
  static const char text[] =
      "this is not what the name says, but long enough to hold a header of the kind that "
      "is expected here, and some more";
  spoil(&path, 0, text, sizeof text);
  expect_rebuilt(p, &good, path.text, "is no pack cache");
  place_remove(p);
}

/* Under the name of the one, the file of the other. */
static void a_file_of_another_model(void **state) {
  (void)state;
  place *a = place_create(WH_DTYPE_Q4_0, 64), *b = place_create(WH_DTYPE_Q8_0, 64);
  outcome good = begin_well(a, (start){.cache = a->cache.path});
  (void)begin_well(b, (start){.cache = b->cache.path});
  temp_path path = file_ending(&a->cache, ".pack");
  assert_int_equal(rename(file_ending(&b->cache, ".pack").text, path.text), 0);
  expect_rebuilt(a, &good, path.text, "another instruction set");
  place_remove(a);
  place_remove(b);
}

/* ---- folders ---- */

static void expect_no_cache(place *p, const char *folder, const char *why) {
  p->said.n = 0;
  outcome plain = begin_well(p, (start){0}), o = begin_well(p, (start){.cache = folder});
  assert_same_logits(&plain, &o);
  assert_int_equal(o.packing.n_packed, N_MATRICES);
  assert_false(o.packing.stored);
  assert_int_equal(p->said.n, 1);
  if (!strstr(p->said.last, why)) fail_msg("'%s' does not say '%s'", p->said.last, why);
}

static void folders_that_cannot_be_used(void **state) {
  (void)state;
  place *p = place_create(WH_DTYPE_Q4_0, 64);
  char below[512];
  expect_no_cache(p, "/proc/self",
                  "going on without it"); /* is there, but takes no files, not even of root */
  expect_no_cache(p, p->model.text, "cannot make the folder");
  (void)snprintf(below, sizeof below, "%s/no/such", p->cache.path);
  expect_no_cache(p, below, "cannot make the folder");
  expect_no_cache(p, "", "no folder name");
  (void)snprintf(below, sizeof below, "%s/new", p->cache.path);
  p->said.n = 0;
  assert_true(begin_well(p, (start){.cache = below}).packing.stored);
  assert_int_equal(begin_well(p, (start){.cache = below}).packing.n_cached, N_MATRICES);
  assert_int_equal(p->said.n, 0);
  temp_path packed = temp_path_of(&p->cache, "new");
  DIR *dir = opendir(packed.text);
  assert_non_null(dir);
  for (struct dirent *e; (e = readdir(dir));)
    if (e->d_name[0] != '.') assert_int_equal(unlinkat(dirfd(dir), e->d_name, 0), 0);
  assert_int_equal(closedir(dir), 0);
  assert_int_equal(rmdir(packed.text), 0);
  place_remove(p);
}

/* A limit on the size of files does what a full disk does. */
static void a_full_disk(void **state) {
  (void)state;
  place *p = place_create(WH_DTYPE_Q4_0, 64);
  struct rlimit old, small;
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small = (struct rlimit){8192, old.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_no_cache(p, p->cache.path, "cannot write");
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  (void)signal(SIGXFSZ, handler);
  assert_int_equal(temp_folder_count(&p->cache), 0); /* nothing half-written stays behind */
  assert_true(begin_well(p, (start){.cache = p->cache.path}).packing.stored);
  place_remove(p);
}

static void several_writers(void **state) {
  (void)state;
  enum { WRITERS = 6 };
  place *p = place_create(WH_DTYPE_Q4_0, 64);
  outcome plain = begin_well(p, (start){0});
  pid_t children[WRITERS];
  for (int i = 0; i < WRITERS; i++) {
    children[i] = fork();
    assert_true(children[i] >= 0);
    if (children[i] == 0) {
      bool good = true;
      for (int round = 0; round < 8; round++) {
        temp_path path = file_ending(&p->cache, ".pack");
        if (i == 0 && path.text[0]) (void)unlink(path.text); /* keeps the others writing */
        /* libgomp has no threads in a child */
        outcome o = begin(p, (start){.cache = p->cache.path, .mapped = round % 2, .one_thread = true});
        good &= o.status == WH_OK && memcmp(o.logits, plain.logits, sizeof o.logits) == 0;
      }
      _exit(good && p->said.n == 0 ? 0 : 1);
    }
  }
  for (int i = 0; i < WRITERS; i++) {
    int status;
    assert_int_equal(waitpid(children[i], &status, 0), children[i]);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  outcome o = begin_well(p, (start){.cache = p->cache.path});
  assert_same_logits(&plain, &o);
  place_remove(p);
}

/* ---- memory ---- */

/* One file of weights and nothing that was begun; stamps stay of files that a slow machine had for seconds.
 */
static void assert_nothing_is_left(const temp_folder *f) {
  int n_packs = 0;
  DIR *dir = opendir(f->path);
  assert_non_null(dir);
  for (struct dirent *e; (e = readdir(dir));) {
    const char *ending = strrchr(e->d_name, '.');
    if (e->d_name[0] == '.') continue;
    if (!ending || (strcmp(ending, ".pack") != 0 && strcmp(ending, ".stamp") != 0))
      fail_msg("%s was left", e->d_name);
    n_packs += strcmp(ending, ".pack") == 0;
  }
  (void)closedir(dir);
  assert_int_equal(n_packs, 1);
}

/* Cold, warm, mapped, and over a damaged file. */
static void every_allocation_may_fail(void **state) {
  (void)state;
  place *p = place_create(WH_DTYPE_Q4_0, 64);
  outcome good = begin_well(p, (start){.cache = p->cache.path});
  temp_path path = file_ending(&p->cache, ".pack");
  for (int way = 0; way < 4; way++) {
    outcome o = {.status = WH_ERR_OUT_OF_MEMORY};
    for (size_t fail_at = 1; o.status != WH_OK; fail_at++) {
      failing_allocator a;
      if (way == 0) (void)unlink(path.text);
      if (way == 3) flip(&path, 5000);
      o = begin(
          p,
          (start){.cache = p->cache.path, .mapped = way == 2, .alloc = failing_allocator_init(&a, fail_at)});
      assert_int_equal(a.n_live, 0);
      assert_true(o.status == WH_OK || o.status == WH_ERR_OUT_OF_MEMORY);
      assert_true((o.status == WH_OK) == (a.n_requests < fail_at)); /* no failed request goes unnoticed */
      if (way == 3 && o.status != WH_OK && a.n_requests) (void)begin_well(p, (start){.cache = p->cache.path});
    }
    assert_same_logits(&good, &o);
  }
  assert_nothing_is_left(&p->cache);
  place_remove(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_second_start_packs_nothing),
      cmocka_unit_test(weights_move_while_the_model_runs),
      cmocka_unit_test(a_changed_model_is_packed_anew),
      cmocka_unit_test(a_known_file_is_not_hashed),
      cmocka_unit_test(a_stamp_does_not_cover_later_damage),
      cmocka_unit_test(weights_in_place_are_not_cached),
      cmocka_unit_test(bad_files_are_replaced),
      cmocka_unit_test(a_file_of_another_model),
      cmocka_unit_test(folders_that_cannot_be_used),
      cmocka_unit_test(a_full_disk),
      cmocka_unit_test(several_writers),
      cmocka_unit_test(every_allocation_may_fail),
  };
  if (!x86_panels()) return 0; /* no level above ref here: nothing is ever packed */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
