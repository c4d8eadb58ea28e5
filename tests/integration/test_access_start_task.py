"""Looking at a node whose start task failed, as the how-to shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_batchlinux.cli.main import main
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.specs import StartTaskSpec
from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount, eventually
from tests.integration.access import make_colleague


def create(*, wait_for_success: bool) -> None:
    """Create a pool of one node whose start task fails."""
    operator = BatchLinuxCreatePoolOperator(
        task_id="create",
        pool_id="debug",
        image="ubuntu 24.04",
        vm_size="standard_d2s_v5",
        dedicated_nodes=1,
        ssh_from=["203.0.113.0/24"],
        start_task=StartTaskSpec("echo preparing; ./missing.sh", wait_for_success=wait_for_success),
    )
    assert run_task(operator).state == "success"


@pytest.fixture
def key_file(account: BatchAccount, tmp_path: Path) -> str:
    colleague = make_colleague(account, tmp_path)
    (tmp_path / "id_ed25519.pub").write_text(colleague.public_line)
    return str(colleague.private_file)


def test_a_node_that_does_not_wait_for_its_start_task_shows_what_that_left(
    account: BatchAccount, key_file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    create(wait_for_success=False)
    account.wait_for_nodes({"idle": 1}, pool_id="debug")
    eventually(lambda: (run := account.nodes("debug")[0].start_task) is not None and run.state == "completed")

    assert main(["ssh", "debug", "--key", key_file, "--", "cat $AZ_BATCH_NODE_STARTUP_DIR/stderr.txt"]) == 0

    assert "missing.sh" in capfd.readouterr().out


def test_a_node_whose_start_task_failed_refuses_users_and_says_so(
    account: BatchAccount, key_file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    create(wait_for_success=True)
    account.wait_for_nodes({"starttaskfailed": 1}, pool_id="debug")
    [node] = account.nodes("debug")

    assert main(["ssh", "debug", "--key", key_file]) == 1
    assert "but 1 starttaskfailed" in capfd.readouterr().err
    assert main(["ssh", "debug", node.node_id, "--key", key_file]) == 1
    assert "OperationInvalidForCurrentState" in capfd.readouterr().err
