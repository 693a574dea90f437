"""
HTTP/1.1 on the wire: one request and its answer at a time on a connection.

    odd_heads      the head of an answer in a form that the parser takes (pure)
    connections    which connections are open, and which wait for another call
    exchange       one request and its answer on one connection
"""
