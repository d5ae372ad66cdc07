/* sampler.c - see sampler.h.
 *
 * The chain, in this order, each step as its option's definition says:
 *   1 penalties     l = l > 0 ? l / r : l * r for tokens of the window (repetition, Keskar et al. 2019), then
 *                   l -= count * frequency + presence
 *   2 temperature   0: the largest logit, lowest id of equals. Else weights w = exp((l - max) / temperature):
 * with the temperature applied first, top-p and min-p see the distribution that is drawn from. 3 top-k the k
 * largest logits; of equals the lower ids 4 min-p         w >= min_p * largest w 5 top-p         the shortest
 * prefix, in falling order, whose weight reaches top_p of what is left 6 the draw      u uniform in [0, 1):
 * the first token, in falling order after a step that sorts, else in order of id, at which the running sum
 * exceeds u * total Logits and weights are binary32, sums binary64 in the order named, exp is the contract's
 * own: the pick is the same on every machine. */
#include "text/sampler.h"

#include <math.h>
#include <string.h>

#include "core/base/exact_math.h"

/* xoshiro256** (Blackman, Vigna: "Scrambled linear pseudorandom number generators", 2021), its state filled
 * by splitmix64 as its authors recommend. */
typedef struct generator {
  uint64_t s[4];
} generator;

typedef struct candidate {
  float logit, weight;
  int32_t id;
} candidate;

typedef struct window_count {
  int32_t id;
  uint32_t count;
} window_count;

struct wh_sampler {
  const wh_allocator *alloc;
  wh_sampler_options options;
  size_t n_vocab;
  generator random;
  int32_t *window; /* ring of the last penalty_window tokens */
  size_t n_window, next;
  window_count *counts; /* per distinct token of the window */
  size_t n_counts;
  float *logits;         /* penalised copy; NULL when there are no penalties */
  candidate *candidates; /* NULL when greedy without penalties */
};

static uint64_t splitmix64(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int k) { return x << k | x >> (64 - k); }

static uint64_t generator_next(generator *g) {
  uint64_t *s = g->s, result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate_left(s[3], 45);
  return result;
}

/* Uniform in [0, 1), 53 bits. */
static double generator_uniform(generator *g) { return (double)(generator_next(g) >> 11) * 0x1p-53; }

void wh_sampler_reset(wh_sampler *s) {
  uint64_t state = s->options.seed;
  for (int i = 0; i < 4; i++) s->random.s[i] = splitmix64(&state);
  s->n_window = s->next = s->n_counts = 0;
}

static wh_status check_options(const wh_sampler_options *o, size_t n_vocab) {
  if (n_vocab == 0 || n_vocab > INT32_MAX)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "sampler: vocabulary of %zu", n_vocab);
  if (!(o->temperature >= 0) || isinf(o->temperature))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "sampler: temperature %g, want a finite number >= 0",
                   (double)o->temperature);
  if (!(o->top_p > 0 && o->top_p <= 1))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "sampler: top_p %g, want 0 < top_p <= 1", (double)o->top_p);
  if (!(o->min_p >= 0 && o->min_p <= 1))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "sampler: min_p %g, want 0 <= min_p <= 1", (double)o->min_p);
  if (!(o->repetition_penalty > 0) || isinf(o->repetition_penalty))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "sampler: repetition_penalty %g, want a finite number > 0",
                   (double)o->repetition_penalty);
  if (!isfinite(o->presence_penalty) || !isfinite(o->frequency_penalty))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "sampler: presence_penalty and frequency_penalty must be finite");
  if (o->penalty_window > WH_SAMPLER_WINDOW_MAX)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "sampler: penalty_window %u, want at most %u", o->penalty_window,
                   WH_SAMPLER_WINDOW_MAX);
  return WH_OK;
}

static bool has_penalties(const wh_sampler_options *o) {
  return o->penalty_window > 0 &&
         (o->repetition_penalty != 1 || o->presence_penalty != 0 || o->frequency_penalty != 0);
}

wh_status wh_sampler_create(const wh_sampler_options *options, size_t n_vocab, const wh_allocator *alloc,
                            wh_sampler **out) {
  WH_TRY(check_options(options, n_vocab));
  wh_sampler *s = wh_alloc_zeroed(alloc, sizeof *s);
  if (!s) return WH_OOM("sampler");
  s->alloc = alloc;
  s->options = *options;
  s->n_vocab = n_vocab;
  bool ok = true;
  if (has_penalties(options)) {
    ok = (s->window = wh_alloc_array(alloc, options->penalty_window, sizeof *s->window)) != NULL &&
         (s->counts = wh_alloc_array(alloc, options->penalty_window, sizeof *s->counts)) != NULL &&
         (s->logits = wh_alloc_array(alloc, n_vocab, sizeof *s->logits)) != NULL;
  }
  if (ok && (options->temperature > 0 || s->logits))
    ok = (s->candidates = wh_alloc_array(alloc, n_vocab, sizeof *s->candidates)) != NULL;
  if (!ok) {
    wh_sampler_destroy(s);
    return WH_OOM("sampler");
  }
  wh_sampler_reset(s);
  *out = s;
  return WH_OK;
}

