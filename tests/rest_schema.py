"""
Generate the schema of REST bodies from the models of the azure-batch package.

``python -m tests.rest_schema`` rewrites ``airflow_provider_batchlinux/rest_schema/2025-06-01.json``; a test
compares the file with :func:`generated`. Run it after an update of azure-batch.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from azure.batch import models
from azure.batch.models import _enums, _models

from airflow_provider_batchlinux import rest_schema

FILE = Path(rest_schema.__file__).parent / "2025-06-01.json"

REQUESTS = (
    "BatchJob",
    "BatchJobCreateOptions",
    "BatchJobDisableOptions",
    "BatchJobSchedule",
    "BatchJobScheduleCreateOptions",
    "BatchJobScheduleUpdateOptions",
    "BatchJobTerminateOptions",
    "BatchJobUpdateOptions",
    "BatchNodeDeallocateOptions",
    "BatchNodeDisableSchedulingOptions",
    "BatchNodeRebootOptions",
    "BatchNodeReimageOptions",
    "BatchNodeRemoveOptions",
    "BatchNodeUserCreateOptions",
    "BatchNodeUserReplaceOptions",
    "BatchPoolCreateOptions",
    "BatchPoolEnableAutoScaleOptions",
    "BatchPoolEvaluateAutoScaleOptions",
    "BatchPoolReplaceOptions",
    "BatchPoolResizeOptions",
    "BatchPoolUpdateOptions",
    "BatchTask",
    "BatchTaskCreateOptions",
    "BatchTaskGroup",
    "UploadBatchServiceLogsOptions",
)
"""The bodies of requests; what they contain follows from their properties."""

RESULTS = ("BatchJob", "BatchJobSchedule", "BatchNode", "BatchPool", "BatchTask")
"""The resources whose properties ``$select`` can name."""

SECRETS = {
    ("AzureBlobFileSystemConfiguration", "accountKey"),
    ("AzureBlobFileSystemConfiguration", "sasKey"),
    ("AzureFileShareConfiguration", "accountKey"),
    ("BatchNodeUserCreateOptions", "password"),
    ("BatchNodeUserReplaceOptions", "password"),
    ("CifsMountConfiguration", "password"),
    ("ContainerRegistryReference", "password"),
    ("LinuxUserConfiguration", "sshPrivateKey"),
    ("UserAccount", "password"),
    ("VMExtension", "protectedSettings"),
}
"""Properties that the service never returns, by its documentation; the models do not mark them."""

RECORDED = {
    ("BatchNodePlacementConfiguration", "policy"): "Regional|Zonal",
    ("BatchOsDisk", "caching"): "None|ReadOnly|ReadWrite",
    ("BatchPublicIpAddressConfiguration", "provision"): "BatchManaged|UserManaged|NoPublicIPAddresses",
    ("BatchTaskSchedulingPolicy", "nodeFillType"): "Spread|Pack",
    ("OutputFileUploadConfiguration", "uploadCondition"): "TaskSuccess|TaskFailure|TaskCompletion",
    ("SecurityProfile", "securityType"): "trustedlaunch|confidentialvm",
}
"""Choices in the letters that recordings of the service's answers show; the models have others."""

_SCALARS: Mapping[object, str] = {
    str: "string",
    bool: "bool",
    int: "int",
    float: "float",
    timedelta: "duration",
    datetime: "time",
    Any: "object",
}


def generated() -> dict[str, Any]:
    """Return the schema: bodies of requests with their parts, and properties of resources."""
    bodies: dict[str, Any] = {}
    waiting = list(REQUESTS)
    while waiting:
        name = waiting.pop()
        if name in bodies:
            continue
        fields = [field for field in _fields(name) if field[0]._visibility != ["read"]]
        properties = {field._rest_name: _kind(hint) for field, hint in fields}
        for secret in (secret for model, secret in SECRETS if model == name):
            properties[secret] = (
                "secret" if properties[secret] == "string" else f"secret {properties[secret]}"
            )
        properties.update({prop: kind for (model, prop), kind in RECORDED.items() if model == name})
        required = [field._rest_name for field, hint in fields if not _is_optional(hint)]
        bodies[name] = {"required": required, "properties": properties}
        kinds = (kind.strip("[]") for kind in properties.values())
        waiting += [kind for kind in kinds if _model(kind) is not None]
    results = {name: [field._rest_name for field, _ in _fields(name)] for name in RESULTS}
    return {"bodies": dict(sorted(bodies.items())), "results": results}


def text_of(schema: Mapping[str, Any]) -> str:
    """Return the schema as JSON with one line for each model, so that a difference is easy to read."""
    parts = [
        f'  "{part}": {{\n'
        + ",\n".join(f'    "{name}": {json.dumps(value)}' for name, value in values.items())
        + "\n  }"
        for part, values in schema.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _model(name: str) -> Any:
    # Some bodies with a single property, and their choices, are not exported by the package.
    found = (getattr(module, name, None) for module in (models, _models, _enums))
    return next((model for model in found if model is not None), None)


def _fields(name: str) -> list[tuple[Any, Any]]:
    model = _model(name)
    model({})  # The package fills in the fields of a model with its first instance.
    hints: dict[str, Any] = {}
    for cls in reversed(model.__mro__):
        hints |= vars(cls).get("__annotations__", {})
    return [(field, hints[attribute]) for attribute, field in model._attr_to_rest_field.items()]


def _kind(hint: Any) -> str:
    if isinstance(hint, (str, typing.ForwardRef)):
        name = (hint if isinstance(hint, str) else hint.__forward_arg__).split(".")[-1]
        target = _model(name)
        return "|".join(choice.value for choice in target) if issubclass(target, Enum) else name
    arguments = [argument for argument in typing.get_args(hint) if argument is not type(None)]
    origin = typing.get_origin(hint)
    if origin is typing.Union:
        # Enumerations are written as "a text or the enumeration".
        return _kind(arguments[-1])
    if origin is list:
        return f"[{_kind(arguments[0])}]"
    return "object" if origin is dict else _SCALARS[hint]


def _is_optional(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


if __name__ == "__main__":
    FILE.write_text(text_of(generated()), encoding="utf-8")
