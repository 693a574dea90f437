"""
Sealing: what callers trust Fliq with stands encrypted in log, tables and backups.

    master key   a file, never in the database         master_keys.py, master_key_file.py
    data key     one or more for each account, wrapped by the master key, in the table `account_keys`
    sealed spec  AES-256-GCM under a data key          sealed_spec.py (pure), sealed_event.py (pure)
    response     what was kept of an answer, the same  sealed_response.py (pure)
    secret       a signing secret, the same            sealed_secret.py (pure)
    keyring      the data keys that this process knows keyring.py

The API, the dispatcher and the webhooks service seal what they append. Nobody opens anything before it is used: the dispatcher and
the webhooks service when a call leaves, the API when a caller asks. The fold, verify and rebuild keep the bytes as they are and
need no key.
"""
