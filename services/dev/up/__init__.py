"""
Up: every service as a process of its own on this machine, for trying what a cluster does. `make up` runs it.

    python -m services.dev.up [--apis N] [--schedulers N] [--dispatchers N] [--webhooks N]

Reads:   FLIQ_* as the services do; the address that `make kafka-up` left in the data directory
Starts:  the embedded PostgreSQL unless FLIQ_DATABASE_URL names one, then all services; says so in a line each
Keeps:   a process that ends is started again, later each time; one that never gets ready six times in a row is given up
Ends:    Ctrl-C or SIGTERM drains all processes together within 35 s, exit code 0; a second one kills them

Each log has tables of its own: the log in PostgreSQL lies in the database `fliq` that `make run` uses as well, the tables of a
log in Kafka in a database named after brokers and topic. What a service has to say goes to `<data directory>/up/<service>.log`.
"""
