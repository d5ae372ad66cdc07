/* stop_matcher.c - finds stop strings in a stream, byte for byte (sampler.h has the interface).
 *
 * Text is held back only while it is a proper prefix of some stop string. Which stop string ends the text:
 * the one that is complete first; of those completed by the same byte the one that began first. */
#include <string.h>

#include "core/base/text_buffer.h"
#include "text/sampler.h"

#define STOPS_MAX 64
#define STOP_BYTES_MAX 4096

typedef struct stop_string {
  char *text;
  size_t n;
} stop_string;

struct wh_stop_matcher {
  const wh_allocator *alloc;
  stop_string *stops;
  size_t n_stops, longest;
  char *held; /* room for `longest` bytes; fewer between calls */
  size_t n_held;
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
  ok = ok && (m->held = wh_alloc_array(alloc, m->longest, 1)) != NULL;
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
  wh_free(m->alloc, m->held);
  wh_free(m->alloc, m);
}

/* Length of the longest stop string that the held text ends with, 0 for none. */
static size_t completed_stop(const wh_stop_matcher *m) {
  size_t longest = 0;
  for (size_t i = 0; i < m->n_stops; i++) {
    const stop_string *s = &m->stops[i];
    if (s->n > longest && s->n <= m->n_held && memcmp(m->held + m->n_held - s->n, s->text, s->n) == 0)
      longest = s->n;
  }
  return longest;
}

/* Whether the held text from `start` on is how a stop string begins. */
static bool begins_stop(const wh_stop_matcher *m, size_t start) {
  size_t n = m->n_held - start;
  for (size_t i = 0; i < m->n_stops; i++)
    if (n < m->stops[i].n && memcmp(m->held + start, m->stops[i].text, n) == 0) return true;
  return false;
}

static void release(wh_stop_matcher *m, size_t n, wh_text_buffer *out) {
  wh_text_buffer_append(out, m->held, n);
  memmove(m->held, m->held + n, m->n_held - n);
  m->n_held -= n;
}

wh_status wh_stop_matcher_push(wh_stop_matcher *m, const char *text, size_t n, wh_text_buffer *out,
                               bool *stopped) {
  if (m->n_stops == 0) wh_text_buffer_append(out, text, n);
  for (size_t i = 0; i < n && m->n_stops > 0 && !m->stopped; i++) {
    m->held[m->n_held++] = text[i]; /* what was held begins a stop string, so there is room for one byte */
    size_t n_stop = completed_stop(m);
    if (n_stop > 0) {
      release(m, m->n_held - n_stop, out);
      m->n_held = 0;
      m->stopped = true;
      break;
    }
    size_t start = 0;
    while (start < m->n_held && !begins_stop(m, start)) start++;
    if (start > 0) release(m, start, out);
  }
  if (out->oom) return WH_OOM("generated text");
  *stopped = m->stopped;
  return WH_OK;
}

wh_status wh_stop_matcher_finish(wh_stop_matcher *m, wh_text_buffer *out) {
  wh_text_buffer_append(out, m->held, m->n_held);
  if (out->oom) return WH_OOM("generated text");
  m->n_held = 0;
  return WH_OK;
}
