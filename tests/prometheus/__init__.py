"""Rules, alerts and dashboards on a real Prometheus."""
