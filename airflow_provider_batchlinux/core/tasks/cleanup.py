"""The choices of what to leave behind."""

from __future__ import annotations

from typing import Literal

DeleteJob = Literal["always", "on_success", "never"]
"""When a job is deleted with its files: whatever happened, only after a success, or not at all."""
