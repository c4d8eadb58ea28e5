"""Decide whether an image matches a request, and which of several matching images is better."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.images.names import WORKLOAD_FEATURES
from airflow_provider_batchlinux.core.images.query import DistroRelease, MarketplaceName

_REQUIRED = {"container": "container engine (capability DockerCompatible)"}
"""The features that a pool may need, as messages name them."""


@dataclass(frozen=True)
class ImageRules:
    """
    The conditions that an image must meet, and the order of those that meet them.

    :param needed_until: when the pool may need new nodes for the last time.
    :param generations: the requested Hyper-V generations; no image matches two of them.
    :param architectures: the requested architectures; no image matches two of them.
    :param unverified: whether unverified images match.
    :param required: the features that the pool needs, such as a container engine, however the image is named.
    """

    subject: DistroRelease | MarketplaceName
    features: frozenset[str]
    needed_until: datetime
    generations: frozenset[int]
    architectures: frozenset[str]
    unverified: bool
    required: frozenset[str] = frozenset()

    def objections(self, image: SupportedImage) -> list[str]:
        """List why the image does not match; empty if it does."""
        return [
            *self.subject.mismatches(image),
            *self._service_objections(image),
            *self.pool_objections(image),
            *self._feature_objections(image),
        ]

    def preference(self, image: SupportedImage) -> tuple[Any, ...]:
        """
        Return the sort key of a matching image, the best first.

        The version decides before the generation; names only break ties. A pattern may match special images,
        which come last.
        """
        out_of_the_ordinary = bool(self._unasked(image)) or image.architecture != "x64"
        version = image.os_version
        # A major version alone means its newest minor version, so it is newer than any minor that is named.
        newest_first = (*(-number for number in version), -inf) if version else (inf,)
        return (
            out_of_the_ordinary,
            newest_first,
            not image.verified,
            -image.generation,
            len(image.specials),
            text_order(image),
        )

    def _service_objections(self, image: SupportedImage) -> list[str]:
        found = []
        if image.os_type != "linux":
            found.append(f"runs {image.os_type.capitalize() or 'an unnamed system'}")
        if not (image.verified or self.unverified):
            found.append("unverified")
        end = image.end_of_support
        if end is not None and end <= self.needed_until:
            found.append(f"end of support {end:%Y-%m-%d}")
        return found

    def pool_objections(self, image: SupportedImage) -> list[str]:
        """List why no node of the pool could work with the image, however it was requested."""
        found = [f"no {_REQUIRED[name]}" for name in sorted(self.required - image.features)]
        if self.generations - {image.generation}:
            found.append(f"generation {image.generation}")
        if self.architectures - {image.architecture}:
            found.append(f"architecture {image.architecture}")
        return found

    def _feature_objections(self, image: SupportedImage) -> list[str]:
        if not isinstance(self.subject, DistroRelease):
            return []
        missing = sorted(self.features - self.required - image.features)
        unasked = sorted(self._unasked(image))
        return [
            *([f"lacks {', '.join(missing)}"] if missing else []),
            *([f"special ({', '.join(unasked)})"] if unasked else []),
        ]

    def _unasked(self, image: SupportedImage) -> frozenset[str]:
        asked = self.features | self.required
        admitted = asked | WORKLOAD_FEATURES if asked & WORKLOAD_FEATURES else asked
        return image.specials - admitted


def text_order(image: SupportedImage) -> tuple[str, ...]:
    """Return a sort key that no two different images share."""
    return (
        image.name.lower(),
        image.node_agent_sku.lower(),
        image.name,
        image.version,
        image.node_agent_sku,
        image.os_type,
        ",".join(sorted(image.capabilities)),
        str(image.end_of_support or ""),
    )
