"""Claim and settle find rows by indexes, whatever the planner's statistics know. A wrong plan reads all that waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from psycopg import Connection

from syncbridge.arrays import bigint_array, boolean_array, text_array
from syncbridge.store import claims, database
from tests.fix_postgres import Databases
from tests.fix_store import apply_mapping

_FILL = """
insert into syncbridge.outbox (mapping_id, key, lsn, commit_time, since_lsn, since, reason, priority)
select %(mapping)s, n::text, '0/1', now(), '0/1', now(), 'change', 10 * (n %% 2) from generate_series(1, 20000) n
"""
_LINK = """
insert into syncbridge.link (mapping_id, key, remote_id, base)
select %(mapping)s, n::text, 'm' || n, '{}' from generate_series(1, 20000) n
"""
_KEYS = sorted(str(n) for n in range(5000, 6000))


class Filled(NamedTuple):
    """A mapping of which 20,000 rows wait and are linked; tests only ask for plans."""

    store: Connection
    mapping_id: int


@pytest.fixture(scope="module", params=["unknown", "known", "of another mapping"])
def filled(request: pytest.FixtureRequest, databases: Databases, state_template: str) -> Iterator[Filled]:
    """What waits is known to the planner's statistics, or not."""
    with databases.new(state_template) as dsn, database.connect(dsn, purpose="test") as store:
        yield Filled(store, _filled(store, request.param))


def _filled(store: Connection, statistics: str) -> int:
    mapping_id = apply_mapping(store, "people")
    store.execute("alter table syncbridge.outbox set (autovacuum_enabled = off)")
    store.execute("alter table syncbridge.link set (autovacuum_enabled = off)")
    if statistics == "of another mapping":
        _fill(store, mapping_id)
        store.execute("analyze syncbridge.outbox, syncbridge.link")
        mapping_id = apply_mapping(store, "later")
    _fill(store, mapping_id)
    if statistics == "known":
        store.execute("vacuum analyze syncbridge.outbox, syncbridge.link")
    database.prefer_indexes(store)
    return mapping_id


def _fill(store: Connection, mapping_id: int) -> None:
    store.execute(_FILL, {"mapping": mapping_id})
    store.execute(_LINK, {"mapping": mapping_id})


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _plans(store: Connection, sql: str, parameters: dict[str, Any]) -> Iterator[list[Mapping[str, Any]]]:
    """Nodes of the plan made for these parameters, and of the one for any."""
    for mode in ("force_custom_plan", "force_generic_plan"):
        store.execute(f"set plan_cache_mode = {mode}")
        row = store.execute("explain (format json) " + sql, parameters, prepare=True).fetchone()
        assert row is not None
        yield list(_nodes(row[0][0]["Plan"]))


def _assert_found_by_whole_key(nodes: list[Mapping[str, Any]], index: str) -> None:
    used = [node for node in nodes if node.get("Index Name") == index]
    assert used
    assert all("mapping_id" in node["Index Cond"] and "key" in node["Index Cond"] for node in used)


def _assert_nothing_is_read_whole(nodes: list[Mapping[str, Any]]) -> None:
    costly = {"Sort", "Incremental Sort", "Seq Scan", "Bitmap Heap Scan", "Hash Join", "Merge Join"}
    assert not costly & {node["Node Type"] for node in nodes}


def test_a_claim_reads_the_rows_that_are_next_in_order_and_their_links_by_key(filled: Filled) -> None:
    store, mapping_id = filled
    parameters = claims._parameters(mapping_id, 7, 1000, None, lease=60.0)
    for nodes in _plans(store, claims._CLAIM, parameters):
        _assert_nothing_is_read_whole(nodes)
        assert any(node.get("Index Name") == "outbox_next" for node in nodes)
        _assert_found_by_whole_key(nodes, "link_pkey")


@pytest.mark.parametrize("statement", ["_LOCK", "_DELETE", "_RELEASE_CHANGED", "_KEEP"])
def test_settling_finds_each_row_by_its_whole_key(filled: Filled, statement: str) -> None:
    store, mapping_id = filled
    several = len(_KEYS)
    parameters = {
        "mapping": mapping_id,
        "claim": 7,
        "keys": text_array(_KEYS),
        "versions": bigint_array([1] * several),
        "statuses": text_array(["pending"] * several),
        "tried": boolean_array([False] * several),
        "resend": boolean_array([False] * several),
        "delays": bigint_array([0] * several),
        "codes": text_array([None] * several),
        "messages": text_array([None] * several),
    }
    for nodes in _plans(store, getattr(claims, statement), parameters):
        _assert_nothing_is_read_whole(nodes)
        _assert_found_by_whole_key(nodes, "outbox_pkey")
