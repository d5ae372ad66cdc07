/* parse.c - reads the text form of a graph; print.c has the grammar.
 *
 * Recursive descent over untrusted text: the length of the text, the nesting of dims and every count are
 * bounded, and all that is read goes through the builders of graph.h, which check it. White space is free.
 * Values are numbered from 1 in the order of the text, so a number is the wh_value itself. */
#include <math.h>
#include <string.h>

#include "core/ir/graph.h"

#define MAX_TEXT_BYTES ((size_t)8 << 20) /* the largest models' graphs have a few hundred KiB */
#define MAX_HEX_DIGITS 13                /* 52 bits: exact in a double, and more than a float holds */

typedef struct parser {
  const char *at, *end;
  size_t line;
  wh_graph *g;
  wh_text_buffer name;   /* the last quoted string */
  wh_text_buffer symbol; /* the last name of a dimension */
  /* of the node that is being read */
  wh_value *inputs, *outputs;
  wh_attr *attrs;
  wh_shape *shapes;
  wh_region *regions;
  size_t inputs_capacity, outputs_capacity, attrs_capacity, shapes_capacity, regions_capacity;
} parser;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) { return (c >= 'a' && c <= 'z') || is_digit(c) || c == '_'; }

static int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void skip_space(parser *p) {
  for (; p->at < p->end; p->at++) {
    if (*p->at == '\n')
      p->line++;
    else if (*p->at != ' ' && *p->at != '\t' && *p->at != '\r')
      return;
  }
}

static wh_status expected_here(const parser *p, const char *what) {
  char found[20];
  size_t n = 0;
  for (const char *c = p->at; c < p->end && n + 1 < sizeof found && *c > ' ' && *c <= '~'; c++)
    found[n++] = *c;
  found[n] = '\0';
  if (n) return WH_FAIL(ERR_CORRUPT, "graph text, line %zu: expected %s, found '%s'", p->line, what, found);
  return WH_FAIL(ERR_CORRUPT, "graph text, line %zu: expected %s, found %s", p->line, what,
                 p->at == p->end ? "the end" : "a byte that is no text");
}

static wh_status expected(parser *p, const char *what) {
  skip_space(p);
  return expected_here(p, what);
}

/* Says where in the text a builder's error comes from. */
static wh_status located(size_t line, wh_status st) {
  return st == WH_OK ? WH_OK : wh_fail_prefix("graph text, line %zu", line);
}

static bool take(parser *p, const char *symbol) {
  size_t n = strlen(symbol);
  skip_space(p);
  if ((size_t)(p->end - p->at) < n || memcmp(p->at, symbol, n) != 0) return false;
  p->at += n;
  return true;
}

static wh_status want(parser *p, const char *symbol, const char *what) {
  return take(p, symbol) ? WH_OK : expected(p, what);
}

/* A run of [a-z0-9_], empty when there is none; not consumed. */
static wh_str peek_word(parser *p) {
  skip_space(p);
  const char *c = p->at;
  while (c < p->end && is_word(*c)) c++;
  return (wh_str){p->at, (size_t)(c - p->at)};
}

static bool take_word(parser *p, const char *word) {
  wh_str w = peek_word(p);
  if (!wh_str_is(w, word)) return false;
  p->at += w.len;
  return true;
}

static wh_status parse_uint(parser *p, uint64_t max, const char *what, uint64_t *out) {
  uint64_t v = 0;
  skip_space(p);
  const char *c = p->at;
  for (; c < p->end && is_digit(*c); c++) {
    unsigned digit = (unsigned)(*c - '0');
    if (v > (max - digit) / 10) return expected(p, what);
    v = v * 10 + digit;
  }
  if (c == p->at) return expected(p, what);
  p->at = c;
  *out = v;
  return WH_OK;
}

