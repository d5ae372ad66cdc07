/* test_host2.c - that the test backend notices what it is there to notice, and nothing else; that it is late,
 * and fails when it is asked to. */
#define _DEFAULT_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* clang-format off */
#include "backends/cpu/cpu_backend.h"
#include "backends/host2/host2_internal.h"
#include "tests/backend/suite.h"
#include "tests/backend/targets.h"
#include <cmocka.h>
/* clang-format on */

static const wh_backend *const b = &wh_backend_host2;
static const wh_point none = {NULL, 0};

typedef struct fixture {
  suite_target t;
  wh_queue *q[3];
  wh_buffer *x, *y; /* of 1,000 bytes */
} fixture;

static fixture *open_with(const char *options) {
  fixture *f = calloc(1, sizeof *f);
  assert_non_null(f);
  assert_int_equal(target_open(b, options, 1, NULL, &f->t), WH_OK);
  for (int i = 0; i < 3; i++) assert_int_equal(b->queue_create(f->t.dev, &f->q[i]), WH_OK);
  assert_int_equal(b->buffer_create(f->t.dev, WH_MEMORY_DEVICE, 1000, &f->x), WH_OK);
  assert_int_equal(b->buffer_create(f->t.dev, WH_MEMORY_DEVICE, 1000, &f->y), WH_OK);
  return f;
}

static void close_all(fixture *f) {
  for (int i = 0; i < 3; i++) b->queue_destroy(f->q[i]);
  b->buffer_destroy(f->t.dev, f->x);
  b->buffer_destroy(f->t.dev, f->y);
  b->close(f->t.dev);
  free(f);
}

/* The last call's status, with a sentence about it. */
static void assert_refused(wh_status st, const char *sentence) {
  assert_int_equal(st, WH_ERR_DEVICE);
  if (!strstr(wh_last_error()->message, sentence))
    fail_msg("'%s' does not say '%s'", wh_last_error()->message, sentence);
}

static char bytes[1000];

static wh_status up(fixture *f, int q, wh_buffer *to, const wh_point *waits, size_t n, wh_point *done) {
  return b->upload(f->q[q], to, 0, bytes, 100, waits, n, done);
}
static wh_status copy_xy(fixture *f, int q, const wh_point *waits, size_t n, wh_point *done) {
  return b->copy(f->q[q], f->y, 0, f->x, 0, 100, waits, n, done);
}

/* ---- order ---- */

static void test_order_between_queues(void **state) {
  (void)state;
  fixture *f = open_with("delay:50");
  wh_point p[3] = {none, none, none};
  assert_int_equal(up(f, 0, f->x, NULL, 0, &p[0]), WH_OK);
  assert_refused(copy_xy(f, 1, NULL, 0, NULL), "reads bytes 0 to 100 of a buffer that queue");
  assert_int_equal(copy_xy(f, 1, &p[0], 1, &p[1]), WH_OK);
  assert_refused(up(f, 0, f->x, NULL, 0, NULL), "writes bytes"); /* it is still read */
  assert_refused(b->download(f->q[2], bytes, f->y, 99, 1, &p[0], 1, NULL), "reads bytes 99 to 100");
  assert_int_equal(b->download(f->q[2], bytes, f->y, 100, 5, NULL, 0, NULL),
                   WH_OK);                                  /* others than are written */
  assert_int_equal(up(f, 2, f->x, &p[1], 1, &p[2]), WH_OK); /* the first upload, by way of the copy */
  assert_int_equal(b->wait(p[2]), WH_OK);                   /* and so all of it is done for the host */
  assert_int_equal(copy_xy(f, 0, NULL, 0, &p[0]), WH_OK);
  assert_int_equal(copy_xy(f, 0, NULL, 0, &p[0]), WH_OK); /* a queue's own work is in order */
  assert_int_equal(b->wait(p[0]), WH_OK);
  close_all(f);
}

