"""
The handlers of jobs.

    jobs          reading, lists, cancel, stop
    job_creation  one job, a batch, a replay
    job_keys      jobs of which an account has one at a time
    job_changes   PATCH and run
    deciding      waiting for the owner's decision about a request
    timeline      a job's records, read back
"""
