"""
Fan-out: turns what happens to jobs into jobs that tell of it, one for each endpoint.

    announcer   tells of endpoints that Fliq has disabled
    directory   a copy of all endpoints, and whether it is new enough to go by
    ports       what is read of jobs, and the positions that are saved
    fan_outs    the readers of all partitions of this process
    reader      reads a partition, and appends a job for each event and endpoint
"""