void wh_sampler_destroy(wh_sampler *s) {
  if (!s) return;
  wh_free(s->alloc, s->window);
  wh_free(s->alloc, s->counts);
  wh_free(s->alloc, s->logits);
  wh_free(s->alloc, s->candidates);
  wh_free(s->alloc, s);
}

/* A linear scan: the window is short, and eight counts share a cache line. */
static window_count *find_count(wh_sampler *s, int32_t id) {
  for (size_t i = 0; i < s->n_counts; i++)
    if (s->counts[i].id == id) return &s->counts[i];
  return NULL;
}

void wh_sampler_accept(wh_sampler *s, int32_t token) {
  if (!s->window) return;
  size_t capacity = s->options.penalty_window;
  if (s->n_window == capacity) {
    window_count *gone = find_count(s, s->window[s->next]);
    if (gone && --gone->count == 0) *gone = s->counts[--s->n_counts];
  } else {
    s->n_window++;
  }
  s->window[s->next] = token;
  s->next = (s->next + 1) % capacity;
  window_count *count = find_count(s, token);
  if (!count) {
    count = &s->counts[s->n_counts++];
    *count = (window_count){token, 0};
  }
  count->count++;
}

static float penalised(const wh_sampler_options *o, float l, uint32_t count) {
  l = l > 0 ? l / o->repetition_penalty : l * o->repetition_penalty;
  return l - ((float)count * o->frequency_penalty + o->presence_penalty);
}

/* Each token of the window once; the result does not depend on the order of the counts. */
static const float *apply_penalties(wh_sampler *s, const float *logits) {
  if (!s->logits || s->n_counts == 0) return logits;
  memcpy(s->logits, logits, s->n_vocab * sizeof *logits);
  for (size_t i = 0; i < s->n_counts; i++) {
    int32_t id = s->counts[i].id;
    if (id < 0 || (size_t)id >= s->n_vocab) continue;
    s->logits[id] = penalised(&s->options, s->logits[id], s->counts[i].count);
  }
  return s->logits;
}

static wh_status check_largest(float largest, bool nan) {
  if (nan) return WH_FAIL(ERR_INVALID_ARGUMENT, "sampler: a logit is NaN");
  if (largest == -INFINITY) return WH_FAIL(ERR_INVALID_ARGUMENT, "sampler: every logit is -inf");
  return WH_OK;
}

/* The largest logit, lowest id of equals. NaN or nothing above -inf is an error. */
static wh_status find_largest(const wh_sampler *s, const float *logits, int32_t *out) {
  size_t best = 0;
  bool nan = false;
  for (size_t i = 0; i < s->n_vocab; i++) {
    nan |= logits[i] != logits[i];
    if (logits[i] > logits[best]) best = i;
  }
  *out = (int32_t)best;
  return check_largest(logits[best], nan);
}

/* Falling order of logits, rising order of ids among equals: a total order. */
static bool comes_before(const candidate *a, const candidate *b) {
  return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void swap(candidate *a, candidate *b) {
  candidate t = *a;
  *a = *b;
  *b = t;
}

static void sift_down(candidate *c, size_t n, size_t i) {
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= n) return;
    if (child + 1 < n && comes_before(&c[child], &c[child + 1])) child++;
    if (!comes_before(&c[i], &c[child])) return;
    swap(&c[i], &c[child]);
    i = child;
  }
}

/* Heapsort: no worst case and no memory. */
static void sort_candidates(candidate *c, size_t n) {
  for (size_t i = n / 2; i-- > 0;) sift_down(c, n, i);
  for (size_t end = n; end > 1;) {
    swap(&c[0], &c[--end]);
    sift_down(c, end, 0);
  }
}

/* Moves the k first in order to the front, in any order. Quickselect; after too many unlucky pivots it sorts
 * what is left, so that no logits make it quadratic. */
