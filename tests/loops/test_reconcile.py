"""A worker compares both sides by schedule, keeps what came of it, and says so."""

from __future__ import annotations

import pytest

from syncbridge.loops import reconcile as loop
from tests.fix_project import WholeProject, until
from tests.project_files import PEOPLE


def test_a_worker_reconciles_by_schedule_and_status_tells_what_it_found(
    whole: WholeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOOK_EVERY", 0.1)
    whole.write_mapping("people", PEOPLE + "reconcile: {every: 1d}\n")
    whole.done("setup")
    with whole.worker_here():
        whole.wait()
        assert whole.sql("select count(*) from syncbridge.reconciliation") == [(0,)]
        whole.sql("update syncbridge.mapping set applied_at = now() - interval '2 days'")
        until(lambda: whole.sql("select drift from syncbridge.reconciliation where scheduled") == [(0,)])
        whole.sql("update syncbridge.link set remote_id = '003000000000000AAA' where key = '1'")
        whole.sql("update syncbridge.reconciliation set finished_at = now() - interval '2 days'")
        until(lambda: len(whole.sql("select drift from syncbridge.reconciliation")) == 2)
        told = whole.run("status", "people", "--json").json
    state = told["mappings"][0]
    assert (state["reconciled"]["drift"], state["reconciled"]["report"]["kinds"]) == (1, {"link": 1})
    assert [each["message"] for each in told["findings"] if each["where"] == "people"] == [
        "the last reconcile found 1 that drifted"
    ]
