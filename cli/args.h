/* args.h - table-driven command lines: a verb lists its options once; parsing and help come from the list. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stddef.h>
#include <stdint.h>

#include "cli/report.h"

typedef enum cli_option_kind {
  CLI_OPTION_FLAG,    /* bool, becomes true */
  CLI_OPTION_UNSET,   /* bool, becomes false */
  CLI_OPTION_U32,     /* uint32_t in min..max */
  CLI_OPTION_U64,     /* uint64_t in min..max */
  CLI_OPTION_REAL,    /* double in real_min..real_max */
  CLI_OPTION_STRING,  /* const char *, borrowed from argv */
  CLI_OPTION_STRINGS, /* cli_strings, repeatable */
  CLI_OPTION_CHOICE   /* uint32_t: position in `choices` ("exact|fast") */
} cli_option_kind;

#define CLI_STRINGS_MAX 16
typedef struct cli_strings {
  const char *items[CLI_STRINGS_MAX];
  size_t n;
} cli_strings;

typedef struct cli_option {
  const char *name; /* without dashes */
  char letter;      /* '\0': none */
  cli_option_kind kind;
  size_t offset;     /* of the field in the group's struct */
  const char *value; /* placeholder in the help; the choices for CLI_OPTION_CHOICE; NULL for flags */
  const char *help;  /* what it does and its default */
  uint64_t min, max;
  double real_min, real_max;
} cli_option;

/* Options that fill one struct. A group of another group's fields may appear twice with different structs. */
typedef struct cli_option_group {
  const char *title;
  const cli_option *options;
  size_t n_options;
  void *fields;
  const char **given; /* takes the name of the group's first option that was there; NULL: nobody asks */
} cli_option_group;

/* An option's help where a verb needs another than the shared one: its default differs, say. */
typedef struct cli_help {
  const char *option, *help;
} cli_help;

typedef struct cli_verb {
  const char *name;
  const char *arguments; /* "MODEL [options]" */
  const char *summary;   /* one line for the list of verbs */
  const char *details;   /* paragraphs for its own help */
  const char *examples;  /* lines, each indented by two */
  cli_exit (*run)(const struct cli_verb *verb, int argc, char **argv);
  const cli_help *helps; /* ends with an empty one; NULL: none */
  const char *surplus;   /* what to do about one positional too many, as a clause; NULL: the usage is shown */
} cli_verb;

/* What a verb accepts besides options. */
typedef struct cli_positionals {
  const char **items; /* caller's, room for `max` */
  size_t min, max, n;
} cli_positionals;

/* What --help does: it prints, unless another use is made of the same tables (reference.c). */
typedef void (*cli_help_fn)(const cli_verb *verb, const cli_option_group *groups, size_t n_groups);
void cli_set_help(cli_help_fn fn);
/* The verb's help for an option of its groups: its own, or the shared one. */
const char *cli_help_of(const cli_verb *verb, const cli_option *option);

/* argv[0] is the first argument. --help and -h print the verb's help and return CLI_HELP_SHOWN. */
WH_NODISCARD cli_exit cli_parse(const cli_verb *verb, const cli_option_group *groups, size_t n_groups,
                                int argc, char **argv, cli_positionals *positionals);

/* Fails when there are fewer positionals than `min`. Apart from cli_parse, which verify calls twice. */
WH_NODISCARD cli_exit cli_require_positionals(const cli_verb *verb, const cli_positionals *positionals);

/* The candidate nearest to `word`, NULL if none is near. */
const char *cli_closest(const char *word, const char *const *candidates, size_t n);

#define CLI_N(array) (sizeof(array) / sizeof(array)[0])

#endif
