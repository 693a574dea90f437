"""Kafka for the tests: brokers of our own or somebody else's, a proxy in front of them, and `make kafka-up`."""
