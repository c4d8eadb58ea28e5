"""Which VM sizes would do, and which of them comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.vm_sizes.query import VmSizeQuery
from airflow_provider_batchlinux.core.vm_sizes.sizes import VmSize

D2_V3 = VmSize("Standard_D2s_v3", cores=2, memory_gb=8)
D2_V5 = VmSize("Standard_D2s_v5", cores=2, memory_gb=8)
E2_V5 = VmSize("Standard_E2s_v5", cores=2, memory_gb=16)
D4_V5 = VmSize("Standard_D4s_v5", cores=4, memory_gb=16)
ARM = VmSize("Standard_D2ps_v6", cores=2, memory_gb=8, architecture="arm64")
DISK = VmSize("Standard_D2ds_v5", cores=2, memory_gb=8, disk_gb=75)
GPU = VmSize("Standard_NC4as_T4_v3", cores=4, memory_gb=28, gpus=1)
UNTOLD = VmSize("Standard_X9")
REGION = [GPU, D4_V5, E2_V5, ARM, UNTOLD, D2_V3, D2_V5]
WITH_DISKS = [*REGION, DISK, replace(D4_V5, name="Standard_D4ds_v5", disk_gb=150)]


@pytest.mark.parametrize(
    ("needs", "names"),
    [
        pytest.param({"cores": 2}, [D2_V5, D2_V3, E2_V5, D4_V5], id="smallest first, of those the newest"),
        pytest.param({"cores": "3"}, [D4_V5], id="a number as text"),
        pytest.param({"memory_gb": 12}, [E2_V5, D4_V5], id="memory"),
        pytest.param({"gpus": 1}, [GPU], id="graphics processors only where they are asked for"),
        pytest.param({"architecture": "arm64"}, [ARM], id="architecture"),
        pytest.param({"like": "STANDARD_D*s_v5"}, [D2_V5, D4_V5], id="a pattern"),
        pytest.param({"cores": 64}, [], id="too much"),
    ],
)
def test_sizes_that_have_what_is_needed_come_smallest_first(
    needs: dict[str, Any], names: list[VmSize]
) -> None:
    query = VmSizeQuery.parse(needs)

    assert query.needs_region
    assert query.candidates(REGION) == [size.name for size in names]


@pytest.mark.parametrize(
    ("gigabytes", "names"),
    [
        pytest.param(75, ["Standard_D2ds_v5", "Standard_D4ds_v5"], id="as much as there is"),
        pytest.param("75.5", ["Standard_D4ds_v5"], id="more than the smallest has"),
        pytest.param(151, [], id="too much"),
    ],
)
def test_sizes_that_have_the_local_disk_that_is_needed_are_taken(gigabytes: Any, names: list[str]) -> None:
    assert VmSizeQuery.parse({"disk_gb": gigabytes}).candidates(WITH_DISKS) == names


@pytest.mark.parametrize(
    ("value", "names"),
    [
        pytest.param("standard_d2s_v5", ["standard_d2s_v5"], id="one"),
        pytest.param(["standard_x", " standard_d2s_v5 "], ["standard_x", "standard_d2s_v5"], id="several"),
    ],
)
def test_names_come_as_they_were_given(value: Any, names: list[str]) -> None:
    query = VmSizeQuery.parse(value)

    assert not query.needs_region
    assert query.candidates(REGION) == names


@pytest.mark.parametrize("value", ["", [], ["standard_d2s_v5", ""], [2], None, 7])
def test_what_names_no_size_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="is no name of a VM size, list of names, or mapping of needs"):
        VmSizeQuery.parse(value)


def test_all_that_is_wrong_with_needs_is_told_at_once() -> None:
    needs = {"cores": 2.5, "memory_gb": "much", "gpus": -1, "architecture": "mips", "like": "", "disk": 1}

    with pytest.raises(ValueError, match="vm_size") as refused:
        VmSizeQuery.parse(needs)

    assert str(refused.value).splitlines() == [
        "vm_size.cores=2.5 is not a whole number from 0 up.",
        "vm_size.memory_gb='much' is not a number from 0 up.",
        "vm_size.gpus=-1 is not a whole number from 0 up.",
        "vm_size.architecture='mips' is not one of x64, arm64.",
        "vm_size.like='' is no pattern of a name.",
        "vm_size.disk is not one of cores, memory_gb, disk_gb, gpus, architecture, like.",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param({"cores": 4, "memory_gb": 16}, "cores 4, memory_gb 16.0", id="needs"),
        pytest.param({}, "any size", id="no needs"),
        pytest.param(["a_1", "b_1"], "a_1, b_1", id="names"),
    ],
)
def test_a_query_tells_what_it_asks_for(value: Any, text: str) -> None:
    assert str(VmSizeQuery.parse(value)) == text


SIZES = st.builds(
    VmSize,
    st.sampled_from(["Standard_D2s_v5", "Standard_D4s_v3", "Standard_E8_v4", "Standard_A1"]),
    cores=st.none() | st.integers(1, 128),
    gpus=st.none() | st.integers(0, 4),
    architecture=st.sampled_from([None, "x64", "arm64"]),
    memory_gb=st.none() | st.floats(0.5, 512),
)


@given(st.lists(SIZES, unique_by=lambda size: size.name), st.integers(1, 64), st.integers(0, 256))
def test_the_first_candidate_suits_and_none_that_suits_is_smaller(
    sizes: list[VmSize], cores: int, memory: int
) -> None:
    query = VmSizeQuery(cores=cores, memory_gb=memory)
    by_name = {size.name: size for size in sizes}

    found = [by_name[name] for name in query.candidates(sizes)]

    assert {size.name for size in found} == {size.name for size in sizes if query.suits(size)}
    assert [size.cores for size in found] == sorted(size.cores or 0 for size in found)
    assert query.candidates(reversed(sizes)) == query.candidates(sizes)
