"""Select the image of a pool, and explain why others do not match."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any

from airflow_provider_batchlinux.core.images.catalog import LATEST, SupportedImage
from airflow_provider_batchlinux.core.images.names import (
    ARCHITECTURES,
    version_text,
)
from airflow_provider_batchlinux.core.images.query import (
    DistroRelease,
    GivenImage,
    ImageQuery,
    MarketplaceName,
)
from airflow_provider_batchlinux.core.images.rules import ImageRules, text_order

_MAX_RUNNERS_UP = 3
_MAX_NEAREST = 5
_REMEDY = (
    "Ask for what one of these is (after a distribution's name may follow option words such as"
    " 'gen1', 'arm64', 'cvm' or 'unverified'), or give a mapping with publisher, offer, sku and"
    " node_agent_sku, which is used unchanged."
)


class ImageNotFoundError(ValueError):
    """No supported image matches the request; the message names the nearest ones."""


@dataclass(frozen=True)
class ResolvedImage:
    """
    The image that was selected for a pool.

    :param reference: the REST ``imageReference``.
    :param node_agent_sku: the node agent SKU that runs on it.
    :param end_of_support: from then on the service refuses new pools with it; ``None`` if no date is
        announced, or if it is unknown.
    :param verified: ``None`` if it is unknown, because the service does not list the image.
    :param runners_up: the other matching images, best first.
    """

    reference: Mapping[str, str]
    node_agent_sku: str
    end_of_support: datetime | None
    verified: bool | None
    runners_up: tuple[SupportedImage, ...]


def needs_image_list(query: ImageQuery) -> bool:
    """Return whether the list of supported images is needed: not for an image with an id."""
    return not isinstance(query.subject, GivenImage) or "publisher" in query.subject.reference


def resolve_image(
    query: ImageQuery,
    images: Sequence[SupportedImage],
    *,
    needed_until: datetime,
    generation: int | None = None,
    architecture: str | None = None,
    required: frozenset[str] = frozenset(),
    include_unverified: bool = False,
) -> ResolvedImage:
    """
    Select the image for a pool.

    Only Linux images match: verified ones unless requested otherwise, and supported until the pool ends. The
    one with the newest version is selected, then the preferred generation. The order of the list does not
    matter.

    :param query: what the user requested.
    :param images: the service's supported images; not needed if :func:`needs_image_list` returns ``False``.
    :param needed_until: when the pool may need new nodes for the last time, with a time zone.
    :param generation: the Hyper-V generation that the VM size supports, 1 or 2; ``None`` for both, preferably
        2.
    :param architecture: the VM size's architecture, ``"x64"`` or ``"arm64"``; ``None`` for that of
        the query, which is x64 unless it names another.
    :param required: the features that the pool needs, such as ``container``.
    :param include_unverified: allow images with which not all Batch features are verified.
    :raises ImageNotFoundError: if no image matches.
    :raises ValueError: if arguments are wrong; all problems.
    """
    if isinstance(query.subject, GivenImage):
        _check(needed_until, generation, architecture)
        rules = _rules_for_given(query.subject, needed_until, generation, architecture, required)
        return _as_given(query, query.subject, images, rules)
    fitting = fitting_images(
        query,
        images,
        needed_until=needed_until,
        generation=generation,
        architecture=architecture,
        required=required,
        include_unverified=include_unverified,
    )
    best, *others = fitting
    return ResolvedImage(
        _reference(best, query.subject),
        best.node_agent_sku,
        best.end_of_support,
        best.verified,
        tuple(others),
    )


def fitting_images(
    query: ImageQuery,
    images: Sequence[SupportedImage],
    *,
    needed_until: datetime,
    generation: int | None = None,
    architecture: str | None = None,
    required: frozenset[str] = frozenset(),
    include_unverified: bool = False,
) -> list[SupportedImage]:
    """
    List the matching images; the first is the one that a pool would get.

    The parameters and errors are those of :func:`resolve_image`.

    :raises ImageNotFoundError: if no image matches.
    """
    _check(needed_until, generation, architecture)
    subject, options = query.subject, query.options
    if isinstance(subject, GivenImage):
        msg = f"image={query.text!r} comes with its node agent SKU: there is nothing to find."
        raise ValueError(msg)  # noqa: TRY004 - the request is wrong, not a type
    rules = ImageRules(
        subject=subject,
        features=options.features,
        needed_until=needed_until,
        generations=frozenset(filter(None, (generation, options.generation))),
        architectures=_architectures(query, architecture),
        unverified=include_unverified or options.unverified,
        required=required,
    )
    fitting = sorted((row for row in set(images) if not rules.objections(row)), key=rules.preference)
    if not fitting:
        raise ImageNotFoundError(_not_found(query, rules, images))
    return fitting


def describe_choice(resolved: ResolvedImage) -> str:
    """Return one line for the log: the selected image and the other matching images."""
    verified = {True: "verified", False: "unverified", None: "taken as given"}
    is_unlisted = resolved.verified is None and "publisher" in resolved.reference
    unknown = "not known, since the service does not list it" if is_unlisted else "not known"
    end = f"{resolved.end_of_support:%Y-%m-%d}" if resolved.end_of_support else unknown
    names = [image.name for image in resolved.runners_up]
    more = len(names) - _MAX_RUNNERS_UP
    others = f"also possible: {', '.join(names[:_MAX_RUNNERS_UP])}" if names else "no runners-up"
    return (
        f"Image {':'.join(resolved.reference.values())},"
        f" node agent SKU {resolved.node_agent_sku!r},"
        f" {verified[resolved.verified]}, end of support {end};"
        f" {others}{f' and {more} more' if more > 0 else ''}."
    )


def _check(needed_until: datetime, generation: int | None, architecture: str | None) -> None:
    problems = []
    if needed_until.utcoffset() is None:
        problems.append(f"needed_until={needed_until.isoformat()} has no time zone.")
    if generation not in (None, 1, 2):
        problems.append(f"generation={generation!r} is not 1, 2 or None.")
    if architecture is not None and architecture.lower() not in ARCHITECTURES:
        problems.append(f"architecture={architecture!r} is not 'x64', 'arm64' or None.")
    if problems:
        raise ValueError("\n".join(problems))


def _architectures(query: ImageQuery, architecture: str | None) -> frozenset[str]:
    given = {ARCHITECTURES[architecture.lower()]} if architecture else set()
    if query.options.architecture:
        given.add(query.options.architecture)
    by_default = {"x64"} if isinstance(query.subject, DistroRelease) else set()
    return frozenset(given or by_default)


def _rules_for_given(
    given: GivenImage,
    needed_until: datetime,
    generation: int | None,
    architecture: str | None,
    required: frozenset[str],
) -> ImageRules:
    names = (given.reference.get(part, "") for part in ("publisher", "offer", "sku"))
    return ImageRules(
        subject=MarketplaceName(*names),
        features=frozenset(),
        needed_until=needed_until,
        generations=frozenset(filter(None, (generation,))),
        architectures=frozenset({ARCHITECTURES[architecture.lower()]} if architecture else ()),
        unverified=True,
        required=required,
    )


def _as_given(
    query: ImageQuery, given: GivenImage, images: Sequence[SupportedImage], rules: ImageRules
) -> ResolvedImage:
    name = [given.reference.get(part, "").lower() for part in ("publisher", "offer", "sku")]
    same = (
        image
        for image in images
        if image.name.lower() == ":".join(name)
        and image.node_agent_sku.lower() == given.node_agent_sku.lower()
    )
    known = min(same, key=text_order, default=None)
    if known is not None and rules.pool_objections(known):
        raise ImageNotFoundError(_not_found(query, rules, images))
    return ResolvedImage(
        given.reference,
        given.node_agent_sku,
        known.end_of_support if known else None,
        known.verified if known else None,
        runners_up=(),
    )


def _reference(image: SupportedImage, subject: DistroRelease | MarketplaceName) -> dict[str, str]:
    pinned = subject.version if isinstance(subject, MarketplaceName) else LATEST
    return {
        "publisher": image.publisher,
        "offer": image.offer,
        "sku": image.sku,
        "version": image.version if pinned == LATEST else pinned,
    }


def _not_found(query: ImageQuery, rules: ImageRules, images: Sequence[SupportedImage]) -> str:
    needs = [f"needed until {rules.needed_until:%Y-%m-%d}"]
    needs += [f"generation {number}" for number in sorted(rules.generations)]
    needs += sorted(rules.architectures)
    needs += ["with a container engine"] if "container" in rules.required else []
    asked = f"image={query.text!r} ({', '.join(needs)})"
    if not images:
        return f"{asked} fits nothing: the service lists no supported images."
    nearest = sorted(_related(rules, images), key=_nearness(query, rules))[:_MAX_NEAREST]
    lines = [
        f"  {image.name} ({image.node_agent_sku}): {'; '.join(rules.objections(image))}" for image in nearest
    ]
    return "\n".join(
        [
            f"{asked} fits none of the {len(images)} images that the service lists."
            " Nearest, with why each was passed over:",
            *lines,
            *([] if isinstance(query.subject, GivenImage) else [_REMEDY]),
        ]
    )


def _related(rules: ImageRules, images: Sequence[SupportedImage]) -> set[SupportedImage]:
    """Return the images of the requested distribution; all images if the service lists none of it."""
    subject = rules.subject
    if isinstance(subject, MarketplaceName):
        return set(images)
    return {image for image in images if subject.has_distro(image)} or set(images)


def _nearness(query: ImageQuery, rules: ImageRules) -> Callable[[SupportedImage], tuple[Any, ...]]:
    asked = query.text.lower()

    def key(image: SupportedImage) -> tuple[Any, ...]:
        names = f"{image.name} {version_text(image.os_version)}".lower()
        likeness = SequenceMatcher(None, asked, names).ratio()
        misnamed = len(rules.subject.mismatches(image))
        # Other names count as one objection: an image of another offer that has the rest is near.
        objections = len(rules.objections(image)) - misnamed + bool(misnamed)
        return (objections, misnamed, -likeness, text_order(image))

    return key