static wh_status parse_int(parser *p, int64_t *out) {
  bool negative = take(p, "-");
  uint64_t v;
  WH_TRY(parse_uint(p, (uint64_t)INT64_MAX + negative, "an integer of 64 bits", &v));
  *out = negative ? (int64_t)(0 - v) : (int64_t)v;
  return WH_OK;
}

/* [-]0x1.8p+3. The value must be a float exactly; strtod would ask the locale for the point. */
static wh_status parse_float(parser *p, float *out) {
  static const char what[] = "a hexadecimal float such as 0x1.8p+3";
  bool negative = take(p, "-");
  if (!take(p, "0x")) return expected(p, what);
  uint64_t mantissa = 0;
  int n_digits = 0, scale = 0;
  bool point = false;
  for (; p->at < p->end; p->at++) {
    int digit = hex_digit(*p->at);
    if (*p->at == '.' && !point && n_digits) {
      point = true;
      continue;
    }
    if (digit < 0) break;
    if (++n_digits > MAX_HEX_DIGITS) return expected(p, "fewer digits");
    mantissa = mantissa << 4 | (unsigned)digit;
    scale -= point ? 4 : 0;
  }
  if (!n_digits || p->at == p->end || *p->at != 'p') return expected(p, what);
  p->at++;
  bool down = p->at < p->end && *p->at == '-';
  if (down || (p->at < p->end && *p->at == '+')) p->at++;
  if (p->at == p->end || !is_digit(*p->at)) return expected(p, "an exponent");
  uint64_t exponent;
  WH_TRY(parse_uint(p, 9999, "an exponent", &exponent));
  double value = ldexp((double)mantissa, scale + (down ? -(int)exponent : (int)exponent));
  if (value > 0x1.fffffep127 || (double)(float)value != value || (value == 0) != (mantissa == 0))
    return WH_FAIL(ERR_CORRUPT, "graph text, line %zu: the number is no 32-bit float", p->line);
  *out = (float)(negative ? -value : value);
  return WH_OK;
}

/* "..." with \xNN. */
static wh_status parse_quoted_into(parser *p, const char *what, wh_text_buffer *out) {
  WH_TRY(want(p, "\"", what));
  wh_text_buffer_clear(out);
  wh_text_buffer_puts(out, "");
  for (; p->at < p->end && *p->at != '"'; p->at++) {
    char c = *p->at;
    if (c < ' ' || c > '~') return expected_here(p, "printable text or \\xNN in a name");
    if (c == '\\') {
      bool x = p->end - p->at > 3 && p->at[1] == 'x';
      int high = x ? hex_digit(p->at[2]) : -1, low = x ? hex_digit(p->at[3]) : -1;
      if (high < 0 || low < 0 || high + low == 0) return expected_here(p, "\\xNN, not 00, in a name");
      c = (char)(unsigned char)(high << 4 | low);
      p->at += 3;
    }
    wh_text_buffer_append(out, &c, 1);
  }
  if (p->at == p->end) return expected(p, "'\"' at the end of a name");
  p->at++;
  return out->oom ? WH_OOM("graph text") : WH_OK;
}

static wh_status parse_quoted(parser *p, const char *what) { return parse_quoted_into(p, what, &p->name); }

/* A word or a quoted string, into p->symbol. */
static wh_status parse_symbol_name(parser *p, const char *what) {
  wh_str word = peek_word(p);
  if (p->at < p->end && *p->at == '"') return parse_quoted_into(p, what, &p->symbol);
  if (!word.len || is_digit(word.data[0])) return expected(p, what);
  wh_text_buffer_clear(&p->symbol);
  wh_text_buffer_append(&p->symbol, word.data, word.len);
  p->at += word.len;
  return p->symbol.oom ? WH_OOM("graph text") : WH_OK;
}

