/* foreign.h - what people type who come from other programs, and the sentence that helps them on. */
#ifndef CLI_FOREIGN_H
#define CLI_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cli_foreign {
  const char *words; /* as they are typed, separated by blanks; `_` in options counts as `-` */
  const char *verb;  /* only behind this verb; NULL: all */
  const char *own;   /* the option that does it here, without dashes, or the verb; NULL: none does */
  const char *hint;  /* what to do, as a clause; with `own` what else is to be known, or NULL */
} cli_foreign;

/* The entry of an option as typed ("-ngl", "--n_ctx=4096"); NULL: not known. */
const cli_foreign *cli_foreign_option(const char *verb, const char *arg);
/* The same of a word in a verb's place ("serve"). */
const cli_foreign *cli_foreign_verb(const char *word);

#endif
