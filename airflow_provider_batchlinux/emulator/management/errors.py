"""Errors as Azure Resource Manager answers them; knows no request."""

from __future__ import annotations

from typing import Any

from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError

__all__ = ["ArmError", "error_body", "not_found"]


class ArmError(Exception):
    """
    An answer of Azure Resource Manager that is not a success.

    :param challenge: how to authenticate, sent as ``WWW-Authenticate``; ``None`` sends none.
    """

    def __init__(self, status: int, code: str, sentence: str, *, challenge: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.challenge = challenge


def error_body(error: ArmError | ServiceError) -> dict[str, Any]:
    """Return the body of an error; one of the Batch service keeps its code and sentence."""
    if isinstance(error, ArmError):
        return {"error": {"code": error.code, "message": str(error)}}
    details = [{"code": key, "message": value} for key, value in error.values.items()]
    told = {"code": error.code, "message": error.sentence, "target": "BatchAccount"}
    return {"error": {**told, **({"details": details} if details else {})}}


def not_found(*, code: str, what: str) -> ArmError:
    """Return the error for a resource that is not there."""
    return ArmError(404, code, f"{what} was not found.")
