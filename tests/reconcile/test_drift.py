"""What a look at one key comes to, worked out from what was seen alone."""

from __future__ import annotations

from dataclasses import replace

from syncbridge.model import Fields
from syncbridge.reconcile.drift import Kind, Record, Rules, Seen, Standing, judge

RULES = Rules(("Name",), "delete", {}, keeps_rows=False)
ONLY_IN = replace(RULES, sends=False)
ROW: Fields = {"Name": "Ada"}


def test_a_linked_record_without_its_key_is_drift_only_where_keys_are_sent() -> None:
    record = Record("r1", {"Name": "Ada", "Key__c": None})
    seen = Seen("1", ROW, linked="r1", linked_record=record)
    assert judge(seen, RULES).kind is Kind.KEY
    assert judge(seen, ONLY_IN).standing is Standing.AGREES
    other = replace(seen, entity={"Name": "Grace"})
    assert judge(other, ONLY_IN).kind is Kind.FIELDS


def test_a_row_without_a_record_is_drift_only_where_rows_are_sent_or_it_had_one() -> None:
    seen = Seen("1", ROW)
    assert judge(seen, RULES).kind is Kind.MISSING
    assert judge(seen, ONLY_IN).standing is Standing.BY_RULE
    assert judge(replace(seen, linked="r1"), ONLY_IN).kind is Kind.MISSING


def test_a_row_that_stayed_by_rule_when_its_record_was_deleted_is_no_drift() -> None:
    assert judge(Seen("1", ROW, dropped=True), RULES).standing is Standing.BY_RULE


def test_what_cannot_be_composed_is_held() -> None:
    assert judge(Seen("1", None, refused="RULE_NOT_HELD"), RULES).standing is Standing.HELD
