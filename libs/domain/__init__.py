"""
Domain: what Fliq decides. Pure functions of state, event and time: now, jitter and ids are arguments.

    admission       which records count: facts always, decisions only under the last admitted claim
    job, schedule   the kinds of state: `evolve(state, event) -> state`, and what the owner owes it
    jobs/, schedules/  their parts: fields of the state, statuses and transitions, decisions
    state_kind      what a kind of state declares
    state_registry  all kinds of state, which of them each event changes, and what the owner owes a state next, and when
    ledger          the fold of one partition: admission and evolve together, and what each record did
    retry_policy    which failures are tried again, and when (back-off)
    calendar/       when a schedule ticks: crons, time zones, intervals
    endpoints/      which events webhook endpoints are sent, and how
    responses/      what is kept of the answers of targets, and what is taken out
    history/        which ended jobs are forgotten
    fair_shares, token_bucket  what an account may hold of what all share, and how often it may do something
    reader_fold     what a reader that decides nothing sees of a partition
    heartbeat       the job that Fliq gives itself
    instants        milliseconds since 1970, as people and other programs read them
"""
