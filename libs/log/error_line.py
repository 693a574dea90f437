"""How an error is written in a log line or in the text of another error."""


def line(error: BaseException) -> str:
    """Return the first line of *error*, at most 200 characters, or its type if it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200] or type(error).__name__
