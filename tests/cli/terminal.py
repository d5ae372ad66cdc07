"""terminal.py - the program at a pseudo-terminal, line by line."""

import os
import pty
import re
import select
import time

import program


def talk(arguments, lines=(), ready=r"> $", seconds=60):
    """Types each line once `ready` is shown; (exit code, all that was shown)."""
    pid, master = pty.fork()
    if pid == 0:
        os.execv(program.WHIMBREL, [program.WHIMBREL, *map(str, arguments)])
    shown, seen, left, deadline = "", 0, list(lines), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if left and re.search(ready, shown[seen:]):
            seen = len(shown)
            for piece in re.findall(r".{1,400}", left.pop(0)):  # a terminal takes 4096 bytes of a line
                os.write(master, piece.encode())
                time.sleep(0.01)
            os.write(master, b"\n")
        if select.select([master], [], [], 0.1)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            shown += data.decode("utf-8", "replace")
    else:
        os.kill(pid, 9)
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown
