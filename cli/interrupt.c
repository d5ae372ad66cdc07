/* interrupt.c - see interrupt.h. */
#include "cli/interrupt.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t flag;

static void on_signal(int number) {
  if (flag) _exit(128 + number);
  flag = 1;
}

void cli_interrupt_catch(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal; /* no SA_RESTART: read() must return */
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

bool cli_interrupted(void) { return flag != 0; }

void cli_interrupt_clear(void) { flag = 0; }

cli_exit cli_fail_interrupted(void) { return cli_fail(CLI_INTERRUPTED, "interrupted"); }
