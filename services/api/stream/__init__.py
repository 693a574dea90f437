"""
Stream: what happens to an account's jobs and schedules, told as it happens (`GET /v1/events`).

    log ──▶ tail (one for all streams of the process; runs while somebody listens) ──▶ recent events ──▶ streams
    log ──▶ catching up (a stream that is further behind) ───────────────────────────────────────────▶ that stream
"""
