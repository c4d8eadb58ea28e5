"""What Airflow stores of a wait, as plain values: the event with which a trigger resumes its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = 2
"""The version of what Airflow stores of a wait: the arguments of triggers, and their events."""

_UNNAMED = 1
"""The version of events that do not name their trigger."""

_TRIGGERS = "airflow_provider_batchlinux.triggers"
_TRIGGER_BY_ARGUMENT = {
    "job_id": f"{_TRIGGERS}.task.BatchLinuxTaskTrigger",
    "action": f"{_TRIGGERS}.node_actions.BatchLinuxNodesActedTrigger",
    "resize": f"{_TRIGGERS}.pool.BatchLinuxPoolResizedTrigger",
    "until_task_ids": f"{_TRIGGERS}.node_users_lease.BatchLinuxNodeUsersLeaseTrigger",
    "removing": f"{_TRIGGERS}.node_users.BatchLinuxNodesForUserTrigger",
    "policy": f"{_TRIGGERS}.nodes.BatchLinuxNodesIdleTrigger",
    "pool_id": f"{_TRIGGERS}.pool.BatchLinuxPoolGoneTrigger",
}
"""Which trigger an event without a name is from, by an argument that only this trigger has."""


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
            "version": VERSION,
            "trigger": self.trigger,
            "arguments": dict(self.arguments),
            "result": dict(self.result),
            "error": dict(self.error) if self.error is not None else None,
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any] | None) -> WaitEvent:
        """
        Return the event in a payload of this version or an earlier one.

        :raises UnreadableEventError: if the payload is not an event of this provider, or of a later version.
        """
        version = (payload or {}).get("version")
        require_known("The trigger's event", version)
        assert payload is not None
        arguments = payload["arguments"]
        unnamed = (path for name, path in _TRIGGER_BY_ARGUMENT.items() if name in arguments)
        trigger = payload.get("trigger") or next(unnamed)
        return cls(trigger, arguments, payload["result"], payload["error"])


def require_known(what: str, version: object) -> None:
    """Raise ``UnreadableEventError`` if something was stored in a version that this release cannot read."""
    if version not in (VERSION, _UNNAMED):
        msg = (
            f"{what} has version {version!r}, and this worker reads versions {_UNNAMED} to {VERSION}: "
            "triggerer and worker run different releases of the provider. Update both, then clear the task."
        )
        raise UnreadableEventError(msg)


class UnreadableEventError(ValueError):
    """An event is not of this provider, or of a later version."""
