/* parse.c - a module: its declarations, its functions, and what their names stand for. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/parse_internal.h"

enum { MAX_REGISTERS = 1 << 20, MAX_DEPTH = 64, MAX_NAME = 4096 };
#define MAX_BYTES (1u << 31) /* of one variable, and of all data */

/* ---- the parser's tools ---- */

void parse_fail(parser *p, const char *format, ...) {
  int n = snprintf(p->error, PTX_ERROR_SIZE, "PTX, line %u: ", p->now.line);
  va_list args;
  va_start(args, format);
  (void)vsnprintf(p->error + n, PTX_ERROR_SIZE - (size_t)n, format, args);
  va_end(args);
  longjmp(p->failed, 1);
}

void *parse_alloc(parser *p, size_t n, size_t size) {
  void *a = size && n > SIZE_MAX / size ? NULL : ptx_arena_alloc(&p->m->arena, n * size);
  if (!a) parse_fail(p, "out of memory");
  return a;
}

void *parse_grow(parser *p, void *items, unsigned n, unsigned *capacity, size_t size) {
  if (n < *capacity) return items;
  const unsigned more = *capacity ? *capacity * 2 : 64;
  void *grown = parse_alloc(p, more, size);
  if (n) memcpy(grown, items, n * size);
  *capacity = more;
  return grown;
}

const char *parse_copy(parser *p, const char *at, size_t n) {
  char *s = parse_alloc(p, n + 1, 1);
  memcpy(s, at, n);
  return s;
}

void parse_next(parser *p) {
  p->now = lexer_next(&p->lex);
  if (p->now.kind == TOKEN_BAD)
    parse_fail(p, "\"%.*s\" is not PTX", (int)(p->now.n < 40 ? p->now.n : 40), p->now.at);
  if (p->now.n > MAX_NAME) parse_fail(p, "a name of more than %d letters", MAX_NAME);
}

static bool sees(const parser *p, char c) { return p->now.kind == TOKEN_PUNCT && *p->now.at == c; }

bool parse_accept(parser *p, char c) {
  if (!sees(p, c)) return false;
  parse_next(p);
  return true;
}

void parse_expect(parser *p, char c) {
  if (!parse_accept(p, c))
    parse_fail(p, "'%c' was expected before \"%.*s\"", c, (int)(p->now.n < 40 ? p->now.n : 40), p->now.at);
}

static bool accept_word(parser *p, const char *word) {
  if (p->now.kind != TOKEN_WORD || !token_is(&p->now, word)) return false;
  parse_next(p);
  return true;
}

static uint64_t number(parser *p, uint64_t most) {
  if (p->now.kind != TOKEN_NUMBER) parse_fail(p, "a number was expected");
  const uint64_t v = p->now.value;
  if (v > most) parse_fail(p, "%llu is too large here", (unsigned long long)v);
  parse_next(p);
  return v;
}

/* ---- types and names ---- */

static const struct {
  const char *name;
  ptx_type type;
} types[] = {{"pred", PTX_PRED}, {"b8", PTX_B8},       {"u8", PTX_U8},         {"s8", PTX_S8},
             {"b16", PTX_B16},   {"u16", PTX_U16},     {"s16", PTX_S16},       {"f16", PTX_F16},
             {"bf16", PTX_BF16}, {"b32", PTX_B32},     {"u32", PTX_U32},       {"s32", PTX_S32},
             {"f32", PTX_F32},   {"f16x2", PTX_F16X2}, {"bf16x2", PTX_BF16X2}, {"b64", PTX_B64},
             {"u64", PTX_U64},   {"s64", PTX_S64},     {"f64", PTX_F64},       {"b128", PTX_B128}};

bool parse_type(const char *name, size_t n, ptx_type *t) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strlen(types[i].name) == n && !memcmp(types[i].name, name, n)) {
      *t = types[i].type;
      return true;
    }
  return false;
}

