"""Process: the only composition root. What services share is opened here, and the services are put together."""
