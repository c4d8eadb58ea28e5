"""Translate errors of azure-core to those of this provider, by the service's error code."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)

from airflow_provider_batchlinux.client.transport.clock import MAX_CLOCK_SKEW, http_date, skew_text
from airflow_provider_batchlinux.client.transport.http import REQUEST_ID_HEADERS, ForeignAnswerError
from airflow_provider_batchlinux.core.secrets import without_signatures
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchConflictError,
    BatchLinuxError,
    BatchQuotaError,
    BatchRequestError,
    BatchUnreachableError,
)

# Request Timeout and Too Many Requests. Other statuses below 500 say that the request itself is wrong.
_TRANSIENT_STATUSES = frozenset({408, 429})
# Not Implemented and HTTP Version Not Supported stay the same however often the request is sent.
_LASTING_SERVER_STATUSES = frozenset({501, 505})

_CLASSES: dict[str, type[BatchRequestError]] = {
    "AuthenticationFailed": BatchAuthenticationError,
    "InvalidAuthenticationInfo": BatchAuthenticationError,
    "InsufficientAccountPermissions": BatchAuthenticationError,
    "AccountIsDisabled": BatchAuthenticationError,
    "Forbidden": BatchAuthenticationError,
    "PoolQuotaReached": BatchQuotaError,
    "AccountCoreQuotaReached": BatchQuotaError,
    "ActiveJobAndScheduleQuotaReached": BatchQuotaError,
    "PoolExists": BatchConflictError,
    "PoolBeingDeleted": BatchConflictError,
    "JobExists": BatchConflictError,
    "JobBeingDeleted": BatchConflictError,
    "TaskExists": BatchConflictError,
}

_TRUST_IT = "A proxy or a private cloud has certificates of its own: name their file as the extra's ca_file."
_SIGN_IN = "A proxy or its sign-in page may have answered: check account_url and the proxy's settings."
_CHECK_IDENTITY = "Check the account name and key, or the identity and its role on the account."
_LOG_IN = (
    "Check auth and its fields in the connection. auth 'default' takes the identity of this process: "
    "variables of azure-identity, a workload or managed identity, or az login."
)
_GIVE_ROLE = "Give the identity the role Azure Batch Data Contributor on the account."

_REMEDIES = {
    "AuthenticationFailed": _CHECK_IDENTITY,
    "InvalidAuthenticationInfo": _CHECK_IDENTITY,
    "InsufficientAccountPermissions": _GIVE_ROLE,
    "Forbidden": _GIVE_ROLE,
    "AuthorizationFailed": _GIVE_ROLE,
    "LinkedAuthorizationFailed": "Give the identity the role Managed Identity Operator on those identities.",
    "ResourceNotFound": "Check subscription_id, resource_group and the account's name.",
    "ResourceGroupNotFound": "Check subscription_id and resource_group.",
    "SubscriptionNotFound": "Check subscription_id and the tenant.",
    "AccountIsDisabled": "The account is disabled; see its page in the portal.",
    "AccountCoreQuotaReached": "Delete pools that are no longer used, or ask for a higher core quota.",
    "PoolQuotaReached": "Delete pools that are no longer used, or ask for a higher pool quota.",
    "ActiveJobAndScheduleQuotaReached": "End jobs that are done, or ask for a higher job quota.",
}


def is_transient(error: BaseException) -> bool:
    """Return whether a retry may help: no answer, 408, 429, and 5xx other than 501 and 505."""
    if isinstance(error, (ServiceRequestError, ServiceResponseError, IncompleteReadError)):
        return True
    if not isinstance(error, HttpResponseError) or error.status_code is None:
        return False
    if error.status_code in _TRANSIENT_STATUSES:
        return True
    return error.status_code >= 500 and error.status_code not in _LASTING_SERVER_STATUSES


def is_throttled(error: BaseException) -> bool:
    """Return whether the service throttled a request: 429, and 503 ``ServerBusy``."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    return status == 429 or (status == 503 and error_code(error) == "ServerBusy")


