/* ms_attention.c - com.microsoft's attention operators and their rotary embedding. */
#include <inttypes.h>
#include <math.h>

#include "import/onnx/lowerings.h"

static float scale_of(ox *o, const wh_datum *q) {
  const float s = ox_attr_f(o, "scale", 0);
  return s != 0 ? s : (float)(1 / sqrt((double)q->dims[3]));
}

/* What is added to the scores for keys that a mask of integers leaves out: [b, t], [b, s, t], or lengths [b];
 * of [2 b] where keys end and begin. */
static wh_datum *mask_bias(ox *o, wh_datum *mask, const wh_datum *q, int64_t n_keys) {
  const float low = ox_attr_f(o, "mask_filter_value", -10000.0f);
  const int64_t batch = q->dims[0];
  wh_datum *keep;
  if (o->st != WH_OK) return &o->nothing;
  if (mask->rank == 1) {
    const int64_t one[] = {batch, 1, 1, 1};
    wh_datum *ends = ox_cast(o, mask, WH_DTYPE_I64), *key = ox_places(o, n_keys);
    keep = ox_binary(o, WH_OP_LESS, key, ox_reshape(o, ox_part(o, ends, 0, 0, batch), 4, one));
    if ((int64_t)mask->n == 2 * batch) {
      wh_datum *starts = ox_reshape(o, ox_part(o, ends, 0, batch, batch), 4, one);
      keep = ox_binary(o, WH_OP_AND, keep, ox_binary(o, WH_OP_LESS_OR_EQUAL, starts, key));
    } else if (!ox_dim_equal(o, mask->dims[0], batch)) {
      OX_FAIL(o, ERR_UNSUPPORTED, "a mask of %zu entries for a batch of %" PRId64 " is not computed", mask->n,
              batch);
    }
  } else {
    if (mask->rank > 3) OX_FAIL(o, ERR_UNSUPPORTED, "a mask of rank %d is not computed", mask->rank);
    if (o->st != WH_OK) return &o->nothing;
    mask = mask->rank == 2 ? ox_insert_axes(o, mask, 6, 4) : ox_insert_axes(o, mask, 2, 4);
    keep = ox_cast(o, mask, WH_DTYPE_BOOL);
  }
  return ox_where(o, keep, ox_num(o, q, 0), ox_num(o, q, low));
}

static void add_bias(ox *o, ox_attention *a, wh_datum *bias) {
  a->bias = a->bias ? ox_add(o, a->bias, bias) : bias;
}

/* The rows of a block are the last ones. */
static void make_causal(ox *o, ox_attention *a) {
  const int64_t n = a->q->dims[2], all = a->k->dims[2];
  wh_datum *past = ox_is_open(o, n) || ox_is_open(o, all)
                       ? ox_sub(o, ox_dim_value(o, all, WH_DTYPE_I64), ox_dim_value(o, n, WH_DTYPE_I64))
                       : ox_scalar(o, WH_DTYPE_I64, (double)(all - n));
  a->allowed = ox_allowed_keys(o, n, all, past, NULL, -1, 0);
}

static wh_datum *behind(ox *o, wh_datum *past, wh_datum *now) {
  wh_datum *parts[] = {past, now};
  return past ? ox_concat(o, 2, parts, 2) : now;
}

/* ---- MultiHeadAttention ---- */

/* Part i of the bias of queries, keys and values, whose widths are given. */
static wh_datum *biased(ox *o, wh_datum *x, wh_datum *bias, int64_t from, int64_t width) {
  return bias ? ox_add(o, x, ox_part(o, bias, 0, from, width)) : x;
}

/* Queries, keys and values of one operand [b, s, h, 3, d]. */
static void unpack(ox *o, wh_datum *x, wh_datum **qkv) {
  for (int i = 0; i < 3 && o->st == WH_OK; i++) {
    const int64_t own[] = {x->dims[2], x->dims[4]},
                  dims[] = {x->dims[0], x->dims[1], ox_product(o, own, 0, 2)};
    qkv[i] = ox_reshape(o, ox_part(o, x, 3, i, 1), 3, dims);
  }
}

