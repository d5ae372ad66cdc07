/* reference.c - a program of the build: writes the man page, or a shell's completions, from the tables that
 * --help prints. usage: whimbrel_reference man|bash|zsh|fish FILE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verbs.h"

#define GROUPS_MAX 16

typedef struct verb_reference {
  const cli_verb *verb;
  cli_option_group groups[GROUPS_MAX]; /* of static options */
  size_t n_groups;
} verb_reference;

static verb_reference references[CLI_N_VERBS];
static verb_reference *current;

static void keep_groups(const cli_verb *verb, const cli_option_group *groups, size_t n_groups) {
  if (n_groups > GROUPS_MAX) abort();
  current->verb = verb;
  memcpy(current->groups, groups, n_groups * sizeof *groups);
  current->n_groups = n_groups;
}

/* Each verb is asked for its help. */
static void gather(void) {
  char help[] = "--help";
  char *arguments[] = {help};
  cli_set_help(keep_groups);
  for (size_t i = 0; i < CLI_N_VERBS; ++i) {
    current = &references[i];
    if (cli_verbs[i]->run(cli_verbs[i], 1, arguments) != CLI_HELP_SHOWN || current->verb != cli_verbs[i])
      abort();
  }
}

typedef void (*option_fn)(FILE *f, const cli_verb *verb, const cli_option *option);

static void for_options(FILE *f, const verb_reference *r, option_fn fn) {
  for (size_t g = 0; g < r->n_groups; ++g)
    for (size_t i = 0; i < r->groups[g].n_options; ++i) fn(f, r->verb, &r->groups[g].options[i]);
}

static bool takes_value(const cli_option *o) { return o->value != NULL; }
static bool is_folder(const cli_option *o) { return takes_value(o) && strcmp(o->value, "DIR") == 0; }
static bool is_file(const cli_option *o) {
  return takes_value(o) && (strcmp(o->value, "FILE") == 0 || strcmp(o->value, "MODEL") == 0);
}

/* ---- the man page ---- */

/* Text as roff has it; newlines of the tables break lines for --help, two of them a paragraph. */
static void put_roff(FILE *f, const char *text, bool keep_lines) {
  bool at_start = true;
  for (const char *p = text; *p; ++p) {
    if (at_start && (*p == '.' || *p == '\'')) fputs("\\&", f);
    at_start = false;
    if (*p == '\n' && p[1] == '\n' && !keep_lines) {
      fputs("\n.PP\n", f);
      ++p;
      at_start = true;
    } else if (*p == '\n') {
      fputc('\n', f);
      at_start = true;
    } else if (*p == '-') {
      fputs("\\-", f);
    } else if (*p == '\\') {
      fputs("\\e", f);
    } else {
      fputc(*p, f);
    }
  }
  fputc('\n', f);
}

static void put_man_option(FILE *f, const cli_verb *verb, const cli_option *o) {
  fputs(".TP\n\\fB", f);
  if (o->letter) fprintf(f, "\\-%c\\fR, \\fB", o->letter);
  fputs("\\-\\-", f);
  for (const char *p = o->name; *p; ++p) fprintf(f, "%s%c", *p == '-' ? "\\" : "", *p);
  fputs("\\fR", f);
  if (takes_value(o)) fprintf(f, " \\fI%s\\fR", o->value);
  fputc('\n', f);
  put_roff(f, cli_help_of(verb, o), false);
}

/* How many verbs have the group. */
static size_t n_users(const cli_option_group *group) {
  size_t n = 0;
  for (size_t v = 0; v < CLI_N_VERBS; ++v)
    for (size_t g = 0; g < references[v].n_groups; ++g) {
      const cli_option_group *other = &references[v].groups[g];
      if (other->options == group->options && other->n_options == group->n_options) {
        ++n;
        break;
      }
    }
  return n;
}

static bool seen_before(size_t verb, size_t group) {
  const cli_option_group *g = &references[verb].groups[group];
  for (size_t v = 0; v <= verb; ++v)
    for (size_t i = 0; i < (v == verb ? group : references[v].n_groups); ++i)
      if (references[v].groups[i].options == g->options && references[v].groups[i].n_options == g->n_options)
        return true;
  return false;
}

