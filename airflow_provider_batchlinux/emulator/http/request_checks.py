"""What every request has to be like whatever it asks for: its version, query and type of body."""

from __future__ import annotations

from airflow_provider_batchlinux.emulator.protocol.errors import Code, ServiceError, refused_query
from airflow_provider_batchlinux.emulator.protocol.versions import check_version
from airflow_provider_batchlinux.emulator.protocol.wire import Call

__all__ = ["check_request"]


def check_request(call: Call) -> None:
    """
    Refuse a request that no operation could answer.

    :raises ServiceError: the first thing that is wrong with it; how the service answers a body of another
        type, a parameter that comes twice and a time-out that is no number is not documented; assumed.
    """
    check_version(call.api_version)
    for name in call.repeated:
        raise refused_query(call.query[name], of=name, reason="The parameter is given more than once.")
    timeout = call.query.get("timeout")
    if timeout is not None and not timeout.isdecimal():
        raise refused_query(timeout, of="timeout", reason="The time-out is not a number of seconds.")
    kind = call.headers.get("content-type")
    if call.body and kind is not None and kind.partition(";")[0].strip().lower() != "application/json":
        raise ServiceError(Code.INVALID_HEADER_VALUE, {"HeaderName": "Content-Type", "HeaderValue": kind})
