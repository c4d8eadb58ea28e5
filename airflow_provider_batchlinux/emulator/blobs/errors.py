"""The errors of Azure Storage: code, HTTP status and message."""

from __future__ import annotations

from enum import Enum
from xml.etree import ElementTree


class BlobCode(Enum):
    """An error of Azure Storage."""

    CONDITION_NOT_MET = (
        "ConditionNotMet",
        412,
        "The condition specified using HTTP conditional header(s) is not met.",
    )
    INVALID_BLOCK_LIST = ("InvalidBlockList", 400, "The specified block list is invalid.")
    INVALID_HEADER_VALUE = (
        "InvalidHeaderValue",
        400,
        "The value for one of the HTTP headers is not in the correct format.",
    )
    INVALID_QUERY_PARAMETER_VALUE = (
        "InvalidQueryParameterValue",
        400,
        "Value for one of the query parameters specified in the request URI is invalid.",
    )
    INVALID_RESOURCE_NAME = (
        "InvalidResourceName",
        400,
        "The specified resource name contains invalid characters.",
    )
    INVALID_XML_DOCUMENT = ("InvalidXmlDocument", 400, "XML specified is not syntactically valid.")
    INVALID_XML_NODE_VALUE = (
        "InvalidXmlNodeValue",
        400,
        "The XML node value is not in the correct format.",
    )
    MD5_MISMATCH = (
        "Md5Mismatch",
        400,
        "The MD5 value specified in the request did not match with the MD5 value calculated by the server.",
    )
    MISSING_REQUIRED_HEADER = (
        "MissingRequiredHeader",
        400,
        "An HTTP header that's mandatory for this request is not specified.",
    )
    OUT_OF_RANGE_QUERY_PARAMETER_VALUE = (
        "OutOfRangeQueryParameterValue",
        400,
        "One of the query parameters specified in the request URI is outside the permissible range.",
    )
    INVALID_AUTHENTICATION_INFO = (
        "InvalidAuthenticationInfo",
        401,
        "Server failed to authenticate the request. "
        "Please refer to the information in the www-authenticate header.",
    )
    AUTHENTICATION_FAILED = (
        "AuthenticationFailed",
        403,
        "Server failed to authenticate the request. Make sure the value of Authorization header is "
        "formed correctly including the signature.",
    )
    AUTHORIZATION_FAILURE = (
        "AuthorizationFailure",
        403,
        "This request is not authorized to perform this operation.",
    )
    AUTHORIZATION_PERMISSION_MISMATCH = (
        "AuthorizationPermissionMismatch",
        403,
        "This request is not authorized to perform this operation using this permission.",
    )
    AUTHORIZATION_PROTOCOL_MISMATCH = (
        "AuthorizationProtocolMismatch",
        403,
        "This request is not authorized to perform this operation using this protocol.",
    )
    AUTHORIZATION_RESOURCE_TYPE_MISMATCH = (
        "AuthorizationResourceTypeMismatch",
        403,
        "This request is not authorized to perform this operation using this resource type.",
    )
    AUTHORIZATION_SERVICE_MISMATCH = (
        "AuthorizationServiceMismatch",
        403,
        "This request is not authorized to perform this operation using this service.",
    )
    AUTHORIZATION_SOURCE_IP_MISMATCH = (
        "AuthorizationSourceIPMismatch",
        403,
        "This request is not authorized to perform this operation using this source IP.",
    )
    UNAUTHORIZED_BLOB_OVERWRITE = (
        "UnauthorizedBlobOverwrite",
        403,
        "This request is not authorized to perform blob overwrites.",
    )
    BLOB_NOT_FOUND = ("BlobNotFound", 404, "The specified blob does not exist.")
    CONTAINER_NOT_FOUND = ("ContainerNotFound", 404, "The specified container does not exist.")
    RESOURCE_NOT_FOUND = ("ResourceNotFound", 404, "The specified resource does not exist.")
    UNSUPPORTED_HTTP_VERB = (
        "UnsupportedHttpVerb",
        405,
        "The resource doesn't support the specified HTTP verb.",
    )
    BLOB_ALREADY_EXISTS = ("BlobAlreadyExists", 409, "The specified blob already exists.")
    CONTAINER_ALREADY_EXISTS = ("ContainerAlreadyExists", 409, "The specified container already exists.")
    INVALID_RANGE = (
        "InvalidRange",
        416,
        "The range specified is invalid for the current size of the resource.",
    )
    INTERNAL_ERROR = (
        "InternalError",
        500,
        "The server encountered an internal error. Please retry the request.",
    )
    NOT_IMPLEMENTED = (
        "NotImplemented",
        501,
        "The requested operation is not implemented on the specified resource.",
    )

    def __init__(self, code: str, status: int, sentence: str) -> None:
        self.code = code
        self.status = status
        self.sentence = sentence


class BlobError(Exception):
    """
    An error response of the store.

    :param details: further elements of the body, by name. They never contain a signature.
    :param status: HTTP status; ``None`` uses the status of the code.
    :param challenge: the ``WWW-Authenticate`` header; ``None`` for none.
    """

    def __init__(
        self, code: BlobCode, *, status: int | None = None, challenge: str | None = None, **details: str
    ) -> None:
        super().__init__(f"{code.code}: {code.sentence}")
        self.code = code
        self.status = status or code.status
        self.challenge = challenge
        self.details = details


def authentication_failed(*, detail: str) -> BlobError:
    """Return the error for an invalid signature."""
    return BlobError(BlobCode.AUTHENTICATION_FAILED, AuthenticationErrorDetail=detail)


def not_emulated(*, what: str) -> BlobError:
    """Return the error for a feature of Azure Storage that this store does not have."""
    return BlobError(BlobCode.NOT_IMPLEMENTED, Reason=f"The embedded blob store does not have {what}.")


def error_document(error: BlobError, request_id: str, time: str) -> bytes:
    """Return the body of an error."""
    root = ElementTree.Element("Error")
    message = f"{error.code.sentence}\nRequestId:{request_id}\nTime:{time}"
    for name, text in {"Code": error.code.code, "Message": message, **error.details}.items():
        ElementTree.SubElement(root, name).text = text
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document
