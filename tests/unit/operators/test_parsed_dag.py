"""What Airflow stores of a Dag file that it has parsed: no secret, the order of its tasks, no new version."""

from __future__ import annotations

import json
from collections import UserList
from types import MappingProxyType
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, BaseOperator, task, task_group

from airflow_provider_batchlinux.core.parameters.reader import readers_of
from airflow_provider_batchlinux.operators._parameters import (
    MAY_HOLD_SECRETS,
    revealed,
)
from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.operators.node_users import BatchLinuxAddNodeUsersOperator
from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator
from airflow_provider_batchlinux.operators.nodes import BatchLinuxRebootNodesOperator
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.specs import (
    InputSpec,
    OutputSpec,
    TaskContainerSpec,
    TaskSpec,
    UserAccountSpec,
)
from airflow_provider_batchlinux.task_groups._parameters import PoolParameters
from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool
from tests.airflow_harness import dag_serializer, run_task
from tests.operator_init import operators

SECRET = "in-clear-5f1c"
PRIVATE_KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}"
SAS = f"https://a.blob.core.windows.net/c/b?sv=1&sig={SECRET}"
REGISTRY = {"server": "r.example.com", "username": "u", "password": SECRET}

POOL: dict[str, Any] = {"image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
COMMAND: dict[str, Any] = {"pool_id": "etl", "command": "true"}
USER: dict[str, Any] = {"pool_id": "etl", "username": "ann", "expires_in": 60}

JOB: dict[str, Any] = {"pool_id": "etl", "tasks": ["true"]}
PART = {"command": "true", "secret_environment": {"A": SECRET}}

WITHOUT_SECRETS = {
    "application_packages",
    "autoscale",
    "formula",
    "generate_key",
    "network",
    "repair",
    "run_as",
    "scheduling",
    "security",
    "ssh_public_key",
}
"""Parameters without secrets to mask: there is none in their parts, or it is refused."""

IN_CLEAR: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "body": (BatchLinuxCreatePoolOperator, {}, {"userAccounts": [{"name": "u", "password": SECRET}]}),
    "container": (BatchLinuxTaskOperator, COMMAND, {"image": "i", "registry": REGISTRY}),
    "containers": (BatchLinuxCreatePoolOperator, POOL, {"registries": [REGISTRY]}),
    "inputs": (BatchLinuxTaskOperator, COMMAND, {"a": SAS}),
    "manager": (BatchLinuxJobOperator, {"pool_id": "etl"}, PART),
    "outputs": (BatchLinuxTaskOperator, COMMAND, {"a": SAS}),
    "password": (BatchLinuxAddNodeUsersOperator, USER, SECRET),
    "preparation": (BatchLinuxJobOperator, JOB, PART),
    "release": (BatchLinuxJobOperator, JOB, PART),
    "results_to": (BatchLinuxJobOperator, JOB, SAS),
    "secret_environment": (BatchLinuxTaskOperator, COMMAND, {"TOKEN": SECRET}),
    "secret_files": (BatchLinuxTaskOperator, COMMAND, {"token": SECRET}),
    "secret_storage": (BatchLinuxTaskOperator, COMMAND, SAS),
    "software": (
        BatchLinuxCreatePoolOperator,
        POOL,
        {"extensions": [{"name": "e", "publisher": "p", "type": "t", "protected_settings": {"k": SECRET}}]},
    ),
    "start_task": (
        BatchLinuxCreatePoolOperator,
        POOL,
        {"command": "true", "container": {"image": "i", "registry": REGISTRY}},
    ),
    "start_task_environment": (
        BatchLinuxCreatePoolOperator,
        {**POOL, "start_task": "true"},
        {"TOKEN": SECRET},
    ),
    "storage": (
        BatchLinuxCreatePoolOperator,
        POOL,
        {"mounts": [{"account": "a", "url": "https://a/s", "path": "m", "key": SECRET}]},
    ),
    "tasks": (
        BatchLinuxJobOperator,
        {"pool_id": "etl"},
        [{"command": "c", "secret_environment": {"A": SECRET}}],
    ),
    "user_accounts": (BatchLinuxCreatePoolOperator, POOL, [{"name": "u", "password": SECRET}]),
}

