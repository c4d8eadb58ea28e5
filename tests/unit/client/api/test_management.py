"""The client of the management plane: the real SDK, over TLS to the embedded service."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from airflow_provider_batchlinux.client.api.management import (
    ManagementClient,
    management_for,
    open_management,
)
from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.core.vm_sizes.sizes import find_size
from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchConflictError,
    BatchRequestError,
    BatchUnreachableError,
)
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook
from tests.batch_account import NODE_AGENT, UBUNTU
from tests.management_plane import IDENTITY, as_reader, connect

T = TypeVar("T")
BODY: dict[str, Any] = {
    "id": "etl",
    "vmSize": "standard_d2s_v5",
    "virtualMachineConfiguration": {"imageReference": UBUNTU, "nodeAgentSKUId": NODE_AGENT},
    "targetDedicatedNodes": 0,
}


@pytest.fixture
def settings(secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> AccountSettings:
    return connect(monkeypatch, secure_emulator)


def ask(settings: AccountSettings, scenario: Callable[[ManagementClient], Awaitable[T]]) -> T:
    async def whole() -> T:
        async with open_management(settings, RetryPolicy(budget=0)) as plane:
            return await scenario(plane)

    return asyncio.run(whole())


def test_the_region_is_told_with_its_sizes_and_limits(
    settings: AccountSettings, secure_emulator: RunningEmulator
) -> None:
    secure_emulator.control.set_quota(dedicated_cores=10, spot_cores=20, pools=3)

    region = ask(settings, lambda plane: plane.region())

    size = find_size("standard_hb120rs_v3", region.sizes)
    assert size is not None
    assert (size.cores, size.rdma, size.gpus) == (120, True, None)
    assert size.generations == {1, 2}
    limits = region.limits
    assert (region.name, limits.dedicated_cores, limits.spot_cores, limits.pools) == ("westeurope", 10, 20, 3)
    assert limits.family_cores == {}


def test_the_hook_lists_the_sizes(settings: AccountSettings) -> None:
    sizes = BatchLinuxHook().list_vm_sizes()

    assert find_size("standard_d2s_v5", sizes) is not None


def test_a_pool_is_made_once_with_identities_and_tags(settings: AccountSettings) -> None:
    async def scenario(plane: ManagementClient) -> Any:
        await plane.create_pool(BODY, identities=[IDENTITY], tags={"team": "etl"})
        with pytest.raises(BatchConflictError, match=r"pool 'etl': it exists") as conflict:
            await plane.create_pool({**BODY, "targetDedicatedNodes": 1})
        return conflict.value.code, await plane.find_managed_parts("etl")

    code, parts = ask(settings, scenario)

    assert code == "PoolExists"
    assert (parts.identities, parts.tags) == ((IDENTITY,), {"team": "etl"})


def test_identities_and_tags_are_changed_each_for_itself(settings: AccountSettings) -> None:
    async def scenario(plane: ManagementClient) -> Any:
        await plane.create_pool(BODY, identities=[IDENTITY], tags={"team": "etl"})
        await plane.update_pool("etl", tags={"team": "ml"})
        tagged = await plane.find_managed_parts("etl")
        await plane.update_pool("etl", identities=[])
        return tagged, await plane.find_managed_parts("etl")

    tagged, bare = ask(settings, scenario)

    assert (tagged.identities, tagged.tags) == ((IDENTITY,), {"team": "ml"})
    assert (bare.identities, bare.tags) == ((), {"team": "ml"})


def test_a_pool_that_is_not_there_is_told_from_an_account_that_is_not(settings: AccountSettings) -> None:
    wrong = AccountSettings(**{**vars(settings), "resource_group": "other"})

    assert ask(settings, lambda plane: plane.find_managed_parts("etl")) is None
    with pytest.raises(BatchRequestError, match="Check subscription_id and resource_group") as refused:
        ask(wrong, lambda plane: plane.find_managed_parts("etl"))

    assert refused.value.code == "ResourceGroupNotFound"


def test_a_role_that_is_missing_is_named(
    secure_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = connect(monkeypatch, secure_emulator, **as_reader(secure_emulator))

    with pytest.raises(BatchAuthenticationError, match="Azure Batch Data Contributor") as refused:
        ask(reader, lambda plane: plane.create_pool(BODY))

    assert refused.value.code == "AuthorizationFailed"


def test_what_the_service_refuses_is_said_in_its_words(settings: AccountSettings) -> None:
    with pytest.raises(BatchRequestError, match="PropertyName: vmSize; PropertyValue: x") as refused:
        ask(settings, lambda plane: plane.create_pool({**BODY, "vmSize": "x"}))

    assert refused.value.code == "InvalidPropertyValue"


def test_a_management_plane_that_does_not_answer_is_named(settings: AccountSettings) -> None:
    away = AccountSettings(**{**vars(settings), "management_url": "https://127.0.0.1:1"})

    with pytest.raises((BatchUnreachableError, BatchAuthenticationError), match="get Batch account"):
        ask(away, lambda plane: plane.region())


@pytest.mark.parametrize(
    ("lost", "gaps"),
    [
        pytest.param({"subscription_id": None}, "subscription_id", id="no subscription"),
        pytest.param(
            {"subscription_id": None, "resource_group": None}, "subscription_id, resource_group", id="neither"
        ),
    ],
)
def test_a_connection_that_does_not_lead_there_is_told_what_it_lacks(
    lost: dict[str, Any], gaps: str, settings: AccountSettings
) -> None:
    poor = AccountSettings(**{**vars(settings), **lost})

    with pytest.raises(ValueError, match=f"the connection lacks {gaps}\\."):
        ask(poor, lambda plane: plane.region())


def test_the_extra_that_is_not_installed_is_named(
    settings: AccountSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "azure.mgmt.batch.aio", None)

    with pytest.raises(ValueError, match=r"pip install 'airflow-provider-batchlinux\[mgmt\]'"):
        ask(settings, lambda plane: plane.region())


@pytest.mark.parametrize(
    ("subscription", "required", "preflight", "level"),
    [
        pytest.param("s", False, False, None, id="not wanted"),
        pytest.param(None, False, None, None, id="out of reach, not asked for"),
        pytest.param(None, False, True, logging.WARNING, id="out of reach, asked for"),
    ],
)
def test_a_look_that_cannot_be_made_is_said_only_where_it_was_asked_for(
    subscription: str | None, required: bool, preflight: bool | None, level: int | None,
    settings: AccountSettings, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    said: list[logging.LogRecord] = []
    logger = logging.getLogger("airflow_provider_batchlinux.client.api.management")
    monkeypatch.setattr(logger, "handle", said.append)
    given = AccountSettings(**{**vars(settings), "subscription_id": subscription})

    async def whole() -> ManagementClient | None:
        async with management_for(given, required=required, preflight=preflight) as plane:
            return plane

    assert asyncio.run(whole()) is None
    assert [record.levelno for record in said] == ([] if level is None else [level])
