"""
Following: what the services that read the log under leases and act on it share. Today these are the dispatcher and webhooks.

    service            FollowingService: serves partitions, each from the moment its lease is gained until it is lost
    partition_reader   PartitionReader: reads one partition and hands over the events that the service wants
    snapshot_reader    SnapshotReader: the same, beginning with what is open in the tables; recalls what was left there
    calls              Calls: from the moment they are held until their outcomes are in the log
    held_calls         HeldCalls: which calls this process knows of, and which account may have more
    round_portion      RoundPortion: how many calls start in one round of the event loop
    left_calls         LeftCalls: which calls are left in the tables because a share is full
    account_turns      AccountTurns: how many pieces of costly work run at once, shared among accounts
    fair_pool          FairPool: connections to the tables, of which no account takes more than its share
    loader             Loader: fetches what a call needs, ahead of its instant or when it leaves
    partition_trouble  what kind of trouble a partition has: decided by the type of the exception
    left_partitions    the partitions that this process left to a newer build
    ports              what both services need of others
"""
