"""
Guard: runs one command, and ends it when its own standard input ends, which happens even when the parent is killed.

    python guard.py command...      exits with the command's status

A byte on its standard input is an order: K kills the command, S stops it where it is, C lets it go on. It says when that is done.
"""

import signal
import subprocess
import sys
import threading

TERM_S = 5.0
DONE = "guard: done"
ORDERS = {b"K": signal.SIGKILL, b"S": signal.SIGSTOP, b"C": signal.SIGCONT}


def main(command: list[str]) -> int:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end(*_: object) -> None:
        child.terminate()
        try:
            child.wait(TERM_S)
        except subprocess.TimeoutExpired:
            child.kill()

    def watch() -> None:
        while order := sys.stdin.buffer.read(1):
            if order in ORDERS:
                child.send_signal(ORDERS[order])
                print(DONE, flush=True)
        end()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())
    threading.Thread(target=watch, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
