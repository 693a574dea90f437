"""
Responses: what is kept of the answer of a target.

    answer_keeper.py   gathers head and tail of a body while it is read, within a bound
    answer_text.py     whether these bytes are text, and which
    redaction.py       takes out what must not be kept
    captured.py        all of it together, as it is stored
    terms.py           what the operator allows
"""