static bool take_dim_operator(parser *p, wh_dim_kind *out) {
  for (unsigned kind = WH_DIM_ADD; kind < WH_DIM_KIND_COUNT; kind++) {
    const char *text = wh_dim_kind_text((wh_dim_kind)kind);
    *out = (wh_dim_kind)kind;
    if (is_word(text[0]) ? take_word(p, text) : take(p, text)) return true;
  }
  return false;
}

static wh_status parse_dim(parser *p, int nesting, wh_dim *out) {
  wh_dim_table *t = &p->g->dims;
  if (take(p, "(")) {
    wh_dim a, b;
    wh_dim_kind kind;
    if (nesting == WH_DIM_MAX_TERMS)
      return WH_FAIL(ERR_LIMIT, "graph text, line %zu: dimensions nest more than %d deep", p->line,
                     WH_DIM_MAX_TERMS);
    WH_TRY(parse_dim(p, nesting + 1, &a));
    if (!take_dim_operator(p, &kind)) return expected(p, "one of + - * / mod ceildiv min max");
    WH_TRY(parse_dim(p, nesting + 1, &b));
    WH_TRY(want(p, ")", "')'"));
    return located(p->line, wh_dim_binary(t, kind, a, b, out));
  }
  static const char what[] = "a dimension: a number, a declared symbol or '('";
  const char *at = p->at;
  wh_str word = peek_word(p);
  if (word.len && is_digit(word.data[0])) {
    uint64_t value;
    WH_TRY(parse_uint(p, (uint64_t)WH_DIM_LIMIT, "a dimension of at most 2^40", &value));
    return located(p->line, wh_dim_const(t, (int64_t)value, out));
  }
  WH_TRY(parse_symbol_name(p, what));
  const int symbol = wh_dim_find_symbol(t, p->symbol.data);
  if (symbol < 0) {
    p->at = at;
    return expected(p, what);
  }
  *out = t->symbol_dims[symbol];
  return WH_OK;
}

/* [d, d, ...] */
static wh_status parse_dims(parser *p, wh_dim *dims, int *rank) {
  WH_TRY(want(p, "[", "'['"));
  *rank = 0;
  if (take(p, "]")) return WH_OK;
  do {
    if (*rank == WH_MAX_RANK)
      return WH_FAIL(ERR_LIMIT, "graph text, line %zu: more than %d dimensions", p->line, WH_MAX_RANK);
    WH_TRY(parse_dim(p, 0, &dims[(*rank)++]));
  } while (take(p, ","));
  return want(p, "]", "',' or ']'");
}

static wh_status parse_shape(parser *p, wh_shape *out) {
  wh_str word = peek_word(p);
  *out = (wh_shape){0};
  if (!wh_dtype_from_name(word.data, word.len, &out->dtype)) return expected(p, "an element type");
  p->at += word.len;
  return parse_dims(p, out->dims, &out->rank);
}

/* symbol tokens 1..512 */
static wh_status parse_symbol(parser *p) {
  uint64_t min, max;
  wh_dim dim;
  size_t line = p->line;
  WH_TRY(parse_symbol_name(p, "the name of a dimension"));
  if (wh_dim_find_symbol(&p->g->dims, p->symbol.data) >= 0)
    return WH_FAIL(ERR_CORRUPT, "graph text, line %zu: symbol '%.200s' is declared twice", line,
                   p->symbol.data);
  WH_TRY(parse_uint(p, (uint64_t)WH_DIM_LIMIT, "the least value of the dimension", &min));
  WH_TRY(want(p, "..", "'..'"));
  WH_TRY(parse_uint(p, (uint64_t)WH_DIM_LIMIT, "the largest value of the dimension", &max));
  return located(line, wh_dim_symbol(&p->g->dims, p->symbol.data, (int64_t)min, (int64_t)max, &dim));
}

