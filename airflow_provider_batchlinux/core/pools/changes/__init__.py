"""Compare a pool with its specification, and plan updates and resizes."""

from __future__ import annotations

from typing import Literal

# Here, because operators check it while a Dag file is parsed, and need nothing else of this package then.
IfExists = Literal["reuse", "fail", "update", "resize", "recreate", "ignore"]
"""What to do if a pool with the requested id exists."""
