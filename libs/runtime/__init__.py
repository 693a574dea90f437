"""
Runtime: what every process needs, whatever it does.

    settings/            every FLIQ_* variable, and the settings of this process
    telemetry/           log lines, metrics, traces
    embedded_postgres/   the PostgreSQL server that Fliq brings along
    admin_port/          what has to hold for a process to be ready, and the server that says so
    clock, alarm, pace   the time, one wake-up at an instant, and a least time between two rounds of a loop
    zone_data            the time zones, as the tzdata package has them
    lifecycle, roles     services started in order and stopped in the reverse; the names of the roles
    curves               which key exchanges TLS offers
    node, lockfile       the name of this process among the others, and the locks that keep it
    healthcheck          the command that asks the admin port
    garbage, crashpoint  Python's garbage collector; places where a test kills the process

It knows nothing of jobs and imports no other room of libs; every other room may import it.
"""
