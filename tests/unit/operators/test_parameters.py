"""
Every parameter of every operator and sensor is read by its kind, in whatever form Airflow hands it over.

The operators are found by the provider's own list, and the parameters by their requests: a new operator is
tested without being named here.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import pytest
from airflow.sdk import DAG

from airflow_provider_batchlinux.core.nodes.actions import NodeState
from airflow_provider_batchlinux.core.parameters import kinds
from airflow_provider_batchlinux.core.parameters.reader import readers_of
from airflow_provider_batchlinux.core.pools.create_requests import Body, PoolId
from airflow_provider_batchlinux.core.pools.readiness.policy import Ready
from airflow_provider_batchlinux.core.pools.repair import RepairSpec
from airflow_provider_batchlinux.core.storage.locations import Location
from airflow_provider_batchlinux.core.tasks.requests import Item
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import ExitCodes
from airflow_provider_batchlinux.core.users.credentials import KeyFile, Password, PublicKey
from airflow_provider_batchlinux.core.users.user import Username
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.specs import (
    ApplicationPackageSpec,
    AutoscaleSpec,
    AutoUserSpec,
    ContainerSpec,
    InputSpec,
    NetworkSpec,
    OsDiskSpec,
    OutputSpec,
    SchedulingSpec,
    SecuritySpec,
    SoftwareSpec,
    StartTaskSpec,
    StorageSpec,
    TaskContainerSpec,
    TaskSpec,
    UserAccountSpec,
)
from airflow_provider_batchlinux.triggers.pool import BatchLinuxPoolGoneTrigger
from tests.airflow_harness import ExecutionApi, resume_task, run_task
from tests.operator_init import operators
from tests.tables import each_of

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl etl"

SAMPLES: Mapping[Any, Any] = {
    kinds.Id: "etl",
    kinds.ServiceId: "tvm-1",
    kinds.Text: "ubuntu 24.04",
    kinds.AnyText: "value",
    kinds.SecretText: "c0rrect-h0rse",
    kinds.Flag: True,
    kinds.WholeNumber: 3,
    kinds.RetryCount: 3,
    kinds.Count: 3,
    kinds.PositiveCount: 3,
    kinds.CountOrShare: "5%",
    kinds.PositiveNumber: 2.5,
    kinds.Priority: -5,
    Location: "abfs://private/",
    kinds.Seconds: 900,
    kinds.Instant: "2099-01-01T00:00:00Z",
    kinds.Environment: {"NAME": "value"},
    kinds.Variables: {"NAME": "value"},
    ExitCodes: {"99": "skip"},
    NodeState: "idle",
    Ready: "80%",
    Body: {"vmSize": "standard_d2s_v5"},
    PoolId: "etl",
    Username: "etl",
    PublicKey: KEY,
    Password: "c0rrect-h0rse-battery",
    KeyFile: "/mnt/keys/etl",
    RepairSpec: {"reboots": 2},
    ApplicationPackageSpec: {"application_id": "tools"},
    AutoUserSpec: {"elevation": "admin"},
    AutoscaleSpec: {"formula": "$TargetDedicatedNodes=1;"},
    ContainerSpec: {},
    InputSpec: {"source": "abfs://raw/a.csv"},
    OutputSpec: {"destination": "abfs://clean/a.csv"},
    NetworkSpec: {},
    SchedulingSpec: {"fill": "pack"},
    SecuritySpec: {},
    SoftwareSpec: {},
    StartTaskSpec: {"command": "true"},
    StorageSpec: {},
    TaskContainerSpec: {"image": "python:3.12"},
    TaskSpec: {"command": "true", "depends_on": ["first"]},
    Item: {"rate": 0.1},
    UserAccountSpec: {"name": "etl", "password": "c0rrect-h0rse"},
}
"""A value of each kind."""

NEEDED = {
    "image": "ubuntu 24.04",
    "vm_size": "standard_d2s_v5",
    "ssh_public_key": KEY,
    "expires_in": 3600,
    "dedicated_nodes": 1,
    "max_node_hours": 2.5,
    "tasks": ["true"],
}
"""What an operator with such a parameter needs, to have a request at all."""

INSTEAD = {
    "body": ("image", "vm_size", "dedicated_nodes"),
    "generate_key": ("ssh_public_key",),
    "expires_at": ("expires_in",),
}
"""The parameters that another one replaces."""


def hints_of(cls: Any) -> dict[str, Any]:
    request = cls.request_class()
    hints = get_type_hints(request, include_extras=True)
    return {field.name: hints[field.name] for field in fields(request)}


def members_of(hint: Any) -> list[Any]:
    if kinds.ALL_IF_NONE in get_args(hint):
        return members_of(get_args(hint)[0])
    return list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]


def sample(hint: Any) -> Any:
    """Give a value for a parameter: the one of its kind, or the first of a union."""
    first = next(member for member in members_of(hint) if member is not type(None))
    origin, arguments = get_origin(first), get_args(first)
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return [sample(arguments[0])]
    if origin is not None and origin is not Annotated and issubclass(origin, Mapping):
        return {"name": sample(arguments[1])}
    return "anything" if first is object else SAMPLES[first]


each_parameter = each_of(
    {
        f"{cls.__name__}.{name}": (cls, name, hint)
        for cls in operators()
        for name, hint in hints_of(cls).items()
    }
)


class Lazy(Sequence[Any]):
    """A sequence like those that Airflow makes of mapped tasks: no list, and not to be serialized."""

    def __init__(self, *items: Any) -> None:
        self._items = items

    def __getitem__(self, at: Any) -> Any:
        return self._items[at]

    def __len__(self) -> int:
        return len(self._items)


def read(cls: Any, name: str, value: Any) -> tuple[Any, list[str]]:
    """Read one parameter by its reader."""
    problems: list[str] = []
    return readers_of(cls.request_class())[name].read(name, value, problems), problems


def forms(value: Any) -> Iterator[Any]:
    """Give the forms in which Airflow may hand a value to an operator."""
    yield value
    yield str(value)
    if isinstance(value, list):
        yield from (tuple(value), Lazy(*value), json.dumps(value), iter(value))
    if isinstance(value, dict):
        yield json.dumps(value)
    if isinstance(value, int) and not isinstance(value, bool):
        yield float(value)
    if isinstance(value, (str, int)):
        yield cast("Any", Enum)("Choices", {"ONE": value}).ONE


@each_parameter
def test_a_value_is_the_same_in_every_form(cls: Any, name: str, hint: Any) -> None:
    expected, problems = read(cls, name, sample(hint))
    assert not problems

    assert [read(cls, name, form) for form in forms(sample(hint))] == [(expected, [])] * len(
        list(forms(sample(hint)))
    )


@each_parameter
def test_nothing_is_none_where_that_has_a_meaning_and_refused_by_name_elsewhere(
    cls: Any, name: str, hint: Any
) -> None:
    for nothing in (None, "None", "", "null"):
        found, problems = read(cls, name, nothing)

        if nothing is not None and kinds.ALL_IF_NONE in get_args(hint):
            assert found is None
            assert name in problems[0], "It must not select everything."
        elif type(None) in members_of(hint):
            assert (found, problems) == (None, [])
        elif hint is PoolId:
            assert (found, problems) == ("", [])
        else:
            assert found is None
            assert name in problems[0]


@each_parameter
def test_a_value_of_another_kind_is_refused_by_name(cls: Any, name: str, hint: Any) -> None:
    for wrong in (
        object(),
        {"no": {"such": object()}},
        [[object()]],
        "idle" if "list" in str(hint) else b"x",
    ):
        if wrong.__class__ is dict and any(object in get_args(member) for member in members_of(hint)):
            continue  # a mapping of anything
        if isinstance(wrong, dict) and Body in members_of(hint):
            continue  # the schema reads it, property by property
        found, problems = read(cls, name, wrong)
        assert problems, (wrong, found)
        assert name in problems[0]


UNFIT = (10**5000, "9" * 5000, Decimal("sNaN"), "\ud800", bytearray(b"idle"))
"""More digits than Python writes or reads, a number that signals, half of a character, and bytes."""


@each_parameter
def test_a_value_that_raises_when_it_is_judged_is_named(cls: Any, name: str, hint: Any) -> None:
    for value in UNFIT:
        found, problems = read(cls, name, value)

        if object not in get_args(hint):
            assert problems or isinstance(value, str | Decimal), found
        assert all(name in problem for problem in problems)


@each_parameter
def test_a_number_is_read_as_its_text(cls: Any, name: str, hint: Any) -> None:  # as the others
    for number in (42, 1.5):
        as_text = read(cls, name, str(number))
        if not as_text[1]:
            assert read(cls, name, number) == as_text


@each_parameter
def test_a_missing_value_of_another_library_is_no_id(cls: Any, name: str, hint: Any) -> None:
    if hint not in (kinds.Id, kinds.ServiceId, PoolId):
        return
    for missing in (float("nan"), "nan", "NaT", "undefined", "<NA>"):
        assert name in read(cls, name, missing)[1][0]


@each_parameter
def test_a_list_is_not_read_letter_by_letter(cls: Any, name: str, hint: Any) -> None:
    if not any(get_origin(member) is tuple for member in members_of(hint)):
        return
    found, problems = read(cls, name, "idle")

    assert problems or found == "idle", "A union may take text, but as a whole."


@each_parameter
def test_a_choice_that_there_is_not_is_refused_with_the_choices(cls: Any, name: str, hint: Any) -> None:
    choices = [
        choice for member in members_of(hint) if get_origin(member) is Literal for choice in get_args(member)
    ]
    if not choices:
        return

    problems = read(cls, name, f"{choices[0]}x")[1]

    assert all(choice in problems[0] for choice in choices)
    assert repr(choices[0]) in problems[0], "The nearest choice is named."


@each_parameter
def test_a_state_of_nodes_that_there_is_not_is_refused_by_name(cls: Any, name: str, hint: Any) -> None:
    if name != "states":
        return

    for value in (["idel"], '["idle", "idel"]'):
        problems = read(cls, name, value)[1]

        assert "idel" in problems[0]
        assert "starttaskfailed" in problems[0], "The states are named."


@pytest.mark.parametrize("cls", operators())
def test_every_parameter_is_a_template_field_and_belongs_to_the_request(cls: Any) -> None:
    assert set(cls.template_fields) == set(hints_of(cls))


def probe(cls: Any) -> Any:
    """Give an operator that returns its request instead of acting on it."""

    def execute(self: Any, context: Any) -> dict[str, str]:  # as Airflow calls it
        return {"request": repr(self.request)}

    return type(f"Probe{cls.__name__}", (cls,), {"execute": execute})


def arguments_of(cls: Any) -> dict[str, Any]:
    """Give what an operator needs to have a request."""
    taken = set(cls.template_fields)
    hints = hints_of(cls)
    required = {
        item.name: sample(hints[item.name])
        for base in cls.__mro__
        if "__init__" in vars(base)
        for item in inspect.signature(vars(base)["__init__"]).parameters.values()
        if item.name in hints and item.default is item.empty
    }
    return {**required, **{name: value for name, value in NEEDED.items() if name in taken}}


@pytest.mark.parametrize("is_mapped", [False, True], ids=["plain", "mapped"])
@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
@pytest.mark.parametrize("cls", operators())
def test_a_task_whose_parameters_are_all_templates_has_the_request_of_the_literal_one(
    cls: Any, native: bool, is_mapped: bool
) -> None:
    values = {"batch_linux_conn_id": "azure_batch_linux_default", **arguments_of(cls)}
    literal = run_task(probe(cls)(task_id="literal", **values))
    assert literal.state == "success", literal.error
    with DAG("templates", schedule=None, params=values, render_template_as_native_obj=native):
        templates = {name: f"{{{{ params.{name} }}}}" for name in values}
        if is_mapped:
            name = next(iter(templates))
            expanded = {name: [templates.pop(name)]}
            task = probe(cls).partial(task_id="rendered", **templates).expand(**expanded)
        else:
            task = probe(cls)(task_id="rendered", **templates)

    rendered = run_task(task, map_index=0 if is_mapped else -1)

    assert rendered.state == "success", rendered.error
    assert rendered.result == literal.result


@pytest.mark.parametrize("is_mapped", [False, True], ids=["plain", "mapped"])
@pytest.mark.parametrize("cls", operators())
def test_a_resumed_task_has_the_request_that_it_deferred_with(cls: Any, is_mapped: bool) -> None:
    def execute(self: Any, context: Any) -> None:
        gone = BatchLinuxPoolGoneTrigger(pool_id="etl", batch_linux_conn_id="none", poll_interval=30.0)
        context["ti"].xcom_push(key="before", value=repr(self.request))
        self.defer(trigger=gone, method_name="after")

    def after(self: Any, context: Any, event: Any) -> dict[str, str]:
        return {"request": repr(self.request)}

    deferring = type(f"Deferring{cls.__name__}", (cls,), {"execute": execute, "after": after})
    values = {"batch_linux_conn_id": "azure_batch_linux_default", **arguments_of(cls)}
    with DAG("deferred", schedule=None, params=values):
        templates = {name: f"{{{{ params.{name} }}}}" for name in values}
        if is_mapped:
            name = next(iter(templates))
            expanded = {name: [templates.pop(name)]}
            task = deferring.partial(task_id="task", **templates).expand(**expanded)  # type: ignore[attr-defined]
        else:
            task = deferring(task_id="task", **templates)
    at = 0 if is_mapped else -1

    run = run_task(task, map_index=at)
    resumed = resume_task(task, run, {"any": "event"}, map_index=at)

    assert resumed.state == "success", resumed.error
    assert resumed.result == {"request": run.xcoms["before"]}


@pytest.mark.parametrize("cls", operators())
def test_a_task_with_a_wrong_value_fails_before_any_request_and_names_the_parameter(cls: Any) -> None:
    for name, hint in hints_of(cls).items():
        wrong = {"a": object()} if get_origin(members_of(hint)[0]) is not None else object()
        given = {**arguments_of(cls), name: [[wrong]]}
        for left_out in INSTEAD.get(name, ()):
            given.pop(left_out, None)

        run = run_task(cls(task_id="wrong", **given), api=ExecutionApi())

        assert run.state == "failed", name
        assert name in run.message
        assert isinstance(run.error, ValueError)


SECRET = "hunter22-below"
NOT_READ: dict[str, Any] = {
    "a mapping in the place of a list": {"user_accounts": {"name": "a", "password": SECRET}},
    "a list in the place of a mapping": {"start_task": [{"command": "x", "environment": {"PW": SECRET}}]},
    "a cut list": {"user_accounts": "[{'name': 'a', 'password': '" + SECRET},
    "a body as YAML": {"body": f"vmSize: x\naccountKey: {SECRET}\n", "image": None, "vm_size": None},
    "an unknown property": {
        "body": {"mountConfigurations": [{"accountKey": SECRET}]},
        "image": None,
        "vm_size": None,
    },
    "a part as text": {
        "body": {"mountConfiguration": f"[{{'accountKey': '{SECRET}'}}]"},
        "image": None,
        "vm_size": None,
    },
    "a template that fails": {
        "storage": {"mounts": [{"account_key": SECRET, "path": "{{ nothing.at_all }}"}]},
    },
}


@pytest.mark.parametrize("given", NOT_READ.values(), ids=NOT_READ)
def test_a_secret_in_what_cannot_be_read_is_neither_stored_nor_quoted(given: dict[str, Any]) -> None:
    values = {"image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", **given}

    run = run_task(BatchLinuxCreatePoolOperator(task_id="create", pool_id="etl", **values))

    assert run.state == "failed"
    assert SECRET not in run.everything_said


@pytest.mark.parametrize("nothing", ["{{ '' }}", "{{ none }}", "{{ params.nothing }}"])
def test_a_template_that_renders_to_nothing_leaves_no_template(nothing: str) -> None:
    class Probe(BatchLinuxTaskOperator):
        def execute(self, context: Any) -> Any:  # noqa: ARG002
            return self.request.result_file

    run = run_task(
        Probe(task_id="task", pool_id="etl", command="true", result_file=nothing, params={"nothing": None})
    )

    assert (run.state, run.result) == ("success", None)


def test_a_member_of_an_enum_is_its_value_also_where_templates_are_rendered() -> None:
    class Choice(str, Enum):
        POOL = "etl"
        COMMAND = "echo {{ params.what }}"
        VALUE = "of {{ params.what }}"

    class Probe(BatchLinuxTaskOperator):
        def execute(self, context: Any) -> Any:  # noqa: ARG002
            request = self.request
            return [request.pool_id, request.command, request.environment]

    work = Probe(
        task_id="task",
        pool_id=Choice.POOL,
        command=Choice.COMMAND,
        environment={"A": Choice.VALUE},
        params={"what": "text"},
    )

    assert run_task(work).result == ["etl", "echo text", {"A": "of text"}]


@pytest.mark.parametrize("flag", ["False", "{{ params.flag }}"])
def test_a_flag_inside_a_spec_object_is_read_and_not_judged_by_truth(flag: str) -> None:
    class Probe(BatchLinuxCreatePoolOperator):
        def execute(self, context: Any) -> Any:  # noqa: ARG002
            pool = self.request.pool("etl", None).to_rest()
            level = pool["startTask"]["userIdentity"]["autoUser"]["elevationLevel"]
            return {"level": level, "disk": pool["virtualMachineConfiguration"].get("osDisk")}

    run = run_task(
        Probe(
            task_id="create",
            image="ubuntu 24.04",
            vm_size="standard_d2s_v5",
            start_task=StartTaskSpec("true", elevated=flag),  # type: ignore[arg-type]
            storage=StorageSpec(os_disk=OsDiskSpec(ephemeral=flag)),  # type: ignore[arg-type]
            params={"flag": False},
        )
    )

    assert run.state == "success", run.error
    assert run.result["level"].lower() == "nonadmin"
    assert "ephemeralOSDiskSettings" not in str(run.result["disk"])


def test_a_password_that_a_template_did_not_find_is_refused() -> None:
    accounts = [UserAccountSpec("etl", "{{ none }}")]

    run = run_task(
        BatchLinuxCreatePoolOperator(
            task_id="create", image="ubuntu", vm_size="standard_d2s_v5", user_accounts=accounts
        )
    )

    assert "The value of user_accounts[0].password is not non-empty text." in run.message


def test_what_pre_execute_assigns_counts() -> None:
    class Probe(BatchLinuxCreatePoolOperator):
        def pre_execute(self, context: Any) -> None:  # noqa: ARG002
            self.start_task = "echo later"

        def execute(self, context: Any) -> Any:  # noqa: ARG002
            return {"start_task": self.request.start_task}

    run = run_task(
        Probe(task_id="create", image="ubuntu", vm_size="standard_d2s_v5", start_task="echo before")
    )

    assert run.result == {"start_task": "echo later"}


def test_a_generator_of_parts_is_read_whole() -> None:
    def accounts(**_context: Any) -> Any:  # as Airflow calls what a parameter is computed by
        return (UserAccountSpec(name, "c0rrect-h0rse") for name in ("a", "b"))

    class Probe(BatchLinuxCreatePoolOperator):
        def execute(self, context: Any) -> Any:  # noqa: ARG002
            return {"names": [account.name for account in self.request.user_accounts or ()]}

    run = run_task(
        Probe(task_id="create", image="ubuntu", vm_size="standard_d2s_v5", user_accounts=accounts)  # type: ignore[arg-type]
    )

    assert run.result == {"names": ["a", "b"]}


@pytest.mark.parametrize("name", ["elevated", "retries"])
def test_what_is_for_a_start_task_needs_one(name: str) -> None:
    given: dict[str, Any] = {"image": "ubuntu", "vm_size": "standard_d2s_v5", f"start_task_{name}": 1}

    run = run_task(BatchLinuxCreatePoolOperator(task_id="create", **given))

    assert f"start_task_{name} is given without start_task." in run.message


@pytest.mark.parametrize("seconds", [10**12, "1e20", 10**400, "9999999 days, 0:00:00"])
def test_a_duration_beyond_all_dates_is_refused_before_any_request(seconds: Any) -> None:
    run = run_task(BatchLinuxDeletePoolOperator(task_id="delete", pool_id="etl", timeout=seconds))

    assert "is not a duration" in run.message
