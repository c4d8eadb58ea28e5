"""What README and the page on migration say of Airflow's own operator, held against its source."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import pytest

from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from tests.docs_site.docstrings import parameters
from tests.source_code import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MIGRATION = (ROOT / "docs" / "howto" / "migrate-from-azurebatchoperator.md").read_text(encoding="utf-8")
_SECTION = README.partition("## What differs from Airflow's own Azure Batch operator")[2].partition("\n## ")[
    0
]
ROWS = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", _SECTION, re.MULTILINE))
DISTRIBUTION = "apache-airflow-providers-microsoft-azure"


@dataclass(frozen=True)
class Source:
    """Their operator, hook and trigger: each method as normalised source, and the operator's parameters."""

    methods: Mapping[str, str]
    parameters: Mapping[str, str]
    required: frozenset[str]
    template_fields: tuple[str, ...]
    of_the_trigger: frozenset[str]

    @property
    def text(self) -> str:
        """All methods."""
        return "\n".join(self.methods.values())


@pytest.fixture(scope="module")
def theirs() -> Source:
    """Read the source of the version that the README names, which `make docs` has put beside Sphinx."""
    place = os.environ["BATCHLINUX_COMPARED"]
    [found] = [each for each in distributions(path=[place]) if each.metadata["Name"] == DISTRIBUTION]
    for page in (_SECTION, MIGRATION):
        assert re.search(rf"compares(?: its)? version {re.escape(found.version)}[.;]", page)
    hook, trigger, operator = (
        ast.parse(Path(place, "airflow/providers/microsoft/azure", kind, "batch.py").read_text("utf-8"))
        for kind in ("hooks", "triggers", "operators")
    )
    # The operator comes last, so its __init__ is the one that is kept.
    by_name = {function.name: function for tree in (hook, operator) for function in _functions(tree)}
    taken = by_name["__init__"].args
    [fields] = [
        ast.literal_eval(node.value)
        for node in ast.walk(operator)
        if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) == "template_fields"
    ]
    return Source(
        {name: ast.unparse(function) for name, function in by_name.items()},
        {each.arg: ast.unparse(each.annotation) if each.annotation else "" for each in taken.kwonlyargs},
        frozenset(
            each.arg
            for each, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
            if default is None
        ),
        fields,
        frozenset(function.name for function in _functions(trigger)),
    )


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def in_order(text: str, *parts: str) -> bool:
    """Return whether a text has the parts, one after the other."""
    return re.search(".*?".join(map(re.escape, parts)), text, re.DOTALL) is not None


FACTS: Mapping[str, Callable[[Source], bool]] = {
    "image": lambda s: (
        "skus_to_use[0]" in s.methods["_get_latest_verified_image_vm_and_sku"]
        and {"vm_publisher", "vm_offer", "vm_sku"} <= s.parameters.keys()
    ),
    "Spot nodes": lambda s: (
        "not self.target_dedicated_nodes and (not self.enable_auto_scale)" in s.methods["_check_inputs"]
    ),
    "ready": lambda s: all(
        f"BatchNodeState.{state}" in s.methods["execute"]
        for state in ("START_TASK_FAILED", "UNUSABLE", "IDLE")
    ),
    "wait for nodes": lambda s: (
        "while True" in s.methods["wait_for_all_node_state"]
        and "timeout" not in s.methods["wait_for_all_node_state"]
        and in_order(s.methods["execute"], "wait_for_all_node_state", "self.defer(")
    ),
    "pool id exists": lambda s: (
        in_order(s.methods["create_pool"], "except ResourceExistsError", "already exists")
        and "raise" not in s.methods["create_pool"]
    ),
    "the pool at the end": lambda s: (
        s.parameters["should_delete_pool"] == "bool"
        and "finally" in s.methods["execute_complete"]
        and "finally" not in s.methods["execute"]
        and in_order(s.methods["execute"], "wait_for_job_tasks_to_complete", "should_delete_pool")
    ),
    "retry": lambda s: in_order(
        s.methods["add_single_task_to_job"], "except ResourceExistsError", "already exists"
    ),
    "output": lambda s: not re.search(r"stdout|stderr|get_file|download", s.text),
    "SSH access": lambda s: not re.search(r"node_user|ssh", s.text),
    "Airflow's SSH and SFTP operators": lambda s: (
        not re.search(r"remote_login|endpoint_configuration", s.text)
    ),
    "after a time-out": lambda s: (
        "raise TimeoutError" in s.methods["wait_for_job_tasks_to_complete"]
        and "terminate" not in s.methods["execute"] + s.methods["execute_complete"]
    ),
    "several tasks in one job": lambda s: "list_tasks(job_id)" in s.methods["wait_for_job_tasks_to_complete"],
    "containers": lambda s: "BatchTaskContainerSettings" in s.parameters["batch_task_container_settings"],
    "resource files": lambda s: "ResourceFile" in s.parameters["batch_task_resource_files"],
    "output files": lambda s: "OutputFile" in s.parameters["batch_task_output_files"],
    "user identity of a command": lambda s: "UserIdentity" in s.parameters["batch_task_user_identity"],
    "secrets of a command": lambda s: (
        not [name for name in s.parameters if re.search("environment|secret", name)]
    ),
    "job preparation, job release and job manager tasks": lambda s: (
        {f"batch_job_{kind}_task" for kind in ("preparation", "release", "manager")} <= s.parameters.keys()
    ),
}
"""What must be so in their source for each row of the README's table."""