/* Groups that several verbs share stand once, behind the verbs; here are what a verb says of them otherwise.
 */
static void put_man_verb(FILE *f, const verb_reference *r) {
  const cli_verb *verb = r->verb;
  const char *between = "Also has the options of these groups, below: ";
  fprintf(f, ".SS %s\n\\fBwhimbrel %s\\fR ", verb->name, verb->name);
  put_roff(f, verb->arguments, false);
  fputs(".PP\n", f);
  put_roff(f, verb->details, false);
  for (size_t g = 0; g < r->n_groups; ++g) {
    const cli_option_group *group = &r->groups[g];
    for (size_t i = 0; i < group->n_options; ++i)
      if (n_users(group) == 1 || cli_help_of(verb, &group->options[i]) != group->options[i].help)
        put_man_option(f, verb, &group->options[i]);
  }
  fputs(".PP\n", f);
  for (size_t g = 0; g < r->n_groups; ++g) {
    if (n_users(&r->groups[g]) == 1) continue;
    fprintf(f, "%s\\fB%s\\fR", between, r->groups[g].title);
    between = ", ";
  }
  fputs(between[0] == ',' ? ".\n.PP\n.EX\n" : ".EX\n", f);
  put_roff(f, verb->examples, true);
  fputs(".EE\n", f);
}

static void write_man(FILE *f) {
  fputs(
      ".\\\" Written by whimbrel_reference from the tables of `whimbrel VERB --help`.\n"
      ".TH WHIMBREL 1 \"\" \"Whimbrel " WH_VERSION_TEXT
      "\" \"User Commands\"\n"
      ".SH NAME\nwhimbrel \\- " CLI_PURPOSE
      "\n"
      ".SH SYNOPSIS\n\\fBwhimbrel\\fR \\fIVERB\\fR [\\fIarguments\\fR]\n.br\n"
      "\\fBwhimbrel\\fR \\fIVERB\\fR \\fB\\-\\-help\\fR\n.br\n\\fBwhimbrel \\-\\-version\\fR\n"
      ".SH DESCRIPTION\nEach verb explains itself and shows examples with \\fB\\-\\-help\\fR or "
      "\\fB\\-h\\fR. "
      "\\fIMODEL\\fR is the path of a .gguf file; of a split model, that of the first file. run, inspect, "
      "bench, verify "
      "and quantize take .onnx files, too.\n",
      f);
  for (size_t i = 0; i < CLI_N_VERBS; ++i) {
    fprintf(f, ".TP\n\\fB%s\\fR\n", cli_verbs[i]->name);
    put_roff(f, cli_verbs[i]->summary, false);
  }
  fputs(".SH VERBS\n", f);
  for (size_t i = 0; i < CLI_N_VERBS; ++i) put_man_verb(f, &references[i]);
  fputs(".SH OPTIONS OF SEVERAL VERBS\n", f);
  for (size_t v = 0; v < CLI_N_VERBS; ++v)
    for (size_t g = 0; g < references[v].n_groups; ++g) {
      const cli_option_group *group = &references[v].groups[g];
      const cli_verb plain = {.name = ""};
      if (n_users(group) == 1 || seen_before(v, g)) continue;
      fprintf(f, ".SS %s\n", group->title);
      for (size_t i = 0; i < group->n_options; ++i) put_man_option(f, &plain, &group->options[i]);
    }
  fputs(".SH EXIT STATUS\n", f);
  for (const cli_exit_code *c = cli_exit_codes; c->meaning; ++c) {
    fprintf(f, ".TP\n\\fB%d\\fR\n", c->code);
    put_roff(f, c->meaning, false);
  }
}

/* ---- completions ---- */

/* The beginning of an option's help, up to its default or the first aside, without what a shell would read.
 */
