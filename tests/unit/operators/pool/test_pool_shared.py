"""One pool that several Dag runs use: the last of them deletes it, and none under another."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from threading import Barrier, Thread
from typing import Any

import pytest

from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.pools.release import Deletion, Release, release_pool
from airflow_provider_batchlinux.core.pool_metadata import (
    MAX_HOLDERS,
    METADATA_PREFIX,
    Holder,
    PoolMarks,
    rest_metadata,
)
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from tests.airflow_harness import ExecutionApi, TaskRun, run_task
from tests.batch_account import BatchAccount
from tests.conftest import INSTALLATION, set_connection

A, B, C = "scheduled__a", "backfill__b", "manual__c"
NOW = datetime.now(timezone.utc)


def create(run_id: str, *, live: tuple[str, ...] | None = (A, B, C), **options: Any) -> TaskRun:
    given = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", **options}
    operator = BatchLinuxCreatePoolOperator(task_id="create", **given)
    return run_task(operator, api=ExecutionApi(run_id=run_id, live_runs=live))


def delete(
    run_id: str, *, live: tuple[str, ...] | None = (A, B, C), failed: bool = False, **options: Any
) -> TaskRun:
    operator = BatchLinuxDeletePoolOperator(task_id="delete", pool_id="etl", wait=False, **options)
    states = {"work": "failed"} if failed else {}
    return run_task(operator, api=ExecutionApi(run_id=run_id, live_runs=live, task_states=states))


def marks_of(account: BatchAccount) -> PoolMarks:
    body = account.hook.run(lambda client: client.find_pool_body("etl"))
    return PoolMarks.of(body or {})


def mark(account: BatchAccount, **marks: str) -> None:
    metadata = rest_metadata({METADATA_PREFIX + name: value for name, value in marks.items()})
    account.hook.run(lambda client: client.update_pool("etl", {"metadata": metadata}))


def kept(run: TaskRun) -> str:
    assert run.state == "success", run.error
    assert run.result["deleted"] is False
    reason: str = run.result["reason"]
    assert f"Pool 'etl' is kept, because {reason}. force=True deletes it all the same." in run.log
    return reason


@pytest.mark.parametrize("first", [A, B], ids=["its creator first", "its creator last"])
def test_the_last_run_that_uses_a_pool_deletes_it(account, monkeypatch, first):
    create(A)
    create(B)
    last = B if first == A else A
    # The connection's prefix is only for ids: who owns and uses a pool does not depend on it.
    set_connection(monkeypatch, account.service, id_prefix="other")

    reason = kept(delete(first))
    run = delete(last)

    assert reason == f"run {last!r} of Dag 'harness' uses it"
    assert run.result.items() >= {"pool_id": "etl", "deleted": True}.items()
    assert account.pools() == []


def test_a_run_that_is_over_holds_no_pool(account):
    create(A)
    create(B)

    assert delete(B, live=(B,)).result["deleted"] is True


def test_a_run_without_a_mark_deletes_no_pool_under_a_live_one(account):
    create(A)

    assert kept(delete(C)) == f"run {A!r} of Dag 'harness' uses it"
    assert delete(C, force=True).result["deleted"] is True


def test_a_run_of_which_airflow_does_not_tell_counts_as_live(account):
    create(A)
    create(B)

    run = delete(B, live=None)

    assert kept(run) == f"run {A!r} of Dag 'harness' uses it"
    assert "Airflow did not answer whether run 'scheduled__a' of Dag 'harness' has ended" in run.log


def test_a_run_of_another_airflow_counts_as_live_until_the_pool_expires(account):
    create(A)
    mark(account, dag_id="d", run_id="r", instance="prod", fingerprint="f")

    assert kept(delete(B)) == "run 'r' of Dag 'd' uses it"
    mark(account, dag_id="d", run_id="r", instance="prod", fingerprint="f", expires_at="2020-01-01T00:00:00Z")
    assert delete(B).result["deleted"] is True


def test_a_pool_without_marks_is_deleted(account):
    account.make_pool()

    assert delete(A).result["deleted"] is True


def test_a_cleared_run_holds_the_pool_again(account):
    create(A)
    create(B)
    kept(delete(A))

    create(A)

    assert kept(delete(B)) == f"run {A!r} of Dag 'harness' uses it"
    assert delete(A).result["deleted"] is True


def test_a_run_after_another_gets_a_pool_of_its_own(slow_account):
    # As with max_active_runs=1: the next run's create meets the deletion, and waits for it.
    create(A)
    assert delete(A).result["deleted"] is True

    again = create(B, deferrable=True)

    assert again.state == "deferred"


def test_of_two_teardowns_that_run_concurrently_exactly_one_deletes(account):
    create(A)
    create(B)
    outcomes: list[Deletion] = []
    begin = Barrier(2)

    def tear_down(run_id: str) -> None:
        release = Release(Holder("harness", run_id, INSTALLATION), NOW, lambda _run: False)
        begin.wait()
        outcomes.append(account.hook.run(lambda client: release_pool(client, "etl", release)).deletion)

    threads = [Thread(target=tear_down, args=[run_id]) for run_id in (A, B)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcome.value for outcome in outcomes) == ["kept", "requested"]
    assert account.pools() == []


def test_a_run_that_takes_the_pool_between_the_steps_of_a_teardown_keeps_it(account):
    create(A)

    def taken(_run: Holder) -> bool:
        return True

    class Taking(Release):
        """A release during which another run takes the pool, after its own mark is off."""

        def marks_after(self, marks: PoolMarks) -> PoolMarks:
            after = super().marks_after(marks)
            if after == marks and Holder("harness", B, INSTALLATION) not in after.all_holders:
                create(B)
            return after

    release = Taking(Holder("harness", A, INSTALLATION), NOW, lambda run: run.run_id != B)
    released = account.hook.run(lambda client: release_pool(client, "etl", release))

    assert released.deletion is Deletion.KEPT
    assert account.pools() == ["etl"]


class TestMoreRunsThanTheMetadataHolds:
    def full(self, account: BatchAccount) -> None:
        create(A)
        holders = [["harness", f"run {number}", INSTALLATION] for number in range(MAX_HOLDERS)]
        marks = {"dag_id": "harness", "run_id": A, "installation": INSTALLATION, "version": "2"}
        fingerprint = marks_of(account).fingerprint
        assert fingerprint is not None
        mark(account, **marks, task_id="create", fingerprint=fingerprint, holders=json.dumps(holders))

    def test_runs_that_are_over_make_room(self, account):
        self.full(account)

        run = create(B, live=(B, "run 7"))

        assert run.state == "success", run.error
        assert [holder.run_id for holder in marks_of(account).all_holders] == ["run 7", B]
        assert "more Dag runs use it" not in run.log

    def test_if_all_are_live_the_pool_is_kept_to_its_expiry_and_that_is_told(self, account):
        self.full(account)
        live = tuple(f"run {number}" for number in range(MAX_HOLDERS))

        run = create(B, live=(B, *live), expires_in=timedelta(hours=1))

        assert "Pool 'etl': more Dag runs use it than its metadata can list." in run.log
        assert kept(delete(B, live=())) == "not all Dag runs that use it are listed in its metadata"
        assert marks_of(account).runs is None


class TestKeepOnFailure:
    def test_the_last_teardown_leaves_it_to_the_sweeper_at_its_end(self, account):
        create(A)
        create(B)

        assert "uses it" in kept(delete(A, failed=True, keep_on_failure=timedelta(hours=3)))
        reason = kept(delete(B))

        marks = marks_of(account)
        assert marks.runs == ()
        assert marks.expires_at == marks.kept_until
        assert reason == f"it is kept until {marks.kept_until:%Y-%m-%d %H:%M} UTC"

    def test_a_run_that_needs_it_longer_is_not_cut_short(self, account):
        create(A, expires_in=timedelta(hours=9))
        create(B, expires_in=timedelta(hours=9))
        before = marks_of(account).expires_at

        kept(delete(A, failed=True, keep_on_failure=timedelta(hours=3)))

        assert marks_of(account).expires_at == before

    @pytest.mark.usefixtures("account")
    def test_force_deletes_it(self):
        create(A)
        kept(delete(A, failed=True, keep_on_failure=timedelta(hours=3)))

        assert delete(B, force="true").result["deleted"] is True


class TestRecreate:
    def test_a_pool_that_another_live_run_uses_is_not_recreated(self, account):
        create(A)

        run = create(B, if_exists="recreate", dedicated_nodes=1)

        assert run.message.startswith(
            f"Pool 'etl' is not recreated, because run {A!r} of Dag 'harness' uses it. "
        )
        assert marks_of(account).creator == Holder("harness", A, INSTALLATION)

    @pytest.mark.parametrize("live", [(B,), (A, B)], ids=["another run, which is over", "its own"])
    @pytest.mark.usefixtures("account")
    def test_otherwise_it_is(self, live):
        create(A)

        run = create(A if A in live else B, live=live, if_exists="recreate", dedicated_nodes=1)

        assert run.result["created"] is True


V1 = {"dag_id": "harness", "run_id": A, "task_id": "create", "map_index": "-1", "fingerprint": "f"}


@pytest.mark.parametrize(
    ("marks", "found"),
    [
        pytest.param({}, f"run {A!r} of Dag 'harness' uses it", id="of its creator"),
        pytest.param(
            {"shared": "true", "takers": json.dumps([["harness", C]])},
            f"run {C!r} of Dag 'harness' and 1 other run use it",
            id="of a run that reused it",
        ),
        pytest.param(
            {"shared": "true"}, "not all Dag runs that use it are listed in its metadata", id="unlisted"
        ),
        pytest.param(
            {"version": "3", "holders": "later"},
            "a later release of the provider has marked it (version 3)",
            id="of a later release",
        ),
    ],
)
def test_marks_of_other_releases_are_read_or_refused_by_name(account, marks, found):
    account.make_pool()
    mark(account, instance=INSTALLATION, **V1, **marks)

    assert kept(delete(B)) == found


def test_a_pool_that_a_later_release_has_marked_is_not_adopted(account):
    create(A)
    mark(account, **V1, version="3")

    run = create(B)

    assert "Pool 'etl' was marked by a later release of the provider" in run.message
    assert "Update the provider, or choose another pool_id." in run.message


def test_a_formula_that_an_earlier_release_has_switched_off_is_told_with_the_way_out(account):
    create(A)
    formula = {f"{METADATA_PREFIX}repair_autoscale": '{"autoScaleFormula": "$a=1;"}'}
    account.hook.run(lambda client: change_metadata(client, "etl", lambda marks: {**marks, **formula}))

    run = create(A)

    assert "Enable it again with BatchLinuxEnableAutoscaleOperator(formula='$a=1;')." in run.log
