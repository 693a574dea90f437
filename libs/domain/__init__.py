"""
Domain: what Fliq decides. Pure functions of state, event and time: now, jitter and ids are arguments.

    admission       which records count: facts always, decisions only under the last admitted claim
    job, schedule   the kinds of state: a transitions table, `evolve(state, event) -> state`, and what the owner owes it
    state_kind      what a kind of state declares
    state_registry  all kinds of state, which of them each event changes, and what the owner owes a state next, and when
    ledger          the fold of one partition: admission and evolve together, and what each record did
    retry           when a job is tried again
    calendar/       when a schedule ticks: crons, time zones, intervals
    reader_fold     what a reader that decides nothing sees of a partition
    heartbeat       the job that Fliq gives itself
    instants        milliseconds since 1970, as people and other programs read them
"""
