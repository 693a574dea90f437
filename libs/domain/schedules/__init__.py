"""Parts of a schedule that libs/domain/schedule.py is made of: its state and statuses, which tick is owed, and runs that meet."""