BESIDE: dict[str, tuple[str, Any]] = {
    "source of an input": ("inputs", {"a": InputSpec(SAS)}),
    "destination of an output": ("outputs", {"a": OutputSpec(SAS), "b": "abfs://c/b"}),
    "input of a command": ("tasks", [TaskSpec("c", inputs={"a": SAS, "b": InputSpec(SAS)})]),
    "storage of secrets of a command": ("manager", TaskSpec("c", secret_storage=SAS)),
    "dict beside a spec object": ("tasks", [TaskSpec("c"), PART]),
    "spec object beside a dict": (
        "user_accounts",
        [{"name": "u", "password": SECRET}, UserAccountSpec("v", "w")],
    ),
    "SAS after a template": (
        "results_to",
        f"https://a.blob.core.windows.net/c/{{{{ ti.dag_id }}}}/?sig={SECRET}",
    ),
    "SAS after a template alone": ("secret_storage", f"{{{{ 'abfs://c' }}}}?sig={SECRET}"),
    "before a template": ("secret_environment", {"A": f"{SECRET}{{{{ '' }}}}"}),
    "between templates": ("password", f"{{{{ 'a' }}}}{SECRET}{{{{ 'b' }}}}"),
    "inside a block": ("secret_files", {"a": f"{{% if true %}}{SECRET}{{% endif %}}"}),
    "environment of a start task": ("start_task", {"command": "c", "environment": {"A": SECRET}}),
}
"""Values that are spec objects or templates in part."""

SECRETS = [
    *(pytest.param(name, IN_CLEAR[name][2], id=name) for name in sorted(MAY_HOLD_SECRETS)),
    *(pytest.param(name, value, id=about) for about, (name, value) in BESIDE.items()),
]


def receiving(cls: Any) -> Any:
    """Return an operator that only tells whether the secret has reached it."""

    def execute(self: Any, context: Any) -> dict[str, bool]:  # as Airflow calls it
        return {"has": SECRET in str(self._rendered)}

    return type(f"Receiving{cls.__name__}", (cls,), {"execute": execute})


def stored(dag: DAG) -> str:
    return json.dumps(dag_serializer().to_dict(dag))


FORMS = ("plain", "partial", "expand", "expand_kwargs")


def given_as(form: str, cls: Any, others: dict[str, Any], name: str, value: Any) -> Any:
    """Return a task that a Dag file gives a parameter in one of the forms."""
    others = {key: given for key, given in others.items() if key != name}
    if form == "plain":
        return cls(task_id="work", **others, **{name: value})
    if form == "partial":
        return cls.partial(task_id="work", **others, **{name: value}).expand(batch_linux_conn_id=["one"])
    partial = cls.partial(task_id="work", **others)
    return partial.expand(**{name: [value]}) if form == "expand" else partial.expand_kwargs([{name: value}])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_a_secret_in_clear_is_not_stored_with_the_dag_and_reaches_the_task(
    name: str, value: Any, form: str
) -> None:
    cls, others, _ = IN_CLEAR[name]
    with DAG("clear", schedule=None) as dag:
        work = given_as(form, receiving(cls), others, name, value)

    assert SECRET not in stored(dag)
    ran = run_task(work, map_index=-1 if form == "plain" else 0)
    assert SECRET not in str(ran.rendered)
    assert ran.result == {"has": True}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(lambda task: task.expand(secret_environment=UserList([{"A": SECRET}])), id="sequence"),
        pytest.param(
            lambda task: task.expand_kwargs((MappingProxyType({"secret_environment": {"A": SECRET}}),)),
            id="mapping",
        ),
    ],
)
def test_a_secret_in_any_sequence_or_mapping_that_a_task_is_expanded_over_is_not_stored(given: Any) -> None:
    with DAG("clear", schedule=None) as dag:
        work = given(receiving(BatchLinuxTaskOperator).partial(task_id="work", **COMMAND))

    assert SECRET not in stored(dag)
    assert run_task(work, map_index=0).result == {"has": True}


def test_a_secret_that_the_file_assigns_to_an_attribute_is_not_stored_and_reaches_the_task() -> None:
    with DAG("clear", schedule=None) as dag:
        work = receiving(BatchLinuxTaskOperator)(task_id="work", **COMMAND)
        work.secret_environment = {"A": SECRET, "B": BaseOperator(task_id="first").output}

    assert SECRET not in stored(dag)
    assert work.upstream_task_ids == {"first"}
    work.secret_environment = {"A": SECRET}
    assert run_task(work).result == {"has": True}