const uint8_t ptx_bytes_of_type[] = {
    [PTX_PRED] = 1, [PTX_B8] = 1,  [PTX_U8] = 1,  [PTX_S8] = 1,    [PTX_B16] = 2,
    [PTX_U16] = 2,  [PTX_S16] = 2, [PTX_F16] = 2, [PTX_BF16] = 2,  [PTX_B32] = 4,
    [PTX_U32] = 4,  [PTX_S32] = 4, [PTX_F32] = 4, [PTX_F16X2] = 4, [PTX_BF16X2] = 4,
    [PTX_B64] = 8,  [PTX_U64] = 8, [PTX_S64] = 8, [PTX_F64] = 8,   [PTX_B128] = 16};

static const char *const specials[] = {
    "%tid.x",       "%tid.y",       "%tid.z",   "%ntid.x",           "%ntid.y",      "%ntid.z",
    "%ctaid.x",     "%ctaid.y",     "%ctaid.z", "%nctaid.x",         "%nctaid.y",    "%nctaid.z",
    "%laneid",      "%warpid",      "%nwarpid", "%lanemask_eq",      "%lanemask_lt", "%lanemask_le",
    "%lanemask_gt", "%lanemask_ge", "%clock64", "%dynamic_smem_size"};

bool ptx_special_find(const char *name, size_t n, uint64_t *special) {
  if (n == 6 && !memcmp(name, "%clock", 6)) n = 8, name = "%clock64";
  for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
    if (strlen(specials[i]) == n && !memcmp(specials[i], name, n)) {
      *special = i;
      return true;
    }
  return false;
}

/* The number behind a register's prefix, as in %r17: decimal, no leading zero. */
static bool register_number(const char *at, size_t n, unsigned count, unsigned *v) {
  *v = 0;
  if (!n || n > 7 || (n > 1 && *at == '0')) return false;
  for (size_t i = 0; i < n; i++) {
    if (at[i] < '0' || at[i] > '9') return false;
    *v = *v * 10 + (unsigned)(at[i] - '0');
  }
  return *v < count;
}

const symbol *parse_symbol(parser *p, const char *name, size_t n, int32_t *reg) {
  for (unsigned i = p->n_symbols; i-- > 0;) {
    const symbol *s = &p->symbols[i];
    if (s->length > n || memcmp(s->name, name, s->length)) continue;
    unsigned v = 0;
    if (s->count ? !register_number(name + s->length, n - s->length, s->count, &v) : s->length != n) continue;
    *reg = s->first + (int32_t)v;
    return s;
  }
  return NULL;
}

static symbol *add_symbol(parser *p, const token *t, symbol_kind kind) {
  p->symbols = parse_grow(p, p->symbols, p->n_symbols, &p->cap_symbols, sizeof *p->symbols);
  symbol *s = &p->symbols[p->n_symbols++];
  *s = (symbol){.name = t->at, .length = t->n, .kind = kind};
  return s;
}

/* ---- declarations ---- */

static void parse_registers(parser *p) {
  if (p->now.kind != TOKEN_WORD) parse_fail(p, "the type of the registers was expected");
  const bool wide = p->now.n > 2 && memcmp(p->now.at + p->now.n - 2, "64", 2) == 0;
  parse_next(p);
  do {
    const token name = p->now;
    if (name.kind != TOKEN_WORD) parse_fail(p, "the name of a register was expected");
    parse_next(p);
    symbol *s = add_symbol(p, &name, SYMBOL_REGISTERS);
    s->first = (int32_t)p->n_registers;
    s->wide = wide;
    unsigned n = 1;
    if (parse_accept(p, '<')) {
      s->count = n = (unsigned)number(p, MAX_REGISTERS);
      parse_expect(p, '>');
    }
    p->n_registers += n;
    if (p->n_registers > MAX_REGISTERS) parse_fail(p, "more than %d registers", MAX_REGISTERS);
    if (p->n_registers > p->m->n_registers) p->m->n_registers = p->n_registers;
  } while (parse_accept(p, ','));
  parse_expect(p, ';');
}

