"""What one row of the service's supported images tells."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.core.images.catalog import SupportedImage

END = datetime(2027, 6, 30, tzinfo=timezone.utc)


def row(offer: str = "ubuntu-24_04-lts", sku: str = "server", **fields: Any) -> dict[str, Any]:
    return {
        "nodeAgentSKUId": "batch.node.ubuntu 24.04",
        "imageReference": {
            "publisher": "canonical",
            "offer": offer,
            "sku": sku,
            "version": "latest",
        },
        "osType": "linux",
        "verificationType": "verified",
        **fields,
    }


def image(offer: str, sku: str, *capabilities: str) -> SupportedImage:
    return SupportedImage.from_rest(row(offer, sku, capabilities=list(capabilities)))


def test_a_row_is_read_whole() -> None:
    fields: dict[str, Any] = {
        "capabilities": ["Generation2VMImage"],
        "batchSupportEndOfLife": "2027-06-30T00:00:00Z",
    }

    found = SupportedImage.from_rest(row(**fields))

    assert found == SupportedImage(
        publisher="canonical",
        offer="ubuntu-24_04-lts",
        sku="server",
        version="latest",
        node_agent_sku="batch.node.ubuntu 24.04",
        os_type="linux",
        verified=True,
        capabilities=frozenset({"Generation2VMImage"}),
        end_of_support=END,
    )


def test_the_case_of_keys_and_values_does_not_matter() -> None:
    odd = {
        "NodeAgentSkuId": "batch.node.el 9",
        "ImageReference": {"Publisher": "almalinux", "OFFER": "almalinux-x86_64", "Sku": "9-gen2"},
        "OSType": "Linux",
        "VerificationType": "Verified",
        "Capabilities": ["GENERATION2VMIMAGE"],
    }

    found = SupportedImage.from_rest(odd)

    assert found.name == "almalinux:almalinux-x86_64:9-gen2"
    assert (found.os_type, found.verified, found.generation) == ("linux", True, 2)


def test_what_is_missing_reads_as_empty_and_unverified() -> None:
    found = SupportedImage.from_rest({"imageReference": None, "capabilities": None})

    assert (found.name, found.version, found.os_type) == ("::", "latest", "")
    assert (found.verified, found.capabilities, found.end_of_support) == (False, frozenset(), None)


@pytest.mark.parametrize(
    ("value", "end"),
    [
        pytest.param("2027-06-30T00:00:00.0000000Z", END, id="seven-decimals"),
        pytest.param("2027-06-30T02:00:00+02:00", END, id="offset"),
        pytest.param("2027-06-30T00:00:00", END, id="no-zone-is-utc"),
        pytest.param("2027-06-30", END, id="day"),
        pytest.param(datetime(2027, 6, 30), END, id="naive-datetime-is-utc"),
        pytest.param(END, END, id="datetime"),
        pytest.param("soon", None, id="words"),
        pytest.param(None, None, id="missing"),
    ],
)
def test_the_end_of_support_is_an_instant(value: Any, end: datetime | None) -> None:
    assert SupportedImage.from_rest(row(batchSupportEndOfLife=value)).end_of_support == end


@pytest.mark.parametrize(
    ("sku", "capabilities", "generation"),
    [
        pytest.param("server", ["Generation2VMImage"], 2, id="by-capability"),
        pytest.param("2004-gen2", ["NvidiaTeslaDriverInstalled"], 2, id="by-name-alone"),
        pytest.param("server-arm64", [], 2, id="arm64-has-no-other"),
        pytest.param("server-gen1", [], 1, id="named"),
        pytest.param("22_04-lts", [], 1, id="untold-is-the-first"),
    ],
)
def test_the_generation_is_told_by_capability_or_name(
    sku: str, capabilities: list[str], generation: int
) -> None:
    assert image("ubuntu-24_04-lts", sku, *capabilities).generation == generation


def test_the_architecture_is_told_by_a_name_or_the_node_agent() -> None:
    by_agent = SupportedImage.from_rest(row(nodeAgentSKUId="batch.node.ubuntu 24.04-arm64"))

    assert by_agent.architecture == "arm64"
    assert image("almalinux-arm", "9-arm-gen2").architecture == "arm64"
    assert image("almalinux-x86_64", "9-gen2").architecture == "x64"


@pytest.mark.parametrize(
    ("offer", "capabilities", "specials"),
    [
        pytest.param("ubuntu-24_04-lts", ["DockerCompatible"], set(), id="containers-are-ordinary"),
        pytest.param("ubuntu-24_04-lts", ["ConfidentialVMCompatible"], set(), id="compatible-is-ordinary"),
        pytest.param("ubuntu-confidential-vm", [], {"cvm"}, id="confidential"),
        pytest.param("ubuntu-2004", ["NvidiaTeslaDriverInstalled"], {"gpu"}, id="gpu-driver"),
        pytest.param("ubuntu-hpc", ["SupportsRDMAOnly"], {"hpc", "rdma"}, id="hpc"),
        pytest.param("xilinx_alveo_u250", [], {"fpga"}, id="fpga"),
        pytest.param("ubuntu-minimal-daily", [], {"minimal", "daily"}, id="variants"),
    ],
)
def test_special_images_are_told_from_ordinary_ones(
    offer: str, capabilities: list[str], specials: set[str]
) -> None:
    assert image(offer, "server", *capabilities).specials == specials


def test_an_ordinary_image_answers_requirements_by_its_capabilities() -> None:
    found = image("ubuntu-24_04-lts", "server", "DockerCompatible", "ConfidentialVMCompatible")

    assert found.features == {"container", "cvm"}


def test_the_node_agent_tells_the_version_when_no_name_does() -> None:
    assert image("ubuntu-next", "server").os_version == (24, 4)
