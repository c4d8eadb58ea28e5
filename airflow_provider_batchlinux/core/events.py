"""What a trigger tells the task that waits for it, as plain values; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["WaitEvent"]

_VERSION = 1


@dataclass(frozen=True)
class WaitEvent:
    """
    How a wait ended.

    :param arguments: those of the trigger, so that the resumed task, which starts from nothing, knows
        what it waited for.
    :param result: what the wait found, when it went well.
    :param error: the error that ended it, as plain values; ``None`` when it went well.
    """

    arguments: Mapping[str, Any]
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None

    def to_payload(self) -> dict[str, Any]:
        """Give the event as values that pass between Airflow's processes unchanged."""
        return {
            "version": _VERSION,
            "arguments": dict(self.arguments),
            "result": dict(self.result),
            "error": dict(self.error) if self.error is not None else None,
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any] | None) -> WaitEvent:
        """
        Read an event.

        :raises ValueError: the event is none of ours, or of another version.
        """
        version = (payload or {}).get("version")
        if payload is None or version != _VERSION:
            msg = (
                f"The trigger's event has version {version!r}, and this worker reads {_VERSION}: triggerer "
                "and worker run different releases of the provider. Update both, then clear the task."
            )
            raise ValueError(msg)
        return cls(payload["arguments"], payload["result"], payload["error"])
