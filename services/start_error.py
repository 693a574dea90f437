"""Start error: why Fliq, or one of its commands, cannot start or go on, in one line."""


class StartError(Exception):
    """Fliq cannot start; the message is one line that says what is wrong and what to do."""
