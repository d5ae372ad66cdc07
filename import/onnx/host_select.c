/* host_select.c - operators whose result's size depends on elements: computed on the host. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "import/onnx/lowerings.h"

static void *room(const wh_datum *d) { return (void *)(uintptr_t)d->data; }

void ox_lower_nonzero(ox *o) {
  wh_datum *x = ox_in(o, 0);
  if (!ox_data(o, x)) return;
  int64_t n = 0;
  for (size_t i = 0; i < x->n; i++) n += ox_element(x, i) != 0;
  const int64_t dims[] = {x->rank, n};
  wh_datum *y = ox_from(o, ox_new(o, WH_DTYPE_I64, 2, dims), &x, 1);
  int64_t *at = room(y), k = 0;
  for (size_t i = 0; o->st == WH_OK && i < x->n; i++) {
    size_t rest = i;
    if (ox_element(x, i) == 0) continue;
    for (int d = x->rank - 1; d >= 0; d--) {
      at[d * n + k] = (int64_t)(rest % (size_t)x->dims[d]);
      rest /= (size_t)x->dims[d];
    }
    k++;
  }
  ox_give(o, 0, y);
}

void ox_lower_compress(ox *o) {
  wh_datum *x = ox_in(o, 0), *cond = ox_in(o, 1);
  const bool has_axis = ox_attr(o, "axis") != NULL;
  const int axis = has_axis ? ox_axis(o, ox_attr_i(o, "axis", 0), x->rank) : 0;
  const int64_t *yes = ox_ints(o, cond), all = (int64_t)x->n;
  if (!yes) return;
  if (!has_axis) x = ox_reshape(o, x, 1, &all);
  int64_t n = 0;
  int64_t *ids = ox_array(o, cond->n, sizeof *ids);
  for (size_t i = 0; ids && i < cond->n && (int64_t)i < x->dims[axis]; i++)
    if (yes[i]) ids[n++] = (int64_t)i;
  if (ids) ox_give(o, 0, ox_gather(o, x, ox_from(o, ox_const_ints(o, ids, (size_t)n), &cond, 1), axis));
}

/* ---- Unique: slices of x along an axis, compared element by element ---- */

typedef struct slices {
  const wh_datum *x;
  size_t outer, n, inner;
} slices;

static int compare_slices(const slices *s, size_t a, size_t b) {
  for (size_t r = 0; r < s->outer; r++)
    for (size_t i = 0; i < s->inner; i++) {
      const size_t ia = (r * s->n + a) * s->inner + i, ib = (r * s->n + b) * s->inner + i;
      if (s->x->dtype == WH_DTYPE_I64 || s->x->dtype == WH_DTYPE_U64) {
        const int64_t va = ox_element_int(s->x, ia), vb = ox_element_int(s->x, ib);
        if (va != vb) return (s->x->dtype == WH_DTYPE_I64 ? va < vb : (uint64_t)va < (uint64_t)vb) ? -1 : 1;
      } else {
        const double va = ox_element(s->x, ia), vb = ox_element(s->x, ib);
        if (va != vb) return va < vb ? -1 : 1;
      }
    }
  return 0;
}

/* Stable merge sort of slice numbers. */
static void sort(const slices *s, int64_t *v, int64_t *spare, size_t n) {
  for (size_t width = 1; width < n; width *= 2) {
    for (size_t at = 0; at < n; at += 2 * width) {
      size_t i = at, middle = at + width < n ? at + width : n, end = at + 2 * width < n ? at + 2 * width : n,
             k = middle;
      for (size_t out = at; out < end; out++)
        spare[out] =
            k == end || (i < middle && compare_slices(s, (size_t)v[i], (size_t)v[k]) <= 0) ? v[i++] : v[k++];
    }
    memcpy(v, spare, n * sizeof *v);
  }
}

