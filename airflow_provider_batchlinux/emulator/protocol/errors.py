"""Refusals of the service, and how the common ones are worded; the catalogue of codes is next door."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code

__all__ = [
    "REFUSED",
    "Code",
    "ServiceError",
    "invalid_body",
    "missing_property",
    "not_implemented",
    "refused",
    "refused_query",
]

_BY_TEXT = {code.code: code for code in Code}


class ServiceError(Exception):
    """
    An answer of the service that is not a success.

    :param code: an entry of the catalogue; text is looked up in it and may be unknown to it.
    :param values: details, sent as ``values`` of the error body; ``None`` means none.
    :param status: HTTP status; ``None`` takes the one of the catalogue, 500 for unknown codes.
    :param retry_after: seconds, sent as ``Retry-After``; ``None`` sends none.
    :param challenge: how to authenticate, sent as ``WWW-Authenticate``; ``None`` sends none.
    """

    def __init__(
        self,
        code: Code | str,
        values: Mapping[str, str] | None = None,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        challenge: str | None = None,
    ) -> None:
        known = _BY_TEXT.get(code) if isinstance(code, str) else code
        self.code = known.code if known else str(code)
        self.sentence = known.sentence if known else str(code)
        self.status = status or (known.status if known else 500)
        self.values = dict(values or {})
        self.retry_after = retry_after
        self.challenge = challenge
        super().__init__(f"{self.code}: {self.sentence} {self.values or ''}".rstrip())


REFUSED = "The value provided for one of the properties in the request body is invalid."


def refused(value: object, *, of: str, reason: str = REFUSED) -> ServiceError:
    """Return the error for a property (``of``) whose value the service refuses."""
    values = {"PropertyName": of, "PropertyValue": str(value), "Reason": reason}
    return ServiceError(Code.INVALID_PROPERTY_VALUE, values)


def missing_property(*, name: str) -> ServiceError:
    """Return the error for a property that is required and absent."""
    return ServiceError(Code.MISSING_REQUIRED_PROPERTY, {"PropertyName": name})


def invalid_body(*, reason: str) -> ServiceError:
    """Return the error for a body that cannot be read."""
    return ServiceError(Code.INVALID_REQUEST_BODY, {"Reason": reason})


def refused_query(value: str, *, of: str, reason: str) -> ServiceError:
    """Return the error for a query parameter (``of``) whose value the service refuses."""
    values = {"QueryParameterName": of, "QueryParameterValue": value, "Reason": reason}
    return ServiceError(Code.INVALID_QUERY_PARAMETER_VALUE, values)


def not_implemented(*, what: str) -> ServiceError:
    """Return the answer to what the real service does and the emulator does not."""
    reason = f"The embedded Batch service does not implement {what}."
    return ServiceError(Code.NOT_IMPLEMENTED, {"Reason": reason})
