"""Access while nodes fail, tries are cut off and Dag runs meet: who gets in then, and who never does."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_batchlinux.exceptions import BatchConflictError, NodeUsersError
from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount, eventually
from tests.integration.access import Colleague, adding, has_ended, make_colleague, removing


@pytest.fixture
def colleague(account: BatchAccount, tmp_path: Path) -> Colleague:
    return make_colleague(account, tmp_path)


@pytest.fixture
def rival(account: BatchAccount, tmp_path: Path) -> Colleague:
    """Give another person, who wants a user of the same name."""
    folder = tmp_path / "rival"
    folder.mkdir()
    return make_colleague(account, folder)


class TestNodes:
    def test_a_node_that_vanishes_before_its_call_leaves_all_others_open(
        self, account: BatchAccount, colleague: Colleague
    ) -> None:
        account.idle_pool(3, ssh=True)
        gone = account.nodes()[1].node_id
        account.control.inject("POST", f"{gone}/users", code="NodeNotFound")

        run = run_task(adding(colleague))

        assert {record["outcome"] for record in run.result if record["node_id"] == gone} == {"gone"}
        assert colleague.is_let_in() == {node.node_id for node in account.nodes()} - {gone}

    def test_a_pool_that_is_deleted_puts_its_people_out_and_removing_them_is_fine(
        self, account: BatchAccount, colleague: Colleague
    ) -> None:
        account.idle_pool(ssh=True)
        run_task(adding(colleague))

        with colleague.at_work() as session:
            account.delete_pool()
            assert has_ended(session)

        assert run_task(removing()).state == "success"

    def test_an_unusable_node_is_named_and_its_user_is_removed_when_it_recovers(
        self, account: BatchAccount, colleague: Colleague
    ) -> None:
        account.idle_pool(2, ssh=True)
        run_task(adding(colleague))
        broken = account.put_node("unusable")

        failed = run_task(removing())
        assert isinstance(failed.error, NodeUsersError)
        assert failed.error.failed == [broken]
        assert set(colleague.ledger()) == {"etl"}

        account.control.set_node("etl", broken, "idle")
        assert colleague.is_let_in() == {broken}
        assert run_task(removing(), try_number=2).state == "success"
        assert colleague.is_let_in() == set()
        assert colleague.ledger() == {}

    def test_a_try_that_is_cut_off_leaves_a_ledger_from_which_the_next_one_goes_on(
        self, account: BatchAccount, colleague: Colleague
    ) -> None:
        account.idle_pool(2, ssh=True)
        late = account.put_node("unknown")
        [ready] = {node.node_id for node in account.nodes()} - {late}

        cut_off = run_task(adding(colleague, timeout=0.05, poll_interval=0.01))

        assert isinstance(cut_off.error, NodeUsersError)
        assert cut_off.error.codes == {late: "NodeNotReady"}
        assert colleague.is_let_in() == {ready}
        assert colleague.ledger()["etl"].by["dag_id"] == "nightly"

        account.control.set_node("etl", late, "idle")
        again = run_task(adding(colleague), try_number=2)

        assert {record["node_id"]: record["outcome"] for record in again.result} == {
            ready: "updated",
            late: "added",
        }
        assert colleague.is_let_in() == {ready, late}

    def test_a_reimaged_node_has_forgotten_its_users(
        self, account: BatchAccount, colleague: Colleague
    ) -> None:
        account.idle_pool(ssh=True)
        run_task(adding(colleague))
        node_id = account.nodes()[0].node_id

        account.hook.run(lambda client: client.reimage_node("etl", node_id))
        eventually(lambda: account.hook.node_counts("etl") == {"idle": 1})

        assert colleague.is_let_in() == set()


class TestDagRunsThatMeet:
    def test_the_second_is_refused_by_name_and_the_first_keeps_its_access(
        self, account: BatchAccount, colleague: Colleague, rival: Colleague
    ) -> None:
        account.idle_pool(ssh=True)
        run_task(adding(colleague, dag_id="nightly"))

        refused = run_task(adding(rival, dag_id="hourly"))

        assert isinstance(refused.error, BatchConflictError)
        assert "dag_id 'nightly'" in refused.message
        assert len(colleague.is_let_in()) == 1
        assert rival.is_let_in() == set()

    def test_the_second_cannot_take_the_first_ones_access_away(
        self, account: BatchAccount, colleague: Colleague
    ) -> None:
        account.idle_pool(ssh=True)
        run_task(adding(colleague, dag_id="nightly"))

        with colleague.at_work() as session:
            assert isinstance(run_task(removing(dag_id="hourly")).error, BatchConflictError)
            assert session.poll() is None

        assert len(colleague.is_let_in()) == 1

    def test_the_second_takes_over_if_requested_and_then_the_first_is_the_stranger(
        self, account: BatchAccount, colleague: Colleague, rival: Colleague
    ) -> None:
        account.idle_pool(ssh=True)
        run_task(adding(colleague, dag_id="nightly"))

        taken = run_task(adding(rival, dag_id="hourly", take_over=True))

        assert taken.state == "success"
        assert "taken over from" in taken.log
        assert len(rival.is_let_in()) == 1
        assert colleague.is_let_in() == set()
        assert isinstance(run_task(removing(dag_id="nightly")).error, BatchConflictError)
        assert len(rival.is_let_in()) == 1


@pytest.mark.parametrize(
    "username",
    ["root", "_azbatch", "e t", "1etl", "-oProxyCommand=id", "etl;reboot", "../etl", "e" * 33, "étl", ""],
)
def test_a_user_name_that_linux_refuses_is_refused_before_any_call(
    account: BatchAccount, colleague: Colleague, username: str
) -> None:
    account.idle_pool(ssh=True)
    before = account.requests()

    run = run_task(adding(colleague, username=username))

    assert isinstance(run.error, ValueError)
    assert f"username={username!r}" in run.message
    assert account.requests()[len(before) :] == []