/* A value that is already there. */
static wh_status parse_value(parser *p, wh_value *out) {
  uint64_t number;
  WH_TRY(want(p, "%", "a value such as %1"));
  WH_TRY(parse_uint(p, UINT32_MAX, "the number of a value", &number));
  if (number == 0 || number >= p->g->n_values)
    return WH_FAIL(ERR_CORRUPT, "graph text, line %zu: %%%llu is used before it is made", p->line,
                   (unsigned long long)number);
  *out = (wh_value)number;
  return WH_OK;
}

/* Room for one more element of a list of the node; `what` and `most` are for the error. */
static wh_status grow(parser *p, void *items, size_t *capacity, size_t n, size_t elem_size, size_t most,
                      const char *what) {
  if (n >= most) return WH_FAIL(ERR_LIMIT, "graph text, line %zu: more than %zu %s", p->line, most, what);
  return wh_grow_array(p->name.alloc, items, capacity, n, n + 1, elem_size) ? WH_OK : WH_OOM("graph text");
}

/* (%1, _, %2) */
static wh_status parse_inputs(parser *p, size_t *n) {
  *n = 0;
  WH_TRY(want(p, "(", "'('"));
  if (take(p, ")")) return WH_OK;
  do {
    WH_TRY(grow(p, &p->inputs, &p->inputs_capacity, *n, sizeof *p->inputs, WH_MAX_NODE_INPUTS, "inputs"));
    p->inputs[*n] = 0;
    if (!take_word(p, "_")) WH_TRY(parse_value(p, &p->inputs[*n]));
    (*n)++;
  } while (take(p, ","));
  return want(p, ")", "',' or ')'");
}

/* [1, 2], into the graph's arena: integers, or floats. */
static wh_status parse_list(parser *p, wh_attr *out) {
  const bool floats = wh_attr_type_of(out->key) == WH_TYPE_FLOATS;
  const size_t elem_size = floats ? sizeof *out->floats : sizeof *out->ints;
  WH_TRY(want(p, "[", "'['"));
  if (take(p, "]")) return WH_OK;
  wh_text_buffer list; /* the elements' bytes */
  wh_text_buffer_init(&list, p->name.alloc);
  wh_status st = WH_OK;
  do {
    float f;
    int64_t i;
    st = floats ? parse_float(p, &f) : parse_int(p, &i);
    if (st == WH_OK && (out->n + 1) * elem_size > WH_MAX_ATTR_BYTES)
      st = WH_FAIL(ERR_LIMIT, "graph text, line %zu: the list is too long", p->line);
    if (st != WH_OK) break;
    wh_text_buffer_append(&list, floats ? (const char *)&f : (const char *)&i, elem_size);
    out->n++;
  } while (take(p, ","));
  void *copy = st == WH_OK && !list.oom ? wh_arena_alloc(&p->g->arena, list.len) : NULL;
  if (copy) memcpy(copy, list.data, list.len);
  out->data = copy;
  wh_text_buffer_deinit(&list);
  WH_TRY(st);
  return copy ? want(p, "]", "',' or ']'") : WH_OOM("graph text");
}

static wh_status parse_string(parser *p, wh_attr *out) {
  WH_TRY(parse_quoted(p, "a quoted string"));
  out->n = p->name.len;
  out->text = wh_arena_string(&p->g->arena, p->name.data, p->name.len);
  return out->text ? WH_OK : WH_OOM("graph text");
}

/* u8[2] "0aff" */
static wh_status parse_tensor(parser *p, wh_attr *out) {
  wh_shape shape;
  WH_TRY(parse_shape(p, &shape));
  out->dtype = shape.dtype;
  out->rank = shape.rank;
  memcpy(out->dims, shape.dims, sizeof out->dims);
  WH_TRY(parse_quoted(p, "the tensor's bytes in quotes"));
  unsigned char *bytes = wh_arena_alloc(&p->g->arena, p->name.len / 2);
  if (!bytes) return WH_OOM("graph text");
  for (size_t i = 0; i < p->name.len / 2; i++) {
    int high = hex_digit(p->name.data[2 * i]), low = hex_digit(p->name.data[2 * i + 1]);
    if (high < 0 || low < 0) return expected_here(p, "pairs of hexadecimal digits before here");
    bytes[i] = (unsigned char)(high << 4 | low);
  }
  if (p->name.len % 2) return expected_here(p, "pairs of hexadecimal digits before here");
  out->n = p->name.len / 2;
  out->data = bytes;
  return WH_OK;
}

