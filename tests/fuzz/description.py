"""A published description of the API, made to say what the service was recorded to do; reads no file."""

from __future__ import annotations

from typing import Any

__all__ = ["prepared"]

_UNMODIFIED = {"description": "Not modified: it has no body, though the description calls every error JSON."}

_RECORDED_SPELLINGS = {
    "spread": "Spread",
    "pack": "Pack",
    "regional": "Regional",
    "zonal": "Zonal",
    "none": "None",
    "readonly": "ReadOnly",
    "readwrite": "ReadWrite",
    "batchmanaged": "BatchManaged",
    "usermanaged": "UserManaged",
    "nopublicipaddresses": "NoPublicIPAddresses",
    "trustedLaunch": "trustedlaunch",
    "confidentialVM": "confidentialvm",
}
"""Values of properties that the service spells in other letters than its description."""


def prepared(description: dict[str, Any]) -> dict[str, Any]:
    """
    Return a description that tests can stand on, asking for the version that it describes.

    Its examples are references to files that are not there. Its schemas are not taken at their word in this:

    - A 64-bit integer may be a string, as the sizes of files are.
    - A duration need not be one of RFC 3339, which knows no fractions: the service's longest has one.
    - Some values of enumerations may be spelled as recorded.
    """
    changed: dict[str, Any] = _changed(description, description["info"]["version"])
    for path in changed["paths"].values():
        for method in {"get", "head"} & set(path):
            path[method]["responses"]["304"] = _UNMODIFIED
    return changed


def _changed(value: Any, version: str) -> Any:
    if isinstance(value, list):
        return [_changed(item, version) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _changed(item, version) for name, item in value.items() if name != "x-ms-examples"}
    if kept.get("name") == "api-version":
        return {**kept, "enum": [version]}
    if kept.get("format") == "duration":
        return {**kept, "format": "batch-duration"}
    # Parameters need their type; those of 64 bits come as numbers anyway.
    if kept.get("format") == "int64" and "in" not in kept:
        del kept["type"]
    if "enum" in kept and "in" not in kept:
        recorded = [_RECORDED_SPELLINGS[value] for value in kept["enum"] if value in _RECORDED_SPELLINGS]
        kept["enum"] = list(dict.fromkeys([*kept["enum"], *recorded]))
    return kept
