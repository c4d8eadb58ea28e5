"""The event with which a trigger resumes its task, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_VERSION = 1


@dataclass(frozen=True)
class WaitEvent:
    """
    The outcome of a wait.

    :param trigger: the class path of the trigger.
    :param arguments: the arguments of the trigger. A resumed task starts with a new operator: this is all
        that it knows of what it waited for.
    :param result: what the wait found, if it succeeded.
    :param error: the error that ended it, as plain values; ``None`` if it succeeded.
    """

    trigger: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None

    def to_payload(self) -> dict[str, Any]:
        """Return the event as values that pass between Airflow's processes unchanged."""
        return {
            "version": _VERSION,
            "trigger": self.trigger,
            "arguments": dict(self.arguments),
            "result": dict(self.result),
            "error": dict(self.error) if self.error is not None else None,
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any] | None) -> WaitEvent:
        """
        Return the event in a payload.

        :raises ValueError: if the payload is not an event of this provider, or of another version.
        """
        version = (payload or {}).get("version")
        if payload is None or version != _VERSION:
            msg = (
                f"The trigger's event has version {version!r}, and this worker reads version {_VERSION}: "
                "triggerer and worker run different releases of the provider. Update both, then clear the "
                "task."
            )
            raise ValueError(msg)
        return cls(payload["trigger"], payload["arguments"], payload["result"], payload["error"])
