"""
The images the service supports, as a list of 2026 in ``data/supported_images.json``.

The rows are those of the real answer of January 2025, with the end dates announced since. Guesses,
since no later answer is published: every row of Azure Linux and Debian, ``ubuntu-hpc 2404`` with
its capabilities, the agent ``batch.node.ubuntu 24.04-arm64``, and that nothing else has come or
gone. As on the service, images stay in the list after their support has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.data_files import read_data
from airflow_provider_batchlinux.emulator.state.records import Json

_NAMES = ("publisher", "offer", "sku")


@cache
def supported_images() -> tuple[Json, ...]:
    """Return the list, ascending by publisher, offer and sku."""
    return tuple(read_data("supported_images"))


@cache
def _agents() -> Mapping[tuple[str, ...], str]:
    return {
        tuple(image["imageReference"][name] for name in _NAMES): image["nodeAgentSKUId"]
        for image in supported_images()
    }


def node_agent_of(reference: Mapping[str, Any]) -> str | None:
    """Return the node agent SKU that runs a marketplace image; ``None`` if it is not supported."""
    return _agents().get(tuple(str(reference.get(name, "")).lower() for name in _NAMES))