static void select_first(candidate *c, size_t n, size_t k) {
  size_t from = 0, to = n;
  int rounds_left = 64;
  while (to - from > 1 && k > from && k < to) {
    if (rounds_left-- == 0) {
      sort_candidates(c + from, to - from);
      return;
    }
    size_t middle = from + (to - from) / 2;
    if (comes_before(&c[middle], &c[from])) swap(&c[middle], &c[from]);
    if (comes_before(&c[to - 1], &c[from])) swap(&c[to - 1], &c[from]);
    if (comes_before(&c[to - 1], &c[middle])) swap(&c[to - 1], &c[middle]);
    candidate pivot = c[middle]; /* the median of three */
    size_t i = from, j = to - 1;
    for (;;) {
      while (comes_before(&c[i], &pivot)) i++;
      while (comes_before(&pivot, &c[j])) j--;
      if (i >= j) break;
      swap(&c[i++], &c[j--]);
    }
    /* [from, i) are not behind the pivot, [i, to) not before it, and neither is empty */
    if (k <= i)
      to = i;
    else
      from = i;
  }
}

static double sum_weights(const candidate *c, size_t n) {
  double total = 0;
  for (size_t i = 0; i < n; i++) total += (double)c[i].weight;
  return total;
}

static float weight_of(const wh_sampler *s, float logit, float largest) {
  if (largest == INFINITY) return logit == INFINITY ? 1.0f : 0.0f; /* certain tokens: they share the chance */
  const double x = ((double)logit - (double)largest) / (double)s->options.temperature;
  return x < (double)WH_EXP_MIN ? 0.0f : wh_exp_f32((float)x);
}

/* Fills the candidates with all tokens that have a chance, in order of id. */
static size_t weigh(wh_sampler *s, const float *logits, float largest) {
  size_t n = 0;
  for (size_t i = 0; i < s->n_vocab; i++) {
    const float weight = weight_of(s, logits[i], largest);
    if (weight > 0) s->candidates[n++] = (candidate){logits[i], weight, (int32_t)i};
  }
  return n;
}

/* The shortest prefix whose weight reaches top_p * total. Sorts ever larger fronts, since the prefix is
 * mostly short and the vocabulary is not. */
static size_t cut_top_p(candidate *c, size_t n, double wanted) {
  size_t sorted = 0;
  double sum = 0;
  for (size_t front = 64; sorted < n; front *= 4) {
    size_t end = front < n ? front : n;
    select_first(c + sorted, n - sorted, end - sorted);
    sort_candidates(c + sorted, end - sorted);
    for (; sorted < end; sorted++) {
      sum += (double)c[sorted].weight;
      if (sum >= wanted) return sorted + 1;
    }
  }
  return n;
}

static int32_t draw(wh_sampler *s, const candidate *c, size_t n) {
  double target = generator_uniform(&s->random) * sum_weights(c, n), sum = 0;
  for (size_t i = 0; i < n; i++) {
    sum += (double)c[i].weight;
    if (sum > target) return c[i].id;
  }
  return c[n - 1].id; /* target rounded up to the total */
}

/* The steps behind top-k, on candidates in the order that it left. */
static int32_t pick_from(wh_sampler *s, size_t n) {
  const wh_sampler_options *o = &s->options;
  candidate *c = s->candidates;
  if (o->min_p > 0) { /* the largest weight is exactly 1 */
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
      if (c[i].weight >= o->min_p) c[kept++] = c[i];
    n = kept;
  }
  if (o->top_p < 1) n = cut_top_p(c, n, (double)o->top_p * sum_weights(c, n));
  return draw(s, c, n);
}

wh_status wh_sampler_sample(wh_sampler *s, const float *logits, int32_t *out) {
  const wh_sampler_options *o = &s->options;
  int32_t largest, pick;
  const float *l = apply_penalties(s, logits);
  WH_TRY(find_largest(s, l, &largest));
  pick = largest;
  if (o->temperature > 0) {
    size_t n = weigh(s, l, l[largest]);
    if (o->top_k > 0 && o->top_k < n) {
      select_first(s->candidates, n, o->top_k);
      n = o->top_k;
      sort_candidates(s->candidates, n);
    }
    pick = pick_from(s, n);
  }
  wh_sampler_accept(s, pick);
  *out = pick;
  return WH_OK;
}

/* ---- from the largest logits alone ---- */

/* The candidates, in falling order: n tokens are known, of which the first n_sure rank among all as they do
 * here; the logits of the others are `rest` at most. */
typedef struct known_tokens {
  size_t n, n_sure;
  float rest;
  bool all; /* there are no others */
} known_tokens;

static void sort_by_id(candidate *c, size_t n) {
  for (size_t i = 1; i < n; i++)
    for (size_t k = i; k > 0 && c[k].id < c[k - 1].id; k--) swap(&c[k], &c[k - 1]);
}

static candidate *find_candidate(candidate *c, size_t n, int32_t id) { /* in order of id */
  size_t from = 0;
  while (from < n) {
    const size_t middle = (from + n) / 2;
    if (c[middle].id == id) return &c[middle];
    if (c[middle].id < id)
      from = middle + 1;
    else
      n = middle;
  }
  return NULL;
}

