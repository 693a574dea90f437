"""
Dev server: `fliq dev`, a Fliq for the time in which somebody writes an application.

It is `fliq all` on a database that lasts as long as the process, with a token that is always the same, and with routes below `/dev`
that no other Fliq has: what was called, what targets answer, and, with `--virtual-clock`, what time it is.

    run.py             puts it together
    virtual_clock.py   stands still until it is moved
    advance.py         moves it from one thing that is due to the next, and waits in between until all is done
    recorded_egress.py keeps the calls, and answers for targets that are not there
    routes.py          the routes below /dev

No service knows of it: they are given another clock and another way out (`Basis` in services/process/resources.py).
"""
