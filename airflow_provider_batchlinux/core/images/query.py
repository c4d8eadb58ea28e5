"""Parse what users write for ``image``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_batchlinux.core.images.catalog import LATEST, SupportedImage
from airflow_provider_batchlinux.core.images.names import (
    ARCHITECTURES,
    DISTROS,
    FEATURES,
    GENERATIONS,
    Distro,
    Version,
    is_long_term,
    read_version,
    version_text,
    words_of,
)

_FORMS = "'ubuntu 24.04', 'publisher:offer:sku' or a mapping"
_FILLER_WORDS = frozenset({"linux", "lts", "server"})
_UNVERIFIED = "unverified"
_NAMES = ("publisher", "offer", "sku")
_ID_PREFIXES = {
    "virtualMachineImageId": "/subscriptions/",
    "communityGalleryImageId": "/CommunityGalleries/",
    "sharedGalleryImageId": "/SharedGalleries/",
}
_KEYS = {
    **{name: name for name in (*_NAMES, "version")},
    **{name.lower(): name for name in _ID_PREFIXES},
    "id": "id",
    "imageid": "id",
    "nodeagentsku": "node_agent_sku",
    "nodeagentskuid": "node_agent_sku",
}
_KNOWN_KEYS = ", ".join(dict.fromkeys(_KEYS.values()))


@dataclass(frozen=True)
class DistroRelease:
    """A distribution by its common name; an empty version means the newest release."""

    distro: Distro
    version: Version = ()

    def has_distro(self, image: SupportedImage) -> bool:
        """Return whether an image contains the distribution, in any version."""
        return any(fnmatchcase(image.offer.lower(), pattern) for pattern in self.distro.offers)

    def mismatches(self, image: SupportedImage) -> list[str]:
        """List why an image is not this release."""
        if not self.has_distro(image):
            return [f"not {self.distro.name}"]
        found = image.os_version
        if self.version:
            asked = self.version
            return [] if found[: len(asked)] == asked else [f"version {version_text(found)}"]
        if self.distro.long_term_only and not is_long_term(found):
            return [f"version {version_text(found)} has no long-term support"]
        return []


@dataclass(frozen=True)
class MarketplaceName:
    """Publisher, offer and SKU, each of which may be a shell pattern, and the image's version."""

    publisher: str
    offer: str
    sku: str
    version: str = LATEST

    @property
    def is_pattern(self) -> bool:
        """Whether it may match more than one image."""
        return any(character in self.publisher + self.offer + self.sku for character in "*?[")

    def mismatches(self, image: SupportedImage) -> list[str]:
        """List which names of an image differ, ignoring case."""
        found = [
            f"other {name}"
            for name in _NAMES
            if not fnmatchcase(getattr(image, name).lower(), getattr(self, name).lower())
        ]
        if LATEST not in (self.version, image.version) and self.version != image.version:
            found.append(f"image version {image.version}")
        return found


@dataclass(frozen=True)
class GivenImage:
    """
    An image that is given with its node agent SKU, so that nothing needs to be resolved.

    :param reference: the REST ``imageReference``: marketplace names, or the id of a custom
        image, of an image in a Compute Gallery or in a community gallery.
    """

    reference: Mapping[str, str]
    node_agent_sku: str


@dataclass(frozen=True)
class ImageOptions:
    """
    The options beside the name.

    :param features: such as ``cvm`` or ``hpc``.
    :param generation: the Hyper-V generation; ``None`` for any, preferably 2.
    :param architecture: ``x64`` or ``arm64``; ``None`` if not given.
    :param unverified: whether unverified images are allowed.
    """

    features: frozenset[str] = frozenset()
    generation: int | None = None
    architecture: str | None = None
    unverified: bool = False


