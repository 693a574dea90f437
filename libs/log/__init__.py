"""
Log: the one ordered, partitioned log, behind a narrow port.

    port       the contract, drawn and numbered; what every adapter promises
    memory     the reference: an exact, in-process log with fault injection
    postgres   the embedded log: two tables, gap-free offsets, group commit
    kafka      the log of a cluster: one topic of Apache Kafka
    appends, recent      what adapters share: appends that wait, and the newest records with those who wait for more
    facts              outcomes appended until they are in
    measured, shown    what the metrics and the log's own tools see of it
    ends               where all partitions end, asked at once
    trouble            what an operator should know of a log

The conformance suite in tests/conformance is the port's second half: an adapter exists when it passes it.
"""