/* False: a penalty raises a logit, and that of a token that is not known may become the largest. */
static bool penalise_known(wh_sampler *s, size_t n) {
  const wh_sampler_options *o = &s->options;
  if (o->repetition_penalty < 1) return false;
  sort_by_id(s->candidates, n);
  for (size_t i = 0; i < s->n_counts; i++) {
    const window_count *w = &s->counts[i];
    if ((float)w->count * o->frequency_penalty + o->presence_penalty < 0) return false;
    candidate *c = find_candidate(s->candidates, n, w->id);
    if (c) c->logit = penalised(o, c->logit, w->count);
  }
  sort_candidates(s->candidates, n);
  return true;
}

static bool find_known(wh_sampler *s, const float *logits, const int64_t *ids, size_t n, known_tokens *out) {
  *out = (known_tokens){.n = n, .n_sure = n, .rest = logits[n - 1], .all = n == s->n_vocab};
  for (size_t i = 0; i < n; i++) s->candidates[i] = (candidate){.logit = logits[i], .id = (int32_t)ids[i]};
  if (!s->logits || s->n_counts == 0) return true;
  if (!penalise_known(s, n)) return false;
  while (!out->all && out->n_sure > 0 && !(s->candidates[out->n_sure - 1].logit > out->rest)) out->n_sure--;
  return out->n_sure > 0; /* weights are relative to the largest */
}

/* The shortest prefix that top-p keeps, where the weight of the tokens that are not known does not matter:
 * each has none, or `most`. The margin is for the roundings of the sum, which is another one. */
static bool cut_known_top_p(const wh_sampler *s, const known_tokens *k, size_t n, float most,
                            size_t *n_kept) {
  const double sum = sum_weights(s->candidates, n), margin = ((double)s->n_vocab + 4) * 0x1p-52,
               least = (double)s->options.top_p * sum * (1 - margin),
               wanted = (double)s->options.top_p * (sum + (double)(s->n_vocab - k->n) * (double)most) *
                        (1 + margin);
  double prefix = 0;
  for (size_t i = 0; i < n && i < k->n_sure; i++) {
    prefix += (double)s->candidates[i].weight;
    *n_kept = i + 1;
    if (prefix >= wanted) return true;
    if (prefix >= least) return false;
  }
  return false;
}

/* As the steps behind the penalties have it; false: tokens that are not known may have a say. These have no
 * more weight than `rest` gives: exp never falls where its argument rises (all its arguments were looked at).
 */
static bool pick_known(wh_sampler *s, const known_tokens *k, int32_t *pick) {
  const wh_sampler_options *o = &s->options;
  candidate *c = s->candidates;
  const float largest = c[0].logit, most = k->all ? 0.0f : weight_of(s, k->rest, largest);
  size_t with_chance = 0, likely = 0, n_kept; /* the first so many */
  for (size_t i = 0; i < k->n; i++) {
    c[i].weight = weight_of(s, c[i].logit, largest);
    if (c[i].weight > 0) with_chance = i + 1;
    if (c[i].weight > 0 && c[i].weight >= o->min_p) likely = i + 1;
  }
  if (o->top_k > 0 && o->top_k < with_chance && o->top_k <= k->n_sure) {
    n_kept = o->top_k; /* in falling order */
  } else if (most > 0 && o->top_k > 0) {
    return false;
  } else if (most == 0 || most < o->min_p) {
    n_kept = most == 0 ? with_chance : likely;
    sort_by_id(c, n_kept);
  } else {
    if (o->top_p == 1 || !cut_known_top_p(s, k, likely, most, &n_kept)) return false;
    *pick = draw(s, c, n_kept);
    return true;
  }
  *pick = pick_from(s, n_kept);
  return true;
}

wh_status wh_sampler_sample_best(wh_sampler *s, const float *logits, const int64_t *ids, size_t n,
                                 int32_t *out, bool *decided) {
  known_tokens known;
  *decided = false;
  if (n == 0 || n > s->n_vocab) return WH_OK;
  WH_TRY(check_largest(logits[0], logits[0] != logits[0]));
  int32_t pick = (int32_t)ids[0];
  if (s->candidates) {
    if (!find_known(s, logits, ids, n, &known)) return WH_OK;
    WH_TRY(check_largest(s->candidates[0].logit, false));
    pick = s->candidates[0].id;
  }
  if (s->options.temperature > 0 && !pick_known(s, &known, &pick)) return WH_OK;
  wh_sampler_accept(s, pick);
  *out = pick;
  *decided = true;
  return WH_OK;
}
