"""
Kafka log: the log of a cluster. One topic of Apache Kafka 3.9 to 4.x; a position is an offset.

Theory of operation

    append -> AppendQueue -> Lane --- batch --> Producers (facts)     --+
                              |   --- batch --> Producers (decisions) --+--> leader of the partition
                            RecentRecords <--------- Follower, fetch, Offsets <--+
                              |
    read  <-------------------+

Writing. Two lanes per partition, one for facts and one for decisions (an append with a claim in it), each with one batch under
way. Appends that arrive meanwhile form the next batch. Kafka writes a batch as a whole, so the records of an append stand next to
each other (G2); that bounds an append to one batch, `max.message.bytes` of the topic. acks=all with min.insync.replicas makes an
acknowledged batch durable (G1); idempotence makes a batch that is sent twice stand once (G6).

Contiguous positions (G4). Offsets have gaps where a transaction ends and where compaction removed something. There are neither:
no transactional producer, cleanup.policy=delete. Every reader asserts it, record by record; a gap, a wrong checksum or a
partition that ends before a record that was known to be written is logged as an error and raised as `LogError`: the reader halts,
nobody guesses.

Nothing appears behind a reader (G3). Readers see positions below the high watermark only: what is on every replica in sync. A
leader that was just elected does not say where its partition ends until it knows (KIP-207); we ask again.

Failure (G6). aiokafka retries for ever, so every batch has a bound. Any error, and silence beyond the bound, fails the batch with
`AppendFailed` and retires the producer: after an error it would refuse everything that follows (aiokafka #1017). The batch may
still land while the old producer ends. A lane goes on only after its batch has ended one way or the other; appends that never
left the queue end with `LogUnavailable`.

Reading. Fresh records come from the partition's `RecentRecords` in this process. What others append is fetched by one request
per broker, for all partitions that somebody waits for; it waits there for up to 200 ms (Follower). A reader that is behind, or that
wants a single old record, fetches for itself. `end` shares one request per broker, sent after the call of each caller began.

Connections per process: reads, follows, facts, decisions; each has at most one to every broker.

Cost: an append is one round trip to the leader and one from there to its followers. G2 holds for the facts of a caller and for
its decisions, each; a decision may pass facts that the same caller has not seen written yet.

Not safe: a topic that others write to with transactions; DeleteRecords by anyone else; fewer than three brokers (durable then
means: on that disk, once the operating system has written it there).

Source: docs/adr/0007-kafka-client.md; KIP-98 (idempotence), KIP-207, KIP-320 (offsets after an election).
"""

from libs.log.kafka.access import KafkaAccess
from libs.log.kafka.adapter import KafkaLog

__all__ = ["KafkaAccess", "KafkaLog"]
