"""Which image is chosen, and what is said when none does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.images.query import ImageQuery
from airflow_provider_batchlinux.core.images.resolve import (
    ImageNotFoundError,
    ResolvedImage,
    describe_choice,
    needs_image_list,
    resolve_image,
)

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
GEN2 = "Generation2VMImage"
HPC = ("DockerCompatible", "SupportsRDMAOnly", "IntelMPIRuntimeInstalled")
GALLERY = "/subscriptions/s/galleries/g/images/i"
UNVERIFIED = {"verificationType": "unverified"}


def image(name: str, agent: str, *capabilities: str, ends: str | None = None, **more: str) -> Any:
    publisher, offer, sku = name.split(":")
    row = {
        "nodeAgentSKUId": f"batch.node.{agent}",
        "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"},
        "osType": "linux",
        "verificationType": "verified",
        "capabilities": capabilities,
        "batchSupportEndOfLife": ends,
    }
    return SupportedImage.from_rest({**row, **more})


JAMMY = "canonical:0001-com-ubuntu-server-jammy"
FOCAL = "canonical:0001-com-ubuntu-server-focal"
NOBLE = "canonical:ubuntu-24_04-lts"
ALMA = "almalinux:almalinux-x86_64"
IMAGES = [
    image("almalinux:almalinux:9-gen2", "el 9", GEN2, ends="2024-12-29", **UNVERIFIED),
    image("almalinux:almalinux-hpc:8-hpc-gen2", "el 8", *HPC, GEN2, **UNVERIFIED),
    image(f"{ALMA}:8-gen1", "el 8"),
    image(f"{ALMA}:8-gen2", "el 8", GEN2),
    image(f"{ALMA}:9-gen1", "el 9"),
    image(f"{ALMA}:9-gen2", "el 9", GEN2),
    image(f"{FOCAL}:20_04-lts", "ubuntu 20.04", ends="2025-04-23"),
    image(f"{FOCAL}:20_04-lts-gen2", "ubuntu 20.04", GEN2, ends="2025-04-23"),
    image(f"{JAMMY}:22_04-lts", "ubuntu 22.04", ends="2027-06-30"),
    image(f"{JAMMY}:22_04-lts-gen2", "ubuntu 22.04", GEN2, ends="2027-06-30"),
    image(f"{NOBLE}:cvm", "ubuntu 24.04", "ConfidentialVMCompatible", GEN2, **UNVERIFIED),
    image(f"{NOBLE}:server", "ubuntu 24.04", GEN2),
    image(f"{NOBLE}:server-arm64", "ubuntu 24.04-arm64", GEN2),
    image(f"{NOBLE}:server-gen1", "ubuntu 24.04"),
    image("canonical:ubuntu-25_04:server", "ubuntu 25.04", GEN2),
    image("debian:debian-12:12-gen2", "debian 12", GEN2),
    image(
        "microsoft-dsvm:ubuntu-2204:2204-gen2",
        "ubuntu 22.04",
        "NvidiaTeslaDriverInstalled",
        ends="2027-06-30",
    ),
    image("microsoft-dsvm:ubuntu-hpc:2004", "ubuntu 20.04", *HPC, GEN2, ends="2025-04-23"),
    image("microsoft-dsvm:ubuntu-hpc:2204", "ubuntu 22.04", *HPC, GEN2, ends="2027-06-30"),
    image("microsoftcblmariner:azure-linux-3:azure-linux-3", "azurelinux 3.0"),
    image("microsoftcblmariner:azure-linux-3:azure-linux-3-gen2", "azurelinux 3.0", GEN2),
    image("microsoftwindowsserver:windowsserver:2022-g2", "windows amd64", osType="windows"),
    image("oracle:oracle-linux:81", "el 8"),
    image("oracle:oracle-linux:ol810-lvm-gen2", "el 8", GEN2),
    image("xilinx:xilinx_alveo_u250_ubuntu2204:x", "ubuntu 22.04", ends="2027-06-30"),
]


def resolve(image: str | Mapping[str, Any], **limits: Any) -> ResolvedImage:
    images = limits.pop("images", IMAGES)
    return resolve_image(ImageQuery.parse(image), images, **{"needed_until": NOW, **limits})


def chosen(image: str | Mapping[str, Any], **limits: Any) -> str:
    reference = resolve(image, **limits).reference
    return ":".join(reference[part] for part in ("publisher", "offer", "sku"))


def miss(asked: str, **limits: Any) -> str:
    with pytest.raises(ImageNotFoundError) as refusal:
        resolve(asked, **limits)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        pytest.param("ubuntu 24.04", f"{NOBLE}:server", id="version-in-the-offer"),
        pytest.param("ubuntu 22.04", f"{JAMMY}:22_04-lts-gen2", id="version-in-the-sku"),
        pytest.param("ubuntu", f"{NOBLE}:server", id="newest-long-term-release"),
        pytest.param("ubuntu 25.04", "canonical:ubuntu-25_04:server", id="short-term-if-asked"),
        pytest.param("ubuntu 24.04 gen1", f"{NOBLE}:server-gen1", id="generation"),
        pytest.param("ubuntu 24.04 arm64", f"{NOBLE}:server-arm64", id="architecture"),
        pytest.param("ubuntu 24.04 cvm unverified", f"{NOBLE}:cvm", id="confidential"),
        pytest.param("ubuntu-hpc", "microsoft-dsvm:ubuntu-hpc:2204", id="newest-not-first"),
        pytest.param("ubuntu container", "microsoft-dsvm:ubuntu-hpc:2204", id="capability"),
        pytest.param("ubuntu gpu", "microsoft-dsvm:ubuntu-2204:2204-gen2", id="gpu-driver"),
        pytest.param("ubuntu fpga", "xilinx:xilinx_alveo_u250_ubuntu2204:x", id="fpga"),
        pytest.param("almalinux", f"{ALMA}:9-gen2", id="newest-major"),
        pytest.param("almalinux 8", f"{ALMA}:8-gen2", id="major"),
        pytest.param(
            "almalinux-hpc 8 unverified",
            "almalinux:almalinux-hpc:8-hpc-gen2",
            id="unverified-if-asked",
        ),
        pytest.param("azurelinux 3", "microsoftcblmariner:azure-linux-3:azure-linux-3-gen2", id="azurelinux"),
        pytest.param("debian", "debian:debian-12:12-gen2", id="debian"),
        pytest.param("oracle 8", "oracle:oracle-linux:ol810-lvm-gen2", id="ten-is-above-one"),
        pytest.param("oracle-linux 8.1", "oracle:oracle-linux:81", id="minor"),
        pytest.param("Canonical:Ubuntu-24_04-LTS:Server", f"{NOBLE}:server", id="any-case"),
        pytest.param("canonical:*:server*", "canonical:ubuntu-25_04:server", id="newest-by-pattern"),
        pytest.param(f"{NOBLE}:server-*", f"{NOBLE}:server-gen1", id="pattern-prefers-ordinary"),
        pytest.param("microsoft-dsvm:ubuntu-hpc:2*", "microsoft-dsvm:ubuntu-hpc:2204", id="prefix"),
        pytest.param("*:*:*-arm64", f"{NOBLE}:server-arm64", id="pattern-may-ask-for-arm64"),
        pytest.param("canonical:*:22_04-lts", f"{JAMMY}:22_04-lts", id="exact-sku-is-not-a-prefix"),
    ],
)
def test_the_newest_fitting_image_is_chosen(asked: str, name: str) -> None:
    assert chosen(asked) == name


@given(st.permutations(IMAGES), st.sampled_from(["ubuntu", "ubuntu hpc", "almalinux", "*:*:*"]))
def test_the_order_of_the_list_does_not_matter(images: list[SupportedImage], asked: str) -> None:
    assert resolve(asked, images=images) == resolve(asked)


@given(st.permutations(IMAGES), st.sampled_from(["ubuntu 26.04", "debian 9", "a:b:c"]))
def test_the_order_of_the_list_does_not_change_a_miss(images: list[SupportedImage], asked: str) -> None:
    assert miss(asked, images=images) == miss(asked)


@given(st.lists(st.sampled_from(IMAGES)), st.booleans(), st.sampled_from([None, 1, 2]))
def test_a_shorthand_never_gives_what_was_not_asked_for(
    images: list[SupportedImage], include_unverified: bool, generation: int | None
) -> None:
    limits = {"include_unverified": include_unverified, "generation": generation}
    try:
        resolved = resolve("ubuntu", images=images, **limits)
    except ImageNotFoundError:
        return

    found = next(row for row in images if row.name == ":".join([*resolved.reference.values()][:3]))
    assert (found.os_type, found.architecture, found.specials) == ("linux", "x64", frozenset())
    assert found.verified or include_unverified
    assert found.end_of_support is None or found.end_of_support > NOW
    assert generation in (None, found.generation)


def test_the_node_agent_and_what_is_known_come_with_the_image() -> None:
    resolved = resolve("Ubuntu 22.04")

    assert resolved.reference == {
        "publisher": "canonical",
        "offer": "0001-com-ubuntu-server-jammy",
        "sku": "22_04-lts-gen2",
        "version": "latest",
    }
    assert resolved.node_agent_sku == "batch.node.ubuntu 22.04"
    assert resolved.end_of_support == datetime(2027, 6, 30, tzinfo=timezone.utc)
    assert resolved.verified is True
    assert [row.sku for row in resolved.runners_up] == ["22_04-lts"]


def test_a_pinned_version_is_kept() -> None:
    assert resolve(f"{NOBLE}:server:24.04.202508010").reference["version"] == "24.04.202508010"


def test_a_pinned_version_is_not_exchanged_for_another_that_the_list_names() -> None:
    row = {"publisher": "p", "offer": "ubuntu", "sku": "24_04", "version": "1.0.0"}
    listed = [image("p:ubuntu:24_04", "ubuntu 24.04", imageReference=row)]  # type: ignore[arg-type]

    assert resolve("p:ubuntu:24_04", images=listed).reference["version"] == "1.0.0"
    assert "image version 1.0.0" in miss("p:ubuntu:24_04:2.0.0", images=listed)


@pytest.mark.parametrize(
    ("asked", "limits", "name"),
    [
        pytest.param("ubuntu 24.04", {"generation": 1}, f"{NOBLE}:server-gen1", id="generation"),
        pytest.param("ubuntu 24.04", {"architecture": "ARM64"}, f"{NOBLE}:server-arm64", id="architecture"),
        pytest.param(f"{NOBLE}:server-*", {"architecture": "arm64"}, f"{NOBLE}:server-arm64", id="pattern"),
        pytest.param(
            "oracle 8",
            {"images": [image("oracle:oracle-linux:81", "el 8", **UNVERIFIED)]}
            | {"include_unverified": True},
            "oracle:oracle-linux:81",
            id="unverified",
        ),
        pytest.param(
            "ubuntu",
            {"images": IMAGES[:10], "needed_until": datetime(2027, 6, 29, tzinfo=timezone.utc)},
            f"{JAMMY}:22_04-lts-gen2",
            id="supported-until-the-end",
        ),
    ],
)
def test_the_callers_limits_hold(asked: str, limits: dict[str, Any], name: str) -> None:
    assert chosen(asked, **limits) == name


@pytest.mark.parametrize(
    ("asked", "limits", "nearest"),
    [
        pytest.param(
            "almalinux-hpc 8",
            {},
            "almalinux-hpc:8-hpc-gen2 (batch.node.el 8): unverified",
            id="unverified",
        ),
        pytest.param(
            "ubuntu 20.04",
            {},
            "20_04-lts (batch.node.ubuntu 20.04): end of support 2025-04-23",
            id="ended",
        ),
        pytest.param(
            "ubuntu 22.04",
            {"needed_until": datetime(2027, 6, 30, tzinfo=timezone.utc)},
            "22_04-lts (batch.node.ubuntu 22.04): end of support 2027-06-30",
            id="ends-too-soon",
        ),
        pytest.param(
            "microsoftwindowsserver:windowsserver:2022-g2", {}, "amd64): runs Windows", id="windows"
        ),
        pytest.param("debian 12 gen1", {}, "12-gen2 (batch.node.debian 12): generation 2", id="generation"),
        pytest.param("ubuntu 24.04 gen2", {"generation": 1}, "): generation 2", id="contradiction"),
        pytest.param("debian arm64", {}, "): architecture x64", id="architecture"),
        pytest.param("debian 11", {}, "(batch.node.debian 12): version 12", id="version"),
        pytest.param("debian hpc", {}, "(batch.node.debian 12): lacks hpc", id="capability"),
        pytest.param(
            "ubuntu",
            {"images": IMAGES[17:18], "needed_until": NOW.replace(year=2025)},
            "): special (hpc, rdma)",
            id="special",
        ),
        pytest.param("ubuntu", {"images": IMAGES[14:15]}, "version 25.04 has no long-term", id="short-term"),
        pytest.param("mariner 2", {}, "): not mariner", id="no-such-distribution"),
        pytest.param(f"{NOBLE}:serverr", {}, "server (batch.node.ubuntu 24.04): other sku", id="typo-in-sku"),
    ],
)
def test_a_miss_names_the_nearest_and_why_it_was_passed_over(
    asked: str, limits: dict[str, Any], nearest: str
) -> None:
    headline, first, *_, remedy = miss(asked, **limits).splitlines()

    assert headline.startswith(f"image={asked!r} (needed until 20")
    assert nearest in first
    assert "node_agent_sku" in remedy


def test_a_miss_names_few_images_and_only_those_of_the_distribution() -> None:
    assert len(miss("ubuntu 26.04").splitlines()) == 1 + 5 + 1
    assert len(miss("debian 11").splitlines()) == 1 + 1 + 1


def test_an_empty_list_is_said_to_be_empty() -> None:
    assert "lists no supported images" in miss("ubuntu", images=[])


@pytest.mark.parametrize(
    ("asked", "needed"),
    [
        pytest.param("ubuntu 24.04", True, id="distribution"),
        pytest.param("p:o:s", True, id="names"),
        pytest.param({"image_id": GALLERY, "node_agent_sku": "a"}, False, id="image-id"),
        pytest.param({"publisher": "p", "offer": "o", "sku": "s", "node_agent_sku": "a"}, True, id="given"),
    ],
)
def test_the_list_is_needed_for_all_images_that_it_describes(asked: Any, needed: bool) -> None:
    assert needs_image_list(ImageQuery.parse(asked)) is needed


def test_an_image_id_is_used_unchanged() -> None:
    resolved = resolve({"image_id": GALLERY, "node_agent_sku": "batch.node.el 9"}, images=[])

    assert resolved == ResolvedImage({"virtualMachineImageId": GALLERY}, "batch.node.el 9", None, None, ())


@pytest.mark.parametrize(
    ("agent", "verified", "ends"),
    [
        pytest.param("Batch.Node.EL 9", False, "2024-12-29", id="in-the-list"),
        pytest.param("batch.node.el 10", None, None, id="not-in-the-list"),
    ],
)
def test_names_with_a_node_agent_are_taken_as_they_stand(
    agent: str, verified: bool | None, ends: str | None
) -> None:
    names = {"publisher": "AlmaLinux", "offer": "almalinux", "sku": "9-gen2"}

    resolved = resolve({**names, "node_agent_sku": agent})

    assert resolved.reference == {**names, "version": "latest"}
    assert (resolved.node_agent_sku, resolved.verified) == (agent, verified)
    assert (resolved.end_of_support and f"{resolved.end_of_support:%Y-%m-%d}") == ends


def test_wrong_arguments_are_told_at_once() -> None:
    limits = {"needed_until": datetime(2026, 1, 1), "generation": 3, "architecture": "sparc"}

    with pytest.raises(ValueError, match="no time zone") as refusal:
        resolve("ubuntu", **limits)

    assert [line.split("=")[0] for line in str(refusal.value).splitlines()] == list(limits)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        pytest.param(
            "ubuntu 22.04",
            f"Image {JAMMY}:22_04-lts-gen2:latest, node agent SKU 'batch.node.ubuntu 22.04',"
            f" verified, end of support 2027-06-30; also possible: {JAMMY}:22_04-lts.",
            id="one-runner-up",
        ),
        pytest.param(
            "almalinux",
            f"Image {ALMA}:9-gen2:latest, node agent SKU 'batch.node.el 9', verified,"
            " end of support not known;"
            f" also possible: {ALMA}:9-gen1, {ALMA}:8-gen2, {ALMA}:8-gen1.",
            id="three-runners-up",
        ),
        pytest.param(
            {"image_id": GALLERY, "node_agent_sku": "batch.node.el 9"},
            f"Image {GALLERY}, node agent SKU 'batch.node.el 9', taken as given,"
            " end of support not known; no runners-up.",
            id="image-id",
        ),
        pytest.param(
            {"publisher": "a", "offer": "b", "sku": "c", "node_agent_sku": "batch.node.el 9"},
            "Image a:b:c:latest, node agent SKU 'batch.node.el 9', taken as given,"
            " end of support not known, since the service does not list it; no runners-up.",
            id="given and not listed",
        ),
    ],
)
def test_the_choice_is_told_in_one_line(asked: Any, line: str) -> None:
    assert describe_choice(resolve(asked)) == line


def test_only_three_runners_up_are_named() -> None:
    line = describe_choice(resolve("*:*:*"))

    assert line.count(":") == 3 + 1 + 3 * 2
    assert line.endswith(" more.")


ENGINE = frozenset({"container"})


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        pytest.param("ubuntu 22.04", "microsoft-dsvm:ubuntu-hpc:2204", id="a distribution"),
        pytest.param("ubuntu-hpc 22.04", "microsoft-dsvm:ubuntu-hpc:2204", id="with a feature"),
        pytest.param("*:ubuntu*:*", "microsoft-dsvm:ubuntu-hpc:2204", id="a pattern"),
        pytest.param("alma 8 unverified", "almalinux:almalinux-hpc:8-hpc-gen2", id="an unverified one"),
    ],
)
def test_a_pool_for_containers_gets_an_image_with_an_engine(query: str, chosen: str) -> None:
    found = resolve_image(ImageQuery.parse(query), IMAGES, needed_until=NOW, required=ENGINE)

    assert ":".join(found.reference.values()) == f"{chosen}:latest"


PLAIN = dict(zip(("publisher", "offer", "sku"), f"{NOBLE}:server".split(":"), strict=True))


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("ubuntu 24.04", id="a distribution"),
        pytest.param(f"{NOBLE}:server", id="an image"),
        pytest.param({**PLAIN, "node_agent_sku": "batch.node.ubuntu 24.04"}, id="an image with its agent"),
    ],
)
def test_without_an_engine_the_nearest_images_are_named(query: Any) -> None:
    with pytest.raises(ImageNotFoundError) as refusal:
        resolve_image(ImageQuery.parse(query), IMAGES, needed_until=NOW, required=ENGINE)

    assert "(needed until 2026-03-01, with a container engine)" in str(refusal.value).replace(", x64", "")
    assert f"{NOBLE}:server (batch.node.ubuntu 24.04): no container engine" in str(refusal.value)


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({"generation": 1}, id="generation"),
        pytest.param({"architecture": "arm64"}, id="architecture"),
        pytest.param({"required": ENGINE}, id="engine"),
    ],
)
def test_a_given_image_is_refused_only_if_the_list_shows_that_it_cannot_work(limits: dict[str, Any]) -> None:
    agent = {"node_agent_sku": "batch.node.ubuntu 24.04"}
    listed, unlisted, own = {**PLAIN, **agent}, {**PLAIN, **agent, "sku": "mine"}, {"id": GALLERY, **agent}

    for image_given in (unlisted, own):
        resolve_image(ImageQuery.parse(image_given), IMAGES, needed_until=NOW, **limits)
    with pytest.raises(ImageNotFoundError, match="Nearest"):
        resolve_image(ImageQuery.parse(listed), IMAGES, needed_until=NOW, **limits)