static void put_hint(FILE *f, const char *help) {
  size_t n = strcspn(help, "(;");
  const char *stop = strstr(help, ". ");
  if (stop && (size_t)(stop - help) < n) n = (size_t)(stop - help);
  while (n && (help[n - 1] == ' ' || help[n - 1] == '\n' || help[n - 1] == '.')) --n;
  for (size_t i = 0; i < n; ++i) {
    if (help[i] == '\n')
      fputc(' ', f);
    else if (!strchr("'\"[]`$\\", help[i]))
      fputc(help[i], f);
  }
}

static void put_choices(FILE *f, const cli_option *o) {
  for (const char *p = o->value; *p; ++p) fputc(*p == '|' ? ' ' : *p, f);
}

static void put_bash_name(FILE *f, const cli_verb *verb, const cli_option *o) {
  (void)verb;
  fprintf(f, " --%s", o->name);
  if (o->letter) fprintf(f, " -%c", o->letter);
}

static void put_bash_value(FILE *f, const cli_verb *verb, const cli_option *o) {
  if (!takes_value(o)) return;
  fprintf(f, "    %s:--%s", verb->name, o->name);
  if (o->letter) fprintf(f, " | %s:-%c", verb->name, o->letter);
  fputs(") ", f);
  if (o->kind == CLI_OPTION_CHOICE) {
    fputs("mapfile -t COMPREPLY < <(compgen -W '", f);
    put_choices(f, o);
    fputs("' -- \"$cur\"); ", f);
  } else if (is_folder(o)) {
    fputs("compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"); ", f);
  } else if (is_file(o)) {
    fputs("compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); ", f);
  }
  fputs("return ;;\n", f);
}

static void write_bash(FILE *f) {
  fputs(
      "# bash completion of whimbrel, written by whimbrel_reference from the tables of --help\n"
      "_whimbrel() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} options\n"
      "  COMPREPLY=()\n"
      "  if [[ $COMP_CWORD -eq 1 ]]; then\n    mapfile -t COMPREPLY < <(compgen -W 'help --help --version",
      f);
  for (size_t i = 0; i < CLI_N_VERBS; ++i) fprintf(f, " %s", cli_verbs[i]->name);
  fputs(
      "' -- \"$cur\")\n    return\n  fi\n"
      "  if [[ $cur == = ]]; then\n    cur=\n"
      "  elif [[ $prev == = ]]; then\n    prev=${COMP_WORDS[COMP_CWORD-2]}\n  fi\n"
      "  case $verb:$prev in\n",
      f);
  for (size_t i = 0; i < CLI_N_VERBS; ++i) for_options(f, &references[i], put_bash_value);
  fputs("  esac\n  case $verb in\n    help) options='", f);
  for (size_t i = 0; i < CLI_N_VERBS; ++i) fprintf(f, "%s%s", i ? " " : "", cli_verbs[i]->name);
  fputs("' ;;\n", f);
  for (size_t i = 0; i < CLI_N_VERBS; ++i) {
    fprintf(f, "    %s) options='--help -h", cli_verbs[i]->name);
    for_options(f, &references[i], put_bash_name);
    fputs("' ;;\n", f);
  }
  fputs(
      "  esac\n"
      "  if [[ $cur == -* || $verb == help ]]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")\n"
      "  else\n"
      "    compopt -o filenames\n"
      "    mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"; compgen -f -X '!*.gguf' -- \"$cur\")\n"
      "  fi\n"
      "}\ncomplete -F _whimbrel whimbrel\n",
      f);
}

static void put_zsh_option(FILE *f, const cli_verb *verb, const cli_option *o) {
  fputs(" \\\n        '", f);
  if (o->kind == CLI_OPTION_STRINGS) fputc('*', f);
  if (o->letter)
    fprintf(f, "(-%c --%s)'{-%c%s,--%s%s}'", o->letter, o->name, o->letter, takes_value(o) ? "+" : "",
            o->name, takes_value(o) ? "=" : "");
  if (!o->letter) fprintf(f, "--%s%s", o->name, takes_value(o) ? "=" : "");
  fputc('[', f);
  put_hint(f, cli_help_of(verb, o));
  fputc(']', f);
  if (o->kind == CLI_OPTION_CHOICE) {
    fputs(":value:(", f);
    put_choices(f, o);
    fputc(')', f);
  } else if (takes_value(o)) {
    fprintf(f, ":%s:%s", o->value, is_folder(o) ? "_files -/" : is_file(o) ? "_files" : " ");
  }
  fputc('\'', f);
}