typedef struct {
  token name;
  uint64_t align, element, size; /* size 0: an array without one */
} declaration;

/* `.align 16 .b8 name[64]`: what stands behind the state space. */
static declaration parse_declaration(parser *p) {
  declaration d = {.align = 0};
  ptx_type type = PTX_NONE;
  unsigned vector = 1;
  while (p->now.kind == TOKEN_WORD && *p->now.at == '.') {
    const token t = p->now;
    parse_next(p);
    if (token_is(&t, ".align")) {
      d.align = number(p, 1 << 16);
      if (!d.align || (d.align & (d.align - 1))) parse_fail(p, "an alignment has to be a power of two");
    } else if (token_is(&t, ".v2") || token_is(&t, ".v4")) {
      vector = (unsigned)(t.at[2] - '0');
    } else if (token_is(&t, ".ptr")) { /* of a parameter: what it points to */
      while (p->now.kind == TOKEN_WORD && *p->now.at == '.') {
        const bool is_align = token_is(&p->now, ".align");
        parse_next(p);
        if (is_align) (void)number(p, 1 << 16);
      }
      break;
    } else if (!parse_type(t.at + 1, t.n - 1, &type)) {
      parse_fail(p, "%.*s is not known in a declaration", (int)t.n, t.at);
    }
  }
  if (type == PTX_NONE) parse_fail(p, "a declaration without a type");
  d.element = (uint64_t)ptx_type_bytes(type) * vector;
  if (!d.align) d.align = d.element;
  d.name = p->now;
  if (d.name.kind != TOKEN_WORD) parse_fail(p, "the name of a variable was expected");
  parse_next(p);
  d.size = d.element;
  while (parse_accept(p, '[')) {
    d.size *= sees(p, ']') ? 0 : number(p, MAX_BYTES);
    if (d.size > MAX_BYTES) parse_fail(p, "%.*s is too large", (int)d.name.n, d.name.at);
    parse_expect(p, ']');
  }
  return d;
}

static uint64_t place(uint64_t *top, const declaration *d) {
  const uint64_t at = (*top + d->align - 1) / d->align * d->align;
  *top = at + d->size;
  return at;
}

static void parse_initial(parser *p, const declaration *d, uint64_t *at, uint64_t end) {
  if (parse_accept(p, '{')) {
    do parse_initial(p, d, at, end);
    while (parse_accept(p, ','));
    parse_expect(p, '}');
    return;
  }
  const bool minus = parse_accept(p, '-');
  if (p->now.kind != TOKEN_NUMBER)
    parse_fail(p, "a variable whose first value is an address is not supported");
  const uint64_t v = minus ? (uint64_t)0 - p->now.value : p->now.value;
  parse_next(p);
  if (end - *at < d->element) parse_fail(p, "more values than the variable holds");
  memcpy(p->m->data + *at, &v, d->element < 8 ? d->element : 8);
  *at += d->element;
}

static void parse_data(parser *p, ptx_space space) {
  const declaration d = parse_declaration(p);
  ptx_module *m = p->m;
  uint64_t at = place(&m->data_bytes, &d);
  if (m->data_bytes > MAX_BYTES) parse_fail(p, "more than 2 GiB of variables");
  if (d.align > m->data_align) m->data_align = d.align;
  if (m->data_bytes > m->data_capacity) {
    const uint64_t capacity = 2 * m->data_bytes + 256;
    unsigned char *grown = parse_alloc(p, capacity, 1);
    if (m->data_capacity) memcpy(grown, m->data, m->data_capacity);
    m->data = grown;
    m->data_capacity = capacity;
  }
  symbol *s = add_symbol(p, &d.name, SYMBOL_VARIABLE);
  s->space = space;
  s->offset = at;
  s->size = d.size;
  m->variables = parse_grow(p, m->variables, m->n_variables, &m->cap_variables, sizeof *m->variables);
  m->variables[m->n_variables++] = (ptx_variable){parse_copy(p, d.name.at, d.name.n), at, d.size};
  if (parse_accept(p, '=')) parse_initial(p, &d, &at, at + d.size);
  parse_expect(p, ';');
}

