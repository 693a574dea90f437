"""`python -m fliq_client.cli` is `fliq`, wherever the script is."""

from __future__ import annotations

import sys

from fliq_client.cli.entrance import main

sys.exit(main())
