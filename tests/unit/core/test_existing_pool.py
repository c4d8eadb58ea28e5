"""What becomes of a pool that is there already: one table of cases, then the changes one by one."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.core.existing_pool import Action, decide
from airflow_provider_batchlinux.core.pool_spec import PoolSpec

MINE = {"dag_id": "etl", "run_id": "today", "task_id": "create"}
OTHERS = {"dag_id": "etl", "run_id": "yesterday", "task_id": "create"}


def body(owner: dict[str, str] = MINE, **options: Any) -> dict[str, Any]:
    spec = PoolSpec(**{"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", **options})
    return spec.to_rest(owner=owner)


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


def test_a_refusal_names_what_cannot_be_changed_and_the_way_out() -> None:
    found = decide("update", body(), pool(nodes=1, **SIZE, **MORE), owner=MINE)

    assert "Not to be changed on it by if_exists='update': vmSize. Nothing was changed." in found.reason
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