static void parse_shared(parser *p, bool is_extern) {
  const declaration d = parse_declaration(p);
  if (p->f && !p->f->is_kernel) parse_fail(p, "shared variables of a .func are not supported");
  symbol *s = add_symbol(p, &d.name, SYMBOL_VARIABLE);
  s->space = SPACE_SHARED;
  s->dynamic = is_extern || !d.size;
  s->size = d.size;
  if (!s->dynamic) s->offset = place(p->f ? &p->f->shared_bytes : &p->module_shared, &d);
  parse_expect(p, ';');
}

/* Locals, and the .param variables of calls: both are bytes of a thread's own. */
static uint64_t parse_private(parser *p) {
  const declaration d = parse_declaration(p);
  symbol *s = add_symbol(p, &d.name, SYMBOL_VARIABLE);
  s->space = SPACE_LOCAL;
  s->offset = place(&p->m->local_bytes, &d);
  s->size = d.size;
  if (p->m->local_bytes > MAX_BYTES) parse_fail(p, "more than 2 GiB of local memory");
  return s->offset;
}

static void skip_to_semicolon(parser *p) {
  while (!sees(p, ';')) {
    if (p->now.kind == TOKEN_END) parse_fail(p, "the text ends within a directive");
    parse_next(p);
  }
  parse_next(p);
}

static void skip_braces(parser *p) {
  parse_expect(p, '{');
  for (unsigned depth = 1; depth;) {
    if (p->now.kind == TOKEN_END) parse_fail(p, "the text ends within braces");
    depth += sees(p, '{');
    depth -= sees(p, '}');
    parse_next(p);
  }
}

/* A directive of one line: .loc, .file, .version, .target. p->now is its last token that was read. */
static void skip_line(parser *p, unsigned line) {
  while (p->now.kind != TOKEN_END && p->now.line == line) p->now = lexer_next(&p->lex);
}

/* ---- functions ---- */

static void find_targets(parser *p) {
  for (unsigned j = 0; j < p->n_jumps; j++) {
    const label *jump = &p->jumps[j];
    ptx_instruction *i = &p->m->code[jump->at];
    for (unsigned l = 0; l < p->n_labels && i->target < 0; l++)
      if (p->labels[l].length == jump->length && !memcmp(p->labels[l].name, jump->name, jump->length))
        i->target = (int32_t)p->labels[l].at;
    if (i->target < 0) {
      p->now.line = i->line;
      parse_fail(p, "there is no label %.*s", (int)jump->length, jump->name);
    }
  }
  p->n_jumps = p->n_labels = 0;
}

static void parse_statement(parser *p) {
  const char *text = p->now.at;
  if (p->now.kind == TOKEN_WORD && *p->now.at == '.') {
    const token t = p->now;
    parse_next(p);
    if (token_is(&t, ".reg")) {
      parse_registers(p);
    } else if (token_is(&t, ".shared")) {
      parse_shared(p, false);
    } else if (token_is(&t, ".local") || token_is(&t, ".param")) {
      (void)parse_private(p);
      parse_expect(p, ';');
    } else if (token_is(&t, ".loc") || token_is(&t, ".file")) {
      skip_line(p, t.line);
    } else if (token_is(&t, ".pragma") || token_is(&t, ".branchtargets") || token_is(&t, ".callprototype")) {
      skip_to_semicolon(p);
    } else {
      parse_fail(p, "the directive %.*s is not known in a function", (int)t.n, t.at);
    }
    return;
  }
  int32_t predicate = -1;
  bool negated = false;
  if (parse_accept(p, '@')) {
    negated = parse_accept(p, '!');
    const symbol *s = p->now.kind == TOKEN_WORD ? parse_symbol(p, p->now.at, p->now.n, &predicate) : NULL;
    if (!s || s->kind != SYMBOL_REGISTERS) parse_fail(p, "a predicate was expected after '@'");
    parse_next(p);
  } else {
    lexer ahead = p->lex; /* a label is a word with a colon behind it */
    const token after = lexer_next(&ahead);
    if (p->now.kind == TOKEN_WORD && after.kind == TOKEN_PUNCT && *after.at == ':') {
      p->labels = parse_grow(p, p->labels, p->n_labels, &p->cap_labels, sizeof *p->labels);
      p->labels[p->n_labels++] = (label){p->now.at, p->now.n, p->m->n_code};
      parse_next(p);
      parse_next(p);
      return;
    }
  }
  parse_instruction(p, predicate, negated, text);
}