static wh_status parse_attr(parser *p, uint64_t wanted, wh_attr *out) {
  wh_str word = peek_word(p);
  *out = (wh_attr){0};
  int key = 0;
  while (key < WH_ATTR_COUNT &&
         !((wanted & (uint64_t)1 << key) && wh_str_is(word, wh_attr_name((wh_attr_key)key))))
    key++;
  if (key == WH_ATTR_COUNT) return expected(p, "an attribute of the op");
  p->at += word.len;
  out->key = (wh_attr_key)key;
  WH_TRY(want(p, "=", "'='"));
  switch (wh_attr_type_of(out->key)) {
    case WH_TYPE_FLOAT:
      return parse_float(p, &out->f);
    case WH_TYPE_INT:
      return parse_int(p, &out->i);
    case WH_TYPE_DIMS:
      return parse_dims(p, out->dims, &out->rank);
    case WH_TYPE_INTS:
    case WH_TYPE_FLOATS:
      return parse_list(p, out);
    case WH_TYPE_STRING:
      return parse_string(p, out);
    case WH_TYPE_TENSOR:
      break;
  }
  return parse_tensor(p, out);
}

/* {eps = 0x1p-10, ...}, or nothing */
static wh_status parse_attrs(parser *p, wh_op op, size_t *n) {
  *n = 0;
  if (!take(p, "{")) return WH_OK;
  do {
    WH_TRY(grow(p, &p->attrs, &p->attrs_capacity, *n, sizeof *p->attrs, WH_ATTR_COUNT, "attributes"));
    WH_TRY(parse_attr(p, wh_op_get(op)->attrs, &p->attrs[(*n)++]));
  } while (take(p, ","));
  return want(p, "}", "',' or '}'");
}

static wh_status parse_region_number(parser *p, uint64_t *out) {
  WH_TRY(want(p, "^", "a region such as ^1"));
  return parse_uint(p, UINT32_MAX, "the number of a region", out);
}

/* [^1, ^2], or nothing */
static wh_status parse_regions(parser *p, size_t *n) {
  *n = 0;
  if (!take(p, "[")) return WH_OK;
  do {
    uint64_t number;
    WH_TRY(grow(p, &p->regions, &p->regions_capacity, *n, sizeof *p->regions, WH_MAX_REGIONS, "regions"));
    WH_TRY(parse_region_number(p, &number));
    p->regions[(*n)++] = (wh_region)number;
  } while (take(p, ","));
  return want(p, "]", "',' or ']'");
}

/* neg(%1) "y" : f32[t]; the numbers before it are n_numbers */
static wh_status parse_node(parser *p, wh_op op, size_t n_numbers, size_t line) {
  wh_node_def def = {.op = op};
  WH_TRY(parse_inputs(p, &def.n_inputs));
  WH_TRY(parse_attrs(p, op, &def.n_attrs));
  WH_TRY(parse_regions(p, &def.n_regions));
  WH_TRY(parse_quoted(p, "the node's quoted name"));
  WH_TRY(want(p, ":", "':'"));
  do {
    WH_TRY(grow(p, &p->shapes, &p->shapes_capacity, def.n_outputs, sizeof *p->shapes, WH_MAX_NODE_OUTPUTS,
                "outputs"));
    WH_TRY(parse_shape(p, &p->shapes[def.n_outputs++]));
  } while (take(p, ","));
  def.name = p->name.data;
  def.inputs = p->inputs;
  def.attrs = p->attrs;
  def.shapes = p->shapes;
  def.regions = p->regions;
  const size_t n_outputs = wh_node_def_n_outputs(p->g, &def);
  if (n_outputs && (n_outputs != n_numbers || n_outputs != def.n_outputs)) /* none: the builder says why */
    return WH_FAIL(ERR_CORRUPT,
                   "graph text, line %zu: node '%.200s' has %zu outputs, not %zu values of %zu shapes", line,
                   def.name, n_outputs, n_numbers, def.n_outputs);
  wh_status st = WH_OK;
  for (size_t i = 0; i < n_outputs && st == WH_OK; i++)
    st = grow(p, &p->outputs, &p->outputs_capacity, i, sizeof *p->outputs, n_outputs, "outputs");
  WH_TRY(st);
  WH_TRY(located(line, wh_graph_add(p->g, &def, p->outputs)));
  for (size_t i = 0; i < n_outputs; i++)
    if (!wh_shape_equal(&p->shapes[i], &wh_graph_value(p->g, p->outputs[i])->shape))
      return WH_FAIL(ERR_CORRUPT,
                     "graph text, line %zu: node '%.200s' has another shape than its operands give", line,
                     def.name);
  return WH_OK;
}

/* input "x" f32[...], or an op */
static wh_status parse_definition(parser *p) {
  static const struct {
    const char *word;
    wh_status (*add)(wh_graph *, const char *, const wh_shape *, wh_value *);
  } kinds[] = {
      {"input", wh_graph_add_input}, {"const", wh_graph_add_const_shape}, {"state", wh_graph_add_state}};
  size_t line = p->line, n_numbers = 0;
  do {
    uint64_t number;
    if (n_numbers) WH_TRY(want(p, "%", "a value such as %1"));
    WH_TRY(parse_uint(p, UINT32_MAX, "the number of a value", &number));
    if (number != p->g->n_values + n_numbers)
      return WH_FAIL(ERR_CORRUPT, "graph text, line %zu: the next value is %%%zu, not %%%llu", line,
                     p->g->n_values + n_numbers, (unsigned long long)number);
    n_numbers++;
  } while (take(p, ","));
  WH_TRY(want(p, "=", "'='"));
  for (size_t k = 0; n_numbers == 1 && !p->g->at && k < sizeof kinds / sizeof kinds[0]; k++) {
    wh_shape shape;
    wh_value v;
    if (!take_word(p, kinds[k].word)) continue;
    WH_TRY(parse_quoted(p, "a quoted name"));
    WH_TRY(parse_shape(p, &shape));
    return located(line, kinds[k].add(p->g, p->name.data, &shape, &v));
  }
  wh_str word = peek_word(p);
  wh_op op;
  if (!wh_op_from_name(word.data, word.len, &op)) return expected(p, "input, const, state or an op");
  p->at += word.len;
  return parse_node(p, op, n_numbers, line);
}

/* ^1(%5 : i64[], %6 : bool[]) { */
static wh_status parse_region(parser *p, size_t line) {
  uint64_t number;
  size_t n = 0;
  wh_region region;
  WH_TRY(parse_region_number(p, &number));
  if (number != p->g->n_regions)
    return WH_FAIL(ERR_CORRUPT, "graph text, line %zu: the next region is ^%zu, not ^%llu", line,
                   p->g->n_regions, (unsigned long long)number);
  WH_TRY(want(p, "(", "'('"));
  while (!take(p, ")")) {
    if (n) WH_TRY(want(p, ",", "',' or ')'"));
    WH_TRY(grow(p, &p->shapes, &p->shapes_capacity, n, sizeof *p->shapes, WH_MAX_NODE_INPUTS, "parameters"));
    WH_TRY(
        grow(p, &p->outputs, &p->outputs_capacity, n, sizeof *p->outputs, WH_MAX_NODE_INPUTS, "parameters"));
    WH_TRY(want(p, "%", "a value such as %1"));
    WH_TRY(parse_uint(p, UINT32_MAX, "the number of a value", &number));
    if (number != p->g->n_values + n)
      return WH_FAIL(ERR_CORRUPT, "graph text, line %zu: the next value is %%%zu, not %%%llu", line,
                     p->g->n_values + n, (unsigned long long)number);
    WH_TRY(want(p, ":", "':'"));
    WH_TRY(parse_shape(p, &p->shapes[n++]));
  }
  WH_TRY(want(p, "{", "'{'"));
  return located(line, wh_graph_begin_region(p->g, p->shapes, n, p->outputs, &region));
}