void ox_lower_ms_multi_head_attention(ox *o) {
  const int64_t heads = ox_attr_i(o, "num_heads", 0);
  wh_datum *q0 = ox_in(o, 0), *qkv[] = {q0, ox_maybe(o, 1), ox_maybe(o, 2)}, *bias = ox_maybe(o, 3);
  if (q0->rank == 5) unpack(o, q0, qkv);
  if (!qkv[1] || !qkv[2]) OX_FAIL(o, ERR_UNSUPPORTED, "keys and values in one operand are not computed");
  if (o->st != WH_OK) return;
  const int64_t width = qkv[0]->dims[2];
  wh_datum *q = ox_split_heads(o, biased(o, qkv[0], bias, 0, width), heads), *k = qkv[1], *v = qkv[2];
  if (k->rank == 3) k = ox_split_heads(o, biased(o, k, bias, width, k->dims[2]), heads);
  if (v->rank == 3) v = ox_split_heads(o, biased(o, v, bias, 2 * width, v->dims[2]), heads);
  k = behind(o, ox_maybe(o, 6), k);
  v = behind(o, ox_maybe(o, 7), v);
  if (ox_has(o, 8) || ox_has(o, 9))
    OX_FAIL(o, ERR_UNSUPPORTED, "caches that are longer than what is in them are not computed");
  ox_give(o, 1, k);
  ox_give(o, 2, v);
  ox_attention a = {
      .q = ox_wide(o, q), .k = ox_wide(o, k), .v = ox_wide(o, v), .precision = WH_DTYPE_FORCE_32};
  if (o->st != WH_OK) return;
  a.scale = scale_of(o, q);
  if (ox_has(o, 4)) add_bias(o, &a, mask_bias(o, ox_in(o, 4), a.q, k->dims[2]));
  if (ox_has(o, 5)) add_bias(o, &a, ox_wide(o, ox_in(o, 5)));
  if (ox_attr_i(o, "unidirectional", 0)) make_causal(o, &a);
  ox_give(o, 0, ox_cast(o, ox_join_heads(o, ox_attend(o, &a)), q0->dtype));
  if (ox_wants(o, 3)) ox_give(o, 3, ox_cast(o, a.scores[OX_SCORES_BIASED], q0->dtype));
}

/* ---- Attention: the products that make queries, keys and values are the operator's ---- */

static void split_widths(ox *o, int64_t all, int64_t *width) {
  size_t n;
  const int64_t *v = ox_attr_ints(o, "qkv_hidden_sizes", &n);
  if (v && n != 3) OX_FAIL(o, ERR_CORRUPT, "qkv_hidden_sizes has %zu entries", n);
  for (int i = 0; i < 3 && o->st == WH_OK; i++) width[i] = v ? v[i] : all / 3;
  if (o->st == WH_OK && width[0] + width[1] + width[2] != all)
    OX_FAIL(o, ERR_CORRUPT, "its weights do not make queries, keys and values");
}

/* Keys (0) or values (1) of past[2, b, h, t, d]. */
static wh_datum *of_past(ox *o, wh_datum *past, int64_t which) {
  return past ? ox_drop_axes(o, ox_part(o, past, 0, which, 1), 1) : NULL;
}

void ox_lower_ms_attention(ox *o) {
  const int64_t heads = ox_attr_i(o, "num_heads", 0);
  wh_datum *x = ox_in(o, 0), *past = ox_maybe(o, 4), *parts[3];
  wh_datum *all = ox_matmul(o, ox_wide(o, x), ox_wide(o, ox_in(o, 1)));
  int64_t width[3] = {0}, at = 0;
  if (ox_has(o, 2)) all = ox_add(o, all, ox_wide(o, ox_in(o, 2)));
  if (x->rank != 3) OX_FAIL(o, ERR_CORRUPT, "its input has rank %d, not 3", x->rank);
  if (ox_has(o, 6)) OX_FAIL(o, ERR_UNSUPPORTED, "a cache that is longer than what is in it is not computed");
  if (ox_attr_i(o, "do_rotary", 0)) OX_FAIL(o, ERR_UNSUPPORTED, "do_rotary is not computed");
  if (o->st != WH_OK) return;
  split_widths(o, all->dims[2], width);
  for (int i = 0; i < 3; at += width[i++])
    parts[i] = ox_split_heads(o, ox_part(o, all, 2, at, width[i]), heads);
  if (o->st != WH_OK) return;
  ox_attention a = {.q = parts[0], .precision = WH_DTYPE_FORCE_32};
  a.k = ox_wide(o, behind(o, of_past(o, past, 0), ox_cast(o, parts[1], x->dtype)));
  a.v = ox_wide(o, behind(o, of_past(o, past, 1), ox_cast(o, parts[2], x->dtype)));
  if (o->st != WH_OK) return;
  a.scale = scale_of(o, a.q);
  if (ox_has(o, 3)) add_bias(o, &a, mask_bias(o, ox_in(o, 3), a.q, a.k->dims[2]));
  if (ox_has(o, 5)) add_bias(o, &a, ox_wide(o, ox_in(o, 5)));
  if (ox_attr_i(o, "unidirectional", 0)) make_causal(o, &a);
  ox_give(o, 0, ox_cast(o, ox_join_heads(o, ox_attend(o, &a)), x->dtype));
  if (!ox_wants(o, 1)) return;
  wh_datum *present[] = {ox_insert_axes(o, a.k, 1, 5), ox_insert_axes(o, a.v, 1, 5)};
  ox_give(o, 1, ox_cast(o, ox_concat(o, 0, present, 2), x->dtype));
}

