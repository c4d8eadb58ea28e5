"""Report how long the images of pools are still supported, and which images can replace them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.images.names import DISTROS
from airflow_provider_batchlinux.core.images.query import DistroRelease, ImageOptions, ImageQuery
from airflow_provider_batchlinux.core.images.resolve import ImageNotFoundError, ResolvedImage, resolve_image
from airflow_provider_batchlinux.core.text import counted, joined

SUPPORT_FIELDS = ("id", "virtualMachineConfiguration")
"""The properties to request of a pool to know its image."""

_NAMES = ("publisher", "offer", "sku")


@dataclass(frozen=True)
class ImageInUse:
    """
    The image of a pool.

    :param image: ``publisher:offer:sku``, or the id of a custom or gallery image.
    :param is_listed: whether the service lists it with that node agent SKU. A custom image is never listed; a
        marketplace image that is not listed has been withdrawn.
    :param is_own: whether it is a custom or gallery image, whose owner is responsible for its base image.
    :param end_of_support: from then on the service refuses new pools with it, and may refuse new nodes;
        ``None`` if no date is announced.
    :param successor: the image that a new pool of the same kind would use; ``None`` if there is no other.
    """

    pool_id: str
    image: str
    node_agent_sku: str
    is_listed: bool
    is_own: bool
    end_of_support: datetime | None
    successor: str | None

    def ends_within(self, span: timedelta, now: datetime) -> bool:
        """Return whether its support has ended or ends soon; a withdrawn image counts as ended."""
        if not self.is_listed:
            return not self.is_own
        return self.end_of_support is not None and self.end_of_support <= now + span

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """Return the image as an entry of the result's ``ending``."""
        end = self.end_of_support
        return {
            "pool_id": self.pool_id,
            "image": self.image,
            "node_agent_sku": self.node_agent_sku,
            "end_of_support": end.isoformat() if end else None,
            "days_left": (end - now).days if end else None,
            "successor": self.successor,
        }


def image_name(reference: Mapping[str, Any]) -> str:
    """Return the name of an image: ``publisher:offer:sku``, or the id of a custom or gallery image."""
    names = [str(reference.get(part) or "") for part in _NAMES]
    return ":".join(names) if all(names) else next((str(value) for value in reference.values()), "")


def images_in_use(
    pools: Sequence[Mapping[str, Any]], images: Sequence[SupportedImage], now: datetime
) -> list[ImageInUse]:
    """
    Return the image of each pool.

    :param pools: REST bodies with :data:`SUPPORT_FIELDS`; a pool without virtual machines is skipped.
    :param images: the service's supported images.
    """
    machines = [(str(pool["id"]), pool.get("virtualMachineConfiguration")) for pool in pools]
    return [_in_use(pool_id, machine, images, now) for pool_id, machine in machines if machine]


def describe_support(found: ImageInUse, now: datetime) -> str:
    """Return a sentence about how long a pool's image is still supported, and what can replace it."""
    subject = f"Pool {found.pool_id!r} uses {found.image} ({found.node_agent_sku})"
    if not found.is_listed and not found.is_own:
        support = "which the service no longer lists"
    elif found.end_of_support is None:
        support = "for which no end of support is announced"
    else:
        support = _end_text(found.end_of_support, now)
    successor = f" A new pool of this kind would use {found.successor}." if found.successor else ""
    return f"{subject}, {support}.{successor}"


def end_warning(chosen: ResolvedImage, now: datetime, span: timedelta) -> str | None:
    """
    Return a warning that the support of an image ends soon; ``None`` if it does not.

    :param span: how long before the end to warn.
    """
    end = chosen.end_of_support
    if end is None or end > now + span:
        return None
    name, remedy = ":".join(chosen.reference.values()), "Change to another image in time."
    return f"Image {name}, {_end_text(end, now)}; from then on new pools with it are refused. {remedy}"


def _end_text(end: datetime, now: datetime) -> str:
    days = (end - now).days
    when = f"in {counted(days, 'day')}" if days > 0 else f"{counted(-days, 'day')} ago"
    return f"whose support {'ends' if end > now else 'ended'} on {end:%Y-%m-%d}, {when}"


def _in_use(
    pool_id: str, machine: Mapping[str, Any], images: Sequence[SupportedImage], now: datetime
) -> ImageInUse:
    reference = machine.get("imageReference") or {}
    agent = str(machine.get("nodeAgentSKUId") or "")
    is_own = not all(reference.get(part) for part in _NAMES)
    name = image_name(reference)
    wanted = (name.lower(), agent.lower())
    known = next((one for one in images if (one.name.lower(), one.node_agent_sku.lower()) == wanted), None)
    end = known.end_of_support if known else None
    return ImageInUse(
        pool_id,
        name,
        agent,
        known is not None,
        is_own,
        end,
        _successor(known, images, now) if known else None,
    )


def _successor(known: SupportedImage, images: Sequence[SupportedImage], now: datetime) -> str | None:
    distro = next((distro for distro in DISTROS if DistroRelease(distro).has_distro(known)), None)
    if distro is None:
        return None
    options = ImageOptions(known.specials, known.generation, known.architecture, not known.verified)
    query = ImageQuery(distro.name, DistroRelease(distro), options)
    try:
        found = resolve_image(query, images, needed_until=now)
    except ImageNotFoundError:
        return None
    name = ":".join(found.reference[part] for part in _NAMES)
    return None if name.lower() == known.name.lower() else name


def named_pools(
    pools: Sequence[Mapping[str, Any]], pool_ids: Sequence[str], *, allow_empty: bool = False
) -> list[Mapping[str, Any]]:
    """
    Return the pools with some ids.

    :param allow_empty: whether there may be no id.
    :raises ValueError: if there are none with some ids: a check that leaves them out would say nothing.
    """
    if not pool_ids and not allow_empty:
        msg = "pool_ids is an empty list, so no pool would be checked. allow_empty=True lets that succeed."
        raise ValueError(msg)
    found = {str(pool["id"]).lower(): pool for pool in pools}
    missing = [pool_id for pool_id in pool_ids if pool_id.lower() not in found]
    if missing:
        msg = f"pool_ids names {joined(missing)}, but the account has no such pool."
        raise ValueError(msg)
    return [found[pool_id.lower()] for pool_id in pool_ids]