CALLS: dict[str, Any] = {
    "call": lambda function: function(1, 2),
    "expand": lambda function: function.expand(x=[1], y=[2]),
    "partial": lambda function: function.partial(x=1).expand(y=[2]),
    "expand_kwargs": lambda function: function.partial(x=1).expand_kwargs([{"y": 2}]),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("overrides", [False, True])
@pytest.mark.parametrize("decorate", [task.batch_linux, task.batch_linux_cmd])
def test_a_secret_of_a_decorated_function_is_not_stored(decorate: Any, overrides: bool, call: str) -> None:
    def work(x: int, y: int) -> str:
        return f"{x}{y}"

    secret = {"secret_environment": {"A": SECRET}}
    with DAG("clear", schedule=None) as dag:
        function = decorate(pool_id="etl", **({} if overrides else secret))(work)
        CALLS[call](function.override(**secret) if overrides else function)

    mapped: Any = dag.get_task("work")
    kept = mapped.secret_environment if call == "call" else mapped.partial_kwargs["secret_environment"]
    assert revealed(kept) == {"A": SECRET}
    assert SECRET not in stored(dag)


def test_no_secret_of_the_parameters_of_a_task_group_is_stored() -> None:
    names = PoolParameters.__annotations__.keys() & MAY_HOLD_SECRETS
    with DAG("clear", schedule=None) as dag:
        for name in names:
            BatchLinuxPool(name, **POOL, **{name: IN_CLEAR[name][2]})
            BatchLinuxPool(f"{name}_default", **POOL, default_args={name: IN_CLEAR[name][2]})

    assert names >= {"body", "user_accounts"}
    assert SECRET not in stored(dag)


def group_of(given: Any) -> Any:
    @task_group
    def group(token: Any) -> None:
        BatchLinuxTaskOperator(task_id="work", **COMMAND, secret_environment=given(token))

    return group


REFUSED: dict[str, tuple[Any, str]] = {
    "a mapping in expand()": (
        lambda: BatchLinuxTaskOperator.partial(task_id="work", **COMMAND).expand(
            secret_environment={"A": SECRET}
        ),
        r"secret_environment .* is expanded over a mapping",
    ),
    **{
        f"a task group that is expanded over {about}": (
            expanded,
            r"secret_environment .* has a secret that its task group is expanded over",
        )
        for about, expanded in {
            "values": lambda: group_of(lambda token: {"A": token}).expand(token=["{{ ds }}", SECRET]),
            "whole parameters": lambda: group_of(lambda token: token).expand(token=[{"A": SECRET}]),
            "pairs": lambda: group_of(lambda token: {"A": token}).expand(token={"A": SECRET}),
            "arguments": lambda: group_of(lambda token: token).expand_kwargs([{"token": {"A": SECRET}}]),
        }.items()
    },
    **{
        f"{name} of {cls.__name__} in {form}": (
            lambda cls=cls, name=name, form=form: given_as(form, cls, USER, name, PRIVATE_KEY),
            f"{name} holds a private key",
        )
        for cls in (BatchLinuxAddNodeUsersOperator, BatchLinuxLeaseNodeUsersOperator)
        for name in ("ssh_public_key", "generate_key")
        for form in FORMS
    },
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_secret_that_airflow_would_store_is_refused_without_being_repeated(make: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal, DAG("clear", schedule=None):
        make()
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("form", ["plain", "mapped", "function", "mapped function"])
def test_a_secret_in_default_args_of_a_dag_is_refused_since_airflow_stores_them(form: str) -> None:
    def make(secret: str) -> DAG:
        with DAG("clear", schedule=None, default_args={"secret_environment": {"A": secret}}) as dag:
            if form == "plain":
                BatchLinuxTaskOperator(task_id="work", **COMMAND)
            elif form == "mapped":
                BatchLinuxTaskOperator.partial(task_id="work", pool_id="etl").expand(command=["true"])
            else:
                function = task.batch_linux(pool_id="etl")(lambda x: x)
                function.override(task_id="work")(1) if form == "function" else function.override(
                    task_id="work"
                ).expand(x=[1])
        return dag

    with pytest.raises(
        ValueError, match="default_args of a Dag has a secret in secret_environment"
    ) as refusal:
        make(SECRET)
    assert SECRET not in str(refusal.value)
    assert "conn.nodes.password" in stored(make("{{ conn.nodes.password }}"))


@pytest.mark.parametrize("cls", operators())
def test_each_parameter_that_can_hold_a_secret_is_known_when_a_file_is_parsed(cls: Any) -> None:
    secret = {name for name, reader in readers_of(cls.request_class()).items() if reader.is_secret}

    assert secret - WITHOUT_SECRETS <= MAY_HOLD_SECRETS


@pytest.mark.parametrize("name", ["secret_files", "inputs"])
def test_a_mapped_task_waits_for_the_xcom_among_secrets_in_clear(name: str) -> None:
    with DAG("ordered", schedule=None) as dag:
        first, second = (BaseOperator(task_id=name).output for name in ("first", "second"))
        partial = BatchLinuxTaskOperator.partial(
            task_id="work", **COMMAND, secret_environment={"A": first, "B": SECRET}
        )
        items = {"secret_files": {"a": second, "b": SECRET}, "inputs": {"a": InputSpec(second), "b": SAS}}
        partial.expand(**{name: [items[name]]})

    assert dag.get_task("work").upstream_task_ids == {"first", "second"}
    assert SECRET not in stored(dag)


@pytest.mark.parametrize("form", ["operator", "function", "command"])
def test_a_mapped_task_waits_for_the_xcom_inside_a_spec_object(form: str) -> None:
    with DAG("ordered", schedule=None) as dag:
        image = BaseOperator(task_id="image").output
        container = TaskContainerSpec(image=image)  # type: ignore[arg-type]  # computed when the task runs
        if form == "operator":
            partial = BatchLinuxTaskOperator.partial(task_id="work", pool_id="etl", container=container)
            partial.expand(command=["true", "false"])
        else:
            decorate = task.batch_linux if form == "function" else task.batch_linux_cmd

            @decorate(task_id="work", pool_id="etl", container=container)
            def work(number: int) -> str:
                return str(number)

            work.expand(number=[1, 2])

    assert dag.get_task("work").upstream_task_ids == {"image"}


def test_a_generator_is_refused_when_the_file_is_parsed() -> None:
    with pytest.raises(ValueError, match=r"Parameter node_ids .* holds a generator"):
        BatchLinuxRebootNodesOperator(task_id="a", pool_id="etl", node_ids=(name for name in "ab"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Parameter environment .* holds a generator"):
        BatchLinuxTaskOperator.partial(task_id="a", environment={"A": map(str, [1])})


def test_assets_among_the_data_of_a_mapped_task_are_its_inlets_and_outlets_once() -> None:
    day, total = Asset("abfs://raw/day.csv"), Asset("abfs://raw/total.csv")
    with DAG("assets", schedule=None) as dag:
        partial = BatchLinuxTaskOperator.partial(
            task_id="work", pool_id="etl", inputs={"day.csv": day}, outputs={"total.csv": total}
        )
        partial.expand(command=["true", "false"])

    mapped: Any = dag.get_task("work")
    assert (mapped.inlets, mapped.outlets) == ([day], [total])
    plain = mapped.unmap({"command": "true"})
    assert (plain.inlets, plain.outlets) == ([day], [total])


@pytest.mark.parametrize("form", ["asset", "spec", "dict", "expanded", "part"])
def test_an_asset_that_a_task_gets_when_it_runs_is_reported_with_its_success(form: str) -> None:
    made, known = Asset("abfs://clean/made.csv"), Asset("abfs://clean/known.csv")
    value = {"spec": OutputSpec(made), "dict": {"destination": made}}.get(form, made)
    outputs = {"a.csv": value, "b.csv": OutputSpec(Asset("abfs://clean/core.dump"), upload_on="failure")}
    cls: Any = receiving(BatchLinuxJobOperator if form == "part" else BatchLinuxTaskOperator)
    given: dict[str, Any] = (
        {"tasks": [TaskSpec("true", outputs=outputs)]} if form == "part" else {"outputs": outputs}
    )
    others = {"pool_id": "etl"} if form == "part" else COMMAND
    with DAG("assets", schedule=None):
        if form == "expanded":
            work = cls.partial(task_id="work", **others, outlets=[known]).expand_kwargs([given])
        else:
            partial = cls.partial(task_id="work", **others, outlets=[known])
            work = partial.expand(**{name: [value] for name, value in given.items()})

    assert run_task(work, map_index=0).outlets == [known.uri, made.uri]
