"""Inputs and outputs of a command as resource files and output files; real bash checks that outputs exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.core.pools.spec.containers import TaskContainerSpec
from airflow_provider_batchlinux.core.storage.grants import Grant
from airflow_provider_batchlinux.core.tasks.spec.data import InputSpec, OutputSpec, output_check
from airflow_provider_batchlinux.core.tasks.spec.job import Command, JobSpec
from airflow_provider_batchlinux.core.tasks.spec.secrets import SECRETS_FILE
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec

ACCOUNT = "https://fabrikam.blob.core.windows.net"
IDENTITY = "/subscriptions/s/identities/reader"


def body_of(spec: TaskSpec, token: str = "sig=x") -> dict[str, Any]:
    def url(grant: Grant) -> str:
        return grant.url(ACCOUNT, "" if grant.identity else token)

    return spec.task_rest("main", urls={grant: url(grant) for grant in spec.grants()})


@pytest.mark.parametrize(
    ("path", "given", "file"),
    [
        ("a.csv", "abfs://raw/a.csv", {"httpUrl": f"{ACCOUNT}/raw/a.csv?sig=x", "filePath": "a.csv"}),
        (
            "bin/run",
            InputSpec("abfs://raw/run", mode="0755"),
            {"httpUrl": f"{ACCOUNT}/raw/run?sig=x", "filePath": "bin/run", "fileMode": "0755"},
        ),
        (
            "data/",
            "abfs://raw/2026/",
            {"storageContainerUrl": f"{ACCOUNT}/raw?sig=x", "blobPrefix": "2026/", "filePath": "data"},
        ),
        (".", "abfs://raw", {"storageContainerUrl": f"{ACCOUNT}/raw?sig=x"}),
        ("a", "https://example.com/a?v=1", {"httpUrl": "https://example.com/a?v=1", "filePath": "a"}),
        (
            "a",
            InputSpec("abfs://raw/a", identity=IDENTITY),
            {
                "httpUrl": f"{ACCOUNT}/raw/a",
                "filePath": "a",
                "identityReference": {"resourceId": IDENTITY},
            },
        ),
    ],
)
def test_an_input_is_a_resource_file(path: str, given: Any, file: dict[str, Any]) -> None:
    spec = TaskSpec("true", inputs={path: given})

    assert spec.problems() == []
    assert body_of(spec)["resourceFiles"] == [file]


@pytest.mark.parametrize(
    ("pattern", "given", "container", "condition"),
    [
        ("out.csv", "abfs://clean/d/o.csv", {"path": "d/o.csv"}, "tasksuccess"),
        ("x/out.csv", "abfs://clean/d/", {"path": "d/out.csv"}, "tasksuccess"),
        ("x/out.csv", "abfs://clean", {}, "tasksuccess"),
        ("x/*.csv", "abfs://clean/d/", {"path": "d"}, "tasksuccess"),
        ("x/**", "abfs://clean", {}, "tasksuccess"),
        (
            "../std*.txt",
            OutputSpec("abfs://clean/logs/", upload_on="completion"),
            {"path": "logs"},
            "taskcompletion",
        ),
        ("core", OutputSpec("abfs://clean/", upload_on="failure"), {}, "taskfailure"),
        (
            "a",
            OutputSpec("abfs://clean/a", identity=IDENTITY),
            {"path": "a", "identityReference": {"resourceId": IDENTITY}},
            "tasksuccess",
        ),
    ],
)
def test_an_output_is_an_output_file(
    pattern: str, given: Any, container: dict[str, Any], condition: str
) -> None:
    spec = TaskSpec("true", outputs={pattern: given})
    token = "" if "identityReference" in container else "?sig=x"

    assert spec.problems() == []
    assert body_of(spec)["outputFiles"] == [
        {
            "filePattern": pattern,
            "destination": {"container": {"containerUrl": f"{ACCOUNT}/clean{token}", **container}},
            "uploadOptions": {"uploadCondition": condition},
        }
    ]


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"inputs": {"../a": "abfs://raw/a"}}, "inputs names '../a', which leaves the task's directory."),
        ({"result_file": "/r.json"}, "result_file names '/r.json', which leaves the task's directory."),
        ({"result_file": "r\0"}, "result_file names 'r\\x00': no name of a file can hold NUL."),
        ({"inputs": {"a/": "abfs://raw/a"}}, "inputs names 'a/', which is a directory and not a file."),
        ({"inputs": {"/data": "abfs://raw/"}}, "inputs['/data'] leaves the task's directory."),
        ({"outputs": {"out/": "abfs://raw/"}}, "outputs['out/'] is a directory and not a file; use out/**"),
        ({"outputs": {"a": "abfs://raw/*"}}, "the destination ends with '*'"),
        ({"outputs": {"$A": "abfs://raw/d/"}}, "name the blob in the destination"),
        (
            {"outputs": {"/data/a": "abfs://raw/a"}, "container": TaskContainerSpec("python:3.12")},
            "outputs['/data/a'] is an absolute path, which a container has for itself",
        ),
        ({"inputs": {f"./{SECRETS_FILE}": "abfs://raw/a"}}, "is the file with the secrets, which is removed"),
        ({"inputs": {"x": "abfs://raw/a", "./x": "abfs://raw/b"}}, "'x' is more than one of inputs and"),
        ({"inputs": {"x": InputSpec("abfs://raw/a", optional=True)}}, "only a prefix or container can be"),
        (
            {"outputs": {"a": "abfs://raw/same", "b": OutputSpec("abfs://raw/same", upload_on="completion")}},
            "outputs['b'] and outputs['a'] name the same blob.",
        ),
        (
            {"outputs": {"d/x": "abfs://raw/d/", "e/x": "abfs://raw/d/"}},
            "outputs['e/x'] and outputs['d/x'] name",
        ),
        ({"outputs": {"d/x": "abfs://raw", "e": "abfs://raw/x"}}, "outputs['e'] and outputs['d/x'] name"),
        (
            {"secret_environment": {"my-key": "s3cret"}, "secret_storage": "abfs://private/"},
            "secret_environment names 'my-key', which is no name of bash",
        ),
        (
            {"secret_files": {"a": "s3\0cret"}, "secret_storage": "abfs://private/"},
            "secret_files['a'] holds NUL",
        ),
        ({"secret_files": {"a": "\ud800"}, "secret_storage": "abfs://private/"}, "half of a surrogate pair"),
    ],
)
def test_what_the_service_would_tell_late_is_named(parts: dict[str, Any], problem: str) -> None:
    [found] = TaskSpec("true", **parts).problems()

    assert problem in found
    assert not re.search("s3.?cret", found)


def test_different_blobs_or_conditions_are_no_conflict() -> None:
    outputs = {
        "a": "abfs://raw/a",
        "b": OutputSpec("abfs://raw/a", upload_on="failure"),
        "c": "abfs://other@raw/a",
        "*.csv": "abfs://raw/d/",
        "*.txt": "abfs://raw/d/",
    }

    assert TaskSpec("true", outputs=outputs).problems() == []


def test_a_retry_knows_its_work_whatever_the_sas() -> None:
    def job(source: str, **parts: Any) -> JobSpec:
        return JobSpec("etl", {"main": Command(TaskSpec("true", inputs={"a": source}, **parts))})

    url = f"{ACCOUNT}/raw/a"
    first = job(f"{url}?sig=x", secret_environment={"A": "1"})

    assert job(f"{url}?sig=y", secret_environment={"A": "2"}).fingerprint() == first.fingerprint()
    web = "https://example.com/a?v="
    assert job(f"{web}1").fingerprint() != job(f"{web}2").fingerprint()
    assert job(url, secret_environment={"B": "1"}).fingerprint() != first.fingerprint()
    assert job(f"{url}2?sig=x", secret_environment={"A": "1"}).fingerprint() != first.fingerprint()


@pytest.mark.parametrize(
    ("pattern", "is_found"),
    [
        ("a.csv", True),
        ("b.csv", False),
        ("out", False),
        ("*.csv", True),
        ("out/[12].txt", True),
        ("out/[34].txt", False),
        ("**/deep.txt", True),
        ("$WHERE/1.txt", True),
        ("${WHERE}/3.txt", False),
        ("with space/it's $(touch broken).txt", True),
        ("../stdout.txt", True),
    ],
)
def test_an_output_is_missing_if_no_file_matches(tmp_path: Path, pattern: str, is_found: bool) -> None:
    working = tmp_path / "wd"
    for name in (
        "a.csv",
        "out/1.txt",
        "out/x/deep.txt",
        "with space/it's $(touch broken).txt",
        "../stdout.txt",
    ):
        (working / name).parent.mkdir(parents=True, exist_ok=True)
        (working / name).touch()
    check = output_check({pattern: OutputSpec("abfs://clean/")})
    environment = {"PATH": "/usr/bin:/bin", "WHERE": "out"}

    done = subprocess.run(
        ["bash", "-c", check], cwd=working, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0 if is_found else 73, "")
    assert done.stderr == (
        "" if is_found else f"No file matches output {pattern!r} after the command has succeeded.\n"
    )
    assert not (working / "broken").exists()


@pytest.mark.parametrize(
    ("path", "source", "is_found"),
    [
        ("in/", "abfs://raw/2026/", True),
        ("in", "abfs://raw/20*", True),
        ("in", "abfs://raw", True),
        (".", "abfs://raw/in/2026/it's $(touch broken)/", True),
        (".", "abfs://raw", True),
        ("in/", "abfs://raw/2027/", False),
        ("none", "abfs://raw", False),
        (".", "abfs://raw/none*", False),
        ("none", InputSpec("abfs://raw", optional=True), True),
        ("none", "abfs://raw/single", True),
    ],
)
def test_an_input_is_missing_if_no_blob_has_its_prefix(
    tmp_path: Path, path: str, source: object, is_found: bool
) -> None:
    run_with_inputs(tmp_path, {path: source}, is_found=is_found)


@pytest.mark.parametrize(
    ("others", "is_found"),
    [
        ({"other.csv": "abfs://clean/other.csv"}, True),
        ({"in/2026/it's $(touch broken)/.hidden": "abfs://clean/one"}, False),
        ({"in/": "abfs://clean/2026/"}, False),
        ({"./in": "abfs://clean"}, False),
        ({"in": "abfs://clean/2025/"}, True),
    ],
)
def test_what_other_inputs_have_downloaded_does_not_count_for_a_whole_container(
    tmp_path: Path, others: dict[str, str], is_found: bool
) -> None:
    # Of the other inputs only one blob is checked for, by the service.
    optional = {at: InputSpec(source, optional=True) for at, source in others.items()}
    run_with_inputs(tmp_path, {".": "abfs://raw", **optional}, is_found=is_found)


def run_with_inputs(tmp_path: Path, inputs: dict[str, Any], *, is_found: bool) -> None:
    """Run the command line of a task in a directory into which one hidden file was downloaded."""
    (tmp_path / "in/2026/it's $(touch broken)").mkdir(parents=True)
    (tmp_path / "in/2026/it's $(touch broken)/.hidden").touch()
    (tmp_path / ".secrets").touch()
    task = TaskSpec("printf started", inputs=inputs)
    body = body_of(task)
    environment = {item["name"]: item["value"] for item in body["environmentSettings"]}

    done = subprocess.run(
        shlex.split(body["commandLine"]),
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == ((0, "started") if is_found else (66, ""))
    assert is_found or done.stderr.startswith("No blob begins with abfs://raw/")
    assert not (tmp_path / "broken").exists()


def test_an_optional_output_or_one_of_a_failure_is_not_looked_for() -> None:
    outputs = {
        "a": OutputSpec("abfs://clean/", optional=True),
        "b": OutputSpec("abfs://clean/", upload_on="failure"),
    }

    assert output_check(outputs) == ""