/* What an earlier point is known to follow does not grow with what its queue does later. */
static void test_order_by_an_earlier_point(void **state) {
  (void)state;
  fixture *f = open_with("delay:50");
  wh_point first = none, later = none, other = none;
  assert_int_equal(up(f, 1, f->y, NULL, 0, &first), WH_OK);
  assert_int_equal(up(f, 0, f->x, NULL, 0, &other), WH_OK);
  assert_int_equal(b->download(f->q[1], bytes + 500, f->x, 0, 10, &other, 1, &later), WH_OK);
  assert_refused(copy_xy(f, 2, &first, 1, NULL), "reads bytes");
  assert_int_equal(copy_xy(f, 2, &later, 1, &later), WH_OK);
  assert_int_equal(b->wait(later), WH_OK);
  close_all(f);
}

static void test_points(void **state) {
  (void)state;
  fixture *f = open_with("delay:0");
  wh_point p = none;
  assert_int_equal(b->wait(none), WH_OK);
  assert_int_equal(up(f, 0, f->x, &none, 1, &p), WH_OK);
  assert_refused(b->wait((wh_point){f->q[0], p.value + 1}), "has not handed out");
  assert_refused(b->wait((wh_point){(wh_queue *)(void *)f, 1}), "a queue that this backend does not have");
  assert_refused(up(f, 1, f->y, &(wh_point){f->q[0], p.value + 1}, 1, NULL), "has not handed out");
  assert_int_equal(b->wait(p), WH_OK);
  close_all(f);
}

/* ---- memory ---- */

static void test_ranges(void **state) {
  (void)state;
  fixture *f = open_with("delay:0");
  assert_refused(b->upload(f->q[0], f->x, 990, bytes, 11, NULL, 0, NULL), "11 bytes at 990 do not lie");
  assert_refused(b->upload(f->q[0], f->x, UINT64_MAX, bytes, 2, NULL, 0, NULL), "do not lie");
  assert_refused(b->download(f->q[0], bytes, f->x, 1001, 0, NULL, 0, NULL), "do not lie");
  assert_refused(b->copy(f->q[0], f->x, 0, f->y, 999, 2, NULL, 0, NULL), "a copy's source");
  assert_refused(b->copy(f->q[0], f->x, 10, f->x, 0, 11, NULL, 0, NULL), "overlap");
  assert_refused(b->upload(f->q[0], (wh_buffer *)(void *)f, 0, bytes, 1, NULL, 0, NULL),
                 "none of this device");
  wh_point p = none;
  assert_int_equal(b->copy(f->q[0], f->x, 10, f->x, 0, 10, NULL, 0, &p), WH_OK);
  assert_int_equal(b->wait(p), WH_OK);
  close_all(f);
}

static void test_the_host_cannot_reach_it(void **state) {
  (void)state;
  fixture *f = open_with("delay:0");
  wh_buffer *host = NULL, *imported = NULL;
  assert_null(b->buffer_host(f->t.dev, f->x));
  assert_int_equal(b->buffer_import(f->t.dev, bytes, sizeof bytes, &imported), WH_ERR_UNSUPPORTED);
  assert_int_equal(b->buffer_create(f->t.dev, WH_MEMORY_HOST, 10, &host), WH_OK);
  *(char *)b->buffer_host(f->t.dev, host) = 7; /* but for what is there to be reached */
  wh_point p = none;
  assert_int_equal(up(f, 0, f->x, NULL, 0, &p), WH_OK);
  assert_int_equal(b->wait(p), WH_OK); /* it was open, and is shut again */
  pid_t child = fork();
  if (child == 0) {
    (void)signal(SIGSEGV, SIG_DFL); /* cmocka has its own */
    (void)close(STDERR_FILENO);
    const char seen = *(volatile char *)f->x->data;
    (void)seen;
    _exit(0);
  }
  int how = 0;
  assert_int_equal(waitpid(child, &how, 0), child);
  assert_false(WIFEXITED(how) && WEXITSTATUS(how) == 0);
  b->buffer_destroy(f->t.dev, host);
  close_all(f);
}

