/* stop_matcher.c - finds stop strings in a stream, byte for byte (sampler.h has the interface).
 *
 * A stop string is looked for in two views of the stream: all of it, and what of it is shown. Shown text is
 * held back only while it belongs to a proper prefix of some stop string in one of them. Which stop string
 * ends the text: the one that is complete first; of those completed by the same byte the one that hides the
 * most. */
#include <string.h>

#include "core/base/text_buffer.h"
#include "text/sampler.h"

#define STOPS_MAX 64
#define STOP_BYTES_MAX 4096

typedef struct stop_string {
  char *text;
  size_t n;
} stop_string;

/* The end of one view: what could become a stop string. */
typedef struct view {
  char *text; /* room for `longest` bytes; fewer between calls */
  size_t n;
} view;

struct wh_stop_matcher {
  const wh_allocator *alloc;
  stop_string *stops;
  size_t n_stops, longest;
  view shown; /* and what is held back for the sake of `all` */
  view all;
  bool *is_shown; /* of each byte of `all` */
  bool stopped;
};

static wh_status check_stops(const char *const *stops, size_t n_stops) {
  if (n_stops > STOPS_MAX)
    return WH_FAIL(ERR_LIMIT, "%zu stop strings, at most %d are allowed", n_stops, STOPS_MAX);
  for (size_t i = 0; i < n_stops; i++) {
    size_t n = stops[i] ? strlen(stops[i]) : 0;
    if (n == 0) return WH_FAIL(ERR_INVALID_ARGUMENT, "stop string %zu is empty", i);
    if (n > STOP_BYTES_MAX)
      return WH_FAIL(ERR_LIMIT, "stop string %zu is %zu bytes, at most %d are allowed", i, n, STOP_BYTES_MAX);
  }
  return WH_OK;
}

wh_status wh_stop_matcher_create(const char *const *stops, size_t n_stops, const wh_allocator *alloc,
                                 wh_stop_matcher **out) {
  WH_TRY(check_stops(stops, n_stops));
  wh_stop_matcher *m = wh_alloc_zeroed(alloc, sizeof *m);
  if (!m) return WH_OOM("stop strings");
  m->alloc = alloc;
  bool ok = (m->stops = wh_alloc_array(alloc, n_stops, sizeof *m->stops)) != NULL;
  for (; ok && m->n_stops < n_stops; m->n_stops++) {
    stop_string *s = &m->stops[m->n_stops];
    s->n = strlen(stops[m->n_stops]);
    if (s->n > m->longest) m->longest = s->n;
    s->text = wh_alloc_string(alloc, stops[m->n_stops], s->n);
    ok = s->text != NULL;
  }
  ok = ok && (m->shown.text = wh_alloc_array(alloc, m->longest, 1)) != NULL;
  ok = ok && (m->all.text = wh_alloc_array(alloc, m->longest, 1)) != NULL;
  ok = ok && (m->is_shown = wh_alloc_array(alloc, m->longest, sizeof *m->is_shown)) != NULL;
  if (!ok) {
    wh_stop_matcher_destroy(m);
    return WH_OOM("stop strings");
  }
  *out = m;
  return WH_OK;
}

void wh_stop_matcher_destroy(wh_stop_matcher *m) {
  if (!m) return;
  for (size_t i = 0; m->stops && i < m->n_stops; i++) wh_free(m->alloc, m->stops[i].text);
  wh_free(m->alloc, m->stops);
  wh_free(m->alloc, m->shown.text);
  wh_free(m->alloc, m->all.text);
  wh_free(m->alloc, m->is_shown);
  wh_free(m->alloc, m);
}

/* Length of the longest stop string that the view ends with, 0 for none. */
static size_t completed_stop(const wh_stop_matcher *m, const view *v) {
  size_t longest = 0;
  for (size_t i = 0; i < m->n_stops; i++) {
    const stop_string *s = &m->stops[i];
    if (s->n > longest && s->n <= v->n && memcmp(v->text + v->n - s->n, s->text, s->n) == 0) longest = s->n;
  }
  return longest;
}

/* Bytes at the view's end that are how a stop string begins; the most of them. */
static size_t begun_stop(const wh_stop_matcher *m, const view *v) {
  for (size_t n = v->n; n > 0; n--)
    for (size_t i = 0; i < m->n_stops; i++)
      if (n < m->stops[i].n && memcmp(v->text + v->n - n, m->stops[i].text, n) == 0) return n;
  return 0;
}

/* How many of the last n bytes of the whole view are shown. */
static size_t count_shown(const wh_stop_matcher *m, size_t n) {
  size_t count = 0;
  for (size_t i = m->all.n - n; i < m->all.n; i++) count += m->is_shown[i];
  return count;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static void keep_last(view *v, size_t n) {
  memmove(v->text, v->text + v->n - n, n);
  v->n = n;
}

/* Shows all but the last n held bytes. */
static void release(wh_stop_matcher *m, size_t n, wh_text_buffer *out) {
  wh_text_buffer_append(out, m->shown.text, m->shown.n - n);
  keep_last(&m->shown, n);
}

/* What either view holds begins a stop string and is shorter than that, so there is room for one byte. */
static void push_byte(wh_stop_matcher *m, char byte, bool shown, wh_text_buffer *out) {
  m->is_shown[m->all.n] = shown;
  m->all.text[m->all.n++] = byte;
  if (shown) m->shown.text[m->shown.n++] = byte;
  size_t in_all = completed_stop(m, &m->all), in_shown = shown ? completed_stop(m, &m->shown) : 0;
  if (in_all || in_shown) {
    release(m, larger(count_shown(m, in_all), in_shown), out);
    m->shown.n = m->all.n = 0;
    m->stopped = true;
    return;
  }
  size_t keep = begun_stop(m, &m->all);
  memmove(m->is_shown, m->is_shown + m->all.n - keep, keep * sizeof *m->is_shown);
  keep_last(&m->all, keep);
  release(m, larger(count_shown(m, keep), begun_stop(m, &m->shown)), out);
}

wh_status wh_stop_matcher_push(wh_stop_matcher *m, const char *text, size_t n, bool shown,
                               wh_text_buffer *out, bool *stopped) {
  if (m->n_stops == 0 && shown) wh_text_buffer_append(out, text, n);
  for (size_t i = 0; i < n && m->n_stops > 0 && !m->stopped; i++) push_byte(m, text[i], shown, out);
  if (out->oom) return WH_OOM("generated text");
  *stopped = m->stopped;
  return WH_OK;
}

wh_status wh_stop_matcher_finish(wh_stop_matcher *m, wh_text_buffer *out) {
  release(m, 0, out);
  if (out->oom) return WH_OOM("generated text");
  return WH_OK;
}
