"""Who gets in to a node, and for how long, found out by logging in: through Airflow, the SDK and SSH."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_batchlinux.emulator import EmulatorOptions, run_emulator
from airflow_provider_batchlinux.operators.node_users import BatchLinuxAuditNodeUsersOperator
from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator
from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount, eventually
from tests.conftest import set_connection
from tests.integration.access import Colleague, adding, has_ended, make_colleague, removing
from tests.unit.logins import lets_in


@pytest.fixture
def colleague(account: BatchAccount, tmp_path: Path) -> Colleague:
    return make_colleague(account, tmp_path)


@pytest.fixture
def late_colleague(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Colleague]:
    """Give a colleague on a pool with one idle node, of a service whose clock stands still."""
    with run_emulator(EmulatorOptions(clock="manual")) as emulator:
        set_connection(monkeypatch, emulator)
        account = BatchAccount(emulator)
        account.make_pool(dedicated=1, ssh=True)
        eventually(partial(has_come_up, account))
        yield make_colleague(account, tmp_path)


def has_come_up(account: BatchAccount) -> bool:
    account.control.advance(0)
    return account.hook.node_counts("etl") == {"idle": 1}


def test_only_the_right_key_and_the_right_name_get_in(
    account: BatchAccount, colleague: Colleague, tmp_path: Path
) -> None:
    account.idle_pool(2, ssh=True)
    (tmp_path / "other").mkdir()
    other = make_colleague(account, tmp_path / "other")

    assert run_task(adding(colleague)).state == "success"

    assert len(colleague.is_let_in()) == 2
    assert other.is_let_in() == set()
    for name in ("root", "_azbatch", "ETL", "etl "):
        assert colleague.is_let_in(name) == set(), name
    for password in ("", colleague.public_line):
        assert lets_in(account, "etl", password=password) == set()


def test_a_new_key_shuts_the_old_one_out(account: BatchAccount, colleague: Colleague, tmp_path: Path) -> None:
    account.idle_pool(ssh=True)
    (tmp_path / "other").mkdir()
    successor = make_colleague(account, tmp_path / "other")
    run_task(adding(colleague))

    run_task(adding(successor))

    assert len(successor.is_let_in()) == 1
    assert colleague.is_let_in() == set()


def test_a_user_is_unknown_on_the_nodes_of_another_pool(account: BatchAccount, colleague: Colleague) -> None:
    account.idle_pool(ssh=True)
    account.idle_pool(pool_id="other", ssh=True)

    run_task(adding(colleague))

    assert lets_in(account, "etl", pool_id="other", client_keys=[colleague.key]) == set()


def test_an_expired_user_is_put_out_and_kept_out(late_colleague: Colleague) -> None:
    control = late_colleague.account.control
    run_task(adding(late_colleague, expires_at=control.now() + timedelta(hours=2)))
    control.advance(2 * 3600 - 60)

    with late_colleague.at_work() as session:
        control.advance(120)
        assert has_ended(session)

    assert late_colleague.is_let_in() == set()


def test_a_revoked_user_is_put_out_and_kept_out(account: BatchAccount, colleague: Colleague) -> None:
    account.idle_pool(ssh=True)
    run_task(adding(colleague))

    with colleague.at_work() as session:
        assert run_task(removing()).state == "success"
        assert has_ended(session)

    assert colleague.is_let_in() == set()
    assert colleague.ledger() == {}


def test_who_stays_too_long_is_put_out_by_the_audit(late_colleague: Colleague) -> None:
    # The service's clock stands still, as its day does, so the user's time is over to us alone.
    run_task(adding(late_colleague, expires_in=timedelta(microseconds=1)))
    audit = BatchLinuxAuditNodeUsersOperator(task_id="audit", revoke=True)

    with late_colleague.at_work() as session:
        assert run_task(audit).result["revoked"] == 1
        assert has_ended(session)

    assert late_colleague.is_let_in() == set()
    assert late_colleague.ledger() == {}


def test_who_has_a_lease_is_put_out_at_its_end(late_colleague: Colleague) -> None:
    run_task(adding(late_colleague))
    lease = BatchLinuxLeaseNodeUsersOperator(
        task_id="lease",
        pool_id="etl",
        username="etl",
        ssh_public_key=late_colleague.public_line,
        expires_in=timedelta(milliseconds=500),
        poll_interval=timedelta(milliseconds=10),
        deferrable=False,
    )
    lease.dag = adding(late_colleague).dag

    with late_colleague.at_work() as session:
        run = run_task(lease)
        assert run.result["ended"] == "expired"
        assert has_ended(session)

    assert late_colleague.is_let_in() == set()
    assert "ssh -p " in run.log
