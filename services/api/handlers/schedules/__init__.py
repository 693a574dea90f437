"""
The handlers of schedules.

    schedule_rows       finding and changing one, for all handlers
    schedule_creation   POST, GET, lists
    schedule_changes    delete, pause, resume, patch
    schedule_runs       a run now
    schedule_backfills  runs at ticks that have gone by
    schedule_timeline   what became of its ticks, from the log
    schedule_keys       PUT and GET by key
    schedule_preview    the coming runs
"""