def retry_after(error: BaseException) -> float | None:
    """Return the seconds after which the service asks to be called again; ``None`` if it does not say."""
    text = _header(error, "Retry-After") if isinstance(error, HttpResponseError) else None
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        at = http_date(text)
    return max(0.0, (at - datetime.now(timezone.utc)).total_seconds()) if at else None


def error_code(error: BaseException) -> str | None:
    """Return the service's error code; ``None`` if the answer has none."""
    model = getattr(error, "model", None)
    code = getattr(model, "code", None) or getattr(getattr(error, "error", None), "code", None)
    return str(code) if code else None


def translated(error: AzureError, what: str, *, tried_for: float = 0.0) -> BatchLinuxError:
    """
    Return the error of this provider for an error of azure-core.

    :param what: the description of the request, such as ``create pool 'etl'``.
    :param tried_for: the seconds since the first try.
    """
    if not isinstance(error, HttpResponseError) or error.status_code is None:
        return _without_answer(error, what, tried_for)
    code = error_code(error)
    request_id = next(filter(None, (_header(error, name) for name in REQUEST_ID_HEADERS)), None)
    request = f"request {request_id}" if request_id else None
    facts = ", ".join(filter(None, [code, f"HTTP {error.status_code}", request]))
    said = _first_line(error)
    message = f"Could not {what}: {said} ({facts})"
    if is_transient(error):
        return BatchUnreachableError(
            f"{message} The service kept refusing for {tried_for:.0f} s; try again later."
        )
    cls = _CLASSES.get(code or "", BatchRequestError)
    if error.status_code in (401, 403) or isinstance(error, ClientAuthenticationError):
        cls = BatchAuthenticationError
    # The service's own refusals have a request id, also those of a HEAD, which have no code.
    hint = "" if code or request_id else _SIGN_IN
    return cls(
        " ".join(filter(None, [message, _remedy(error, code), hint])),
        code=code,
        status=error.status_code,
        request_id=request_id,
    )


def _without_answer(error: AzureError, what: str, tried_for: float) -> BatchLinuxError:
    if isinstance(error, ClientAuthenticationError):
        return BatchAuthenticationError(
            f"Could not {what}: no token for the identity: {_first_line(error)} {_LOG_IN}"
        )
    if isinstance(error, ForeignAnswerError):
        return BatchUnreachableError(
            f"Could not {what}: {_first_line(error)}. Tried for {tried_for:.0f} s. {_SIGN_IN}"
        )
    untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
    remedy = _TRUST_IT if untrusted else "Check account_url, name resolution and the firewall."
    return BatchUnreachableError(
        f"Could not {what}: no answer from the service for {tried_for:.0f} s ({_first_line(error)}). {remedy}"
    )


def _remedy(error: HttpResponseError, code: str | None) -> str:
    if code in ("AuthenticationFailed", "InvalidAuthenticationInfo") or error.status_code == 401:
        # A signature with the wrong time is refused like one with the wrong key.
        theirs = http_date(_header(error, "Date"))
        skew = datetime.now(timezone.utc) - theirs if theirs else timedelta(0)
        if abs(skew) > MAX_CLOCK_SKEW:
            return skew_text(skew)
        return " ".join(filter(None, [_details(error), _CHECK_IDENTITY]))
    return " ".join(filter(None, [_details(error), _REMEDIES.get(code or "", "")]))


def _details(error: HttpResponseError) -> str:
    details = getattr(getattr(error, "error", None), "details", None) or ()
    return "; ".join(f"{d.code}: {without_signatures(str(d.message))}" for d in details if d.code)


def _first_line(error: AzureError) -> str:
    said: Any = getattr(getattr(error, "error", None), "message", None) or error.message or str(error)
    # An error of a task may quote a URL with its SAS.
    lines = without_signatures(str(said)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _header(error: HttpResponseError, name: str) -> str | None:
    headers = getattr(error.response, "headers", None) or {}
    value = headers.get(name)
    return str(value) if value else None
