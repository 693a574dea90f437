"""
Kafka log: the log of a cluster. One topic of Apache Kafka 3.9 to 4.x; a position is an offset.

Theory of operation

    append -> AppendQueue -> PartitionWriter --- batch --> Producers (facts)     --+
                              |              --- batch --> Producers (decisions) --+--> leader of the partition
                          RecentRecords <--- Follower, fetch, PartitionBounds <----+
                              |
    read  <-------------------+

Writing. Each partition has two writers: one for facts and one for decisions (appends that carry a claim). Each has one batch
under way. Appends that arrive meanwhile form the next batch. Kafka writes a batch as a whole, so the records of an append stand
next to each other (G2). An append must therefore fit into one batch: `max.message.bytes` of the topic. acks=all with
min.insync.replicas makes an acknowledged batch durable (G1). Idempotence makes sure that a batch which is sent twice is written
once (G6).

Contiguous positions (G4). In Kafka, offsets have gaps where a transaction ends and where compaction removed a record. This
topic has neither: no transactional producer, and cleanup.policy=delete. Every reader checks it, record by record. A gap, a
wrong checksum, or a partition that ends before a record that was known to be written is logged as an error and raised as
`LogError`: the reader stops instead of guessing.

Nothing appears behind a reader (G3). Readers see only positions below the high watermark, which are on every in-sync replica. A
leader that was just elected does not say where its partition ends until it knows (KIP-207); then we ask again.

Failure (G6). aiokafka retries for ever, so we bound every batch. After any error, and after no answer within the bound, the
batch fails with `AppendFailed` and the producer is replaced: after an error it would refuse all later batches (aiokafka #1017).
The batch may still be written while the old producer closes. A writer sends the next batch only after this one has ended.
Appends that never left the queue fail with `LogUnavailable`.

Reading. New records come from the partition's `RecentRecords` in this process. Records of other processes are fetched by one
request per broker, for all partitions for which a reader waits; the broker holds that request for up to 200 ms (Follower). A
reader that is behind, or wants a single old record, fetches for itself. Concurrent callers of `end` share one request per
broker, which is sent after each of them called.

Connections per process: reads, follows, facts, decisions. Each has at most one connection to every broker.

Cost: an append is one round trip to the leader and one from there to its replicas. G2 holds for the facts of a caller, and for
its decisions, but not between the two: a decision may overtake facts for which the same caller still waits.

Not safe: transactional writers on this topic; DeleteRecords by other programs; fewer than three brokers ("durable" then means:
on that broker's disk, once the operating system has written it).

Source: docs/adr/0007-kafka-client.md; KIP-98 (idempotence), KIP-207, KIP-320 (offsets after an election).
"""

from libs.log.kafka.access import KafkaAccess
from libs.log.kafka.adapter import KafkaLog

__all__ = ["KafkaAccess", "KafkaLog"]
