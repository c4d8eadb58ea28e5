"""The operator that makes a pool keeps what is secret in it out of all that Airflow stores and shows."""

from __future__ import annotations

import traceback
from ast import literal_eval
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.exceptions import BatchRequestError
from airflow_provider_batchlinux.operators._pool_checks import secrets_hidden
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.specs import (
    AzureBlobMountSpec,
    AzureFilesMountSpec,
    CifsMountSpec,
    ContainerSpec,
    ExtensionSpec,
    RegistrySpec,
    ResourceFileSpec,
    SoftwareSpec,
    StartTaskSpec,
    StorageSpec,
    TaskContainerSpec,
    UserAccountSpec,
)
from tests.airflow_harness import ExecutionApi, run_task
from tests.unit.operators.pool.test_pool_create import create

SECRET = "c0rrect-h0rse"
SAS = f"https://a.blob.core.windows.net/c/f?sv=2026&sig={SECRET}"
IMAGE = "microsoft-dsvm:ubuntu-hpc:2404"
"""An image with a container engine, which pools with registries need."""
BLOB = {"account": "a", "container": "c", "path": "in"}

PARTS: dict[str, dict[str, Any]] = {
    "a registry's password": {
        "containers": ContainerSpec(registries=[RegistrySpec(username="u", password=SECRET)])
    },
    "a blob account's key": {"storage": StorageSpec(mounts=[AzureBlobMountSpec(**BLOB, account_key=SECRET)])},
    "a SAS token": {"storage": StorageSpec(mounts=[AzureBlobMountSpec(**BLOB, sas_token=SECRET)])},
    "a file share's key": {
        "storage": StorageSpec(mounts=[AzureFilesMountSpec("a", "https://a/s", "f", account_key=SECRET)])
    },
    "a share's password": {
        "storage": StorageSpec(mounts=[CifsMountSpec("//s/s", "p", username="u", password=SECRET)])
    },
    "an account's password": {"user_accounts": [UserAccountSpec("etl", SECRET)]},
    "an account's private key": {"user_accounts": [UserAccountSpec("etl", SECRET, ssh_private_key=SECRET)]},
    "an extension's setting": {
        "software": SoftwareSpec(
            extensions=[ExtensionSpec("n", "p", "t", protected_settings={"k": {"x": SECRET}})]
        )
    },
    "a SAS in a URL": {"start_task": StartTaskSpec("true", resource_files=[ResourceFileSpec(SAS, path="f")])},
    "a SAS of a container": {
        "start_task": StartTaskSpec("true", resource_files=[ResourceFileSpec(container_url=SAS)])
    },
    "a variable": {"start_task": StartTaskSpec("true", environment={"X": SECRET})},
    "the password of a start task's registry": {
        "containers": ContainerSpec(),
        "start_task": StartTaskSpec(
            "true", container=TaskContainerSpec("b", registry=RegistrySpec(username="u", password=SECRET))
        ),
    },
}
FORBIDDEN: dict[str, Any] = {"status": 403, "code": "Forbidden"}


def dicts_of(parts: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [item.to_dict() for item in value] if isinstance(value, list) else value.to_dict()
        for name, value in parts.items()
    }


def body_of(parts: dict[str, Any]) -> dict[str, Any]:
    body = PoolSpec("etl", IMAGE, "standard_d2s_v5", **parts).to_rest()
    body["virtualMachineConfiguration"]["imageReference"] = IMAGE
    del body["virtualMachineConfiguration"]["nodeAgentSKUId"]
    return body


def forms_of(parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"image": IMAGE, **parts},
        {"image": IMAGE, **dicts_of(parts)},
        {"body": body_of(parts), "image": None, "vm_size": None},
    ]


@pytest.mark.parametrize("fault", [None, FORBIDDEN], ids=["success", "forbidden"])
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_no_secret_is_stored_or_shown_in_whatever_form_it_came(account, parts, fault):
    for number, form in enumerate(forms_of(parts)):
        if fault:
            account.control.inject("POST", "/pools$", **fault)
        run = run_task(create(pool_id="etl" if "body" in form else f"etl{number}", **form))

        assert run.state == ("failed" if fault else "success")
        assert SECRET not in run.everything_said


