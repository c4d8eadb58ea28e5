"""Errors of the service, and functions for the common ones. The codes are in ``error_catalogue``."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code

_BY_TEXT = {code.code: code for code in Code}


class ServiceError(Exception):
    """
    An error response of the service.

    :param code: an entry of the catalogue. Text is looked up there; unknown text is used as it is.
    :param values: details, sent as ``values`` of the error body; ``None`` sends none.
    :param status: HTTP status; ``None`` uses the one in the catalogue, or 500 for unknown codes.
    :param sentence: message; ``None`` uses the one in the catalogue, or the code if that is unknown.
    :param retry_after: seconds, sent as ``Retry-After``; ``None`` sends none.
    :param challenge: how to authenticate, sent as ``WWW-Authenticate``; ``None`` sends none.
    """

    def __init__(
        self,
        code: Code | str,
        values: Mapping[str, str] | None = None,
        *,
        status: int | None = None,
        sentence: str | None = None,
        retry_after: float | None = None,
        challenge: str | None = None,
    ) -> None:
        known = _BY_TEXT.get(code) if isinstance(code, str) else code
        self.code = known.code if known else str(code)
        self.sentence = sentence or (known.sentence if known else str(code))
        self.status = status or (known.status if known else 500)
        self.values = dict(values or {})
        self.retry_after = retry_after
        self.challenge = challenge
        super().__init__(f"{self.code}: {self.sentence} {self.values or ''}".rstrip())


REFUSED = "The value provided for one of the properties in the request body is invalid."


def refused(value: object, *, of: str, reason: str = REFUSED) -> ServiceError:
    """Return the error for a property (``of``) whose value is invalid."""
    values = {"PropertyName": of, "PropertyValue": str(value), "Reason": reason}
    return ServiceError(Code.INVALID_PROPERTY_VALUE, values)


def missing_property(*, name: str) -> ServiceError:
    """Return the error for a missing required property."""
    return ServiceError(Code.MISSING_REQUIRED_PROPERTY, {"PropertyName": name})


def invalid_body(*, reason: str) -> ServiceError:
    """Return the error for a body that cannot be parsed."""
    return ServiceError(Code.INVALID_REQUEST_BODY, {"Reason": reason})


def refused_query(value: str, *, of: str, reason: str) -> ServiceError:
    """Return the error for a query parameter (``of``) whose value is invalid."""
    values = {"QueryParameterName": of, "QueryParameterValue": value, "Reason": reason}
    return ServiceError(Code.INVALID_QUERY_PARAMETER_VALUE, values)


def not_implemented(*, what: str) -> ServiceError:
    """Return the error for a feature of the service that the emulator does not have."""
    reason = f"The embedded Batch service does not implement {what}."
    return ServiceError(Code.NOT_IMPLEMENTED, {"Reason": reason})