/* ---- GroupQueryAttention ---- */

typedef struct group_query {
  wh_datum *q, *k, *v; /* [b, h, s, d] */
  wh_datum *n_past;    /* [b, 1, 1, 1] i64: how many of the cache's places are filled */
  int64_t total;       /* places of the cache from now on */
} group_query;

/* One operand [b, s, (h + 2 hk) d] has all three. */
static void read_heads(ox *o, int64_t heads, int64_t kv_heads, group_query *g) {
  wh_datum *q = ox_in(o, 0), *k = ox_maybe(o, 1), *v = ox_maybe(o, 2);
  if (q->rank != 3 || heads < 1 || kv_heads < 1 || heads % kv_heads)
    OX_FAIL(o, ERR_CORRUPT, "its queries or numbers of heads are out of range");
  if (o->st == WH_OK && !k) {
    const int64_t d = q->dims[2] / (heads + 2 * kv_heads);
    wh_datum *all = q;
    q = ox_part(o, all, 2, 0, heads * d);
    k = ox_part(o, all, 2, heads * d, kv_heads * d);
    v = ox_part(o, all, 2, (heads + kv_heads) * d, kv_heads * d);
  }
  if (!v) OX_FAIL(o, ERR_CORRUPT, "it has keys and no values");
  if (o->st != WH_OK) return;
  g->q = ox_split_heads(o, q, heads);
  g->k = ox_split_heads(o, k, kv_heads);
  g->v = ox_split_heads(o, v, kv_heads);
}

static void turn(ox *o, group_query *g, bool interleaved) {
  wh_datum *cos = ox_in(o, 7), *sin = ox_in(o, 8);
  if (o->st != WH_OK) return;
  const int64_t n = g->q->dims[2], flat[] = {g->n_past->dims[0], 1};
  wh_datum *at = ox_has(o, 9) ? ox_in(o, 9) : ox_add(o, ox_reshape(o, g->n_past, 2, flat), ox_places(o, n));
  cos = ox_gather(o, cos, at, 0);
  sin = ox_gather(o, sin, at, 0);
  g->q = ox_rotary(o, g->q, cos, sin, 0, interleaved);
  g->k = ox_rotary(o, g->k, cos, sin, 0, interleaved);
}

/* The cache with what is new behind what is filled. */
static wh_datum *cached(ox *o, wh_datum *past, wh_datum *now, const group_query *g) {
  if (o->st != WH_OK) return &o->nothing;
  const int64_t n_old = past ? past->dims[2] : 0, n_new = now->dims[2];
  if (n_old == 0 && n_new == g->total) return now;
  if (past && now->dims[0] == 1 && ox_dim_binary(o, WH_DIM_ADD, n_old, n_new) == g->total)
    return behind(o, past, now);
  int64_t pads[8] = {0};
  pads[6] = ox_dim_binary(o, WH_DIM_SUB, g->total, n_old);
  if (ox_is_open(o, pads[6])) OX_FAIL(o, ERR_UNSUPPORTED, "its cache grows by an open dim");
  const int64_t dims[] = {now->dims[0], now->dims[1], g->total, now->dims[3]};
  wh_datum *room = past ? ox_pad(o, past, pads, 0, NULL) : ox_expand(o, ox_num(o, now, 0), 4, dims);
  wh_datum *at = ox_add(o, g->n_past, ox_per_channel(o, ox_places(o, n_new), 4, 2));
  wh_datum *in[] = {room, ox_expand(o, at, 4, now->dims), now};
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, 2), ox_a_i(WH_ATTR_REDUCTION, 0)};
  return ox_node1(o, WH_OP_SCATTER_ELEMENTS, in, 3, attrs, 2);
}

/* The cache's places from now on: as many as it has, or as the lengths want. */
static void take_room(ox *o, int64_t n_old, int64_t n_new, int64_t *total) {
  if (!ox_is_open(o, *total) && !ox_is_open(o, n_old)) {
    if (n_old > *total) *total = n_old;
  } else if (!ox_is_open(o, n_old) && n_old >= ox_dim_now(o, *total)) {
    if (ox_dim_at_most(o, *total, n_old)) *total = n_old;
  } else if (n_old && !ox_dim_equal(o, ox_dim_binary(o, WH_DIM_ADD, n_old, n_new), *total)) {
    OX_FAIL(o, ERR_UNSUPPORTED, "its cache is longer or shorter than open dims say");
  }
}

