/* parse_internal.h - what parse.c and decode.c share: the state of one parse.
 *
 * An error leaves by longjmp: everything allocated is in the module's arena, which ptx_parse frees. */
#ifndef PTXEMU_PARSE_INTERNAL_H
#define PTXEMU_PARSE_INTERNAL_H

#include <setjmp.h>

#include "backends/cuda/ptxemu/lexer.h"
#include "backends/cuda/ptxemu/ptx.h"

typedef enum { SYMBOL_REGISTERS, SYMBOL_VARIABLE } symbol_kind;

/* A name, or for registers of `.reg .b32 %r<5>` a prefix and how many; n = 0: exactly this name. */
typedef struct {
  const char *name;
  size_t length;
  symbol_kind kind;
  unsigned count;
  int32_t first;
  bool wide; /* registers of 64 bits */
  ptx_space space;
  uint64_t offset, size;
  bool dynamic;
} symbol;

typedef struct {
  const char *name;
  size_t length;
  unsigned at;
} label;

typedef struct {
  lexer lex;
  token now; /* the token that is looked at */
  ptx_module *m;
  ptx_function *f; /* whose body it is in, or NULL */
  bool strict, refuse_approx;
  bool has_unknown_special; /* of the instruction that is parsed */
  char *error;
  jmp_buf failed;
  symbol *symbols;
  unsigned n_symbols, cap_symbols;
  label *labels, *jumps; /* of the function: where they are; who jumps to them */
  unsigned n_labels, cap_labels, n_jumps, cap_jumps;
  uint64_t module_shared;
  unsigned n_registers, callee_registers; /* numbers given; those of functions that are called come first */
} parser;

_Noreturn void parse_fail(parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *parse_alloc(parser *p, size_t n, size_t size);
/* Room for one more item of an array in the arena. */
void *parse_grow(parser *p, void *items, unsigned n, unsigned *capacity, size_t size);
void parse_next(parser *p);
bool parse_accept(parser *p, char c);
void parse_expect(parser *p, char c);
const char *parse_copy(parser *p, const char *at, size_t n);
const symbol *parse_symbol(parser *p, const char *name, size_t n, int32_t *reg);
bool parse_type(const char *name, size_t n, ptx_type *t);

/* decode_hopper.c: what sm_90a adds. */
bool decode_is_hopper(const ptx_instruction *i);
bool decode_hopper_part(ptx_instruction *i, const char *part);
const char *decode_why_not_hopper(const ptx_instruction *i, unsigned n_types, const ptx_type t[4]);

/* At the mnemonic: the instruction to its ';'. Adds it to the module's code. */
void parse_instruction(parser *p, int32_t predicate, bool negated, const char *text);

#endif
