"""As whom a task runs, as far as its environment tells; pure, for nobody is really changed into."""

from __future__ import annotations

from airflow_provider_batchlinux.emulator.state.records import Json

__all__ = ["user_environment"]

_POOL_USER = "_azbatch"
_LEVELS = {"nonadmin": "NonAdmin", "admin": "Admin"}


def user_environment(spec: Json, *, is_start_task: bool) -> dict[str, str]:
    """
    Return the variables that tell a task its user.

    Seen in what users printed: ``_azbatch`` with ``PoolNonAdmin``, ``_azbatchtask_start`` with
    ``TaskNonAdmin`` for a start task, and a home of ``_azbatchtask_1``. The rest is not documented; assumed.

    :param spec: has perhaps ``userIdentity``; without it the task runs as the pool's plain user.
    """
    identity = spec.get("userIdentity", {})
    if "username" in identity:
        return {"USER": identity["username"], "AZ_BATCH_TASK_USER": identity["username"]}
    auto = {"scope": "pool", "elevationLevel": "nonadmin", **identity.get("autoUser", {})}
    name = _POOL_USER
    if auto["scope"] == "task":
        name = "_azbatchtask_start" if is_start_task else "_azbatchtask_1"
    return {
        "USER": name,
        "AZ_BATCH_TASK_USER": name,
        "AZ_BATCH_TASK_USER_IDENTITY": auto["scope"].capitalize() + _LEVELS[auto["elevationLevel"]],
    }