def test_no_secret_is_shown_if_the_service_does_not_answer(account):
    account.control.inject("POST", "/pools$", drop="before", times=None)
    parts = [PARTS["an account's private key"], PARTS["a blob account's key"], PARTS["a registry's password"]]

    run = run_task(create(image=IMAGE, **{name: part for given in parts for name, part in given.items()}))

    assert run.state == "failed"
    assert SECRET not in run.everything_said


@pytest.mark.parametrize("expanded", [False, True], ids=["partial", "expanded"])
@pytest.mark.parametrize("form", range(3), ids=["objects", "dicts", "body"])
@pytest.mark.parametrize(
    "name", ["an account's private key", "a blob account's key", "a registry's password", "a SAS in a URL"]
)
def test_a_mapped_task_stores_and_shows_no_secret(account, name, form, expanded):
    given = {"vm_size": "standard_d2s_v5", **forms_of(PARTS[name])[form]}
    mapped = {key: [given.pop(key)] for key in [*PARTS[name], "body"] if key in given} if expanded else {}
    with DAG("mapped", schedule=None):
        task = BatchLinuxCreatePoolOperator.partial(task_id="create", **given).expand(
            **mapped, pool_id=["et{{ 'l' }}"]
        )
    run = run_task(task, map_index=0)

    assert (run.state, run.result["pool_id"]) == ("success", "etl")
    assert SECRET not in run.everything_said


def nested(value: Any, depth: int) -> Any:
    return value if not depth else {"inner": [nested(value, depth - 1)]}


# Airflow's masker leaves text below the fifth level, and text of fewer than five characters, as it is.
@pytest.mark.parametrize("secret", ["zq7", "fresh-s3cret-below"], ids=["short", "long"])
@pytest.mark.parametrize("depth", [0, 5])
@pytest.mark.parametrize("form", range(3), ids=["objects", "dicts", "body"])
@pytest.mark.parametrize("is_mapped", [False, True], ids=["plain", "mapped"])
@pytest.mark.usefixtures("account")
def test_a_secret_is_replaced_where_airflow_would_not_mask_it(is_mapped, form, depth, secret):
    settings = {"key": nested(f"{{{{ '{secret}' }}}}", depth)}
    software = SoftwareSpec(extensions=[ExtensionSpec("n", "p", "t", protected_settings=settings)])
    given = forms_of({"software": software})[form]
    options = {"image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", **given}
    with DAG("secrets", schedule=None):
        if is_mapped:
            task: Any = BatchLinuxCreatePoolOperator.partial(task_id="create", **options).expand(
                pool_id=["etl"]
            )
        else:
            task = BatchLinuxCreatePoolOperator(task_id="create", pool_id="etl", **options)

    run = run_task(task, map_index=0 if is_mapped else -1)

    assert run.rendered["body" if form == 2 else "software"]
    assert secret not in repr(run.rendered)
    assert "***" in repr(run.rendered)


def test_the_templates_inside_a_spec_object_are_rendered_for_plain_and_mapped_tasks(account):
    accounts = [UserAccountSpec("u{{ 6 * 7 }}", "{{ 'c0rrect' }}-h0rse")]
    with DAG("mapped", schedule=None):
        mapped = BatchLinuxCreatePoolOperator.partial(
            task_id="create", image="ubuntu", vm_size="standard_d2s_v5", user_accounts=accounts
        ).expand(pool_id=["mapped"])
    for task in (create(pool_id="plain", user_accounts=accounts), mapped):
        run = run_task(task, map_index=0)

        assert run.state == "success"
        assert run.rendered["user_accounts"][0]["name"] == "u42"
        assert SECRET not in run.everything_said