@dataclass(frozen=True)
class ImageQuery:
    """
    What the user requested as ``image``.

    :param text: the image as the user wrote it, for messages.
    :param subject: the distribution or image that is named.
    :param options: the options beside it.
    """

    text: str
    subject: DistroRelease | MarketplaceName | GivenImage
    options: ImageOptions = field(default_factory=ImageOptions)

    @property
    def meaning(self) -> str:
        """The request in one spelling: equal for two ways to write the same one."""
        subject, options = self.subject, self.options
        if isinstance(subject, GivenImage):
            parts = [f"{name} {value}" for name, value in sorted(subject.reference.items())]
            return ", ".join([*parts, subject.node_agent_sku]).lower()
        if isinstance(subject, MarketplaceName):
            return ":".join((subject.publisher, subject.offer, subject.sku, subject.version)).lower()
        found = (version_text(subject.version), *sorted(options.features), options.generation)
        return " ".join(map(str, (subject.distro.name, *found, options.architecture, options.unverified)))

    @classmethod
    def parse(cls, image: str | Mapping[str, Any]) -> ImageQuery:
        """
        Parse what the user wrote.

        :param image: a distribution with option words (``"ubuntu 24.04"``, ``"ubuntu-hpc 24.04"``,
            ``"debian 12 gen1"``), ``"publisher:offer:sku[:version]"`` with shell patterns, or a
            mapping with publisher, offer and sku, or with an image id and its ``node_agent_sku``.
        :raises ValueError: if it is none of these; all problems, one a line.
        """
        if isinstance(image, Mapping):
            return _from_mapping(image)
        if not isinstance(image, str) or not image.strip():
            msg = f"image={image!r} names no image; give {_FORMS}."
            raise ValueError(msg)
        if image.strip().startswith("/"):
            msg = (
                f"image={image!r} is an id, which does not name the node agent SKU; give a mapping"
                " with 'id' and 'node_agent_sku'."
            )
            raise ValueError(msg)
        return _from_marketplace_text(image) if ":" in image else _from_distro_text(image)


def _from_marketplace_text(image: str) -> ImageQuery:
    parts = [part.strip() for part in image.split(":")]
    if len(parts) not in (3, 4):
        msg = (
            f"image={image!r} has {len(parts)} parts between colons;"
            " give 'publisher:offer:sku' or 'publisher:offer:sku:version'."
        )
        raise ValueError(msg)
    return _from_mapping(dict(zip((*_NAMES, "version"), parts, strict=False)), text=image.strip())


def _from_mapping(image: Mapping[str, Any], text: str | None = None) -> ImageQuery:
    given, problems = _known_keys(image)
    agent = given.get("node_agent_sku")
    ids = [name for name in _ID_PREFIXES if name in given]
    if ids:
        problems += _id_problems(ids, given)
    elif not problems or any(name in given for name in _NAMES):
        # If no name is given but an unknown key, "has no publisher" would mislead: the key may mean an id.
        problems += _name_problems(given)
    if agent is not None and "windows" in agent.lower():
        problems.append(f"has the node agent SKU {agent!r}, which is for Windows; only Linux is supported.")
    if problems:
        raise ValueError("\n".join(f"image={text or dict(image)!r} {problem}" for problem in problems))
    reference = {name: given[name] for name in (*ids, *_NAMES, "version") if name in given}
    text = text or ":".join(reference.values())
    if agent is not None:
        version = {"version": LATEST} if reference.keys() == set(_NAMES) else {}
        return ImageQuery(text, GivenImage({**reference, **version}, agent))
    words = words_of(*(reference[name] for name in _NAMES))
    features = frozenset(FEATURES[word] for word in words if word in FEATURES)
    return ImageQuery(text, MarketplaceName(**reference), ImageOptions(features=features))


