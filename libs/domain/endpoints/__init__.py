"""
Endpoints: URLs of an account that are told of events of all its jobs. Pure.

    webhook_event   the events that an endpoint may ask for, and what is said of one
    endpoint        an endpoint: what it asks for; whether it is told of an event
    body            the three formats in which an event is sent
    fan_out         which endpoints are told of what a decision says
    health          when an endpoint that takes nothing is disabled

Each module may use those above it.
"""