static void refuse_what_is_not_computed(ox *o) {
  if (ox_attr_i(o, "smooth_softmax", 0) > 0 || ox_has(o, 11))
    OX_FAIL(o, ERR_UNSUPPORTED, "a softmax with a sink is not computed");
  if (ox_has(o, 12) || ox_has(o, 13)) OX_FAIL(o, ERR_UNSUPPORTED, "a quantised cache is not computed");
}

void ox_lower_ms_group_query_attention(ox *o) {
  wh_datum *q0 = ox_in(o, 0), *past_k = ox_maybe(o, 3), *past_v = ox_maybe(o, 4);
  const int64_t window = ox_attr_i(o, "local_window_size", -1);
  group_query g = {.total = ox_open_long(o, ox_reshape(o, ox_in(o, 6), 0, NULL))};
  if (!ox_is_size(o, g.total, "its total_sequence_length")) return;
  refuse_what_is_not_computed(o);
  read_heads(o, ox_attr_i(o, "num_heads", 0), ox_attr_i(o, "kv_num_heads", 0), &g);
  if (o->st != WH_OK) return;
  const int64_t n_new = g.q->dims[2];
  if (ox_dim_now(o, g.total) < ox_dim_now(o, n_new))
    OX_FAIL(o, ERR_CORRUPT, "its total_sequence_length %" PRId64 " is less than that of its queries",
            g.total);
  const bool is_first = ox_dim_equal(o, g.total, n_new); /* nothing is filled, whatever the lengths say */
  g.n_past = ox_per_batch(o, ox_in(o, 5));
  g.n_past =
      is_first ? ox_mul(o, g.n_past, ox_num(o, g.n_past, 0))
               : ox_add(o, ox_sub(o, g.n_past, ox_dim_value(o, n_new, WH_DTYPE_I64)), ox_num(o, g.n_past, 1));
  if (past_k) take_room(o, past_k->dims[2], n_new, &g.total);
  if (ox_attr_i(o, "do_rotary", 0)) turn(o, &g, ox_attr_i(o, "rotary_interleaved", 0) != 0);
  g.k = cached(o, past_k, g.k, &g);
  g.v = cached(o, past_v, g.v, &g);
  ox_give(o, 1, g.k);
  ox_give(o, 2, g.v);
  ox_attention a = {
      .q = ox_wide(o, g.q), .k = ox_wide(o, g.k), .v = ox_wide(o, g.v), .precision = WH_DTYPE_FORCE_32};
  if (o->st != WH_OK) return;
  a.scale = scale_of(o, a.q);
  a.softcap = ox_attr_f(o, "softcap", 0);
  a.allowed = ox_allowed_keys(o, n_new, g.total, g.n_past, NULL, window > 0 ? window - 1 : -1, 0);
  if (ox_has(o, 10)) a.bias = ox_wide(o, ox_in(o, 10));
  ox_give(o, 0, ox_cast(o, ox_join_heads(o, ox_attend(o, &a)), q0->dtype));
}

/* ---- RotaryEmbedding: positions come before the tables, one position may stand for the first ---- */

void ox_lower_ms_rotary_embedding(ox *o) {
  wh_datum *x = ox_in(o, 0), *at = ox_cast(o, ox_in(o, 1), WH_DTYPE_I64), *cos = ox_in(o, 2),
           *sin = ox_in(o, 3);
  int64_t heads = ox_attr_i(o, "num_heads", 0);
  const int64_t n = ox_attr_i(o, "rotary_embedding_dim", 0);
  if (o->st != WH_OK || cos->rank != 2 || x->rank < 3) {
    OX_FAIL(o, ERR_CORRUPT, "its input has rank %d and its tables %d", x->rank, cos->rank);
    return;
  }
  const int64_t steps = x->dims[x->rank - 2], flat[] = {1, 1};
  if (at->n == 1 && at->rank < 2) at = ox_add(o, ox_reshape(o, at, 2, flat), ox_places(o, steps));
  if (x->rank == 3 && heads == 0) heads = n ? 0 : x->dims[2] / (2 * cos->dims[1]);
  const float scale = ox_attr_f(o, "scale", 1);
  if (scale != 1) OX_FAIL(o, ERR_UNSUPPORTED, "its scale is not computed");
  ox_give(o, 0,
          ox_rotary(o, x, ox_gather(o, cos, at, 0), ox_gather(o, sin, at, 0), heads,
                    ox_attr_i(o, "interleaved", 0) != 0));
}
