/* args.c - see args.h. Strings are borrowed from argv; nothing is allocated. */
#include "cli/args.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/foreign.h"

#define WORD_MAX 48        /* words longer than this are not worth a suggestion */
#define CANDIDATES_MAX 128 /* options of one verb */

/* Edit distance where swapping two neighbours is one edit ("--theards"). */
static size_t edit_distance(const char *a, const char *b) {
  size_t na = strlen(a), nb = strlen(b);
  if (na > WORD_MAX || nb > WORD_MAX) return SIZE_MAX;
  size_t rows[3][WORD_MAX + 1];
  size_t *before = rows[0], *above = rows[1], *row = rows[2];
  for (size_t j = 0; j <= nb; ++j) above[j] = j;
  for (size_t i = 1; i <= na; ++i) {
    row[0] = i;
    for (size_t j = 1; j <= nb; ++j) {
      size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
      if (above[j] + 1 < best) best = above[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
        best = before[j - 2] + 1;
      row[j] = best;
    }
    size_t *spare = before;
    before = above;
    above = row;
    row = spare;
  }
  return above[nb];
}

const char *cli_closest(const char *word, const char *const *candidates, size_t n) {
  const char *closest = NULL;
  size_t limit = strlen(word) / 3 + 1, best = limit + 1;
  for (size_t i = 0; i < n; ++i) {
    size_t d = edit_distance(word, candidates[i]);
    if (d < best) best = d, closest = candidates[i];
  }
  return closest;
}

/* --- values
 * --------------------------------------------------------------------------------------------------- */

static cli_exit fail_number(const cli_option *option, const char *text) {
  if (option->kind == CLI_OPTION_REAL)
    return cli_fail(CLI_USAGE, "--%s takes a number from %g to %g, not '%s'", option->name, option->real_min,
                    option->real_max, text);
  return cli_fail(CLI_USAGE, "--%s takes a whole number from %" PRIu64 " to %" PRIu64 ", not '%s'",
                  option->name, option->min, option->max, text);
}

static cli_exit parse_whole(const cli_option *option, const char *text, uint64_t *out) {
  if (!isdigit((unsigned char)text[0])) return fail_number(option, text);
  char *end = NULL;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (errno || *end || value < option->min || value > option->max) return fail_number(option, text);
  *out = value;
  return CLI_OK;
}

static cli_exit parse_real(const cli_option *option, const char *text, double *out) {
  char *end = NULL;
  double value = strtod(text, &end);
  if (end == text || *end || isspace((unsigned char)text[0]) || !isfinite(value) ||
      value < option->real_min || value > option->real_max)
    return fail_number(option, text);
  *out = value;
  return CLI_OK;
}

static cli_exit parse_choice(const cli_option *option, const char *text, uint32_t *out) {
  size_t length = strlen(text);
  uint32_t index = 0;
  for (const char *choice = option->value; *choice; ++index) {
    size_t n = strcspn(choice, "|");
    if (n == length && memcmp(choice, text, n) == 0) {
      *out = index;
      return CLI_OK;
    }
    choice += n + (choice[n] == '|');
  }
  return cli_fail(CLI_USAGE, "--%s takes %s, not '%s'", option->name, option->value, text);
}

static cli_exit store(const cli_option *option, void *fields, const char *text) {
  char *field = (char *)fields + option->offset;
  uint64_t whole = 0;
  switch (option->kind) {
    case CLI_OPTION_FLAG:
      *(bool *)(void *)field = true;
      return CLI_OK;
    case CLI_OPTION_UNSET:
      *(bool *)(void *)field = false;
      return CLI_OK;
    case CLI_OPTION_U32:
      CLI_TRY(parse_whole(option, text, &whole));
      *(uint32_t *)(void *)field = (uint32_t)whole;
      return CLI_OK;
    case CLI_OPTION_U64:
      return parse_whole(option, text, (uint64_t *)(void *)field);
    case CLI_OPTION_REAL:
      return parse_real(option, text, (double *)(void *)field);
    case CLI_OPTION_STRING:
      *(const char **)(void *)field = text;
      return CLI_OK;
    case CLI_OPTION_CHOICE:
      return parse_choice(option, text, (uint32_t *)(void *)field);
    case CLI_OPTION_STRINGS: {
      cli_strings *strings = (cli_strings *)(void *)field;
      if (strings->n == CLI_STRINGS_MAX)
        return cli_fail(CLI_USAGE, "--%s may be given at most %d times", option->name, CLI_STRINGS_MAX);
      strings->items[strings->n++] = text;
      return CLI_OK;
    }
  }
  return cli_fail(CLI_INTERNAL, "option --%s has no kind", option->name);
}

static bool takes_value(const cli_option *option) {
  return option->kind != CLI_OPTION_FLAG && option->kind != CLI_OPTION_UNSET;
}

/* --- help
 * ----------------------------------------------------------------------------------------------------- */

const char *cli_help_of(const cli_verb *verb, const cli_option *option) {
  for (const cli_help *h = verb->helps; h && h->option; ++h)
    if (strcmp(h->option, option->name) == 0) return h->help;
  return option->help;
}

static void print_option(const cli_verb *verb, const cli_option *option) {
  char left[64];
  char letter[8] = "    ";
  if (option->letter) snprintf(letter, sizeof letter, "-%c, ", option->letter);
  snprintf(left, sizeof left, "%s--%s%s%s", letter, option->name, option->value ? " " : "",
           option->value ? option->value : "");
  const char *gap = strlen(left) > 26 ? "\n" : "";
  printf("  %-27s%s", left, gap);
  if (*gap) printf("%-29s", "");
  /* A newline in the text continues in the same column. */
  for (const char *p = cli_help_of(verb, option); *p; ++p) {
    putchar(*p);
    if (*p == '\n') printf("%-29s", "");
  }
  putchar('\n');
}

static void print_help(const cli_verb *verb, const cli_option_group *groups, size_t n_groups) {
  printf("usage: whimbrel %s %s\n\n%s\n", verb->name, verb->arguments, verb->details);
  if (strstr(verb->arguments, "MODEL"))
    printf(
        "MODEL is the path of a .gguf file; of a split model, that of the first file. `run`, `inspect`,\n"
        "`bench`, `verify` and `quantize` take .onnx files, too.\n");
  for (size_t g = 0; g < n_groups; ++g) {
    printf("\n%s:\n", groups[g].title);
    for (size_t i = 0; i < groups[g].n_options; ++i) print_option(verb, &groups[g].options[i]);
    if (g + 1 == n_groups) printf("  %-27s%s\n", "-h, --help", "This text.");
  }
  printf("\nExamples:\n%s\n", verb->examples);
}

/* --- parsing
 * -------------------------------------------------------------------------------------------------- */

typedef struct found_option {
  const cli_option *option;
  const cli_option_group *group;
} found_option;

static found_option find_option(const cli_option_group *groups, size_t n_groups, const char *name,
                                size_t length, char letter) {
  for (size_t g = 0; g < n_groups; ++g)
    for (size_t i = 0; i < groups[g].n_options; ++i) {
      const cli_option *o = &groups[g].options[i];
      bool match = name ? strlen(o->name) == length && memcmp(o->name, name, length) == 0
                        : o->letter == letter && letter != '\0';
      if (match) return (found_option){o, &groups[g]};
    }
  return (found_option){NULL, NULL};
}

/* What another program calls `arg`; NULL where that helps nobody: the verb lacks its own option for it, too.
 */
static const cli_foreign *find_foreign(const cli_verb *verb, const cli_option_group *groups, size_t n_groups,
                                       const char *arg) {
  const cli_foreign *f = cli_foreign_option(verb->name, arg);
  if (!f || !f->own) return f;
  return find_option(groups, n_groups, f->own, strlen(f->own), '\0').option ? f : NULL;
}

static cli_help_fn show_help = print_help;
void cli_set_help(cli_help_fn fn) { show_help = fn; }

static cli_exit fail_foreign(const cli_verb *verb, const cli_foreign *f, const char *arg) {
  int n = (int)strcspn(arg, "=");
  if (!f->own) return cli_fail(CLI_USAGE, "%s has no option %.*s: %s", verb->name, n, arg, f->hint);
  return cli_fail(CLI_USAGE, "%s has no option %.*s: here it is --%s%s%s", verb->name, n, arg, f->own,
                  f->hint ? ", " : "", f->hint ? f->hint : "");
}

static cli_exit fail_unknown(const cli_verb *verb, const cli_option_group *groups, size_t n_groups,
                             const char *arg) {
  const cli_foreign *foreign = find_foreign(verb, groups, n_groups, arg);
  if (foreign) return fail_foreign(verb, foreign, arg);
  char word[WORD_MAX + 2] = "";
  const char *name = arg + (arg[0] == '-') + (arg[0] == '-' && arg[1] == '-');
  snprintf(word, sizeof word, "%.*s", (int)strcspn(name, "="), name);
  const char *names[CANDIDATES_MAX];
  size_t n = 0;
  for (size_t g = 0; g < n_groups; ++g)
    for (size_t i = 0; i < groups[g].n_options && n < CANDIDATES_MAX; ++i)
      names[n++] = groups[g].options[i].name;
  const char *closest = strlen(word) > 1 ? cli_closest(word, names, n) : NULL;
  if (closest)
    return cli_fail(CLI_USAGE, "%s has no option %.*s; did you mean --%s?", verb->name, WORD_MAX, arg,
                    closest);
  return cli_fail(CLI_USAGE, "%s has no option %.*s; `whimbrel %s --help` lists them", verb->name, WORD_MAX,
                  arg, verb->name);
}

/* Parses the option at argv[*i] and moves *i past what it used. */
static cli_exit parse_option(const cli_verb *verb, const cli_option_group *groups, size_t n_groups, int argc,
                             char **argv, int *i) {
  const char *arg = argv[*i];
  bool is_long = arg[1] == '-';
  const char *value = NULL;
  found_option found;
  if (is_long) {
    size_t length = strcspn(arg + 2, "=");
    if (arg[2 + length] == '=') value = arg + 2 + length + 1;
    found = find_option(groups, n_groups, arg + 2, length, '\0');
  } else {
    /* "-ngl" would be -n with the value "gl". */
    const cli_foreign *foreign = arg[2] ? find_foreign(verb, groups, n_groups, arg) : NULL;
    if (foreign) return fail_foreign(verb, foreign, arg);
    found = find_option(groups, n_groups, NULL, 0, arg[1]);
    if (arg[2]) value = arg + 2;
  }
  if (!found.option) return fail_unknown(verb, groups, n_groups, arg);
  if (!takes_value(found.option)) {
    if (value) return cli_fail(CLI_USAGE, "--%s takes no value", found.option->name);
  } else if (!value) {
    if (*i + 1 >= argc)
      return cli_fail(CLI_USAGE, "--%s needs a value (%s)", found.option->name, found.option->value);
    value = argv[++*i];
  }
  ++*i;
  if (found.group->given && !*found.group->given) *found.group->given = found.option->name;
  return store(found.option, found.group->fields, value);
}

static cli_exit fail_surplus(const cli_verb *verb, const char *arg) {
  if (verb->surplus)
    return cli_fail(CLI_USAGE, "%s does not know what to do with '%s'; %s", verb->name, arg, verb->surplus);
  return cli_fail(CLI_USAGE, "%s does not know what to do with '%s'; usage: whimbrel %s %s", verb->name, arg,
                  verb->name, verb->arguments);
}

cli_exit cli_parse(const cli_verb *verb, const cli_option_group *groups, size_t n_groups, int argc,
                   char **argv, cli_positionals *positionals) {
  bool only_positionals = false;
  for (int i = 0; i < argc;) {
    const char *arg = argv[i];
    bool is_option = !only_positionals && arg[0] == '-' && arg[1] != '\0';
    if (is_option && strcmp(arg, "--") == 0) {
      only_positionals = true;
      ++i;
    } else if (is_option && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
      show_help(verb, groups, n_groups);
      return CLI_HELP_SHOWN;
    } else if (is_option) {
      CLI_TRY(parse_option(verb, groups, n_groups, argc, argv, &i));
    } else if (positionals->n == positionals->max) {
      CLI_TRY(fail_surplus(verb, arg));
    } else {
      positionals->items[positionals->n++] = arg;
      ++i;
    }
  }
  return CLI_OK;
}

cli_exit cli_require_positionals(const cli_verb *verb, const cli_positionals *positionals) {
  if (positionals->n >= positionals->min) return CLI_OK;
  return cli_fail(CLI_USAGE, "%s needs the path of a model file (.gguf): whimbrel %s %s", verb->name,
                  verb->name, verb->arguments);
}
