"""Starts a program with sockets that are open already, as systemd does.

    activate.py FD,FD,... COMMAND
"""

import fcntl
import os
import sys

# Away from where they are to be, so that none is overwritten before its turn.
passed = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 64) for fd in sys.argv[1].split(",")]
for place, descriptor in enumerate(passed, 3):
    os.dup2(descriptor, place)
    os.close(descriptor)
os.environ["LISTEN_FDS"] = str(len(passed))
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