static void parse_body(parser *p) {
  unsigned scopes[MAX_DEPTH], depth = 0;
  parse_expect(p, '{');
  p->f->first = p->m->n_code;
  /* One kernel runs at a time: kernels use the same numbers, those that they may call have others. */
  p->n_registers = p->f->is_kernel ? p->callee_registers : p->m->n_registers;
  scopes[depth++] = p->n_symbols;
  while (depth) {
    if (p->now.kind == TOKEN_END) parse_fail(p, "the text ends within a function");
    if (parse_accept(p, '{')) {
      if (depth == MAX_DEPTH) parse_fail(p, "blocks in blocks, more than %d deep", MAX_DEPTH);
      scopes[depth++] = p->n_symbols;
    } else if (sees(p, '}')) {
      p->n_symbols = scopes[--depth];
      if (depth) parse_next(p); /* the last one after the end is known */
    } else if (!parse_accept(p, ';')) {
      parse_statement(p);
    }
  }
  const ptx_instruction end = {
      .op = OP_RET, .predicate = -1, .target = -1, .text = "ret", .line = p->now.line};
  p->m->code = parse_grow(p, p->m->code, p->m->n_code, &p->m->cap_code, sizeof end);
  p->m->code[p->m->n_code++] = end;
  p->f->end = p->m->n_code;
  if (!p->f->is_kernel) p->callee_registers = p->n_registers;
  p->f->n_registers = p->n_registers;
  find_targets(p);
  parse_next(p);
}

static void parse_parameters(parser *p, bool is_kernel, uint64_t *bytes, ptx_parameter **list, unsigned *n) {
  ptx_parameter items[256];
  *n = 0;
  if (!parse_accept(p, '(')) return;
  if (!parse_accept(p, ')')) {
    do {
      if (*n == 256) parse_fail(p, "a function has at most 256 parameters here");
      if (!accept_word(p, ".param")) parse_fail(p, "a parameter that is not .param is not supported");
      if (is_kernel) {
        const declaration d = parse_declaration(p);
        symbol *s = add_symbol(p, &d.name, SYMBOL_VARIABLE);
        s->space = SPACE_PARAM;
        s->size = d.size;
        s->offset = place(bytes, &d);
        if (*bytes > 32764) parse_fail(p, "more than 32764 bytes of parameters");
        items[(*n)++] = (ptx_parameter){s->offset, s->size};
      } else {
        const uint64_t at = parse_private(p);
        items[(*n)++] = (ptx_parameter){at, p->symbols[p->n_symbols - 1].size};
      }
    } while (parse_accept(p, ','));
    parse_expect(p, ')');
  }
  *list = parse_alloc(p, *n + 1, sizeof **list);
  memcpy(*list, items, *n * sizeof **list);
}

static ptx_function *function_named(parser *p, const token *name) {
  ptx_module *m = p->m;
  for (unsigned i = 0; i < m->n_functions; i++)
    if (token_is(name, m->functions[i]->name)) return m->functions[i];
  ptx_function *f = parse_alloc(p, 1, sizeof *f);
  f->name = parse_copy(p, name->at, name->n);
  m->functions = parse_grow(p, m->functions, m->n_functions, &m->cap_functions, sizeof *m->functions);
  m->functions[m->n_functions++] = f;
  return f;
}

