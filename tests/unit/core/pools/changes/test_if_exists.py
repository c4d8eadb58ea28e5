"""What to do about an existing pool: one table of cases, then the changes one by one."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.core.pool_metadata import FINGERPRINT_KEY, PoolMarks, with_marks
from airflow_provider_batchlinux.core.pools.changes.if_exists import Action, decide
from airflow_provider_batchlinux.core.pools.changes.update_plan import ChangePlan
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec

MINE = {"dag_id": "etl", "run_id": "today", "task_id": "create"}
OTHERS = {"dag_id": "etl", "run_id": "yesterday", "task_id": "create"}


def body(owner: dict[str, str] = MINE, **options: Any) -> dict[str, Any]:
    spec = PoolSpec(**{"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", **options})
    return with_marks(spec.to_rest(), PoolMarks(owner, spec.fingerprint()))


def pool(owner: dict[str, str] = OTHERS, *, nodes: int = 0, **options: Any) -> dict[str, Any]:
    return {**body(owner, **options), "state": "active", "currentDedicatedNodes": nodes}


KEEP, CHANGE, RECREATE, REFUSE = Action.KEEP, Action.CHANGE, Action.RECREATE, Action.REFUSE
MORE: dict[str, Any] = {"dedicated_nodes": 2}
SIZE: dict[str, Any] = {"vm_size": "standard_d4s_v5"}
START: dict[str, Any] = {"start_task": {"command": "true"}}


@pytest.mark.parametrize(
    ("found", "actions"),
    [
        pytest.param(pool(MINE), (KEEP,) * 6, id="own earlier try"),
        pytest.param(pool(OTHERS), (KEEP, REFUSE, KEEP, KEEP, KEEP, KEEP), id="same spec of another run"),
        pytest.param(pool(**MORE), (REFUSE, REFUSE, CHANGE, CHANGE, RECREATE, KEEP), id="other number"),
        pytest.param(pool(MINE, **MORE), (REFUSE, REFUSE, CHANGE, CHANGE, RECREATE, KEEP), id="own, edited"),
        pytest.param(pool(**SIZE), (REFUSE, REFUSE, CHANGE, REFUSE, RECREATE, KEEP), id="other size, empty"),
        pytest.param(
            pool(nodes=1, **SIZE), (REFUSE, REFUSE, REFUSE, REFUSE, RECREATE, KEEP), id="other size, nodes"
        ),
        pytest.param(pool(**START), (REFUSE, REFUSE, REFUSE, REFUSE, RECREATE, KEEP), id="start task to go"),
        pytest.param(
            pool(nodes=1, metadata={"team": "x"}),
            (REFUSE, REFUSE, CHANGE, REFUSE, RECREATE, KEEP),
            id="metadata to go",
        ),
        pytest.param(
            {"id": "etl", "vmSize": "standard_d2s_v5", "currentDedicatedNodes": 1},
            (REFUSE, REFUSE, REFUSE, REFUSE, RECREATE, KEEP),
            id="not made by this provider, no machines",
        ),
    ],
)
def test_every_policy_has_its_action(found: dict[str, Any], actions: tuple[Action, ...]) -> None:
    policies = ("reuse", "fail", "update", "resize", "recreate", "ignore")

    taken = tuple(decide(policy, body(), found, owner=MINE).action for policy in policies)  # type: ignore[arg-type]

    assert taken == actions


@pytest.mark.parametrize("mark", ["c0ffee", "v2:c0ffee", "v3:c0ffee", None])
@pytest.mark.parametrize("policy", ["update", "resize", "recreate", "ignore", "reuse"])
def test_a_pool_with_another_fingerprint_and_no_difference_is_kept(policy: Any, mark: str | None) -> None:
    found = pool(OTHERS, vm_size="STANDARD_D2S_V5")
    found["metadata"] = [item for item in found["metadata"] if not item["name"].endswith("fingerprint")]
    found["metadata"] += [{"name": FINGERPRINT_KEY, "value": mark}] if mark else []

    decision = decide(policy, body(), found, owner=MINE)

    if policy == "reuse" and mark is None:
        assert decision.action is REFUSE
        assert "No property differs: if_exists='ignore' uses it." in decision.reason
        return
    assert (decision.action, decision.plan, decision.differences) == (KEEP, ChangePlan(), ())
    assert "no property differs" in decision.reason


ACCOUNT: dict[str, Any] = {"user_accounts": [{"name": "etl", "password": "new-p4ss"}]}


@pytest.mark.parametrize("policy", ["reuse", "update", "resize", "recreate"])
def test_a_secret_that_cannot_be_compared_is_named_and_the_pool_kept(policy: Any) -> None:
    found = pool(OTHERS, user_accounts=[{"name": "etl", "password": "old-p4ss"}])
    del found["userAccounts"][0]["password"]

    decision = decide(policy, body(**ACCOUNT), found, owner=MINE)

    assert (decision.action, decision.not_compared) == (KEEP, ("userAccounts['etl'].password",))
    assert "Not compared, because the service does not return them: userAccounts['etl'].password." in (
        decision.reason
    )
    assert "p4ss" not in decision.reason


def test_a_refusal_says_what_was_not_compared() -> None:
    found = pool(OTHERS, dedicated_nodes=1, user_accounts=[{"name": "etl", "password": "old"}])
    del found["userAccounts"][0]["password"]

    decision = decide("reuse", body(**ACCOUNT), found, owner=MINE)

    assert decision.action is REFUSE
    assert "targetDedicatedNodes: wanted nothing, found 1\nNot compared" in decision.reason


def test_a_refusal_names_what_cannot_be_changed_and_the_way_out() -> None:
    found = decide("update", body(), pool(nodes=1, **SIZE, **MORE), owner=MINE)

    assert "if_exists='update' cannot change vmSize. Nothing was changed." in found.reason
    assert "if_exists='recreate'" in found.reason
    assert "run_id 'yesterday'" in found.reason


def test_a_start_task_is_changed_on_a_pool_with_nodes() -> None:
    plan = decide("update", body(**START), pool(nodes=1), owner=MINE).plan

    assert plan.patch == {"startTask": body(**START)["startTask"]}
    assert not plan.changes_scale


def test_a_resize_names_both_numbers() -> None:
    plan = decide("resize", body(dedicated_nodes=2, resize_timeout=600), pool(spot_nodes=1), owner=MINE).plan

    assert plan.resize == {
        "targetDedicatedNodes": 2,
        "targetLowPriorityNodes": 0,
        "resizeTimeout": "PT600S",
    }
    assert not plan.disable_autoscale


def test_a_formula_is_stopped_before_fixed_numbers() -> None:
    scaled = pool(autoscale={"formula": "$TargetDedicatedNodes = 1;"})

    plan = decide("resize", body(**MORE), scaled, owner=MINE).plan

    assert plan.disable_autoscale
    assert plan.resize is not None


def test_a_formula_replaces_fixed_numbers() -> None:
    wanted = body(autoscale={"formula": "$TargetDedicatedNodes = 1;", "interval": 600})

    plan = decide("update", wanted, pool(**MORE), owner=MINE).plan

    assert plan.autoscale == {
        "autoScaleFormula": "$TargetDedicatedNodes = 1;",
        "autoScaleEvaluationInterval": "PT600S",
    }
    assert plan.resize is None


def short(owner: dict[str, str] = MINE, *, got: int = 0, code: str = "AllocationFailed", **more: Any) -> Any:
    """Give a pool of two nodes whose allocation is over, and did not give them all."""
    found = pool(owner, nodes=got, **MORE) | {"allocationState": "steady"}
    return {**found, "resizeErrors": [{"code": code, "message": "No room."}], **more}


def test_nodes_that_a_pool_did_not_get_are_asked_for_again() -> None:
    found = decide("reuse", body(**MORE), short(got=1), owner=MINE)

    assert found.action is KEEP
    assert found.plan.resize == {"targetDedicatedNodes": 2, "targetLowPriorityNodes": 0}
    assert "got 1 of 2 nodes: AllocationFailed: No room.\nThey are requested again." in found.reason


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(short(allocationState="resizing"), id="they may still come"),
        pytest.param(short(got=2), id="it has them"),
        pytest.param(short(code="ResizeStopped"), id="a user stopped it"),
        pytest.param(short(enableAutoScale=True), id="its formula asks again"),
        pytest.param(short(resizeErrors=None), id="nothing went wrong"),
    ],
)
def test_a_pool_that_lacks_nothing_for_good_is_kept_as_it_is(found: dict[str, Any]) -> None:
    decision = decide("reuse", body(**MORE), found, owner=MINE)

    assert (decision.action, decision.plan.resize) == (KEEP, None)


@pytest.mark.parametrize(
    ("found", "action"),
    [
        pytest.param(short(), RECREATE, id="own"),
        pytest.param(short(OTHERS), KEEP, id="of another run, which may wait for it"),
        pytest.param(short(got=1), KEEP, id="it has a node"),
        pytest.param(short(vmSize="STANDARD_D4S_V5"), KEEP, id="of that size already"),
    ],
)
def test_a_pool_without_any_node_gives_way_to_one_of_another_size(
    found: dict[str, Any], action: Action
) -> None:
    next_size = {**body(**MORE), "vmSize": "standard_d4s_v5"}

    assert decide("reuse", next_size, found, owner=MINE).action is action


def test_a_pool_that_others_have_taken_too_does_not_give_way() -> None:
    found = short()
    found["metadata"].append({"name": "airflow_batchlinux_shared", "value": "true"})

    assert decide("reuse", {**body(**MORE), "vmSize": "b"}, found, owner=MINE).action is KEEP
