"""Requests to Azure Resource Manager, and its answers and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.documents import read_json
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError


class ArmError(Exception):
    """
    An error response of Azure Resource Manager.

    :param challenge: value of ``WWW-Authenticate``; ``None`` sends no such header.
    """

    def __init__(self, status: int, code: str, sentence: str, *, challenge: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.challenge = challenge


def error_body(error: ArmError | ServiceError) -> dict[str, Any]:
    """Return the body of an error. An error of the Batch service keeps its code and message."""
    if isinstance(error, ArmError):
        return {"error": {"code": error.code, "message": str(error)}}
    details = [{"code": key, "message": value} for key, value in error.values.items()]
    shown = {"code": error.code, "message": error.sentence, "target": "BatchAccount"}
    return {"error": {**shown, **({"details": details} if details else {})}}


def not_found(*, code: str, what: str) -> ArmError:
    """Return the error for a missing resource."""
    return ArmError(404, code, f"{what} was not found.")


@dataclass(frozen=True)
class ManagementFacts:
    """
    How clients connect to the management plane of a running emulator.

    :param url: value for ``management_url`` of the connection; also the audience of its tokens.
    :param location: region of the account.
    """

    url: str
    subscription_id: str
    resource_group: str
    location: str


@dataclass(frozen=True)
class ArmCall:
    """
    One request.

    :param headers: header fields by lower-case name.
    :param now: time of the request.
    :param values: values for the names in the route.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    now: datetime
    values: Mapping[str, str] = field(default_factory=dict)

    def read(self) -> dict[str, Any]:
        """
        Return the body.

        :raises ArmError: the body, or a part of it that must be one, is not a JSON object.
        """
        try:
            found = read_json(self.body)
        except ValueError as error:
            raise _invalid_content(reason=str(error)) from None
        if not isinstance(found, dict):
            raise _invalid_content(reason="The body must be an object.")
        for path in _OBJECTS:
            value: Any = found
            for name in path:
                value = value.get(name) or {}
                if not isinstance(value, dict):
                    raise _invalid_content(reason=f"'{'.'.join(path)}' must be an object.")
        if not all(isinstance(value, str) for value in (found.get("tags") or {}).values()):
            raise _invalid_content(reason="The values of 'tags' must be texts.")
        return found


_OBJECTS = [
    path.split(".")
    for path in (
        "properties.deploymentConfiguration",
        "properties.scaleSettings.autoScale",
        "properties.scaleSettings.fixedScale",
        "identity.userAssignedIdentities",
        "tags",
    )
]
"""What is an object in a pool, besides what the data plane checks."""


def _invalid_content(*, reason: str) -> ArmError:
    return ArmError(400, "InvalidRequestContent", f"The request content was invalid: {reason}")


@dataclass(frozen=True)
class ArmAnswer:
    """The answer to a request."""

    status: int
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
