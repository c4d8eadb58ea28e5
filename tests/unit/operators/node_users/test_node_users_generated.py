"""Generated keys open the nodes, and show up nowhere but in their file."""

from __future__ import annotations

import stat
import traceback
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from airflow.sdk import DAG
from airflow.sdk.log import mask_logs

from airflow_provider_batchlinux.core.users.credentials import KeyDestination
from airflow_provider_batchlinux.exceptions import BatchRequestError
from airflow_provider_batchlinux.operators.node_users import BatchLinuxAddNodeUsersOperator
from tests.airflow_harness import RUN_ID, TaskRun, dag_serializer, resume_task, run_task, run_trigger
from tests.batch_account import BatchAccount
from tests.unit.leases import lease
from tests.unit.logins import lets_in
from tests.unit.operators.node_users.test_node_users import PASSWORD, add


def tells(run: TaskRun, secret: str) -> bool:
    """Tell whether a run gave away any line of a secret."""
    return any(line in run.everything_said for line in secret.splitlines() if not line.startswith("--"))


def with_booting_node(account: BatchAccount) -> str:
    """Make a pool of which one node is idle and another boots, and give the latter's id."""
    account.idle_pool(2, ssh=True)
    return account.put_node("unknown")


def all_nodes(account: BatchAccount) -> set[str]:
    return {node.node_id for node in account.nodes()}


class TestKeys:
    def test_the_private_half_in_the_file_opens_every_node_and_is_told_nowhere(self, account, tmp_path):
        account.idle_pool(2, ssh=True)
        path = tmp_path / "etl"

        run = run_task(add(generate_key=str(path)))

        assert run.state == "success"
        assert lets_in(account, "etl", client_keys=[str(path)]) == all_nodes(account)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not tells(run, path.read_text())

    def test_airflow_masks_each_line_of_the_private_half(self, account, tmp_path):
        account.idle_pool(1, ssh=True)
        path = tmp_path / "etl"

        run_task(add(generate_key=str(path)))

        lines = path.read_text().splitlines()[1:-2]
        printed = [str(mask_logs(None, "info", {"event": f"got {line}"})["event"]) for line in lines]
        *whole, last = printed
        assert whole == ["got ***"] * len(whole)
        assert last == "got ***" or len(last) < len("got ") + 16

    def test_the_log_names_the_fingerprint_and_the_place(self, account, tmp_path):
        account.idle_pool(1, ssh=True)
        path = tmp_path / "etl"

        run = run_task(add(generate_key=str(path)))

        fingerprint = asyncssh.read_private_key(str(path)).get_fingerprint()
        assert f"Generated the Ed25519 key {fingerprint} for user 'etl'" in run.log
        assert str(path) in run.log

    @pytest.mark.parametrize(
        "given",
        [
            pytest.param("{base}/{{{{ run_id }}}}", id="text"),
            pytest.param(KeyDestination("{base}/{{{{ run_id }}}}"), id="destination"),
        ],
    )
    @pytest.mark.parametrize("is_mapped", [False, True], ids=["plain", "mapped"])
    def test_the_path_is_templated_also_inside_a_destination(self, account, tmp_path, given, is_mapped):
        account.idle_pool(1, ssh=True)
        text = (given if isinstance(given, str) else given.file).format(base=tmp_path)
        place = text if isinstance(given, str) else KeyDestination(text)

        if is_mapped:
            with DAG("mapped", schedule=None):
                operator = BatchLinuxAddNodeUsersOperator.partial(
                    task_id="add", pool_id="etl", expires_in=3600, generate_key=place
                ).expand(username=["etl"])
            run = run_task(operator, map_index=0)
        else:
            run = run_task(add(generate_key=place))

        assert run.state == "success", run.error
        assert (tmp_path / RUN_ID).is_file()
        assert not isinstance(place, KeyDestination) or place.file == text

    def test_another_try_takes_the_pair_that_the_first_one_left(self, account, tmp_path):
        account.idle_pool(1, ssh=True)
        path = tmp_path / "etl"
        account.control.inject("POST", "/users$", status=400, code="InvalidPropertyValue", times=1)
        assert run_task(add(generate_key=str(path))).state == "failed"
        kept = path.read_text()

        run = run_task(add(generate_key=str(path)), try_number=2)

        assert run.state == "success"
        assert path.read_text() == kept
        assert lets_in(account, "etl", client_keys=[str(path)]) == all_nodes(account)
        assert "Using the Ed25519 key SHA256:" in run.log

    def test_a_task_that_was_deferred_goes_on_with_the_same_pair(self, account, tmp_path):
        booting = with_booting_node(account)
        path = tmp_path / "etl"
        operator = add(generate_key=str(path), deferrable=True, poll_interval=0.05)
        first = run_task(operator)
        kept = path.read_text()
        assert first.deferral is not None
        account.control.set_node("etl", booting, "idle")

        run = resume_task(operator, first, run_trigger(first.deferral))

        assert run.state == "success"
        assert path.read_text() == kept
        assert lets_in(account, "etl", client_keys=[str(path)]) == all_nodes(account)
        assert not any(tells(seen, kept) for seen in (first, run))


