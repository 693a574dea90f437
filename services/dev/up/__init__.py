"""
Up: starts every service as a process of its own on this machine, to try out what a cluster does. `make up` runs it.

    python -m services.dev.up [--apis N] [--schedulers N] [--dispatchers N] [--webhooks N]

Reads:   FLIQ_* as the services do; the address that `make kafka-up` left in the data directory
Starts:  the embedded PostgreSQL unless FLIQ_DATABASE_URL names one, then all services; says so in a line each
Keeps:   a process that ends is started again, each time after a longer pause; after six short lives it is given up
Ends:    Ctrl-C or SIGTERM drains all processes together within 35 s, exit code 0; a second one kills them

Each log has tables of its own: those of the log in PostgreSQL are in the database `fliq`, which `make run` uses as well; those of a
log in Kafka are in a database named after brokers and topic. The log lines of a service go to `<data directory>/up/<service>.log`.
"""
