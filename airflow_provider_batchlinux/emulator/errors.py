"""The catalogue of the service's errors: code, HTTP status and the service's own sentence."""

from __future__ import annotations

from collections.abc import Mapping

CATALOGUE: Mapping[str, tuple[int, str]] = {
    # Recorded from the service.
    "InvalidPropertyValue": (
        400,
        "The value provided for one of the properties in the request body is invalid.",
    ),
    "InvalidRequestBody": (400, "The specified Request Body is not syntactically valid."),
    "InvalidQueryParameterValue": (
        400,
        "Value for one of the query parameters specified in the request URI is invalid.",
    ),
    "PoolUsageMetricAPIRetired": (
        400,
        "Pool list usage metrics API was retired on 09/30/2024",
    ),
    "PoolNotFound": (404, "The specified pool does not exist."),
    "TaskNotFound": (404, "The specified task does not exist."),
    "NodeUserNotFound": (404, "The specified node user does not exist."),
    "PoolExists": (409, "The specified pool already exists."),
    "PoolBeingDeleted": (
        409,
        "The specified pool has been marked for deletion and is being reclaimed.",
    ),
    "InvalidApplicationPackageReferences": (
        409,
        "One or more of the specified application package references are invalid.",
    ),
    "ActiveJobAndScheduleQuotaReached": (
        409,
        "Active job and job schedule quota for the account has been reached.",
    ),
    "ConditionNotMet": (
        412,
        "The condition specified using HTTP conditional header(s) is not met.",
    ),
    "TooManyRequests": (
        429,
        "Request failed as server encountered too many requests. Please try again.",
    ),
    "InternalError": (
        500,
        "Server encountered an internal error. Please try again after some time.",
    ),
    "OperationTimedOut": (500, "Operation could not be completed within the specified time."),
    # Code documented or known from clients; status or sentence is assumed.
    "AuthenticationFailed": (
        403,
        (
            "Server failed to authenticate the request. Make sure the value of Authorization "
            "header is formed correctly including the signature."
        ),
    ),
    "MissingRequiredProperty": (
        400,
        "A required property was not specified in the request body.",
    ),
    "MissingRequiredQueryParameter": (
        400,
        "A required query parameter was not specified for this request.",
    ),
    "InvalidHeaderValue": (
        400,
        "The value provided for one of the HTTP headers was not in the correct format.",
    ),
    "InvalidUri": (400, "The requested URI does not represent any resource on the server."),
    "ResourceNotFound": (404, "The specified resource does not exist."),
    "NodeNotFound": (404, "The specified node does not exist."),
    "JobNotFound": (404, "The specified job does not exist."),
    "FileNotFound": (404, "The specified file does not exist."),
    "UnsupportedHttpVerb": (405, "The resource doesn't support the specified HTTP verb."),
    "PoolBeingResized": (409, "The specified pool is being resized."),
    "PoolQuotaReached": (409, "Pool quota for the account has been reached."),
    "NodeBeingCreated": (409, "The specified node is being created."),
    "NodeBeingStarted": (409, "The specified node is being started."),
    "NodeBeingRebooted": (409, "The specified node is being rebooted."),
    "NodeBeingReimaged": (409, "The specified node is being reimaged."),
    "NodeStateUnusable": (409, "The specified node is unusable."),
    "NodeAlreadyInTargetSchedulingState": (
        409,
        "The specified node is already in the target scheduling state.",
    ),
    "NodeUserExists": (409, "The specified node user already exists."),
    "OperationInvalidForCurrentState": (
        409,
        "The operation is invalid for the current state of the resource.",
    ),
    "JobExists": (409, "The specified job already exists."),
    "JobBeingDeleted": (
        409,
        "The specified job has been marked for deletion and is being garbage collected.",
    ),
    "JobBeingTerminated": (409, "The specified job is being terminated."),
    "JobCompleted": (409, "The specified job is already in a completed state."),
    "TaskExists": (409, "The specified task already exists."),
    "TaskCompleted": (409, "The specified task is already in a completed state."),
    "TaskFilesUnavailable": (
        409,
        "The specified task has not run, or the node that holds its files is not available.",
    ),
    "RequestBodyTooLarge": (
        413,
        "The request body is too large and exceeds the maximum permissible limit.",
    ),
    "InvalidRange": (416, "The range specified is invalid for the current size of the resource."),
    "NotImplemented": (501, "The embedded Batch service does not implement this operation."),
    "ServerBusy": (503, "The server is busy. Please retry."),
}


class ServiceError(Exception):
    """
    An answer of the service that is not a success.

    :param code: the service's code; see ``CATALOGUE``.
    :param values: details, sent as ``values`` of the error body.
    :param status: HTTP status; ``None`` takes the one of the catalogue.
    :param retry_after: seconds, sent as ``Retry-After``; ``None`` sends none.
    """

    def __init__(
        self,
        code: str,
        values: Mapping[str, str] | None = None,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        default_status, self.sentence = CATALOGUE.get(code, (500, code))
        super().__init__(f"{code}: {self.sentence}")
        self.code = code
        self.status = status or default_status
        self.values = dict(values or {})
        self.retry_after = retry_after


def invalid_property(name: str, value: object, reason: str) -> ServiceError:
    """Return the error for a property whose value the service refuses."""
    values = {"PropertyName": name, "PropertyValue": str(value), "Reason": reason}
    return ServiceError("InvalidPropertyValue", values)


def missing_property(name: str) -> ServiceError:
    """Return the error for a property that is required and absent."""
    return ServiceError("MissingRequiredProperty", {"PropertyName": name})


def invalid_body(reason: str) -> ServiceError:
    """Return the error for a body that cannot be read."""
    return ServiceError("InvalidRequestBody", {"Reason": reason})


def invalid_query(name: str, value: str, reason: str) -> ServiceError:
    """Return the error for a query parameter whose value the service refuses."""
    values = {"QueryParameterName": name, "QueryParameterValue": value, "Reason": reason}
    return ServiceError("InvalidQueryParameterValue", values)


def not_implemented(what: str) -> ServiceError:
    """Return the answer to what the real service does and the emulator does not."""
    return ServiceError(
        "NotImplemented", {"Reason": f"The embedded Batch service does not implement {what}."}
    )
