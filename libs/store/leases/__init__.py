"""
Leases: which process serves which partition.

    lease_table    the rows: acquire, renew and release leases; count the members
    lease_keeper   keeps a fair share of the partitions for one role of one process: the loop
    held_leases    the leases that it holds, until when each is certain, and which go back (pure)
    shares         how many partitions one member should hold (pure)
    lease_report   leases and members for operators, and the request to drain a node
"""
