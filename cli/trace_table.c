/* trace_table.c - see trace_table.h. */
#include "cli/trace_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_trace_table_init(cli_trace_table *table, size_t n_prompt, size_t n_decode) {
  *table = (cli_trace_table){.n_prompt = n_prompt, .n_positions = n_prompt + n_decode};
}

void cli_trace_table_deinit(cli_trace_table *table) {
  for (size_t i = 0; i < table->n_nodes; ++i) {
    free(table->nodes[i].name);
    free(table->nodes[i].op);
    free(table->nodes[i].digests);
  }
  free(table->nodes);
  free(table->captured);
  *table = (cli_trace_table){0};
}

void cli_trace_begin_run(cli_trace_table *table, size_t first_position, size_t n_tokens) {
  ++table->run;
  table->first_position = first_position;
  table->n_tokens = n_tokens;
  table->cursor = 0;
}

/* --- recording
 * ------------------------------------------------------------------------------------------------ */

static bool is_node(const cli_trace_node *node, const char *name, const char *op) {
  return strcmp(node->name, name) == 0 && strcmp(node->op, op) == 0;
}

static cli_trace_node *add_node(cli_trace_table *table, const char *name, const char *op,
                                uint32_t occurrence) {
  if (table->n_nodes == table->capacity) {
    size_t capacity = table->capacity ? 2 * table->capacity : 256;
    cli_trace_node *nodes = realloc(table->nodes, capacity * sizeof *nodes);
    if (!nodes) return NULL;
    table->nodes = nodes;
    table->capacity = capacity;
  }
  cli_trace_node node = {.name = strdup(name), .op = strdup(op), .occurrence = occurrence};
  node.digests = calloc(table->n_positions, sizeof *node.digests);
  if (!node.name || !node.op || !node.digests) {
    free(node.name);
    free(node.op);
    free(node.digests);
    return NULL;
  }
  table->nodes[table->n_nodes] = node;
  return &table->nodes[table->n_nodes++];
}

/* The event's node: the first of its name and op that this run has not shown yet, new if there is none. Runs
 * repeat their order, so it is nearly always the one after the last. */
static cli_trace_node *find_node(cli_trace_table *table, const wh_trace_event *event) {
  const char *name = event->node ? event->node : "", *op = event->op ? event->op : "";
  cli_trace_node *found = NULL;
  uint32_t occurrence = 0;
  if (table->cursor < table->n_nodes) {
    cli_trace_node *next = &table->nodes[table->cursor];
    if (next->last_run != table->run && next->occurrence == 0 && is_node(next, name, op)) found = next;
  }
  for (size_t i = 0; i < table->n_nodes && !found; ++i) {
    if (!is_node(&table->nodes[i], name, op)) continue;
    if (table->nodes[i].last_run != table->run) found = &table->nodes[i];
    ++occurrence;
  }
  if (!found) found = add_node(table, name, op, occurrence);
  if (!found) return NULL;
  found->last_run = table->run;
  found->dtype = event->dtype;
  table->cursor = (size_t)(found - table->nodes) + 1;
  return found;
}

/* An output has a row for each token of the run, or is one thing as of the run's last token: the logits, a
 * state. */
static bool has_row_per_token(const cli_trace_table *table, const wh_trace_event *event) {
  const bool is_state = event->op && strcmp(event->op, "kv_append") == 0; /* a row of it is a page */
  return event->rank > 0 && !is_state && event->dims[0] == (int64_t)table->n_tokens &&
         event->n_bytes % table->n_tokens == 0;
}

static void record(const cli_trace_table *table, cli_trace_node *node, const wh_trace_event *event) {
  char text[CLI_DIGEST_CHARS + 1];
  bool by_row = has_row_per_token(table, event);
  size_t n = by_row ? table->n_tokens : 1;
  size_t first = by_row ? table->first_position : table->first_position + table->n_tokens - 1;
  size_t row_bytes = (size_t)event->n_bytes / n;
  for (size_t i = 0; i < n && first + i < table->n_positions; ++i) {
    wh_hash_text((const char *)event->data + i * row_bytes, row_bytes, text);
    memcpy(node->digests[first + i].hash, text, CLI_DIGEST_CHARS);
  }
}

static cli_exit copy_wanted(cli_trace_table *table, const cli_trace_node *node, const wh_trace_event *event) {
  const cli_trace_difference *wanted = table->wanted;
  size_t end = table->first_position + table->n_tokens;
  if (node->occurrence != wanted->occurrence || !is_node(node, wanted->node, wanted->op)) return CLI_OK;
  if (wanted->position < table->first_position || wanted->position >= end) return CLI_OK;
  bool by_row = has_row_per_token(table, event);
  if (!by_row && wanted->position != end - 1) return CLI_OK;
  size_t n_bytes = (size_t)event->n_bytes / (by_row ? table->n_tokens : 1);
  size_t offset = by_row ? (wanted->position - table->first_position) * n_bytes : 0;
  table->captured = malloc(n_bytes ? n_bytes : 1);
  if (!table->captured) return cli_fail(CLI_LIMIT, "out of memory");
  memcpy(table->captured, (const char *)event->data + offset, n_bytes);
  table->captured_bytes = n_bytes;
  table->captured_dtype = event->dtype;
  return CLI_OK;
}

int cli_trace_callback(void *ctx, const wh_trace_event *event) {
  cli_trace_table *table = ctx;
  cli_trace_node *node = find_node(table, event);
  if (!node) {
    table->failure = cli_fail(CLI_LIMIT, "out of memory for the trace; use a shorter prompt");
    return 1;
  }
  if (table->wanted) {
    table->failure = copy_wanted(table, node, event);
    return table->failure != CLI_OK || table->captured;
  }
  if (event->n_bytes) record(table, node, event);
  return 0;
}