def test_each_row_of_the_readme_has_a_fact() -> None:
    assert ROWS.keys() == FACTS.keys()


@pytest.mark.parametrize("row", FACTS)
def test_the_readme_says_of_the_other_operator_what_its_source_does(row: str, theirs: Source) -> None:
    assert FACTS[row](theirs)


def test_the_migration_has_each_of_their_parameters_and_names_ours(theirs: Source) -> None:
    section = MIGRATION.partition("## Each parameter")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`|-) \|", section, re.MULTILINE)
    operators = (BatchLinuxCreatePoolOperator, BatchLinuxTaskOperator, BatchLinuxJobOperator)
    # Airflow's own parameters are ours, too.
    ours = {"execution_timeout"}.union(*(parameters(cls) for cls in operators))

    assert sorted(name for name, _ in rows) == sorted(theirs.parameters)
    assert {name for _, name in rows if name} - ours == set()


def test_the_dag_before_the_migration_is_one_of_theirs(theirs: Source) -> None:
    """The models of the SDK are made in earnest, and their operator's parameters are compared."""
    [code] = re.findall(r"^<!-- before -->\n```python\n(.*?)^```", MIGRATION, re.MULTILINE | re.DOTALL)
    [imported, *rest] = code.splitlines()
    assert imported == "from airflow.providers.microsoft.azure.operators.batch import AzureBatchOperator"
    given: dict[str, object] = {}

    exec("\n".join(rest), {"AzureBatchOperator": lambda **parameters: given.update(parameters)})

    assert theirs.required <= given.keys() <= {"task_id"} | theirs.parameters.keys()


DIFFERENCES: Mapping[str, Callable[[Source], bool]] = {
    "`command` is bash": lambda s: "command_line=self.batch_task_command_line" in s.methods["execute"],
    "A task fails if the nodes cannot work": FACTS["ready"],
    "A retry runs the command again": lambda s: (
        FACTS["retry"](s)
        and in_order(s.methods["create_job"], "except ResourceExistsError", "already exists")
        and "should_delete_job" in s.methods["execute_complete"]
    ),
    "An existing pool is compared": FACTS["pool id exists"],
    "The output of the command is in the log": FACTS["output"],
    "Killing the Airflow task ends the command": lambda s: (
        "terminate_job" in s.methods["on_kill"] and "on_kill" not in s.of_the_trigger
    ),
    "Everything is templated": lambda s: (
        all(f"`{name}`" in MIGRATION.partition("Everything is templated")[2] for name in s.template_fields)
        and len(s.template_fields) == 6
    ),
}
"""What must be so in their source for each difference that the page on migration names."""


def test_each_difference_of_the_migration_has_a_fact() -> None:
    section = MIGRATION.partition("## What behaves differently")[2].partition("\n## ")[0]

    assert re.findall(r"^- \*\*(.+?)[.,]?\*\*", section, re.MULTILINE) == list(DIFFERENCES)


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_the_migration_says_of_the_other_operator_what_its_source_does(
    difference: str, theirs: Source
) -> None:
    assert DIFFERENCES[difference](theirs)


def test_their_parameter_for_retries_is_read_nowhere(theirs: Source) -> None:
    assert [name for name, text in theirs.methods.items() if "batch_max_retries" in text] == ["__init__"]