static void test_destroyed_while_used(void **state) {
  (void)state;
  fixture *f = open_with("delay:500");
  wh_point p = none;
  assert_int_equal(up(f, 0, f->x, NULL, 0, &p), WH_OK);
  b->buffer_destroy(f->t.dev, f->x);
  f->x = NULL;
  assert_refused(b->wait(p), "a buffer of 1000 bytes was destroyed while work used it");
  assert_refused(up(f, 1, f->y, NULL, 0, NULL), "destroyed while work used it");
  close_all(f);
}

static void test_upload_keeps_its_source(void **state) {
  (void)state;
  fixture *f = open_with("delay:1000,seed:3");
  static char from[100];
  wh_point p = none;
  for (int i = 0; i < 20; i++) assert_int_equal(b->upload(f->q[0], f->x, 0, from, 100, NULL, 0, &p), WH_OK);
  from[50] = 1; /* while most of them are to come */
  assert_refused(b->wait(p), "the bytes of an upload changed");
  close_all(f);
}

/* ---- frames and blocks ---- */

/* y = neg(x), z = rms_norm(y) at rows */
static executor *two_steps(fixture *f, suite *s, suite_case **out) {
  *s = (suite){.target = &f->t, .random = 1};
  suite_case *c = case_begin(s, 8, "two steps");
  const wh_value x = case_input(c, WH_DTYPE_F32, 2, (const int64_t[]){ROWS, 32}, FILL_PLAIN);
  const wh_attr eps = {.key = WH_ATTR_EPS, .f = 1e-5f};
  const wh_value y = case_node(c, WH_OP_NEG, &x, 1, NULL, 0);
  (void)case_node(c, WH_OP_RMS_NORM, &y, 1, &eps, 1);
  int64_t *dims = case_dims(c, 8);
  executor *e = NULL;
  assert_int_equal(executor_create(&f->t, c->g, dims, NULL, &e), WH_OK);
  assert_int_equal(executor_write(e, x, c->data[x], c->n_bytes[x]), WH_OK);
  free(dims);
  *out = c;
  return e;
}

static wh_status submit(executor *e, size_t first, size_t count, const wh_frame *frame, wh_point *done) {
  return b->submit(executor_queue(e), executor_code(e), first, count, frame, NULL, 0, done);
}

static void test_frames(void **state) {
  (void)state;
  fixture *f = open_with("delay:2000");
  suite s;
  suite_case *c;
  executor *e = two_steps(f, &s, &c);
  uint64_t offsets[16], sizes[16];
  const uint32_t n = (uint32_t)(c->g->n_values + c->g->n_nodes + 1);
  assert_true(n <= 16);
  memcpy(offsets, executor_frame(e)->offsets, n * sizeof *offsets);
  memcpy(sizes, executor_frame(e)->n_bytes, n * sizeof *sizes);
  wh_frame mine = *executor_frame(e);
  mine.offsets = offsets;
  mine.n_bytes = sizes;
  mine.id = 50;
  wh_point p = none;
  assert_refused(submit(e, 1, 1, &mine, NULL), "starts at step 1");
  assert_refused(submit(e, 0, 3, &mine, NULL), "steps 0 to 3 of a block of 2");
  assert_int_equal(submit(e, 0, 1, &mine, &p), WH_OK);
  assert_refused(submit(e, 2, 0, &mine, NULL), "goes on at step 2, not at 1");
  assert_int_equal(submit(e, 1, 1, &mine, &p), WH_OK);
  assert_int_equal(b->wait(p), WH_OK);

  offsets[3] += 64;
  assert_refused(submit(e, 0, 2, &mine, NULL), "frame 50 is not what it was");
  offsets[3] -= 64;
  mine.id = 51;
  sizes[2] -= 4;
  assert_refused(submit(e, 0, 2, &mine, NULL), "1020 bytes, 1024 are needed");
  sizes[2] += 4;
  mine.id = 52;
  offsets[2] = offsets[1] + 64;
  assert_refused(submit(e, 0, 2, &mine, NULL), "overlap each other");
  offsets[2] = executor_frame(e)->offsets[2];
  mine.id = 53;
  offsets[1] = UINT64_MAX - 3;
  assert_refused(submit(e, 0, 2, &mine, NULL), "do not lie within");
  offsets[1] = executor_frame(e)->offsets[1];

  mine.id = 54;
  for (int i = 0; i < 5; i++) assert_int_equal(submit(e, 0, 2, &mine, &p), WH_OK);
  mine.id = 55; /* while most of them are to come */
  assert_refused(b->wait(p), "a frame changed while work used it");
  executor_destroy(e);
  case_free(c);
  close_all(f);
}

