"""What Azure reports about VM sizes, and the names that are nearest to a wrong one."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.vm_sizes.sizes import VmSize, find_size, nearest_sizes
from airflow_provider_batchlinux.emulator.rules.vm_sizes import SIZES

END = datetime(2026, 12, 31, tzinfo=timezone.utc)
NAMES = [str(size["name"]) for size in SIZES]
REGION = [VmSize(name) for name in NAMES]


def test_a_size_is_read_from_its_capabilities() -> None:
    capabilities = {
        "vCPUs": "4",
        "HyperVGenerations": "V1,V2",
        "LowPriorityCapable": "True",
        "EphemeralOSDiskSupported": "False",
        "GPUs": "1",
        "RdmaEnabled": "True",
        "CpuArchitectureType": "Arm64",
    }

    size = VmSize.of("Standard_X4", "standardXFamily", capabilities, END)

    assert size == VmSize(
        "Standard_X4", "standardXFamily", 4, frozenset({1, 2}), "arm64", True, False, 1, True, END
    )


def test_what_is_not_told_is_not_guessed_but_for_the_architecture() -> None:
    size = VmSize.of("Standard_D2ps_v6", None, {}, None)

    assert size == VmSize("Standard_D2ps_v6", architecture="arm64")


@pytest.mark.parametrize(
    ("generations", "generation"),
    [
        pytest.param({1}, 1, id="only the first, which no name tells"),
        pytest.param({2}, 2, id="only the second"),
        pytest.param({1, 2}, None, id="both"),
        pytest.param(set(), 2, id="unknown, read from the name"),
    ],
)
def test_the_image_is_chosen_by_what_the_size_runs(generations: set[int], generation: int | None) -> None:
    size = VmSize("Standard_D2s_v6", generations=frozenset(generations))

    assert size.traits.generation == generation
    assert size.traits.architecture == "x64"


@pytest.mark.parametrize("name", ["STANDARD_D2S_V5", "d2s_v5", " standard_d2s_v5 "])
def test_a_size_is_found_however_it_is_written(name: str) -> None:
    found = find_size(name, REGION)

    assert found is not None
    assert found.name == "Standard_D2s_v5"


def test_a_size_of_another_region_is_not_found() -> None:
    assert find_size("standard_m416ms_v2", REGION) is None


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        pytest.param("standard_d2s_v7", "Standard_D2s_v3", id="another version"),
        pytest.param("standard_d4s_v55", "Standard_D4s_v5", id="a slip"),
        pytest.param("standard_e8ds_v5", "Standard_D8ds_v5", id="another family"),
    ],
)
def test_the_nearest_names_are_like_the_one_asked_for(name: str, nearest: str) -> None:
    assert nearest in nearest_sizes(name, REGION)


@given(st.text(max_size=40))
def test_any_name_has_nearest_ones(name: str) -> None:
    found = nearest_sizes(name, REGION)

    assert len(found) == 5
    assert set(found) <= set(NAMES)
