/* main.c - the `whimbrel` program: finds the verb, prints the one error line, sets the exit code. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/foreign.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "cli/verbs.h"

static void print_usage(void) {
  printf("Whimbrel " WH_VERSION_TEXT " " CLI_PURPOSE ".\n\nusage: whimbrel VERB [arguments]\n\n");
  for (const cli_verb *const *v = cli_verbs; *v; ++v) printf("  %-9s %s\n", (*v)->name, (*v)->summary);
  printf(
      "\n`whimbrel VERB --help` explains a verb and shows examples. `whimbrel --version` prints the "
      "version.\n\n"
      "Exit codes:\n");
  for (const cli_exit_code *c = cli_exit_codes; c->meaning; ++c) printf("  %3d  %s\n", c->code, c->meaning);
}

static cli_exit fail_model_without_verb(const char *path) {
  if (cli_model_path_check(path) != CLI_OK) {
    cli_fail_append("; and a verb comes before it: `whimbrel run MODEL.gguf -p TEXT`");
    return CLI_USAGE;
  }
  return cli_fail(CLI_USAGE,
                  "a verb comes before the model: `whimbrel chat %s`, or `whimbrel run %s -p TEXT`", path,
                  path);
}

static cli_exit find_verb(const char *word, const cli_verb **out) {
  const char *names[CLI_N_VERBS];
  for (size_t i = 0; i < CLI_N(names); ++i) {
    names[i] = cli_verbs[i]->name;
    if (strcmp(word, names[i]) == 0) {
      *out = cli_verbs[i];
      return CLI_OK;
    }
  }
  const cli_foreign *foreign = cli_foreign_verb(word);
  if (foreign && foreign->own)
    return cli_fail(CLI_USAGE, "there is no verb '%s'; here it is `whimbrel %s`", word, foreign->own);
  if (foreign) return cli_fail(CLI_USAGE, "there is no verb '%s': %s", word, foreign->hint);
  if (word[0] == '-')
    return cli_fail(CLI_USAGE,
                    "a verb comes before the option %s, e.g. `whimbrel run MODEL.gguf -p TEXT`; "
                    "`whimbrel --help` lists the verbs",
                    word);
  if (cli_looks_like_model(word)) return fail_model_without_verb(word);
  const char *closest = cli_closest(word, names, CLI_N(names));
  if (closest) return cli_fail(CLI_USAGE, "there is no verb '%s'; did you mean %s?", word, closest);
  return cli_fail(CLI_USAGE, "there is no verb '%s'; `whimbrel --help` lists them", word);
}

static cli_exit dispatch(int argc, char **argv) {
  const char *word = argc > 1 ? argv[1] : NULL;
  if (!word)
    return cli_fail(
        CLI_USAGE,
        "say what to do, e.g. `whimbrel run MODEL.gguf -p \"Hello\"` or `whimbrel chat MODEL.gguf`; "
        "`whimbrel --help` lists the verbs");
  bool is_help = strcmp(word, "help") == 0;
  if (strcmp(word, "--version") == 0) {
    printf("whimbrel " WH_VERSION_TEXT "\n");
    return CLI_OK;
  }
  if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (is_help && argc == 2)) {
    print_usage();
    return CLI_OK;
  }
  const cli_verb *verb = NULL;
  CLI_TRY(find_verb(is_help ? argv[2] : word, &verb));
  char help_option[] = "--help";
  char *help_arguments[] = {help_option};
  if (is_help) return verb->run(verb, 1, help_arguments);
  return verb->run(verb, argc - 2, argv + 2);
}

/* A closed standard stream must not become the number of a file that is opened later. Read-only, so that
 * writing still fails. */
static void occupy_standard_streams(void) {
  for (int fd = 0; fd <= STDERR_FILENO; ++fd)
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF) (void)!open("/dev/null", O_RDONLY);
}

/* Shells pass on what ends the lines of a script that was written on Windows. */
static void blame_carriage_return(int argc, char **argv) {
  for (int i = 1; i < argc; ++i) {
    size_t n = strlen(argv[i]);
    if (!n || argv[i][n - 1] != '\r') continue;
    cli_fail_append(
        "; argument %d ends in a carriage return: the script that holds this command has the line ends of "
        "Windows (CR LF)",
        i);
    return;
  }
}

int main(int argc, char **argv) {
  occupy_standard_streams();
  signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error like any other */
  cli_interrupt_catch();
  cli_exit code = dispatch(argc, argv);
  if (code == CLI_HELP_SHOWN) code = CLI_OK;
  if (code == CLI_OK && (fflush(stdout) != 0 || ferror(stdout)))
    code = cli_fail(CLI_IO, "cannot write to standard output: %s", strerror(errno));
  if (code == CLI_USAGE || code == CLI_MODEL) blame_carriage_return(argc, argv);
  if (code != CLI_OK && cli_error_line()[0]) cli_print_error();
  return code;
}