static void test_values_are_read_when_they_are_done(void **state) {
  (void)state;
  fixture *f = open_with("delay:200");
  suite s;
  suite_case *c;
  executor *e = two_steps(f, &s, &c);
  (void)case_compute(c);
  wh_point p = none;
  float got[8 * 32];
  const wh_value z = (wh_value)c->g->n_values - 1;
  assert_int_equal(submit(e, 0, 2, executor_frame(e), &p), WH_OK);
  assert_refused(executor_read(e, z, got), "a value that is read: reads bytes");
  assert_int_equal(b->wait(p), WH_OK);
  assert_int_equal(executor_read(e, z, got), WH_OK);
  assert_memory_equal(got, c->data[z], sizeof got);
  executor_destroy(e);
  case_free(c);
  close_all(f);
}

/* ---- errors of work ---- */

static void test_errors_come_back_from_wait(void **state) {
  (void)state;
  fixture *f = open_with("fail_copy:3,delay:300");
  wh_point p[4] = {none, none, none, none};
  for (int i = 0; i < 4; i++) assert_int_equal(up(f, 0, f->x, NULL, 0, &p[i]), WH_OK);
  wh_point other = none;
  assert_int_equal(copy_xy(f, 1, &p[3], 1, &other), WH_OK);
  assert_int_equal(b->wait(p[1]), WH_OK);
  assert_refused(b->wait(p[2]), "an upload failed, as was asked for");
  assert_refused(b->wait(p[3]), "an upload failed");
  assert_refused(b->wait(other), "work that waited for other work: an upload failed");
  assert_refused(up(f, 0, f->x, NULL, 0, NULL), "an upload failed"); /* the queue has ended */
  assert_int_equal(up(f, 2, f->x, NULL, 0, &other), WH_OK);          /* others have not */
  assert_int_equal(b->wait(other), WH_OK);
  close_all(f);
}

static void test_options(void **state) {
  (void)state;
  static const char *const bad[] = {"seed",           "seed:",   "seed:x",  "sneed:1",
                                    "seed:1;delay:2", ",seed:1", "delay:-1"};
  suite_target t;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_int_equal(target_open(b, bad[i], 1, NULL, &t), WH_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(wh_last_error()->message, "host2: option '"));
  }
  assert_int_equal(target_open(b, "auto", 1, NULL, &t), WH_OK);
  b->close(t.dev);
  assert_int_equal(b->pack_version, wh_backend_cpu.pack_version); /* its layouts are those */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order_between_queues),
      cmocka_unit_test(test_order_by_an_earlier_point),
      cmocka_unit_test(test_points),
      cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_the_host_cannot_reach_it),
      cmocka_unit_test(test_destroyed_while_used),
      cmocka_unit_test(test_upload_keeps_its_source),
      cmocka_unit_test(test_frames),
      cmocka_unit_test(test_values_are_read_when_they_are_done),
      cmocka_unit_test(test_errors_come_back_from_wait),
      cmocka_unit_test(test_options),
  };
  return cmocka_run_group_tests_name("host2", tests, NULL, NULL);
}
