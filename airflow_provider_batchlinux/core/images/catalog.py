"""An image that the service supports: one row of its list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_provider_batchlinux.core.images.names import (
    ARCHITECTURES,
    FEATURES,
    GENERATIONS,
    Version,
    find_version,
    words_of,
)
from airflow_provider_batchlinux.core.instants import parse_instant

LATEST = "latest"

_SPECIAL_CAPABILITIES = {
    "nvidiatesladriverinstalled": "gpu",
    "nvidiagriddriverinstalled": "gpu",
    "supportsrdmaonly": "rdma",
}
# Ordinary images may have these, too: they match a request, but do not make an image a special one.
_HARMLESS_CAPABILITIES = {"dockercompatible": "container", "confidentialvmcompatible": "cvm"}
_GENERATION_2 = "generation2vmimage"


@dataclass(frozen=True)
class SupportedImage:
    """
    A marketplace image that the service offers, with the node agent SKU that runs on it.

    :param verified: whether Microsoft has verified all Batch features with this node agent SKU.
    :param capabilities: as the service writes them, such as ``DockerCompatible``.
    :param end_of_support: from then on the service refuses new pools with it; ``None`` if no date is
        announced yet. The service keeps images in its list after that date.
    """

    publisher: str
    offer: str
    sku: str
    version: str
    node_agent_sku: str
    os_type: str
    verified: bool
    capabilities: frozenset[str]
    end_of_support: datetime | None

    @classmethod
    def from_rest(cls, row: Mapping[str, Any]) -> SupportedImage:
        """Return the image of a row of ``GET /supportedimages``; missing values are empty or unverified."""
        fields = _lower_keys(row)
        names = _lower_keys(fields.get("imagereference") or {})
        return cls(
            publisher=_text(names.get("publisher")),
            offer=_text(names.get("offer")),
            sku=_text(names.get("sku")),
            version=_text(names.get("version")).lower() or LATEST,
            node_agent_sku=_text(fields.get("nodeagentskuid")),
            os_type=_text(fields.get("ostype")).lower(),
            verified=_text(fields.get("verificationtype")).lower() == "verified",
            capabilities=frozenset(_text(item) for item in fields.get("capabilities") or ()),
            end_of_support=_instant(fields.get("batchsupportendoflife")),
        )

    @property
    def name(self) -> str:
        """The image as users may request it: ``publisher:offer:sku``."""
        return f"{self.publisher}:{self.offer}:{self.sku}"

    @property
    def os_version(self) -> Version:
        """The distribution's version; empty if no name contains it."""
        return find_version(self.sku, self.offer, self.node_agent_sku)

    @property
    def architecture(self) -> str:
        """The architecture, ``x64`` or ``arm64``, which the service reports only in names."""
        words = words_of(self.offer, self.sku, self.node_agent_sku)
        return "arm64" if any(ARCHITECTURES.get(word) == "arm64" for word in words) else "x64"

    @property
    def generation(self) -> int:
        """The Hyper-V generation; ARM64 images are always generation 2."""
        named = 2 in {GENERATIONS.get(word) for word in words_of(self.sku)}
        known = _GENERATION_2 in self._lower_capabilities() or self.architecture == "arm64"
        return 2 if named or known else 1

    @property
    def specials(self) -> frozenset[str]:
        """The features that make it a special-purpose image."""
        named = {FEATURES[word] for word in words_of(self.offer, self.sku) if word in FEATURES}
        return frozenset(named | self._features_by(_SPECIAL_CAPABILITIES))

    @property
    def features(self) -> frozenset[str]:
        """All features that a request may name to match it."""
        return self.specials | self._features_by(_HARMLESS_CAPABILITIES)

    def _lower_capabilities(self) -> set[str]:
        return {capability.lower() for capability in self.capabilities}

    def _features_by(self, table: Mapping[str, str]) -> set[str]:
        return {table[name] for name in self._lower_capabilities() if name in table}


def _lower_keys(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in mapping.items()}


def _text(value: object) -> str:
    return "" if value is None else str(getattr(value, "value", value)).strip()


def _instant(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    text = _text(value)
    readings = (parse_instant(text + ending) for ending in ("", "Z", "T00:00:00Z"))
    return next((reading for reading in readings if reading is not None), None)
