"""
The images the service supports, as the list of February 2026 in ``data/supported_images.json``.

The rows and their order are those of the recorded answer; of an account that does not allocate its pools in a
subscription of its own, so that rows with ``UserSubscriptionOnly`` are left out. Rows that have gone since
January 2025 are kept in the file: pools can still name them. End dates are those that Microsoft announced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.data_files import read_data
from airflow_provider_batchlinux.emulator.protocol.instants import parse_instant
from airflow_provider_batchlinux.emulator.rules.vm_sizes import traits_of
from airflow_provider_batchlinux.emulator.state.records import Json

_NAMES = ("publisher", "offer", "sku")
_LISTED_AFTER_END = timedelta(days=180)
"""Recorded: a row is still listed four months after its end, and gone after nine; the rest is assumed."""


def supported_images(now: datetime) -> list[Json]:
    """Return the list of a time, ascending by publisher, offer and sku."""
    return [image for image in known_images() if _is_listed(image, now)]


def _is_listed(image: Json, now: datetime) -> bool:
    end = image.get("batchSupportEndOfLife")
    return end is None or now < parse_instant(end) + _LISTED_AFTER_END


@cache
def known_images() -> tuple[Json, ...]:
    """Return every image that pools can name, ascending by publisher, offer and sku."""
    return tuple(read_data("supported_images"))


@cache
def _by_name() -> Mapping[tuple[str, ...], Json]:
    return {tuple(image["imageReference"][name] for name in _NAMES): image for image in known_images()}


def image_of(reference: Mapping[str, Any]) -> Json | None:
    """Return the row of a marketplace image; ``None`` if the service does not know it."""
    return _by_name().get(tuple(str(reference.get(name, "")).lower() for name in _NAMES))


def has_capability(image: Json, name: str) -> bool:
    """Return whether an image has a capability, such as ``DockerCompatible``."""
    return name in image.get("capabilities", ())


@dataclass(frozen=True)
class ImageTraits:
    """What decides which VM sizes boot an image: its architecture, and its Hyper-V generation, 1 or 2."""

    architecture: str
    generation: str


def marketplace_traits(reference: Mapping[str, Any]) -> ImageTraits | None:
    """Return the traits of a marketplace image; ``None`` if the service does not know it."""
    image = image_of(reference)
    if image is None:
        return None
    architecture = "Arm64" if image["nodeAgentSKUId"].endswith("-arm64") else "x64"
    return ImageTraits(architecture, "2" if has_capability(image, "Generation2VMImage") else "1")


def boot_problem(vm_size: str, image: ImageTraits | None) -> str | None:
    """
    Return why a VM size cannot boot an image; ``None`` if it can, or if nothing is known of them.

    The sentences are those of Azure's compute service, which Batch passes on. That of the generation is
    documented by Batch.
    """
    size = traits_of(vm_size)
    if image is None or size is None:
        return None
    if image.architecture != size.architecture:
        return (
            f"The selected VM size '{vm_size.upper()}' of architecture '{size.architecture}' cannot boot an "
            f"image of architecture '{image.architecture}'."
        )
    if f"V{image.generation}" not in size.generations:
        return (
            f"The selected VM size '{vm_size.upper()}' cannot boot Hypervisor Generation "
            f"'{image.generation}'. "
            "If this was a Create operation, please ensure that the Hypervisor Generation of the Image "
            "matches the Hypervisor Generation of the selected VM Size. If this was an Update operation, "
            f"please choose a Hypervisor Generation '{image.generation}' VM Size."
        )
    return None
