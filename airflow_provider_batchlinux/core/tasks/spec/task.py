"""A command with its parts: container, data, secrets, user, limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.commands import (
    COORDINATION_VARIABLE,
    MAX_COMMAND_SIZE,
    checked_command_line,
    command_line,
    environment_problems,
    environment_settings,
)
from airflow_provider_batchlinux.core.ids import package_problems
from airflow_provider_batchlinux.core.instants import iso8601_duration
from airflow_provider_batchlinux.core.parameters.kinds import (
    Environment,
    Id,
    PositiveCount,
    RetryCount,
    Seconds,
    SecretText,
    ServiceId,
    Text,
)
from airflow_provider_batchlinux.core.parameters.spec import Spec
from airflow_provider_batchlinux.core.pools.spec.containers import TaskContainerSpec
from airflow_provider_batchlinux.core.pools.spec.software import ApplicationPackageSpec
from airflow_provider_batchlinux.core.storage.grants import Grant
from airflow_provider_batchlinux.core.storage.locations import GivenLocation, Location, parse_location
from airflow_provider_batchlinux.core.tasks.spec.data import (
    InputSpec,
    OutputSpec,
    output_check,
    outputs_to_one_blob,
)
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import ExitCodes
from airflow_provider_batchlinux.core.tasks.spec.files import FILES_VARIABLE, path_problems, unpacking
from airflow_provider_batchlinux.core.tasks.spec.identity import AutoUserSpec
from airflow_provider_batchlinux.core.tasks.spec.secrets import (
    SECRETS_FILE,
    reading_secrets,
    secret_problems,
    secrets_script,
)

_DEFAULT_CONN_ID = "wasb_default"
_READING = frozenset({"id", "depends_on", "files", "result_file", "exit_codes"})


@dataclass(frozen=True)
class TaskSpec(Spec):
    """
    A command of a job.

    .. code-block:: python

        BatchLinuxJobOperator(
            task_id="months",
            pool_id="etl",
            tasks=[
                TaskSpec("python3 clean.py", id="clean", required_slots=2),
                TaskSpec("python3 report.py", id="report", depends_on=["clean"], result_file="totals.json"),
            ],
        )

    What is ``None`` or empty is as the operator's parameter of the same name says; of mappings, both parts
    count.

    :param command: a bash command.
    :param environment: environment variables for the command; not shown, because they may contain secrets.
        One whose value is ``None`` is left out.
    :param secret_environment: environment variables that are no part of the job; not shown.
    :param secret_files: contents of files by their paths in the working directory, likewise.
    :param secret_storage: a container or prefix for the blob that carries the secrets to the node.
    :param inputs: what the node downloads first, by paths in the working directory.
    :param outputs: what the node uploads at the end, by paths or patterns.
    :param storage_conn_id: the Airflow connection to the storage account.
    :param storage_identity: the ARM id of a managed identity of the pool that reads inputs and secrets and
        writes outputs, instead of a SAS; ``None`` for a SAS.
    :param container: the container to run it in; ``None`` runs it on the node itself.
    :param application_packages: application packages of the account that the node installs first.
    :param run_as: the name of a user account of the pool, or an automatic user; ``None`` is an automatic
        user of the pool that is not root.
    :param required_slots: the task slots of its node that it occupies.
    :param affinity: the id of the node on which it is preferred to run; ``None`` for any.
    :param time_limit: seconds after which the service ends the command; ``None`` for no limit.
    :param max_retries: further tries by the service after a non-zero exit code; -1 for without limit.
    :param id: the id of its task; ``None`` for its place in the list.
    :param depends_on: the ids of the commands that have to succeed before it starts.
    :param files: small files to copy to the working directory: the name there, and the path on the worker.
    :param result_file: a JSON file in the working directory whose content is its result.
    :param exit_codes: what its exit codes mean.
    :param instances: the number of nodes of a multi-instance (MPI) command, which needs a pool with
        communication between nodes; ``None`` for an ordinary command.
    :param coordination_command: the bash command that runs on each of these nodes before it.
    """

    command: Text | None = None
    environment: Environment = field(default_factory=dict, repr=False)
    secret_environment: Mapping[str, SecretText] = field(default_factory=dict, repr=False)
    secret_files: Mapping[str, SecretText] = field(default_factory=dict, repr=False)
    secret_storage: Location | None = None
    inputs: Mapping[str, InputSpec | GivenLocation] = field(default_factory=dict)
    outputs: Mapping[str, OutputSpec | GivenLocation] = field(default_factory=dict)
    storage_conn_id: Text | None = None
    storage_identity: Text | None = None
    container: TaskContainerSpec | None = None
    application_packages: tuple[ApplicationPackageSpec, ...] = ()
    run_as: AutoUserSpec | Text | None = None
    required_slots: PositiveCount | None = None
    affinity: ServiceId | None = None
    time_limit: Seconds | None = None
    max_retries: RetryCount | None = None
    id: Id | None = None
    depends_on: Sequence[Text] = ()
    files: Mapping[str, Text] = field(default_factory=dict)
    result_file: Text | None = None
    exit_codes: ExitCodes | None = None
    instances: PositiveCount | None = None
    coordination_command: Text | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "container": "containerSettings",
        "application_packages": "applicationPackageReferences",
    }
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {
        "container": (TaskContainerSpec,),
        "application_packages": (ApplicationPackageSpec,),
    }

    def problems(self) -> list[str]:
        """List all that the service would refuse."""
        found = []
        command = self.command or ""
        if not command.strip():
            found.append("command is empty.")
        if len(command.encode()) > MAX_COMMAND_SIZE:
            found.append(f"command is longer than {MAX_COMMAND_SIZE} bytes; put the program into files.")
        if "\0" in command:
            found.append("command contains NUL, which no command can hold.")
        if self.result_file is not None:
            found += path_problems("result_file", self.result_file)
        found += environment_problems("environment", self.environment)
        found += self._secret_problems()
        found += [problem for path, spec in self._inputs().items() for problem in spec.problems(path)]
        found += [problem for path, spec in self._outputs().items() for problem in spec.problems(path)]
        single = [path for path, spec in self._inputs().items() if not spec.location.is_prefix]
        paths = Counter(str(PurePosixPath(path)) for path in (*single, *self.secret_files))
        if SECRETS_FILE in paths:
            found.append(
                f"{SECRETS_FILE!r} is the file with the secrets, which is removed: use another name."
            )
        found += [
            f"{path!r} is more than one of inputs and secret_files." for path in paths if paths[path] > 1
        ]
        found += [
            f"outputs[{path!r}] is an absolute path, which a container has for itself; the service looks for "
            "it on the node: give one below the working directory."
            for path in (self.outputs if self.container is not None else ())
            if path.startswith("/")
        ]
        found += outputs_to_one_blob(self._outputs(), self._conn_id)
        packages = package_problems(package.to_rest() for package in self.application_packages)
        found += [f"application_packages[{at}].application_id{says}" for at, says in packages]
        if (self.max_retries or 0) < -1:
            found.append(f"max_retries={self.max_retries} is less than -1 (for ever).")
        if self.coordination_command is not None and self.instances is None:
            found.append("coordination_command is for a command with instances.")
        if self.instances is not None and (self.required_slots or 1) != 1:
            found.append("required_slots: a command with instances has one slot on each node.")
        return found

    def exit_code_problems(self) -> list[str]:
        """List the exit codes after which a command would count as a success without its outputs."""
        codes = [code for code, ending in (self.exit_codes or {}).items() if code and ending == "success"]
        return [
            f"exit_codes makes {codes[0]} a success, but outputs[{path!r}] is uploaded, or looked for, after "
            "0 only: give OutputSpec(..., upload_on='completion', optional=True), or end the command with 0."
            for path, spec in (self._outputs().items() if codes else ())
            if spec.upload_on == "success" or (spec.upload_on == "completion" and not spec.optional)
        ]

    def meaning(self) -> dict[str, Any]:
        """Return what was asked for, without secrets, for a fingerprint."""
        places = [
            # Elsewhere the query says which file it is.
            asdict(replace(place, token="") if place.web_url is None else place)
            for place in (grant.location for grant in self.grants())
        ]
        hidden = {"source": None, "destination": None}
        # What only says how the command is listed, waited for or read needs no other run of it.
        asked = {name: value for name, value in asdict(self).items() if name not in _READING}
        return {
            **asked,
            "inputs": {path: {**asdict(spec), **hidden} for path, spec in self._inputs().items()},
            "outputs": {path: {**asdict(spec), **hidden} for path, spec in self._outputs().items()},
            "secret_environment": sorted(self.secret_environment),
            "secret_files": sorted(self.secret_files),
            "places": places,
        }

    def secrets_blob(self, name: str) -> Grant | None:
        """
        Return the blob that carries the secrets to the node; ``None`` if there are none.

        :param name: a name that no other command has.
        """
        if self.secret_storage is None or not (self.secret_environment or self.secret_files):
            return None
        location = parse_location(self.secret_storage)
        conn_id = location.conn_id or self._conn_id
        return Grant(location.child(name), "read", conn_id, self.storage_identity)

    def secrets(self) -> bytes:
        """Return the content of that blob."""
        return secrets_script(self.secret_environment, self.secret_files)

    def grants(self) -> list[Grant]:
        """Return what the node may do with storage, for its inputs and outputs."""
        return [*self.input_grants(), *(self._grant(spec) for spec in self._outputs().values())]

    def input_grants(self) -> list[Grant]:
        """Return what the node may do with storage, for its inputs."""
        return [self._grant(spec) for spec in self._inputs().values()]

    def outputs_after(self, *, success: bool) -> list[Grant]:
        """
        Return what the node uploads after the command, with the names of the blobs or the prefixes.

        :param success: whether the command has succeeded.
        """
        found = []
        for pattern, spec in self._outputs().items():
            if spec.upload_on == "completion" or (spec.upload_on == "success") is success:
                grant = self._grant(spec)
                found.append(replace(grant, location=replace(grant.location, path=spec.path(pattern))))
        return found

    def output_places(self) -> dict[str, str]:
        """Return where the service puts its outputs, without SAS, by path or pattern."""
        return {path: str(spec.location) for path, spec in self._outputs().items()}

    def task_rest(
        self,
        task_id: str,
        packed_files: str | None = None,
        urls: Mapping[Grant, str] | None = None,
        secrets_blob: Grant | None = None,
    ) -> dict[str, Any]:
        """
        Build the body of the task.

        :param packed_files: files for the working directory, packed by ``pack_files``; ``None`` for none.
        :param urls: the URLs for the node of all :meth:`grants` and of the secrets.
        :param secrets_blob: what :meth:`secrets_blob` has returned.
        """
        line, carried = self._command_line(packed_files, has_secrets=secrets_blob is not None)
        constraints: dict[str, Any] = {"maxTaskRetryCount": self.max_retries or 0}
        if self.time_limit is not None:
            constraints["maxWallClockTime"] = iso8601_duration(self.time_limit)
        user = self.run_as or AutoUserSpec()
        body = {
            "id": task_id,
            "commandLine": line,
            "environmentSettings": environment_settings({**self.environment, **carried}),
            "constraints": constraints,
            "userIdentity": {"username": user} if isinstance(user, str) else user.to_rest(),
            **self.to_rest(),
        }
        if (self.required_slots or 1) != 1:
            body["requiredSlots"] = self.required_slots
        if self.instances is not None:
            coordination, variables = command_line(self.coordination_command or "true", COORDINATION_VARIABLE)
            body["environmentSettings"] += environment_settings(variables)
            body["multiInstanceSettings"] = {
                "numberOfInstances": self.instances,
                "coordinationCommandLine": coordination,
            }
        if self.affinity is not None:
            # The service gives each node this affinity id.
            body["affinityInfo"] = {"affinityId": f"TVM:{self.affinity}"}
        return {**body, **self._data_rest(urls or {}, secrets_blob)}

    def _data_rest(self, urls: Mapping[Grant, str], secrets_blob: Grant | None) -> dict[str, Any]:
        files = []
        for path, spec in self._inputs().items():
            grant = self._grant(spec)
            files.append(spec.rest(path, grant, urls[grant]))
        if secrets_blob is not None:
            script = InputSpec(str(secrets_blob.location), mode="0640")
            files.append(script.rest(SECRETS_FILE, secrets_blob, urls[secrets_blob]))
        uploads = []
        for pattern, output in self._outputs().items():
            grant = self._grant(output)
            uploads.append(output.rest(pattern, grant, urls[grant]))
        named = {"resourceFiles": files, "outputFiles": uploads}
        return {name: items for name, items in named.items() if items}

    def _command_line(self, packed_files: str | None, *, has_secrets: bool) -> tuple[str, dict[str, str]]:
        """Return the command line, and the variables that it needs."""
        lines, carried = [self.command or ""], {}
        if has_secrets:
            lines.insert(0, reading_secrets(is_kept=bool(self.max_retries)))
        if packed_files is not None:
            lines.insert(0, unpacking())
            carried[FILES_VARIABLE] = packed_files
        inputs = self._inputs()
        lines = [*filter(None, (spec.check(path, inputs) for path, spec in inputs.items())), *lines]
        command = "\n".join(lines)
        check = output_check(self._outputs())
        line, variables = checked_command_line(command, check) if check else command_line(command)
        return line, {**carried, **variables}

    def _secret_problems(self) -> list[str]:
        found = environment_problems("secret_environment", self.secret_environment)
        found += secret_problems(self.secret_environment, self.secret_files)
        found += [problem for path in self.secret_files for problem in path_problems("secret_files", path)]
        twice = sorted(set(self.secret_environment) & set(self.environment))
        found += [f"environment and secret_environment both have {name!r}." for name in twice]
        if self.secret_storage is None:
            if self.secret_environment or self.secret_files:
                found.append(
                    "secret_storage is missing: name a container or prefix, such as 'abfs://private/', for "
                    "the blob that carries the secrets to the node."
                )
        else:
            location = parse_location(self.secret_storage)
            if not location.is_prefix or location.has_access:
                found.append(
                    "secret_storage is no container or prefix; give 'abfs://private/' without a SAS."
                )
        return found

    def _grant(self, spec: InputSpec | OutputSpec) -> Grant:
        return spec.grant(self._conn_id, self.storage_identity)

    @property
    def _conn_id(self) -> str:
        return self.storage_conn_id or _DEFAULT_CONN_ID

    def _inputs(self) -> dict[str, InputSpec]:
        given = self.inputs.items()
        return {path: spec if isinstance(spec, InputSpec) else InputSpec(spec) for path, spec in given}

    def _outputs(self) -> dict[str, OutputSpec]:
        given = self.outputs.items()
        return {path: spec if isinstance(spec, OutputSpec) else OutputSpec(spec) for path, spec in given}