def _known_keys(image: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    nested = image.get("imageReference") or image.get("image_reference") or {}
    flat = {key: value for key, value in image.items() if value is not nested}
    given: dict[str, str] = {}
    problems = []
    for key, value in {**flat, **(nested if isinstance(nested, Mapping) else {})}.items():
        name = _KEYS.get(str(key).replace("_", "").lower())
        if name is None:
            problems.append(f"has the key {key!r}; known are {_KNOWN_KEYS}.")
        elif value is not None and not isinstance(value, str):
            problems.append(f"has {key}={value!r}, which is not a text.")
        elif value and value.strip():
            given[name] = value.strip().lower() if name == "version" else value.strip()
    if (image_id := given.pop("id", None)) is not None:
        # The first part of an id shows which property of the service takes it.
        begun = (name for name, first in _ID_PREFIXES.items() if image_id.lower().startswith(first.lower()))
        given[next(begun, "virtualMachineImageId")] = image_id
    return given, problems


def _id_problems(ids: list[str], given: Mapping[str, str]) -> list[str]:
    names = [name for name in (*_NAMES, "version") if name in given]
    problems = [
        f"has an id {given[name]!r} that does not begin with {_ID_PREFIXES[name]!r}."
        for name in ids
        if not given[name].lower().startswith(_ID_PREFIXES[name].lower())
    ]
    if len(ids) + bool(names) > 1:
        problems.append(f"names more than one image ({', '.join([*ids, *names])}); give one of them.")
    if "node_agent_sku" not in given:
        problems.append("has an id and no node_agent_sku; an id does not name it.")
    return problems


def _name_problems(given: Mapping[str, str]) -> list[str]:
    problems = [f"has no {name}." for name in _NAMES if name not in given]
    version = given.get("version", LATEST)
    if not re.fullmatch(rf"{LATEST}|\d+(\.\d+)*", version):
        problems.append(f"has version {version!r}; give {LATEST!r} or numbers with dots.")
    name = MarketplaceName(*(given.get(part, "") for part in _NAMES))
    if name.is_pattern and "node_agent_sku" in given:
        problems.append("has a pattern and a node_agent_sku; leave out one of them.")
    return problems


def _from_distro_text(image: str) -> ImageQuery:
    # A version may follow without a space: "ubuntu24.04".
    plain = re.sub(r"^([a-z]+)(\d)", r"\1 \2", " ".join(re.split(r"[\s-]+", image.strip().lower())))
    distro, rest = _split_distro(plain)
    if distro is None:
        known = ", ".join(distro.name for distro in DISTROS)
        msg = f"image={image!r} begins with no known distribution ({known}); give {_FORMS}."
        raise ValueError(msg)
    version, options, problems = _read_options(rest)
    if problems:
        raise ValueError("\n".join(f"image={image!r} {problem}" for problem in problems))
    return ImageQuery(image.strip(), DistroRelease(distro, version), options=options)


def _split_distro(plain: str) -> tuple[Distro | None, list[str]]:
    for distro in DISTROS:
        for alias in distro.aliases:
            if f"{plain} ".startswith(f"{alias} "):
                return distro, plain[len(alias) :].split()
    return None, []


def _read_options(words: list[str]) -> tuple[Version, ImageOptions, list[str]]:
    given = [word for word in words if _is_option(word)]
    version, problems = _read_release([word for word in words if not _is_option(word)])
    generations = {GENERATIONS[word] for word in given if word in GENERATIONS}
    architectures = {ARCHITECTURES[word] for word in given if word in ARCHITECTURES}
    for name, found in (("generation", generations), ("architecture", architectures)):
        if len(found) > 1:
            problems.append(f"asks for more than one {name}.")
    options = ImageOptions(
        features=frozenset(FEATURES[word] for word in given if word in FEATURES),
        generation=next(iter(generations), None),
        architecture=next(iter(architectures), None),
        unverified=_UNVERIFIED in given,
    )
    return version, options, problems


def _read_release(words: list[str]) -> tuple[Version, list[str]]:
    # "22-04" has been split at its hyphen.
    numbers = ".".join(word for word in words if word[0].isdigit())
    names = [word for word in words if not word[0].isdigit()]
    versions = [(text, read_version(text)) for text in (numbers, *names) if text]
    known = {version for _, version in versions if version}
    values = ", ".join(sorted({*FEATURES.values(), *ARCHITECTURES.values(), "gen1", "gen2", _UNVERIFIED}))
    problems = [
        f"has {text!r}, which is neither a version nor an option word ({values})."
        for text, version in versions
        if not version
    ]
    if len(known) > 1:
        problems.append("asks for more than one version.")
    return max(known, default=()), problems


def _is_option(word: str) -> bool:
    tables = (FEATURES, GENERATIONS, ARCHITECTURES, _FILLER_WORDS, (_UNVERIFIED,))
    return any(word in table for table in tables)