void ox_lower_unique(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const bool has_axis = ox_attr(o, "axis") != NULL, sorted = ox_attr_i(o, "sorted", 1) != 0;
  const int64_t all = (int64_t)x->n;
  if (!ox_data(o, x)) return;
  if (!has_axis) x = ox_reshape(o, x, 1, &all);
  const int axis = has_axis ? ox_axis(o, ox_attr_i(o, "axis", 0), x->rank) : 0;
  if (o->st != WH_OK) return;
  slices s = {x, 1, (size_t)x->dims[axis], 1};
  for (int d = 0; d < axis; d++) s.outer *= (size_t)x->dims[d];
  for (int d = axis + 1; d < x->rank; d++) s.inner *= (size_t)x->dims[d];
  int64_t *order = ox_array(o, s.n, sizeof *order), *spare = ox_array(o, s.n, sizeof *spare),
          *first = ox_array(o, s.n, sizeof *first), *inverse = ox_array(o, s.n, sizeof *inverse),
          *counts = ox_array(o, s.n, sizeof *counts), *rank_of = ox_array(o, s.n, sizeof *rank_of);
  if (!order || !spare || !first || !inverse || !counts || !rank_of) return;
  for (size_t i = 0; i < s.n; i++) order[i] = (int64_t)i;
  sort(&s, order, spare, s.n);
  size_t n = 0;
  for (size_t i = 0; i < s.n; i++) { /* stable: a group begins with its first */
    if (i == 0 || compare_slices(&s, (size_t)order[i - 1], (size_t)order[i]) != 0) {
      first[n] = order[i];
      counts[n++] = 0;
    }
    inverse[order[i]] = (int64_t)n - 1;
    counts[n - 1]++;
  }
  if (!sorted) { /* groups in the order of their firsts */
    size_t k = 0;
    for (size_t i = 0; i < s.n; i++)
      if (first[inverse[i]] == (int64_t)i) {
        spare[k] = inverse[i];
        rank_of[inverse[i]] = (int64_t)k++;
      }
    for (size_t i = 0; i < s.n; i++) inverse[i] = rank_of[inverse[i]];
    for (k = 0; k < n; k++) order[k] = first[spare[k]];
    for (k = 0; k < n; k++) rank_of[k] = counts[spare[k]];
    memcpy(first, order, n * sizeof *first);
    memcpy(counts, rank_of, n * sizeof *counts);
  }
  ox_give(o, 0, ox_gather(o, x, ox_from(o, ox_const_ints(o, first, n), &x, 1), axis));
  ox_give(o, 1, ox_from(o, ox_const_ints(o, first, n), &x, 1));
  ox_give(o, 2, ox_from(o, ox_const_ints(o, inverse, s.n), &x, 1));
  ox_give(o, 3, ox_from(o, ox_const_ints(o, counts, n), &x, 1));
}

/* ---- NonMaxSuppression ---- */

typedef struct box {
  double y1, x1, y2, x2;
} box;

/* Elements are read where they are: few of the boxes are looked at, and most scores are too low. */
static double number_at(const wh_datum *d, int64_t i) {
  float v;
  if (d->dtype != WH_DTYPE_F32) return ox_element(d, (size_t)i);
  memcpy(&v, (const char *)d->data + (size_t)i * sizeof v, sizeof v);
  return v;
}

static box read_box(const wh_datum *boxes, int64_t place, bool centred) {
  double p[4];
  for (int i = 0; i < 4; i++) p[i] = number_at(boxes, place * 4 + i);
  if (centred) return (box){p[1] - p[3] / 2, p[0] - p[2] / 2, p[1] + p[3] / 2, p[0] + p[2] / 2};
  return (box){p[0] < p[2] ? p[0] : p[2], p[1] < p[3] ? p[1] : p[3], p[0] < p[2] ? p[2] : p[0],
               p[1] < p[3] ? p[3] : p[1]};
}

static double overlap(box a, box b) {
  const double h = (a.y2 < b.y2 ? a.y2 : b.y2) - (a.y1 > b.y1 ? a.y1 : b.y1),
               w = (a.x2 < b.x2 ? a.x2 : b.x2) - (a.x1 > b.x1 ? a.x1 : b.x1);
  if (!(h > 0 && w > 0)) return 0;
  const double both = h * w, sum = (a.y2 - a.y1) * (a.x2 - a.x1) + (b.y2 - b.y1) * (b.x2 - b.x1) - both;
  return sum > 0 ? both / sum : 0;
}

typedef struct candidate {
  double score;
  int64_t place;
} candidate;

static bool goes_first(candidate a, candidate b) {
  return a.score > b.score || (a.score == b.score && a.place < b.place);
}

