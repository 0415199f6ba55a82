"""Runs a module as __main__ and ends the process group as soon as whoever started it is gone.

Standard input is a pipe that the starter holds open: its end of file is the sign, however the starter died.
One byte on it says that the server is to stay.
"""

import os
import runpy
import shutil
import signal
import sys
import threading

watched = os.dup(0)
os.set_inheritable(watched, False)
null = os.open(os.devnull, os.O_RDONLY)
os.dup2(null, 0)
os.close(null)


def watch():
    if os.read(watched, 1):
        return
    group = os.getpgrp()
    if os.fork() == 0:
        # From outside of the group, so that nothing of it is left to write while its folder is removed.
        os.setsid()
        os.killpg(group, signal.SIGKILL)
        shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
        os._exit(0)


threading.Thread(target=watch, daemon=True, name="starter-watch").start()
module = sys.argv[1]
sys.argv = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
