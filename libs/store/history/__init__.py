"""
History: what the tables keep of jobs that have ended.

forgotten_rows.py is the rule of libs/domain/history/floors.py in SQL; janitor.py deletes what it finds.
"""
