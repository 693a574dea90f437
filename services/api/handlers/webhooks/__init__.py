"""
The handlers of webhook endpoints.

    endpoints   making, changing, testing them; their secrets
    deliveries  what they are and were told, and telling them once more
    recoveries  telling one again all that it did not take
"""
