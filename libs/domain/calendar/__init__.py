"""
Calendar: when a schedule ticks. Pure: the clock is an argument, and so is the table of each time zone.

    cron_text     reads a cron expression; two grammars, that of the API's `cron` and a larger one
    cron          which wall minutes a cron names
    zones         what a clock on the wall shows at an instant, by a table of transitions
    ticks         the instants at which a cron ticks in a zone: clock changes, excluded dates
    rule          a cron in a zone or an interval, with window and spread: the value that a schedule keeps
    rule_fields   reads a rule from the fields of a request
    preview       the coming ticks of a rule, as the wall clock shows them
    words         what a rule says, as an English sentence
    recorded_rule a rule as the log keeps it, and back

Each module may use those above it.
"""
