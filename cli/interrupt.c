/* interrupt.c - see interrupt.h. */
#include "cli/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

static volatile sig_atomic_t flag;

static void on_signal(int number) {
  if (flag) _exit(128 + number);
  flag = 1;
}

void cli_interrupt_catch(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

/* The signals are blocked between the look at the flag and the wait, which lets them in again: one that comes
 * just before the wait ends it. */
bool cli_interrupt_wait_readable(int fd) {
  sigset_t held, before;
  sigemptyset(&held);
  sigaddset(&held, SIGINT);
  sigaddset(&held, SIGTERM);
  sigprocmask(SIG_BLOCK, &held, &before);
  int ready = -1;
  while (!flag && ready < 0 && fd < FD_SETSIZE) {
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    ready = pselect(fd + 1, &readable, NULL, NULL, NULL, &before);
    if (ready < 0 && errno != EINTR) break; /* the read that follows says what is wrong */
  }
  sigprocmask(SIG_SETMASK, &before, NULL);
  return !flag;
}

bool cli_interrupted(void) { return flag != 0; }

void cli_interrupt_clear(void) { flag = 0; }

cli_exit cli_fail_interrupted(void) { return cli_fail(CLI_INTERRUPTED, "interrupted"); }
