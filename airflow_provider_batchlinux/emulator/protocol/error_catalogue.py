"""The error codes of the service, each with its HTTP status and message."""

from __future__ import annotations

from enum import Enum


class Code(Enum):
    """An error of the service."""

    # Recorded from the service.
    INVALID_PROPERTY_VALUE = (
        "InvalidPropertyValue",
        400,
        "The value provided for one of the properties in the request body is invalid.",
    )
    INVALID_REQUEST_BODY = (
        "InvalidRequestBody",
        400,
        "The specified Request Body is not syntactically valid.",
    )
    INVALID_QUERY_PARAMETER_VALUE = (
        "InvalidQueryParameterValue",
        400,
        "Value for one of the query parameters specified in the request URI is invalid.",
    )
    POOL_USAGE_METRIC_API_RETIRED = (
        "PoolUsageMetricAPIRetired",
        400,
        "Pool list usage metrics API was retired on 09/30/2024",
    )
    CLOUD_SERVICE_CONFIGURATION_RETIRED = (
        "CloudServiceConfigurationRetired",
        400,
        (
            "CloudServiceConfiguration pools are retired as of 2/29/2024, "
            "and new pools of this type cannot be added"
        ),
    )
    FORBIDDEN = ("Forbidden", 403, "Access is Forbidden")
    POOL_NOT_FOUND = ("PoolNotFound", 404, "The specified pool does not exist.")
    JOB_SCHEDULE_NOT_FOUND = (
        "JobScheduleNotFound",
        404,
        "The specified job schedule does not exist.",
    )
    TASK_NOT_FOUND = ("TaskNotFound", 404, "The specified task does not exist.")
    NODE_USER_NOT_FOUND = ("NodeUserNotFound", 404, "The specified node user does not exist.")
    POOL_EXISTS = ("PoolExists", 409, "The specified pool already exists.")
    POOL_BEING_DELETED = (
        "PoolBeingDeleted",
        409,
        "The specified pool has been marked for deletion and is being reclaimed.",
    )
    INVALID_APPLICATION_PACKAGE_REFERENCES = (
        "InvalidApplicationPackageReferences",
        409,
        "One or more of the specified application package references are invalid.",
    )
    ACTIVE_JOB_AND_SCHEDULE_QUOTA_REACHED = (
        "ActiveJobAndScheduleQuotaReached",
        409,
        "Active job and job schedule quota for the account has been reached.",
    )
    JOB_PREPARATION_TASK_OR_RELEASE_TASK_NOT_SPECIFIED = (
        "JobPreparationTaskOrReleaseTaskNotSpecified",
        409,
        "The specified job does not have either job preparation task or job release task.",
    )
    CONDITION_NOT_MET = (
        "ConditionNotMet",
        412,
        "The condition specified using HTTP conditional header(s) is not met.",
    )
    TOO_MANY_REQUESTS = (
        "TooManyRequests",
        429,
        "Request failed as server encountered too many requests. Please try again.",
    )
    INTERNAL_ERROR = (
        "InternalError",
        500,
        "Server encountered an internal error. Please try again after some time.",
    )
    OPERATION_TIMED_OUT = (
        "OperationTimedOut",
        500,
        "Operation could not be completed within the specified time.",
    )

    # Code documented or known from clients; status or sentence is assumed.
    AUTHENTICATION_FAILED = (
        "AuthenticationFailed",
        403,
        (
            "Server failed to authenticate the request. Make sure the value of Authorization "
            "header is formed correctly including the signature."
        ),
    )
    INSUFFICIENT_ACCOUNT_PERMISSIONS = (
        "InsufficientAccountPermissions",
        403,
        "The account being accessed does not have sufficient permissions to execute this operation.",
    )
    AUTO_SCALING_FORMULA_SYNTAX_ERROR = (
        "AutoScalingFormulaSyntaxError",
        400,
        "The specified auto-scaling formula has a syntax error.",
    )
    AUTO_SCALE_FORMULA_TOO_LONG = (
        "AutoScaleFormulaTooLong",
        400,
        "The specified auto-scaling formula exceeds lengths limit.",
    )
    INVALID_AUTO_SCALING_SETTINGS = (
        "InvalidAutoScalingSettings",
        400,
        "The specified auto-scaling settings are not valid.",
    )
    TOO_MANY_ENABLE_AUTO_SCALE_REQUESTS = (
        "TooManyEnableAutoScaleRequests",
        503,
        "Too many Enable Pool AutoScale requests are issued on the pool.",
    )
    INVALID_AUTHENTICATION_INFO = (
        "InvalidAuthenticationInfo",
        400,
        (
            "The authentication information was not provided in the correct format. "
            "Verify the value of Authorization header."
        ),
    )
    MISSING_REQUIRED_PROPERTY = (
        "MissingRequiredProperty",
        400,
        "A required property was not specified in the request body.",
    )
    MISSING_REQUIRED_QUERY_PARAMETER = (
        "MissingRequiredQueryParameter",
        400,
        "A required query parameter was not specified for this request.",
    )
    INVALID_HEADER_VALUE = (
        "InvalidHeaderValue",
        400,
        "The value provided for one of the HTTP headers was not in the correct format.",
    )
    INVALID_HTTP_VERB = (
        "InvalidHttpVerb",
        400,
        "The HTTP verb specified was not recognized by the server.",
    )
    POOL_NOT_ELIGIBLE_FOR_OS_VERSION_UPGRADE = (
        "PoolNotEligibleForOSVersionUpgrade",
        400,
        "The specified pool is not eligible for OS Version upgrade.",
    )
    INVALID_URI = (
        "InvalidUri",
        400,
        "The requested URI does not represent any resource on the server.",
    )
    RESOURCE_NOT_FOUND = ("ResourceNotFound", 404, "The specified resource does not exist.")
    APPLICATION_NOT_FOUND = ("ApplicationNotFound", 404, "The specified application does not exist.")
    APPLICATION_PACKAGE_NOT_FOUND = (
        "ApplicationPackageNotFound",
        404,
        "The specified application package does not exist.",
    )
    APPLICATION_PACKAGE_BLOB_NOT_FOUND = (
        "ApplicationPackageBlobNotFound",
        404,
        "The specified application package has not been uploaded to its storage URL.",
    )
    APPLICATION_CONTAINS_PACKAGES = (
        "ApplicationContainsPackages",
        409,
        "The specified application has packages and cannot be deleted.",
    )
    APPLICATION_PACKAGE_EXISTS = (
        "ApplicationPackageExists",
        409,
        "The specified application package already exists, and the application does not allow updates.",
    )
    CERTIFICATE_NOT_FOUND = ("CertificateNotFound", 404, "The specified certificate does not exist.")
    NODE_AGENT_SKU_NOT_FOUND = (
        "NodeAgentSKUNotFound",
        404,
        "The specified Node Agent SKU does not exist.",
    )
    NODE_NOT_FOUND = ("NodeNotFound", 404, "The specified node does not exist.")
    JOB_NOT_FOUND = ("JobNotFound", 404, "The specified job does not exist.")
    FILE_NOT_FOUND = ("FileNotFound", 404, "The specified file does not exist.")
    UNSUPPORTED_HTTP_VERB = (
        "UnsupportedHttpVerb",
        405,
        "The resource doesn't support the specified HTTP verb.",
    )
    OPERATION_NOT_VALID_ON_NODE = (
        "OperationNotValidOnNode",
        409,
        "The specified operation is not valid on the node.",
    )
    POOL_BEING_RESIZED = ("PoolBeingResized", 409, "The specified pool is being resized.")
    POOL_QUOTA_REACHED = ("PoolQuotaReached", 409, "Pool quota for the account has been reached.")
    NODE_BEING_CREATED = ("NodeBeingCreated", 409, "The specified node is being created.")
    NODE_BEING_STARTED = ("NodeBeingStarted", 409, "The specified node is being started.")
    NODE_BEING_REBOOTED = ("NodeBeingRebooted", 409, "The specified node is being rebooted.")
    NODE_BEING_REIMAGED = ("NodeBeingReimaged", 409, "The specified node is being reimaged.")
    NODE_STATE_UNUSABLE = ("NodeStateUnusable", 409, "The specified node is unusable.")
    NODE_ALREADY_IN_TARGET_SCHEDULING_STATE = (
        "NodeAlreadyInTargetSchedulingState",
        409,
        "The specified node is already in the target scheduling state.",
    )
    NODE_USER_EXISTS = ("NodeUserExists", 409, "The specified node user already exists.")
    OPERATION_INVALID_FOR_CURRENT_STATE = (
        "OperationInvalidForCurrentState",
        409,
        "The operation is invalid for the current state of the resource.",
    )
    JOB_EXISTS = ("JobExists", 409, "The specified job already exists.")
    JOB_WITH_SAME_ID_EXISTS = ("JobWithSameIdExists", 409, "A job with the same id already exists.")
    JOB_SCHEDULE_WITH_SAME_ID_EXISTS = (
        "JobScheduleWithSameIdExists",
        409,
        "A job schedule with the same id already exists.",
    )
    JOB_BEING_DELETED = (
        "JobBeingDeleted",
        409,
        "The specified job has been marked for deletion and is being garbage collected.",
    )
    JOB_BEING_TERMINATED = ("JobBeingTerminated", 409, "The specified job is being terminated.")
    JOB_COMPLETED = ("JobCompleted", 409, "The specified job is already in a completed state.")
    JOB_SCHEDULE_EXISTS = ("JobScheduleExists", 409, "The specified job schedule already exists.")
    JOB_SCHEDULE_BEING_DELETED = (
        "JobScheduleBeingDeleted",
        409,
        "The specified job schedule has been marked for deletion and is being garbage collected.",
    )
    JOB_SCHEDULE_BEING_TERMINATED = (
        "JobScheduleBeingTerminated",
        409,
        "The specified job schedule is being terminated.",
    )
    JOB_SCHEDULE_COMPLETED = (
        "JobScheduleCompleted",
        409,
        "The specified job schedule is already in a completed state.",
    )
    TASK_ID_SAME_AS_JOB_PREPARATION_TASK = (
        "TaskIdSameAsJobPreparationTask",
        409,
        "The specified task id is same as the job preparation task.",
    )
    TASK_ID_SAME_AS_JOB_RELEASE_TASK = (
        "TaskIdSameAsJobReleaseTask",
        409,
        "The specified task id is same as the job release task.",
    )
    TASK_EXISTS = ("TaskExists", 409, "The specified task already exists.")
    TASK_COMPLETED = ("TaskCompleted", 409, "The specified task is already in a completed state.")
    TASK_NOT_COMPLETED = (
        "TaskNotCompleted",
        409,
        (
            "The specified task is not in a completed state, and the requested operation can be performed "
            "only on completed tasks."
        ),
    )
    TASK_SUCCEEDED = (
        "TaskSucceeded",
        409,
        (
            "The specified task has already completed successfully, and the requested operation cannot be "
            "performed on successful tasks."
        ),
    )
    TASK_DEPENDENCIES_NOT_SPECIFIED_ON_JOB = (
        "TaskDependenciesNotSpecifiedOnJob",
        400,
        "The job that the task is added to does not use task dependencies.",
    )
    TASK_DEPENDENCY_LIST_TOO_LONG = (
        "TaskDependencyListTooLong",
        400,
        "The list of task ids that the task depends on is too long.",
    )
    TASK_FILES_UNAVAILABLE = (
        "TaskFilesUnavailable",
        409,
        "The specified task has not run, or the node that holds its files is not available.",
    )
    TASK_FILES_CLEANED_UP = (
        "TaskFilesCleanedup",
        409,
        "The files of the specified task are cleaned up.",
    )
    REQUEST_BODY_TOO_LARGE = (
        "RequestBodyTooLarge",
        413,
        "The request body is too large and exceeds the maximum permissible limit.",
    )
    INVALID_RANGE = (
        "InvalidRange",
        416,
        "The range specified is invalid for the current size of the resource.",
    )
    NOT_IMPLEMENTED = (
        "NotImplemented",
        501,
        "The embedded Batch service does not implement this operation.",
    )
    SERVER_BUSY = ("ServerBusy", 503, "The server is busy. Please retry.")

    def __init__(self, code: str, status: int, sentence: str) -> None:
        self.code = code
        self.status = status
        self.sentence = sentence