void cli_trace_capture(cli_trace_table *table, const cli_trace_difference *wanted) { table->wanted = wanted; }

/* --- comparing
 * ------------------------------------------------------------------------------------------------ */

static const cli_trace_node *find_counterpart(const cli_trace_table *table, const cli_trace_node *node,
                                              size_t hint) {
  for (size_t i = 0; i < table->n_nodes; ++i) {
    const cli_trace_node *other = &table->nodes[(hint + i) % table->n_nodes];
    if (other->occurrence == node->occurrence && is_node(other, node->name, node->op)) return other;
  }
  return NULL;
}

static bool is_present(const cli_trace_digest *digest) { return digest->hash[0] != '\0'; }

/* Compares positions [begin, end) of one node; true when all that both have is equal. */
static bool same_positions(const cli_trace_node *a, const cli_trace_node *b, size_t begin, size_t end,
                           size_t *n_compared, size_t *first_different) {
  for (size_t p = begin; p < end; ++p) {
    if (!is_present(&a->digests[p]) || !is_present(&b->digests[p])) continue;
    ++*n_compared;
    if (memcmp(&a->digests[p], &b->digests[p], sizeof a->digests[p]) != 0) {
      *first_different = p;
      return false;
    }
  }
  return true;
}

static void count_nodes(const cli_trace_table *a, const cli_trace_table *b, cli_trace_counts *counts) {
  for (size_t i = 0; i < a->n_nodes; ++i) {
    const cli_trace_node *other = find_counterpart(b, &a->nodes[i], i);
    if (!other || other->dtype != a->nodes[i].dtype)
      ++counts->nodes_unmatched;
    else
      ++counts->nodes_compared;
  }
  for (size_t i = 0; i < b->n_nodes; ++i)
    if (!find_counterpart(a, &b->nodes[i], i)) ++counts->nodes_unmatched;
}

void cli_trace_compare(const cli_trace_table *a, const cli_trace_table *b, cli_trace_counts *counts,
                       cli_trace_difference *difference) {
  size_t n_steps = a->n_positions - a->n_prompt + 1;
  count_nodes(a, b, counts);
  for (size_t step = 0; step < n_steps; ++step) {
    size_t begin = step ? a->n_prompt + step - 1 : 0, end = step ? begin + 1 : a->n_prompt;
    for (size_t i = 0; i < a->n_nodes; ++i) {
      const cli_trace_node *node = &a->nodes[i], *other = find_counterpart(b, node, i);
      size_t position = 0;
      if (!other || other->dtype != node->dtype) continue;
      if (same_positions(node, other, begin, end, &counts->outputs_compared, &position)) continue;
      *difference = (cli_trace_difference){.node = node->name,
                                           .op = node->op,
                                           .occurrence = node->occurrence,
                                           .position = position,
                                           .step = step};
      return;
    }
  }
}

static size_t element_bytes(wh_dtype dtype) {
  switch (dtype) {
    case WH_DTYPE_F32:
    case WH_DTYPE_I32:
      return 4;
    case WH_DTYPE_F64:
    case WH_DTYPE_I64:
      return 8;
    case WH_DTYPE_F16:
    case WH_DTYPE_BF16:
    case WH_DTYPE_I16:
      return 2;
    default:
      return 1;
  }
}

/* The value where C has a type for it, and its bits always: zeros and NaNs differ only there. */
static void value_text(const void *element, wh_dtype dtype, char *out, size_t n_bytes) {
  uint64_t bits = 0;
  memcpy(&bits, element, element_bytes(dtype)); /* little-endian, as every supported machine */
  float f = 0;
  double d = 0;
  if (dtype == WH_DTYPE_F32) {
    memcpy(&f, element, sizeof f);
    snprintf(out, n_bytes, "%.9g (0x%08" PRIx64 ")", (double)f, bits);
  } else if (dtype == WH_DTYPE_F64) {
    memcpy(&d, element, sizeof d);
    snprintf(out, n_bytes, "%.17g", d);
  } else {
    snprintf(out, n_bytes, "0x%0*" PRIx64, (int)(2 * element_bytes(dtype)), bits);
  }
}

cli_exit cli_trace_compare_captured(const cli_trace_table *a, const cli_trace_table *b,
                                    cli_trace_difference *d) {
  wh_dtype dtype = a->captured_dtype;
  if (b->captured_dtype != dtype || a->captured_bytes != b->captured_bytes)
    return cli_fail(
        CLI_DIFFERENT, "node %s has %zu bytes of %s in one configuration and %zu of %s in the other", d->node,
        a->captured_bytes, wh_dtype_name(dtype), b->captured_bytes, wh_dtype_name(b->captured_dtype));
  size_t size = element_bytes(dtype);
  const char *x = a->captured, *y = b->captured;
  d->n_elements = a->captured_bytes / size;
  for (size_t i = 0; i < d->n_elements; ++i) {
    if (memcmp(x + i * size, y + i * size, size) == 0) continue;
    if (d->n_different++) continue;
    d->element = i;
    value_text(x + i * size, dtype, d->value_a, sizeof d->value_a);
    value_text(y + i * size, dtype, d->value_b, sizeof d->value_b);
  }
  if (d->n_different == 0)
    return cli_fail(CLI_DIFFERENT,
                    "node %s differed once and not again: a configuration does not repeat itself", d->node);
  return CLI_OK;
}
