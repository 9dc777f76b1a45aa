"""Composite calls against the same subrequests one by one, for whatever subrequests."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api
from tests.sandbox.test_composite import composite, part

KEYS = st.sampled_from(["a", "b", "c"])
NAMES = st.sampled_from(["Acme", "Bolt", None, "x" * 300])
STEPS = st.one_of(
    st.tuples(st.just("POST"), st.just("/sobjects/Account"), st.fixed_dictionaries({"Name": NAMES})),
    st.tuples(
        st.just("PATCH"),
        KEYS.map(lambda key: f"/sobjects/Account/External_Key__c/{key}"),
        st.fixed_dictionaries({}, optional={"Name": NAMES, "Parent": KEYS.map(lambda key: {"External_Key__c": key})}),
    ),
    st.tuples(st.just("DELETE"), KEYS.map(lambda key: f"/sobjects/Account/External_Key__c/{key}"), st.none()),
)
Step = tuple[str, str, dict[str, Any] | None]


def state(sandbox: SandboxServer) -> list[tuple[Any, ...]]:
    """What the org has, without ids, which are new for every try."""
    rows = sandbox.control.records("Account", deleted=True)
    keys = {row["Id"]: (row["Name"], row["External_Key__c"]) for row in rows}
    return sorted(
        (repr(row["Name"]), repr(row["External_Key__c"]), row["IsDeleted"], repr(keys.get(row["ParentId"])))
        for row in rows
    )


@settings(max_examples=40)
@given(steps=st.lists(STEPS, min_size=1, max_size=8))
def test_a_composite_does_what_its_subrequests_do_one_by_one_or_nothing(
    api: Api, sandbox: SandboxServer, steps: list[Step]
) -> None:
    sandbox.control.reset_data()
    alone = [api.request(method, path, json=body).status_code for method, path, body in steps]
    expected = state(sandbox)

    sandbox.control.reset_data()
    parts = [part(method, path, f"r{at}", body) for at, (method, path, body) in enumerate(steps)]
    answers = composite(api, *parts)
    assert [each["httpStatusCode"] for each in answers] == alone
    assert state(sandbox) == expected

    sandbox.control.reset_data()
    answers = composite(api, *parts, allOrNone=True)
    first_failed = next((at for at, status in enumerate(alone) if status >= 300), None)
    statuses = [each["httpStatusCode"] for each in answers]
    if first_failed is None:
        assert (statuses, state(sandbox)) == (alone, expected)
    else:
        assert statuses == [alone[at] if at == first_failed else 400 for at in range(len(steps))]
        assert state(sandbox) == []