static void write_zsh(FILE *f) {
  fputs(
      "#compdef whimbrel\n# written by whimbrel_reference from the tables of --help\n"
      "_whimbrel() {\n  local -a verbs\n  verbs=(\n",
      f);
  for (size_t i = 0; i < CLI_N_VERBS; ++i) {
    fprintf(f, "    '%s:", cli_verbs[i]->name);
    put_hint(f, cli_verbs[i]->summary);
    fputs("'\n", f);
  }
  fputs(
      "    'help:Explain a verb'\n  )\n"
      "  if (( CURRENT == 2 )); then\n    _describe verb verbs\n    return\n  fi\n"
      "  local verb=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $verb in\n"
      "    help) _describe verb verbs ;;\n",
      f);
  for (size_t i = 0; i < CLI_N_VERBS; ++i) {
    fprintf(f, "    %s)\n      _arguments -s '(-h --help)'{-h,--help}'[Show the help]'", cli_verbs[i]->name);
    for_options(f, &references[i], put_zsh_option);
    if (strstr(cli_verbs[i]->arguments, "MODEL")) fputs(" \\\n        '*:model:_files -g \"*.gguf(-.)\"'", f);
    fputs(" ;;\n", f);
  }
  fputs("  esac\n}\n_whimbrel \"$@\"\n", f);
}

static void put_fish_option(FILE *f, const cli_verb *verb, const cli_option *o) {
  fprintf(f, "complete -c whimbrel -n '__fish_seen_subcommand_from %s' -l %s", verb->name, o->name);
  if (o->letter) fprintf(f, " -s %c", o->letter);
  if (o->kind == CLI_OPTION_CHOICE) {
    fputs(" -x -a '", f);
    put_choices(f, o);
    fputc('\'', f);
  } else if (is_folder(o)) {
    fputs(" -x -a '(__fish_complete_directories)'", f);
  } else if (takes_value(o)) {
    fputs(is_file(o) ? " -r -F" : " -x", f);
  }
  fputs(" -d '", f);
  put_hint(f, cli_help_of(verb, o));
  fputs("'\n", f);
}

static void write_fish(FILE *f) {
  fputs(
      "# fish completion of whimbrel, written by whimbrel_reference from the tables of --help\n"
      "complete -c whimbrel -n __fish_use_subcommand -f -l help -s h -d 'Show the help'\n"
      "complete -c whimbrel -n __fish_use_subcommand -f -l version -d 'Print the version'\n"
      "complete -c whimbrel -n __fish_use_subcommand -f -a help -d 'Explain a verb'\n",
      f);
  for (size_t i = 0; i < CLI_N_VERBS; ++i) {
    fprintf(f, "complete -c whimbrel -n __fish_use_subcommand -f -a %s -d '", cli_verbs[i]->name);
    put_hint(f, cli_verbs[i]->summary);
    fprintf(f,
            "'\ncomplete -c whimbrel -n '__fish_seen_subcommand_from %s' -l help -s h -d 'Show the help'\n",
            cli_verbs[i]->name);
    for_options(f, &references[i], put_fish_option);
  }
}

int main(int argc, char **argv) {
  static const struct {
    const char *kind;
    void (*write)(FILE *f);
  } kinds[] = {{"man", write_man}, {"bash", write_bash}, {"zsh", write_zsh}, {"fish", write_fish}};
  gather();
  for (size_t i = 0; argc == 3 && i < CLI_N(kinds); ++i) {
    if (strcmp(argv[1], kinds[i].kind) != 0) continue;
    FILE *f = fopen(argv[2], "w");
    if (f) kinds[i].write(f);
    if (f && !ferror(f) && fclose(f) == 0) return 0;
    fprintf(stderr, "whimbrel_reference: cannot write %s\n", argv[2]);
    return 1;
  }
  fprintf(stderr, "usage: whimbrel_reference man|bash|zsh|fish FILE\n");
  return 2;
}
