"""The deployment files, tested without a container engine and without a cluster."""