def test_an_error_that_repeats_the_password_is_shown_without_it(account):
    account.idle_pool(1)
    [node] = account.nodes()
    account.control.inject("POST", "/users$", status=400, code="InvalidPropertyValue")
    body = {"name": "w0rd-of-a-user", "password": "w0rd-of-a-user"}

    with pytest.raises(BatchRequestError, match=r"add user '\*\*\*' to node") as failure:
        account.hook.run(lambda client: client.create_node_user("etl", node.node_id, body))

    assert "w0rd" not in "".join(traceback.format_exception(failure.value))


class TestLeases:
    def test_a_lease_makes_its_key_and_the_database_gets_the_public_half_only(self, account, tmp_path):
        account.idle_pool(2, ssh=True)
        place = KeyDestination(str(tmp_path / "{{ run_id }}"))

        run = run_task(lease(generate_key=place))

        path = tmp_path / RUN_ID
        assert run.deferral is not None
        assert lets_in(account, "ann", client_keys=[str(path)]) == all_nodes(account)
        assert asyncssh.read_private_key(str(path)).export_public_key().decode().split()[1] in str(
            run.deferral.trigger_kwargs
        )
        assert not tells(run, path.read_text())

    def test_a_lease_that_goes_on_in_another_try_keeps_its_key(self, account, tmp_path):
        account.idle_pool(1, ssh=True)
        path = tmp_path / "ann"
        run_task(lease(generate_key=str(path)))
        kept = path.read_text()

        run = run_task(lease(generate_key=str(path)), try_number=2)

        assert run.state == "deferred"
        assert path.read_text() == kept

    def test_a_lease_with_a_key_and_a_place_for_another_is_refused(self, account, public_key):
        run = run_task(lease(public_key, generate_key="/k"))

        assert "generate_key and ssh_public_key are both given" in run.message
        assert account.requests() == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param(
            {"generate_key": "keys/etl"}, "generate_key='keys/etl' is not an absolute path", id="path"
        ),
        pytest.param({"generate_key": True}, "The value of generate_key is not a path", id="true"),
        pytest.param({"generate_key": ""}, "Neither ssh_public_key nor password is given", id="empty path"),
        pytest.param({"password": "s3\tcret"}, "password holds a line break", id="a password with its line"),
    ],
)
def test_what_could_not_be_made_is_refused_before_any_request(account, options, problem):
    run = run_task(add(**options))

    assert problem in run.message
    assert account.requests() == []
    assert not any(secret in run.everything_said for secret in (PASSWORD, "s3\tcret", "s3\\tcret"))


@pytest.mark.parametrize("wrap", [str, KeyDestination])
def test_a_private_key_where_its_path_belongs_is_refused_when_the_dag_is_parsed(key, wrap):
    secret = key.export_private_key().decode()

    with pytest.raises(ValueError, match="generate_key holds a private key") as refusal:
        add(generate_key=wrap(secret))

    assert not any(line in str(refusal.value) for line in secret.splitlines()[1:-1])


def test_weak_credentials_are_taken_with_a_warning(account):
    account.idle_pool(1, ssh=True)
    weak = asyncssh.generate_private_key("ssh-rsa", key_size=2048).export_public_key().decode()

    run = run_task(add(ssh_public_key=weak, password="s3cret"))

    assert run.state == "success"
    assert "has 2048 bits, and 3072 are recommended" in run.log
    assert "The password has fewer than 12 characters" in run.log
    assert "s3cret" not in run.everything_said


def test_a_dag_with_destinations_is_stored_the_same_at_every_parse(tmp_path: Path):
    serializer = dag_serializer()

    def stored() -> dict[str, Any]:
        with DAG("etl", schedule=None) as dag:
            add(generate_key=KeyDestination(str(tmp_path), overwrite=True))
        return dict(serializer.to_dict(dag))

    assert stored() == stored()
    assert "object at 0x" not in str(stored())