/* Lets c down from place i of a heap, whose first is the best. */
static void let_down(candidate *heap, size_t n, size_t i, candidate c) {
  for (size_t child; (child = 2 * i + 1) < n; i = child) {
    child += child + 1 < n && goes_first(heap[child + 1], heap[child]);
    if (!goes_first(heap[child], c)) break;
    heap[i] = heap[child];
  }
  heap[i] = c;
}

typedef struct suppression {
  const wh_datum *boxes, *scores;
  int64_t n, most;
  double iou, least;
  bool has_least, centred;
  candidate *heap; /* [n] */
  box *kept;       /* [n] */
} suppression;

/* Places of the boxes that stay of a row of scores, at most `most`, the best first; few are taken out of
 * many, so they are not sorted. A score that is NaN counts as -inf. */
static size_t suppress(const suppression *s, int64_t batch, int64_t row, int64_t *places) {
  size_t n = 0, n_kept = 0;
  for (int64_t i = 0; i < s->n; i++) {
    const double score = number_at(s->scores, row * s->n + i);
    if (!s->has_least || score > s->least)
      s->heap[n++] = (candidate){isnan(score) ? -(double)INFINITY : score, i};
  }
  for (size_t i = n / 2; i-- > 0;) let_down(s->heap, n, i, s->heap[i]);
  while (n && (int64_t)n_kept < s->most) {
    const int64_t place = s->heap[0].place;
    const box own = read_box(s->boxes, batch * s->n + place, s->centred);
    n--;
    let_down(s->heap, n, 0, s->heap[n]);
    bool keep = true;
    for (size_t k = 0; k < n_kept && keep; k++) keep = !(overlap(own, s->kept[k]) > s->iou);
    if (!keep) continue;
    s->kept[n_kept] = own;
    places[n_kept++] = place;
  }
  return n_kept;
}

void ox_lower_non_max_suppression(ox *o) {
  wh_datum *boxes = ox_in(o, 0), *scores = ox_in(o, 1);
  if (!ox_data(o, boxes) || !ox_data(o, scores)) return;
  suppression s = {.boxes = boxes,
                   .scores = scores,
                   .most = ox_has(o, 2) ? ox_long(o, ox_reshape(o, ox_in(o, 2), 0, NULL)) : 0,
                   .iou = ox_has(o, 3) ? ox_double(o, ox_reshape(o, ox_in(o, 3), 0, NULL)) : 0,
                   .least = ox_has(o, 4) ? ox_double(o, ox_reshape(o, ox_in(o, 4), 0, NULL)) : 0,
                   .has_least = ox_has(o, 4),
                   .centred = ox_attr_i(o, "center_point_box", 0) != 0};
  if (boxes->rank != 3 || scores->rank != 3 || boxes->dims[2] != 4 || boxes->dims[1] != scores->dims[2] ||
      boxes->dims[0] != scores->dims[0])
    OX_FAIL(o, ERR_CORRUPT, "its boxes and scores do not go together");
  if (o->st != WH_OK) return;
  const int64_t n_batch = scores->dims[0], n_class = scores->dims[1];
  s.n = scores->dims[2];
  if (s.most > s.n) s.most = s.n;
  if (s.most < 0) s.most = 0;
  s.heap = ox_array(o, (size_t)s.n, sizeof *s.heap);
  s.kept = ox_array(o, (size_t)s.most, sizeof *s.kept);
  int64_t *places = ox_array(o, (size_t)s.most, sizeof *places),
          *out = ox_array(o, (size_t)s.most * (size_t)(n_batch * n_class), 3 * sizeof *out);
  size_t n_out = 0;
  for (int64_t row = 0; o->st == WH_OK && s.most && row < n_batch * n_class; row++) {
    const int64_t batch = row / n_class;
    const size_t n = suppress(&s, batch, row, places);
    for (size_t i = 0; i < n; i++, n_out++) {
      out[3 * n_out] = batch;
      out[3 * n_out + 1] = row % n_class;
      out[3 * n_out + 2] = places[i];
    }
  }
  if (o->st != WH_OK) return;
  wh_datum *in[] = {boxes, scores}, *y = ox_from(o, ox_const_ints(o, out, 3 * n_out), in, 2);
  ox_give(o, 0, ox_flatten_to(o, y, (int64_t)n_out, 3));
}
