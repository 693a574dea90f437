"""
Following: what the services that read the log under leases and act on it share. Today these are the dispatcher and webhooks.

    service            FollowingService: serves partitions, each from the moment its lease is gained until it is lost
    partition_reader   PartitionReader: reads one partition and hands over the events that the service wants
    calls              Calls: waiting for a slot, under way, and their outcomes on the way into the log
    partition_trouble  what kind of trouble a partition has: decided by the type of the exception
    left_partitions    the partitions that this process left to a newer build
    capacity           readers wait while the service holds as much as it may
    ports              what both services need of others
"""
