"""
Domain: the decisions. Pure functions of state, event and time; now, jitter and ids are arguments.

    admission     which records count: facts always, decisions only under the last admitted claim
    job, schedule one transitions table each, `evolve(state, event) -> state`
    ledger        the fold of one partition: admission and evolve together, and what each record did
    obligations   what the owner owes next, and when; recovery is nothing but recomputing it
    retry, cron   when again
    tail          what a reader that decides nothing sees of a partition
    heartbeat     the job that Fliq gives itself
    instants      milliseconds since 1970, as people and other programs read them
"""
