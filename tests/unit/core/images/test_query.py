"""What users may write for an image, and the message when it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.images.query import (
    DistroRelease,
    GivenImage,
    ImageOptions,
    ImageQuery,
    MarketplaceName,
)

AGENT = "batch.node.ubuntu 24.04"
GALLERY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/x/images/y"


@pytest.mark.parametrize(
    ("image", "distro", "version"),
    [
        pytest.param("ubuntu 24.04", "ubuntu", (24, 4), id="plain"),
        pytest.param("  Ubuntu-24.04 ", "ubuntu", (24, 4), id="case-hyphen-and-spaces"),
        pytest.param("ubuntu24.04", "ubuntu", (24, 4), id="glued"),
        pytest.param("ubuntu-24-04", "ubuntu", (24, 4), id="hyphens-all-over"),
        pytest.param("Ubuntu Server 22.04 LTS", "ubuntu", (22, 4), id="as-marketing-writes-it"),
        pytest.param("ubuntu jammy", "ubuntu", (22, 4), id="codename"),
        pytest.param("ubuntu jammy 22.04", "ubuntu", (22, 4), id="codename-and-version"),
        pytest.param("ubuntu", "ubuntu", (), id="newest"),
        pytest.param("almalinux 9", "almalinux", (9,), id="almalinux"),
        pytest.param("azure linux 3.0", "azurelinux", (3,), id="azurelinux"),
        pytest.param("oracle 8", "oracle-linux", (8,), id="oracle"),
        pytest.param("oracle-linux 8.10", "oracle-linux", (8, 10), id="oracle-linux"),
        pytest.param("debian 12", "debian", (12,), id="debian"),
    ],
)
def test_a_distribution_is_read(image: str, distro: str, version: tuple[int, ...]) -> None:
    subject = ImageQuery.parse(image).subject

    assert isinstance(subject, DistroRelease)
    assert (subject.distro.name, subject.version) == (distro, version)


@pytest.mark.parametrize(
    ("image", "options"),
    [
        pytest.param("ubuntu 24.04", ImageOptions(), id="none"),
        pytest.param("ubuntu-hpc 22.04", ImageOptions(frozenset({"hpc"})), id="hpc"),
        pytest.param("ubuntu 22.04 docker", ImageOptions(frozenset({"container"})), id="another-word"),
        pytest.param("ubuntu 24.04 gen1", ImageOptions(generation=1), id="generation"),
        pytest.param("ubuntu 24.04 aarch64", ImageOptions(architecture="arm64"), id="architecture"),
        pytest.param("ubuntu x86_64 24.04", ImageOptions(architecture="x64"), id="before-the-version"),
        pytest.param(
            "Ubuntu 24.04 CVM unverified",
            ImageOptions(frozenset({"cvm"}), unverified=True),
            id="several",
        ),
    ],
)
def test_option_words_follow_a_distribution(image: str, options: ImageOptions) -> None:
    assert ImageQuery.parse(image).options == options


@pytest.mark.parametrize(
    ("image", "subject"),
    [
        pytest.param(
            "Canonical:ubuntu-24_04-lts:server",
            MarketplaceName("Canonical", "ubuntu-24_04-lts", "server", "latest"),
            id="text",
        ),
        pytest.param(
            "canonical : ubuntu-24_04-lts : server : 24.04.202508010",
            MarketplaceName("canonical", "ubuntu-24_04-lts", "server", "24.04.202508010"),
            id="text-with-version",
        ),
        pytest.param(
            {"publisher": "canonical", "offer": "ubuntu*", "sku": "server", "version": "Latest"},
            MarketplaceName("canonical", "ubuntu*", "server", "latest"),
            id="mapping-with-pattern",
        ),
        pytest.param(
            {"publisher": "p", "offer": "o", "sku": "s", "version": None, "node_agent_sku": ""},
            MarketplaceName("p", "o", "s", "latest"),
            id="empty-values-are-left-out",
        ),
        pytest.param(
            {"publisher": "p", "offer": "o", "sku": "s", "node_agent_sku": AGENT},
            GivenImage({"publisher": "p", "offer": "o", "sku": "s", "version": "latest"}, AGENT),
            id="with-node-agent-sku",
        ),
        pytest.param(
            {
                "imageReference": {"publisher": "p", "offer": "o", "sku": "s", "version": "1.2.3"},
                "nodeAgentSKUId": AGENT,
            },
            GivenImage({"publisher": "p", "offer": "o", "sku": "s", "version": "1.2.3"}, AGENT),
            id="rest-spelling",
        ),
        pytest.param(
            {"image_id": GALLERY, "node_agent_sku": AGENT},
            GivenImage({"virtualMachineImageId": GALLERY}, AGENT),
            id="image-id",
        ),
        pytest.param(
            {"id": GALLERY, "node_agent_sku": AGENT},
            GivenImage({"virtualMachineImageId": GALLERY}, AGENT),
            id="short-key",
        ),
        pytest.param(
            {"id": "/communityGalleries/c/i", "node_agent_sku": AGENT},
            GivenImage({"communityGalleryImageId": "/communityGalleries/c/i"}, AGENT),
            id="short-key-of-a-community-gallery",
        ),
        pytest.param(
            {"virtual_machine_image_id": GALLERY, "node_agent_sku": AGENT},
            GivenImage({"virtualMachineImageId": GALLERY}, AGENT),
            id="sdk-spelling",
        ),
        pytest.param(
            {"imageReference": {"virtualMachineImageId": GALLERY}, "nodeAgentSKUId": AGENT},
            GivenImage({"virtualMachineImageId": GALLERY}, AGENT),
            id="image-id-in-rest-spelling",
        ),
        pytest.param(
            {"community_gallery_image_id": "/CommunityGalleries/c/i", "node_agent_sku": AGENT},
            GivenImage({"communityGalleryImageId": "/CommunityGalleries/c/i"}, AGENT),
            id="community-gallery",
        ),
        pytest.param(
            {"shared_gallery_image_id": "/sharedGalleries/c/i", "node_agent_sku": AGENT},
            GivenImage({"sharedGalleryImageId": "/sharedGalleries/c/i"}, AGENT),
            id="shared-gallery",
        ),
    ],
)
def test_an_image_is_named_exactly(
    image: str | Mapping[str, Any], subject: MarketplaceName | GivenImage
) -> None:
    assert ImageQuery.parse(image).subject == subject


@pytest.mark.parametrize(
    ("image", "problems"),
    [
        pytest.param("", ["names no image"], id="empty"),
        pytest.param(None, ["names no image"], id="none"),
        pytest.param(7, ["names no image"], id="number"),
        pytest.param("windows 2022", ["begins with no known distribution"], id="other-system"),
        pytest.param("ubuntuu 24.04", ["begins with no known distribution"], id="typo"),
        pytest.param("ubuntu:24.04", ["has 2 parts between colons"], id="like-a-container"),
        pytest.param("canonical::server", ["has no offer"], id="empty-part"),
        pytest.param(GALLERY, ["does not name the node agent SKU"], id="id-alone"),
        pytest.param("ubuntu 24.04.1", ["'24.04.1', which is neither a version"], id="point"),
        pytest.param("ubuntu 22.04 noble", ["asks for more than one version"], id="two-versions"),
        pytest.param(
            "ubuntu 24.04 fast gen1 gen2 arm64 x64",
            ["'fast', which is neither", "more than one generation", "more than one architecture"],
            id="several-words",
        ),
        pytest.param({}, ["has no publisher", "has no offer", "has no sku"], id="empty-mapping"),
        pytest.param({"image": GALLERY}, ["has the key 'image'"], id="unknown key alone"),
        pytest.param({"id": GALLERY}, ["has an id and no node_agent_sku"], id="id without its agent"),
        pytest.param("p:o:s:new", ["has version 'new'"], id="version-in-words"),
        pytest.param(
            {"image_id": "mine", "sku": "s"},
            ["does not begin with '/subscriptions/'", "more than one image", "no node_agent_sku"],
            id="id",
        ),
        pytest.param(
            {"publisher": "p", "offer": "o", "sku": ["s"], "plan": "x"},
            ["sku=['s'], which is not a text", "has the key 'plan'", "has no sku"],
            id="keys-and-types",
        ),
        pytest.param(
            {
                "publisher": "p",
                "offer": "o",
                "sku": "*",
                "node_agent_sku": "batch.node.windows amd64",
            },
            ["a pattern and a node_agent_sku", "which is for Windows"],
            id="node-agent",
        ),
    ],
)
def test_all_problems_are_told_at_once(image: Any, problems: list[str]) -> None:
    with pytest.raises(ValueError, match="image=") as refusal:
        ImageQuery.parse(image)

    lines = str(refusal.value).splitlines()
    assert len(lines) == len(problems)
    assert all(problem in line for problem, line in zip(problems, lines, strict=True))


WORDS = st.sampled_from(["ubuntu", "debian", "22.04", "9", "noble", "gen1", "arm64", "cvm", ":", "-"])


@given(st.text() | st.lists(WORDS).map(" ".join) | st.lists(WORDS).map(":".join))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        outcome = ImageQuery.parse(text).text
    except ValueError as refusal:
        outcome = str(refusal)

    assert outcome == text.strip() or outcome.startswith(f"image={text!r} ")


@given(st.dictionaries(st.text(), st.none() | st.text() | st.integers()))
def test_any_mapping_is_read_or_refused_with_a_sentence(mapping: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="image="):
        ImageQuery.parse(mapping)