static void parse_function(parser *p, bool is_kernel) {
  const unsigned outer = p->n_symbols;
  ptx_parameter *results = NULL;
  unsigned n_results = 0;
  uint64_t ignored = 0;
  if (!is_kernel) parse_parameters(p, false, &ignored, &results, &n_results);
  if (p->now.kind != TOKEN_WORD) parse_fail(p, "the name of a function was expected");
  ptx_function *f = function_named(p, &p->now);
  if (f->is_defined) parse_fail(p, "%s is defined twice", f->name);
  parse_next(p);
  f->is_kernel = is_kernel;
  f->results = results;
  f->n_results = n_results;
  f->parameter_bytes = 0;
  f->shared_bytes = p->module_shared;
  parse_parameters(p, is_kernel, &f->parameter_bytes, &f->parameters, &f->n_parameters);
  while (p->now.kind == TOKEN_WORD && *p->now.at == '.') { /* .maxntid 128, 1, 1 and others like it */
    const bool limits = token_is(&p->now, ".maxntid") || token_is(&p->now, ".reqntid");
    parse_next(p);
    unsigned threads = 1;
    while (p->now.kind == TOKEN_NUMBER) {
      threads *= (unsigned)number(p, 1 << 16);
      if (!parse_accept(p, ',')) break;
    }
    if (limits) f->max_threads = threads;
  }
  if (!parse_accept(p, ';')) {
    p->f = f;
    f->is_defined = true;
    parse_body(p);
    p->f = NULL;
  }
  p->n_symbols = outer;
}

static void parse_module(parser *p) {
  static const char *const linkage[] = {".visible", ".extern", ".weak", ".common"};
  parse_next(p);
  while (p->now.kind != TOKEN_END) {
    bool is_extern = false, again = true;
    while (again) {
      again = false;
      for (size_t i = 0; i < sizeof linkage / sizeof *linkage; i++)
        if (accept_word(p, linkage[i])) {
          is_extern |= i == 1;
          again = true;
        }
    }
    const token t = p->now;
    if (t.kind != TOKEN_WORD)
      parse_fail(p, "a directive was expected before \"%.*s\"", (int)(t.n < 40 ? t.n : 40), t.at);
    if (token_is(&t, ".target")) {
      const char *sm = t.at + t.n;
      while (sm < p->lex.end && *sm != '\n' && (*sm < '0' || *sm > '9')) sm++;
      while (sm < p->lex.end && *sm >= '0' && *sm <= '9' && p->m->target < 1000)
        p->m->target = p->m->target * 10 + (unsigned)(*sm++ - '0');
    }
    if (token_is(&t, ".target") || token_is(&t, ".version") || token_is(&t, ".address_size") ||
        token_is(&t, ".file")) {
      lexer_skip_line(&p->lex);
      parse_next(p);
      continue;
    }
    parse_next(p);
    if (token_is(&t, ".entry")) {
      parse_function(p, true);
    } else if (token_is(&t, ".func")) {
      if (accept_word(p, ".noreturn")) continue;
      parse_function(p, false);
    } else if (token_is(&t, ".global") || token_is(&t, ".const")) {
      parse_data(p, t.at[1] == 'g' ? SPACE_GLOBAL : SPACE_CONST);
    } else if (token_is(&t, ".shared")) {
      parse_shared(p, is_extern);
    } else if (token_is(&t, ".section")) {
      while (!sees(p, '{')) parse_next(p);
      skip_braces(p);
    } else if (token_is(&t, ".pragma") || token_is(&t, ".alias")) {
      skip_to_semicolon(p);
    } else {
      parse_fail(p, "the directive %.*s is not known", (int)t.n, t.at);
    }
  }
}

/* ---- the whole ---- */

static void set_value(ptx_operand *o, uint64_t value) {
  o->value = value;
  for (int l = 0; o->lanes && l < 32; l++) o->lanes[l] = value;
}

