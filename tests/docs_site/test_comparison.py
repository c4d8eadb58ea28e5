"""What the README says of Airflow's own operator for Azure Batch, held against that operator's source."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.source_code import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
_SECTION = README.partition("## What differs from Airflow's own Azure Batch operator")[2].partition("\n## ")[
    0
]
ROWS = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", _SECTION, re.MULTILINE))
DISTRIBUTION = "apache-airflow-providers-microsoft-azure"


@dataclass(frozen=True)
class Source:
    """Their operator and hook: each method as normalised source, and the operator's parameters."""

    methods: Mapping[str, str]
    parameters: Mapping[str, str]

    @property
    def text(self) -> str:
        """All methods."""
        return "\n".join(self.methods.values())


@pytest.fixture(scope="module")
def theirs() -> Source:
    """Read the source of the version that the README names, which `make docs` has put beside Sphinx."""
    place = os.environ["BATCHLINUX_COMPARED"]
    [found] = [each for each in distributions(path=[place]) if each.metadata["Name"] == DISTRIBUTION]
    assert f"compares its version {found.version}." in _SECTION
    files = [
        Path(place, "airflow/providers/microsoft/azure", kind, "batch.py") for kind in ("hooks", "operators")
    ]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    # The operator's __init__ comes last, so it is the one that is kept.
    by_name = {function.name: function for function in functions}
    arguments = by_name["__init__"].args.kwonlyargs
    return Source(
        {name: ast.unparse(function) for name, function in by_name.items()},
        {
            argument.arg: ast.unparse(argument.annotation) if argument.annotation else ""
            for argument in arguments
        },
    )


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
