"""Holds answers against a schema made from the SDK's own models, as they are when the tests run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qs, urlsplit

from azure.batch import models
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration, parse_instant

VERSION = "2025-06-01"
SETS: Mapping[str, type] = {
    "pools": models.BatchPool,
    "nodes": models.BatchNode,
    "jobs": models.BatchJob,
    "jobschedules": models.BatchJobSchedule,
    "tasks": models.BatchTask,
    "files": models.BatchNodeFile,
    "supportedimages": models.BatchSupportedImage,
    "poolnodecounts": models.BatchPoolNodeCounts,
    "extensions": models.BatchNodeVMExtension,
    "subtaskinfo": models.BatchSubtask,
    "taskaddresult": models.BatchTaskCreateResult,
    "taskcountsresult": models.BatchTaskCountsResult,
    "jobpreparationandreleasetaskstatuslist": models.BatchJobPreparationAndReleaseTaskStatus,
    "AutoScaleRun": models.AutoScaleRun,
    "RemoteLoginSettings": models.BatchNodeRemoteLoginSettings,
    "UploadBatchServiceLogsResult": models.UploadBatchServiceLogsResult,
    "errors": models.BatchError,
}
"""The model of what an answer holds, by the last name in its metadata."""

KNOWN = frozenset(
    {
        # Recorded: a number, where the description says text, and the other way round.
        "InstanceViewStatus.level: 0 is no StatusLevelTypes",
        "FileProperties.contentLength: text is no int",
        # Recorded: required in what is sent, and never given back.
        "UserAccount.password: missing",
        "AzureFileShareConfiguration.accountKey: missing",
        "CifsMountConfiguration.password: missing",
        # Recorded: pools with IPv4 addresses only show no other.
        # A node that has not booted yet has none, as recorded.
        "BatchNode.lastBootTime: missing",
        "BatchNode.ipv6Address: missing",
        "BatchNodeRemoteLoginSettings.ipv6RemoteLoginIPAddress: missing",
        "BatchNodeRemoteLoginSettings.ipv6RemoteLoginPort: missing",
    }
)
"""In what answers differ from the models, although they are those of the service."""


class SchemaCheck(SansIOHTTPPolicy[Any, Any]):
    """Lets a client of the SDK look at every answer."""

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Raise AssertionError if an answer is not as the models say."""
        sent, got = request.http_request, response.http_response
        kind = got.headers.get("content-type", "")
        # A body that is streamed is a file.
        if kind.startswith("application/json") and not request.context.options.get("stream"):
            check_answer(sent.url, got.body())


def check_answer(url: str, content: bytes) -> None:
    """Raise AssertionError if the answer to a request of the newest version is not as the models say."""
    query = parse_qs(urlsplit(url).query)
    if not content or query.get("api-version") != [VERSION]:
        return
    found = set(problems(json.loads(content), is_partial="$select" in query))
    assert found <= KNOWN, (url, sorted(found - KNOWN))


def problems(body: Any, *, is_partial: bool = False) -> Iterator[str]:
    """
    Return what of an answer is not as the models say.

    :param is_partial: whether only some properties were asked for.
    """
    metadata = body.get("odata.metadata", "") if isinstance(body, dict) else ""
    name = metadata.partition("#")[2].removesuffix("/@Element").rpartition(".")[2]
    if name not in SETS:
        return
    is_list = isinstance(body.get("value"), list) and "/@Element" not in metadata and "errors" not in metadata
    for item in body["value"] if is_list else [body]:
        for problem in _object_problems(SETS[name], item):
            if not (is_partial and problem.endswith("missing")):
                yield problem


@cache
def _fields(model: Any) -> Mapping[str, Any]:
    """Return the types of a model's properties by their names on the wire."""
    # The SDK draws them up when the first of its kind is made.
    model.__new__(model)
    rest: Mapping[str, Any] = model._attr_to_rest_field
    hints = get_type_hints(model, {**vars(sys.modules[model.__module__]), "_models": models})
    return {field._rest_name: hints[name] for name, field in rest.items()}


def _object_problems(model: type, value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{model.__name__}: {_kind(value)} is no object"
        return
    fields = _fields(model)
    for name in value:
        if name not in fields and not name.startswith("odata."):
            yield f"{model.__name__}.{name}: unknown"
    for name, kind in fields.items():
        if name in value:
            yield from _problems(kind, value[name], f"{model.__name__}.{name}")
        elif type(None) not in get_args(kind):
            yield f"{model.__name__}.{name}: missing"


def _problems(kind: Any, value: Any, where: str) -> Iterator[str]:
    if value is None:
        yield f"{where}: null"
        return
    if isinstance(kind, str):  # Python 3.10 leaves the name of a model in a list as it is
        kind = getattr(models, kind.removeprefix("_models."))
    kinds = [each for each in get_args(kind) if each is not type(None)] if _is_union(kind) else [kind]
    choices = [each for each in kinds if isinstance(each, type) and issubclass(each, Enum)]
    if choices:
        known = {str(choice.value).lower() for choice in choices[0]}
        if str(value).lower() not in known:
            yield f"{where}: {value} is no {choices[0].__name__}"
        return
    (kind,) = kinds
    if get_origin(kind) is list:
        yield from _list_problems(get_args(kind)[0], value, where)
    elif get_origin(kind) is dict or kind is Any:
        return
    elif hasattr(kind, "_deserialize"):
        yield from _object_problems(kind, value)
    elif not _is_scalar(kind, value):
        yield f"{where}: {_kind(value)} is no {kind.__name__}"


def _list_problems(kind: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where}: {_kind(value)} is no list"
        return
    for item in value:
        yield from _problems(kind, item, where)


def _is_scalar(kind: type, value: Any) -> bool:
    if kind is datetime:
        return isinstance(value, str) and _reads(parse_instant, value)
    if kind is timedelta:
        return isinstance(value, str) and _reads(parse_duration, value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def _reads(read: Any, text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _kind(value: Any) -> str:
    return "text" if isinstance(value, str) else type(value).__name__


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)