/* Dynamic shared memory begins behind the largest static part, wherever a kernel's own ends. */
static void place_dynamic(parser *p) {
  ptx_module *m = p->m;
  uint64_t top = p->module_shared;
  for (unsigned i = 0; i < m->n_functions; i++)
    if (m->functions[i]->shared_bytes > top) top = m->functions[i]->shared_bytes;
  m->dynamic_shared = (top + 127) / 128 * 128;
  for (unsigned i = 0; i < m->n_code; i++)
    for (unsigned k = 0; k < m->code[i].n_operands; k++) {
      ptx_operand *o = &m->code[i].operands[k];
      if (o->dynamic) set_value(o, o->value + m->dynamic_shared);
    }
}

/* Calls get where their parameters go; a callee may have been defined after its call. */
static void connect_calls(parser *p) {
  ptx_module *m = p->m;
  for (unsigned i = 0; i < m->n_functions; i++)
    if (m->functions[i]->calls) m->functions[i]->n_registers = m->n_registers;
  for (unsigned c = 0; c < m->n_calls; c++) {
    ptx_call *call = &m->calls[c];
    ptx_instruction *i = &m->code[call->instruction];
    if (i->op != OP_CALL) continue;
    const ptx_function *f = i->callee;
    p->now.line = i->line;
    if (!f->is_defined) {
      if (p->strict) parse_fail(p, "a call of %s, which is not in the module", f->name);
      i->op = OP_UNSUPPORTED;
      i->unsupported = "a call of a function that is not in the module";
      continue;
    }
    if (call->n_in != f->n_parameters || call->n_out != f->n_results)
      parse_fail(p, "a call of %s with other parameters", f->name);
    for (unsigned k = 0; k < call->n_in; k++) call->in[k].to = f->parameters[k].offset;
    for (unsigned k = 0; k < call->n_out; k++) call->out[k].from = f->results[k].offset;
    for (unsigned k = 0; k < call->n_in; k++)
      if (call->in[k].size != f->parameters[k].size)
        parse_fail(p, "a call of %s with parameters of other sizes", f->name);
    for (unsigned k = 0; k < call->n_out; k++)
      if (call->out[k].size != f->results[k].size)
        parse_fail(p, "a call of %s with results of other sizes", f->name);
  }
}

ptx_module *ptx_parse(const char *text, size_t n_bytes, bool strict, bool refuse_approx,
                      char error[PTX_ERROR_SIZE]) {
  ptx_module *m = calloc(1, sizeof *m);
  parser *p = calloc(1, sizeof *p);
  if (!m || !p) {
    (void)snprintf(error, PTX_ERROR_SIZE, "PTX: out of memory");
    free(m);
    free(p);
    return NULL;
  }
  m->data_align = 1;
  p->lex = (lexer){text, text + n_bytes, 1};
  p->m = m;
  p->error = error;
  p->strict = strict;
  p->refuse_approx = refuse_approx;
  if (setjmp(p->failed)) {
    ptx_module_free(p->m);
    free(p);
    return NULL;
  }
  parse_module(p);
  place_dynamic(p);
  connect_calls(p);
  m = p->m;
  free(p);
  return m;
}

void ptx_module_free(ptx_module *m) {
  if (!m) return;
  ptx_arena_free(&m->arena);
  free(m);
}

void ptx_module_place(ptx_module *m, uint64_t data_address) {
  for (unsigned i = 0; i < m->n_code; i++)
    for (unsigned k = 0; k < m->code[i].n_operands; k++) {
      ptx_operand *o = &m->code[i].operands[k];
      if (o->relocated) set_value(o, o->value + data_address);
    }
}

const ptx_function *ptx_module_kernel(const ptx_module *m, const char *name) {
  for (unsigned i = 0; i < m->n_functions; i++)
    if (m->functions[i]->is_kernel && m->functions[i]->is_defined && !strcmp(m->functions[i]->name, name))
      return m->functions[i];
  return NULL;
}

const ptx_call *ptx_module_call(const ptx_module *m, unsigned instruction) {
  for (unsigned c = 0; c < m->n_calls; c++)
    if (m->calls[c].instruction == instruction) return &m->calls[c];
  return NULL;
}
