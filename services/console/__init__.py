"""
Console: shows jobs and schedules in a browser, by the public API alone.

Reads:   the API, with the token that a person logged in with
Writes:  what that person asks for, by calls of the API
Holds:   nothing; the session is a sealed cookie in the browser
Never:   touches the log or the tables; gives the token to a script; does more than one thing at a time without asking first
"""
