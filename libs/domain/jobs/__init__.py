"""Parts of a job that libs/domain/job.py is made of: what a plain job does not have, and what is decided for a job."""
