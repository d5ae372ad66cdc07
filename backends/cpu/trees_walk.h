/* trees_walk.h - ensembles of trees: the template over the type of the elements. The includer defines REAL,
 * its name as a suffix (SUFFIX), the words of a node (WORDS), LEAST and LARGEST of two numbers.
 * docs/NUMERICS.md, "trees".
 *
 * A walk is a chain of loads, each of which waits for the one before: so WALKS trees of a row are gone down
 * side by side, without a branch that depends on the row. These trees are neighbours among the 64 lanes.
 * Where many rows follow, the tables are looked through once, and walks trust them; where there is room, they
 * become one whose leaves are nodes that lead to themselves, which rows without NaN walk a known number of
 * steps. */

#define NAME_(name, suffix) name##_##suffix
#define NAME2_(name, suffix) NAME_(name, suffix)
#define NAME(name) NAME2_(name, SUFFIX)

static bool NAME(is_sound)(const wh_trees_args *a) {
  bool sound = true;
  for (int64_t i = 0; i < a->n_nodes; i++) {
    const int32_t *node = a->nodes + i * WORDS;
    sound &= (node[0] < 0 ? ~node[0] : node[0]) < a->features;
    for (int k = 1; k < 3; k++)
      sound &= node[k] < 0 ? ~node[k] < a->n_leaves : (node[k] > i) & (node[k] < a->n_nodes);
  }
  for (int64_t t = 0; t < a->n_trees; t++)
    sound &= a->roots[t] < 0 ? ~a->roots[t] < a->n_leaves : a->roots[t] < a->n_nodes;
  return sound;
}

/* A node, or behind them a leaf: next[v <= threshold]. */
typedef struct NAME(entry) {
  int32_t feature, next[2];
  REAL threshold;
} NAME(entry);

/* All nodes of sound tables and all leaves, and behind them the steps that a walk from each takes at most. */
static const NAME(entry) * NAME(make_table)(const wh_trees_args *a) {
  NAME(entry) *table = a->table;
  int32_t *steps = (int32_t *)(void *)(table + a->n_nodes + a->n_leaves);
  for (int64_t i = a->n_nodes + a->n_leaves; i-- > 0;) {
    if (i >= a->n_nodes) {
      table[i] = (NAME(entry)){0, {(int32_t)i, (int32_t)i}, 0};
      steps[i] = 0;
      continue;
    }
    const int32_t *node = a->nodes + i * WORDS;
    table[i].feature = node[0] < 0 ? ~node[0] : node[0];
    memcpy(&table[i].threshold, node + 3, sizeof table[i].threshold);
    steps[i] = 0;
    for (int yes = 0; yes < 2; yes++) {
      const int32_t next = node[2 - yes], at = next < 0 ? (int32_t)a->n_nodes + ~next : next;
      table[i].next[yes] = at;
      if (steps[i] <= steps[at]) steps[i] = steps[at] + 1;
    }
  }
  return table;
}

/* The leaves (~leaf) of n <= WALKS trees from tree `first` on, of a row without NaN. */
static inline void NAME(walk_table)(const wh_trees_args *a, const NAME(entry) * table, const REAL *x,
                                    int64_t first, int n, int32_t *at) {
  const int32_t *steps = (const int32_t *)(const void *)(table + a->n_nodes + a->n_leaves);
  int32_t most = 0;
  for (int w = 0; w < WALKS; w++) {
    const int32_t root = a->roots[first + (w < n ? w : 0)];
    at[w] = root < 0 ? (int32_t)a->n_nodes + ~root : root;
    if (most < steps[at[w]]) most = steps[at[w]];
  }
  for (; most > 0; most--)
#pragma GCC unroll 8
    for (int w = 0; w < WALKS; w++) {
      const NAME(entry) *node = table + (uint32_t)at[w];
      at[w] = node->next[x[(uint32_t)node->feature] <= node->threshold];
    }
  for (int w = 0; w < WALKS; w++) at[w] = (int32_t)a->n_nodes + ~at[w];
}

/* Where a walk at node i of the row x goes on; NOWHERE where that is not allowed. */
static inline int32_t NAME(step)(const wh_trees_args *a, const REAL *x, int32_t i, bool sound) {
  const int32_t *node = a->nodes + (size_t)(uint32_t)i * WORDS;
  const int32_t nan_is_yes = node[0] >> 31, feature = node[0] ^ nan_is_yes;
  REAL threshold;
  memcpy(&threshold, node + 3, sizeof threshold);
  if (!sound && feature >= a->features) return NOWHERE;
  const REAL v = x[(uint32_t)feature];
  const int32_t yes = (v <= threshold) | ((v != v) & nan_is_yes), next = node[2 - yes];
  return sound || (next < 0) | ((next > i) & (next < a->n_nodes)) ? next : NOWHERE;
}

/* The leaves (~leaf) of n <= WALKS trees from tree `first` on. Whoever is at a leaf makes a step at node 0,
 * which does not count: somebody is at a node, so there is one. */
