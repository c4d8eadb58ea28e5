"""The request of the decorator that runs a Python function on a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from airflow_provider_batchlinux.core.functions.call import RESULT_FILE
from airflow_provider_batchlinux.core.parameters.kinds import Flag, Text
from airflow_provider_batchlinux.core.tasks.requests import TaskRequest

Serializer: TypeAlias = Literal["json", "cloudpickle"]
"""How arguments and result travel."""


@dataclass(frozen=True)
class FunctionRequest(TaskRequest):
    """
    A Python function to run on a node of a pool.

    :param requirements: the packages that it needs, as lines of a requirements file; ``None`` for none.
    :param python: the interpreter on the node.
    :param serializer: how arguments and result travel.
    :param expect_airflow: whether Airflow has to be on the node.
    """

    requirements: tuple[Text, ...] | None
    python: Text
    serializer: Serializer
    expect_airflow: Flag

    def problems(self) -> list[str]:
        """List the parameters that cannot be combined."""
        found = super().problems()
        names = {"function.sh", "function.json", "run_function.py", RESULT_FILE}
        if self.requirements or self.serializer == "cloudpickle":
            names.add("requirements.txt")
        for parameter in ("files", "secret_files", "inputs", "outputs"):
            if taken := sorted(names & (getattr(self, parameter) or {}).keys()):
                found.append(
                    f"{parameter} names {', '.join(taken)}, which the decorator uses itself: rename it."
                )
        for code, ending in (self.exit_codes or {}).items():
            if code and ending == "success":
                found.append(
                    f"exit_codes makes {code} a success, but a function that ends with it returns nothing: "
                    "let it return."
                )
            if code == 1 and ending == "skip":
                found.append(
                    "exit_codes makes 1 a skip, but it also means that the function raised, or could not be "
                    "run: call sys.exit() with another code."
                )
        return found
