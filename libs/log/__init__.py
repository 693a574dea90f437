"""
Log: the one ordered, partitioned log, behind a narrow port.

    port                the contract, drawn and numbered: what every adapter promises
    memory              the reference adapter: an exact log in this process, with fault injection
    postgres            the embedded log: two tables, gap-free offsets, group commit
    kafka               the log of a cluster: one topic of Apache Kafka
    server_log          shared by the adapters: a log on a server: recent records are read first; the end of a run
    appends             shared by the adapters: appends that wait for their writer
    recent_records      shared by the adapters: the newest records of a partition, and the readers that wait for more
    shared_request      shared by the adapters: one request for all callers that ask at about the same time
    growing_pauses      shared by the adapters: the pauses between the tries of one thing
    error_line          how an error is written in one line
    ends                where many partitions end, asked together
    fact_appender       appends outcomes again and again until they are in the log
    measured            a log whose appends are counted and timed for the metrics
    reported_positions  tells the log's own tools how far this process has read
    log_report          what `fliq doctor` says of a log: where it is, how large, and what is wrong with it

The conformance suite in tests/conformance is the second half of the port: an adapter exists when it passes that suite.
"""