static inline void NAME(walk)(const wh_trees_args *a, const REAL *x, int64_t first, int n, bool sound,
                              int32_t *at) {
  int32_t open = 0;
  for (int w = 0; w < WALKS; w++) {
    at[w] = w < n ? a->roots[first + w] : NOWHERE;
    if (!sound && at[w] >= a->n_nodes) at[w] = NOWHERE;
    open |= ~at[w];
  }
  while (open < 0) {
    open = 0;
#pragma GCC unroll 8
    for (int w = 0; w < WALKS; w++) {
      const int32_t ended = at[w] >> 31, next = NAME(step)(a, x, at[w] & ~ended, sound);
      at[w] = (at[w] & ended) | (next & ~ended);
      open |= ~at[w];
    }
  }
}

static inline REAL NAME(join)(wh_trees_mode mode, REAL a, REAL x) {
  return mode == WH_TREES_SUM ? a + x : mode == WH_TREES_LEAST ? LEAST(a, x) : LARGEST(a, x);
}

/* Targets from..from + n - 1 of the rows begin..end-1, BLOCK of them at most: a tree is gone down by all rows
 * while it is in the cache. */
static inline void NAME(block)(const wh_trees_args *a, int64_t begin, int64_t end, int64_t from, int64_t n,
                               bool sound, const NAME(entry) * table) {
  REAL lanes[BLOCK * 64 * TARGETS]; /* [rows][64][n] */
  const REAL first = a->mode == WH_TREES_SUM     ? (REAL)0
                     : a->mode == WH_TREES_LEAST ? (REAL)INFINITY
                                                 : -(REAL)INFINITY;
  for (int64_t i = 0; i < (end - begin) * 64 * n; i++) lanes[i] = first;
  bool missing[BLOCK]; /* or there is no table */
  for (int64_t r = 0; r < end - begin; r++) {
    missing[r] = !table;
    for (int64_t i = 0; table && i < a->features; i++) {
      const REAL v = ((const REAL *)a->x)[(begin + r) * a->features + i];
      missing[r] |= v != v;
    }
  }
  for (int64_t tree = 0; tree < a->n_trees; tree += WALKS) {
    const int walks = a->n_trees - tree < WALKS ? (int)(a->n_trees - tree) : WALKS;
    for (int64_t r = begin; r < end; r++) {
      int32_t at[WALKS];
      const REAL *x = (const REAL *)a->x + r * a->features;
      if (missing[r - begin])
        NAME(walk)(a, x, tree, walks, sound, at);
      else
        NAME(walk_table)(a, table, x, tree, walks, at);
      REAL *lane = lanes + ((r - begin) * 64 + tree % 64) * n;
      for (int w = 0; w < walks; w++, lane += n) {
        if (!sound && ~at[w] >= a->n_leaves) continue;
        const REAL *leaf = (const REAL *)a->leaves + (int64_t)~at[w] * a->targets + from;
        if (a->mode == WH_TREES_SUM)
          for (int64_t t = 0; t < n; t++) lane[t] += leaf[t];
        else
          for (int64_t t = 0; t < n; t++) lane[t] = NAME(join)(a->mode, lane[t], leaf[t]);
      }
    }
  }
  for (int64_t r = begin; r < end; r++) {
    REAL *lane = lanes + (r - begin) * 64 * n;
    for (int64_t h = 32 * n; h >= n; h /= 2)
      for (int64_t i = 0; i < h; i++) lane[i] = NAME(join)(a->mode, lane[i], lane[i + h]);
    memcpy((REAL *)a->y + r * a->targets + from, lane, (size_t)n * sizeof(REAL));
  }
}

static void NAME(trees)(const wh_trees_args *a, const wh_worker *worker) {
  const int64_t parts = (a->targets + TARGETS - 1) / TARGETS;
  int64_t begin, end;
  wh_worker_range(worker, a->rows * parts, &begin, &end); /* rows are the faster ones */
  const bool sound = (end - begin) * a->n_trees > 2 * a->n_nodes && NAME(is_sound)(a);
  const NAME(entry) *table = sound && a->table && a->features > 0 ? NAME(make_table)(a) : NULL;
  while (begin < end) {
    const int64_t part = begin / a->rows, row = begin % a->rows, from = part * TARGETS;
    int64_t n = end - begin;
    if (n > BLOCK) n = BLOCK;
    if (n > a->rows - row) n = a->rows - row;
    const int64_t targets = a->targets - from < TARGETS ? a->targets - from : TARGETS;
    if (sound)
      NAME(block)(a, row, row + n, from, targets, true, table);
    else
      NAME(block)(a, row, row + n, from, targets, false, NULL);
    begin += n;
  }
}

#undef NAME
#undef NAME2_
#undef NAME_
#undef REAL
#undef SUFFIX
#undef WORDS
#undef LEAST
#undef LARGEST
