"""
Which properties each list can be filtered by, with which operators, and what can be selected.

The rows come from the service's documentation of OData filters; the one of pools, jobs and tasks
is documented in part only and completed by what recorded clients send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["EXPANDABLE", "FILTERABLE", "SELECTABLE", "Field"]

_EQUALITY = frozenset({"eq", "ne"})
_ORDER = _EQUALITY | {"ge", "gt", "le", "lt"}
_PREFIX = _ORDER | {"startswith"}


@dataclass(frozen=True)
class Field:
    """A property to filter by: the type of its values and its operators."""

    kind: str
    operators: frozenset[str]


_ID = Field("string", _PREFIX)
_CHOICE = Field("string", _EQUALITY)
_TIME = Field("time", _ORDER)
_NUMBER = Field("int", _ORDER)
_FLAG = Field("bool", _EQUALITY)

FILTERABLE: Mapping[str, Mapping[str, Field]] = {
    "supportedimages": {
        "osType": _CHOICE,
        "verificationType": _CHOICE,
        "nodeAgentSKUId": _CHOICE,
    },
    "poolnodecounts": {"poolId": Field("string", frozenset({"eq"}))},
    "pools": {
        "id": _ID,
        "displayName": _ID,
        "state": _CHOICE,
        "allocationState": _CHOICE,
        "vmSize": _CHOICE,
        "enableAutoScale": _FLAG,
        "creationTime": _TIME,
        "lastModified": _TIME,
        "stateTransitionTime": _TIME,
        "allocationStateTransitionTime": _TIME,
    },
    "nodes": {
        "state": _CHOICE,
        "stateTransitionTime": _TIME,
        "lastBootTime": _TIME,
        "allocationTime": _TIME,
        "startTaskInfo/state": Field("string", frozenset({"eq"})),
        "startTaskInfo/result": _CHOICE,
        "startTaskInfo/exitCode": _NUMBER,
        "startTaskInfo/startTime": _TIME,
        "startTaskInfo/endTime": _TIME,
    },
    "jobs": {
        "id": _ID,
        "displayName": _ID,
        "state": _CHOICE,
        "priority": _NUMBER,
        "creationTime": _TIME,
        "lastModified": _TIME,
        "stateTransitionTime": _TIME,
        "executionInfo/poolId": _ID,
        "executionInfo/startTime": _TIME,
        "executionInfo/endTime": _TIME,
    },
    "jobschedules": {
        "id": _ID,
        "state": _CHOICE,
        "creationTime": _TIME,
        "lastModified": _TIME,
        "stateTransitionTime": _TIME,
    },
    "tasks": {
        "id": _ID,
        "displayName": _ID,
        "state": _CHOICE,
        "creationTime": _TIME,
        "lastModified": _TIME,
        "stateTransitionTime": _TIME,
        "executionInfo/exitCode": _NUMBER,
        "executionInfo/result": _CHOICE,
        "executionInfo/startTime": _TIME,
        "executionInfo/endTime": _TIME,
    },
    "files": {"name": Field("string", frozenset({"startswith"}))},
}

EXPANDABLE = frozenset({"pools", "jobs", "tasks", "jobschedules"})
"""What ``$expand=stats`` is taken for."""

SELECTABLE: Mapping[str, str] = {
    "pools": "BatchPool",
    "nodes": "BatchNode",
    "jobs": "BatchJob",
    "jobschedules": "BatchJobSchedule",
    "tasks": "BatchTask",
}