def test_templates_in_what_another_task_returned_are_not_rendered(account):
    api = ExecutionApi(xcoms={"return_value": [[{"name": "{{ 6 * 7 }}", "password": SECRET}]]})
    with DAG("mapped", schedule=None):
        accounts = EmptyOperator(task_id="accounts").output
        mapped = BatchLinuxCreatePoolOperator.partial(
            task_id="create", image="ubuntu", vm_size="standard_d2s_v5"
        ).expand(user_accounts=accounts)
    run = run_task(mapped, map_index=0, api=api)

    assert run.rendered["user_accounts"][0]["name"] == "{{ 6 * 7 }}"
    assert SECRET not in run.everything_said.replace(repr(api.xcoms), "")


def test_the_key_of_a_mount_that_another_task_returned_is_nowhere_else(account):
    api = ExecutionApi(xcoms={"return_value": [{"mounts": [{**BLOB, "account_key": SECRET}]}]})
    with DAG("mapped", schedule=None):
        storage = EmptyOperator(task_id="storage").output
        mapped = BatchLinuxCreatePoolOperator.partial(
            task_id="create", pool_id="etl", image="ubuntu", vm_size="standard_d2s_v5"
        ).expand(storage=storage)
    run = run_task(mapped, map_index=0, api=api)

    assert run.state == "success", run.error
    assert run.rendered["storage"]["mounts"][0] == {**BLOB, "account_key": "***"}
    assert SECRET not in run.everything_said.replace(repr(api.xcoms["return_value"]), "")


@pytest.mark.parametrize("form", range(3), ids=["objects", "dicts", "body"])
def test_no_problem_repeats_a_secret(account, form):
    parts = {**PARTS["a SAS token"], **PARTS["an account's password"]}
    [options] = forms_of(parts)[form : form + 1]
    run = run_task(create(pool_id="two words", **options))

    assert run.state == "failed"
    assert SECRET not in run.everything_said


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_no_object_shows_its_secret(parts):
    spec = PoolSpec("etl", "ubuntu 24.04", "standard_d2s_v5", **parts)

    assert SECRET not in f"{spec!r} {spec} {spec.fingerprint()} {spec.problems()}"


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_another_secret_makes_another_pool(parts):
    one, other = (
        PoolSpec(
            "etl",
            "ubuntu 24.04",
            "standard_d2s_v5",
            **literal_eval(repr(dicts_of(parts)).replace(SECRET, word)),
        )
        for word in ("one-w0rd", "other-w0rd")
    )

    assert one.fingerprint() != other.fingerprint()


def test_a_secret_from_a_template_is_not_stored(account):
    accounts = [{"name": "etl", "password": "{{ 'c0rrect' }}-h0rse"}]
    run = run_task(create(pool_id="etl", user_accounts=accounts))

    assert run.state == "success"
    assert run.rendered["user_accounts"][0]["name"] == "etl"
    assert SECRET not in run.everything_said


def test_what_the_service_repeats_of_a_secret_is_masked():
    spec = PoolSpec("etl", "ubuntu 24.04", "standard_d2s_v5", **PARTS["an account's password"])
    error = BatchRequestError(f"The password {SECRET!r} is bad.")
    with pytest.raises(BatchRequestError) as failure, secrets_hidden(spec):
        raise error from ValueError(SECRET)

    assert str(failure.value) == "The password '***' is bad."
    assert SECRET not in "".join(traceback.format_exception(failure.value))


def test_the_sas_of_a_url_is_masked_also_when_it_is_told_alone():
    spec = PoolSpec("etl", "ubuntu 24.04", "standard_d2s_v5", **PARTS["a SAS in a URL"])
    with pytest.raises(BatchRequestError, match=r"^\*\*\*$"), secrets_hidden(spec):
        raise BatchRequestError(SAS.partition("?")[2])


def test_an_error_without_a_secret_keeps_what_it_came_from():
    spec = PoolSpec("etl", "ubuntu 24.04", "standard_d2s_v5", **PARTS["an account's password"])
    cause = ValueError("PropertyName: vmSize")
    error = BatchRequestError("The size is bad.")
    with pytest.raises(BatchRequestError) as failure, secrets_hidden(spec):
        raise error from cause

    assert failure.value.__cause__ is cause
