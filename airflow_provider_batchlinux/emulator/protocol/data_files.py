"""Reads the tables in ``data``, once each."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read_data(name: str) -> Any:
    """Return the content of ``data/{name}.json``."""
    return json.loads(
        files("airflow_provider_batchlinux.emulator")
        .joinpath(f"data/{name}.json")
        .read_text(encoding="utf-8")
    )
