"""Dag runs that overlap on one pool, under a real scheduler."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.account import Account
from tests.e2e.polling import until
from tests.e2e.rest import AirflowApi


def test_the_run_that_ends_first_leaves_the_pool_to_the_other_which_deletes_it(
    api: AirflowApi, account: Account, tmp_path: Path
):
    first = api.trigger("shared_pool", until=str(tmp_path / "first"))
    first.wait_for("work", "deferred")
    second = api.trigger("shared_pool", until=str(tmp_path / "second"))
    second.wait_for("work", "deferred")

    (tmp_path / "first").touch()

    assert first.wait() == "success"
    left = first.result("delete_pool")
    assert left["deleted"] is False
    assert left["reason"] == f"run {second.run_id!r} of Dag 'shared_pool' uses it"
    assert "shared" in account.pools()
    assert second.task("work")["state"] == "deferred"

    (tmp_path / "second").touch()

    assert second.wait() == "success"
    assert second.result("delete_pool")["deleted"] is True
    until(lambda: "shared" not in account.pools(), "the pool to be gone", limit=60)


def test_the_runs_of_a_backfill_share_a_pool_and_leave_none(api: AirflowApi, account: Account):
    runs = api.backfill("backfilled", "2026-01-05T00:00:00Z", "2026-01-08T00:00:00Z", max_active_runs=2)

    assert len(runs) == 4
    assert [run.wait() for run in runs] == ["success"] * 4
    assert any(run.result("delete_pool")["deleted"] for run in runs)
    until(lambda: "backfilled" not in account.pools(), "the pool to be gone", limit=60)