/* %1, %2 } */
static wh_status parse_yield(parser *p, size_t line) {
  size_t n = 0;
  do {
    WH_TRY(grow(p, &p->inputs, &p->inputs_capacity, n, sizeof *p->inputs, WH_MAX_NODE_OUTPUTS, "results"));
    WH_TRY(parse_value(p, &p->inputs[n++]));
  } while (take(p, ","));
  WH_TRY(want(p, "}", "',' or '}'"));
  return located(line, wh_graph_end_region(p->g, p->inputs, n));
}

/* Within regions: nodes, regions and, at the end, what is yielded. */
static wh_status parse_region_statement(parser *p, size_t line) {
  if (take(p, "%")) return parse_definition(p);
  if (take_word(p, "region")) return parse_region(p, line);
  if (take_word(p, "yield")) return parse_yield(p, line);
  return expected(p, "a value such as %1, region or yield");
}

static wh_status parse_statements(parser *p) {
  while (p->g->at || !take(p, "}")) {
    size_t line = p->line;
    if (p->g->at) {
      WH_TRY(parse_region_statement(p, line));
    } else if (take_word(p, "region")) {
      WH_TRY(parse_region(p, line));
    } else if (take(p, "%")) {
      WH_TRY(parse_definition(p));
    } else if (take_word(p, "symbol")) {
      WH_TRY(parse_symbol(p));
    } else if (take_word(p, "output")) {
      wh_value v;
      WH_TRY(parse_quoted(p, "the output's quoted name"));
      WH_TRY(parse_value(p, &v));
      WH_TRY(located(line, wh_graph_add_output(p->g, p->name.data, v)));
    } else {
      return expected(p, "symbol, output, region, a value such as %1, or '}'");
    }
  }
  skip_space(p);
  return p->at == p->end ? WH_OK : expected(p, "the end of the text");
}

wh_status wh_graph_parse(const char *text, size_t n_bytes, const wh_allocator *alloc, wh_graph **out) {
  if (n_bytes > MAX_TEXT_BYTES)
    return WH_FAIL(ERR_LIMIT, "a graph text of %zu bytes: at most %zu are read", n_bytes, MAX_TEXT_BYTES);
  parser p = {.at = text, .end = text + n_bytes, .line = 1};
  wh_text_buffer_init(&p.name, alloc);
  wh_text_buffer_init(&p.symbol, alloc);
  wh_status st = take_word(&p, "graph") ? WH_OK : expected(&p, "'graph'");
  if (st == WH_OK) st = parse_quoted(&p, "the graph's quoted name");
  if (st == WH_OK) st = want(&p, "{", "'{'");
  if (st == WH_OK) st = wh_graph_create(p.name.data, alloc, &p.g);
  if (st == WH_OK) st = parse_statements(&p);
  if (st == WH_OK) st = wh_graph_verify(p.g);
  wh_text_buffer_deinit(&p.name);
  wh_text_buffer_deinit(&p.symbol);
  wh_free(alloc, p.inputs);
  wh_free(alloc, p.outputs);
  wh_free(alloc, p.attrs);
  wh_free(alloc, p.shapes);
  wh_free(alloc, p.regions);
  if (st != WH_OK) {
    wh_graph_destroy(p.g);
    return st;
  }
  *out = p.g;
  return WH_OK;
}
