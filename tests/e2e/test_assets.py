"""A Dag that is scheduled by what the instances of a mapped task write to storage."""

from __future__ import annotations

from tests.e2e.account import Account
from tests.e2e.polling import until
from tests.e2e.rest import AirflowApi


def test_the_outputs_of_mapped_tasks_start_the_dag_that_waits_for_all_of_them(
    api: AirflowApi, account: Account
):
    account.control.container("reports")
    api.unpause("all_reports")

    written = api.trigger("reports")
    assert written.wait() == "success", written.log("write", map_index=0)

    started = until(lambda: api.runs("all_reports"), "a run of 'all_reports'", limit=60)
    assert len(started) == 1
    assert started[0].wait() == "success"
    assert started[0].result("read") == ["abfs://reports/north.txt", "abfs://reports/south.txt"]
