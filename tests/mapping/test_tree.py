"""What `on` says, and the tree of relations."""

from __future__ import annotations

import pytest

from syncbridge.mapping.tree import On, grow, parse_on


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("company.id = people.company_id", On("people", ("id",), ("company_id",))),
        ("people.company_id=company.id", On("people", ("id",), ("company_id",))),
        ("COMPANY . ID = People.Company_Id", On("people", ("id",), ("company_id",))),
        ('company."Id x" = "Odd ""T"".".é', On('Odd "T".', ("Id x",), ("é",))),
        (
            "company.a = p.x\n  AND p.y = company.b and company.c = p.z",
            On("p", ("a", "b", "c"), ("x", "y", "z")),
        ),
    ],
)
def test_on_is_read_as_postgres_reads_names(text: str, expected: On) -> None:
    assert parse_on(text, "company") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("company.id > people.id", "write `company.id = other.company_id`, several joined by `and`; other conditions"),
        ("company.id = people.id or true", "other conditions belong into where:"),
        ("company.id = people.id and company.vip", "other conditions belong into where:"),
        ("company.id = people.id and", "other conditions belong into where:"),
        ("company.id = 5", "other conditions belong into where:"),
        ("id = people.company_id", "other conditions belong into where:"),
        ("company.id = public.people.company_id", "other conditions belong into where:"),
        ("lower(company.id) = people.company_id", "other conditions belong into where:"),
        ("company.id = people.company_id -- so", "other conditions belong into where:"),
        ("company.id = people.idandcompany.id = people.id", "other conditions belong into where:"),
        ("company.id = company.parent", "one side of every equality is company, the other is what it hangs on"),
        ("a.id = b.id", "one side of every equality is company"),
        ("company.id = a.id and company.id = b.id", "company hangs on one table or relation, not on a and b"),
    ],
)
def test_anything_else_in_on_is_refused_with_how_it_should_read(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_on(text, "company")
    assert message in str(refused.value)


def test_anchors_come_first_whatever_the_order_of_the_file() -> None:
    related = {
        "c": ("c.id = b.c_id", False),
        "b": ("b.id = a.b_id", False),
        "many": ("many.a_id = a.id", True),
        "deep": ("deep.id = inner_one.d", False),
        "inner_one": ("inner_one.id = many.x", False),
        "a": ("a.id = root.a_id", False),
    }
    branches, faults = grow("root", related)
    assert faults == ()
    names = [branch.name for branch in branches]
    assert all(branch.on.anchor in ["root", *names[: names.index(branch.name)]] for branch in branches)
    assert {branch.name: branch.inside for branch in branches if branch.inside} == {"inner_one": "many", "deep": "many"}


@pytest.mark.parametrize(
    ("related", "name", "message"),
    [
        ({"a": ("a.id = rot.a", False)}, "a", "there is no table or relation 'rot' here; did you mean 'root'?"),
        ({"a": ("a.id = b.a", False), "b": ("b.id = a.b", False)}, "a", "hang on each other in a circle: a -> b -> a"),
        (
            {"x": ("x.id = b.a", False), "b": ("b.id = c.a", False), "c": ("c.id = b.b", False)},
            "b",
            "these relations hang on each other in a circle: b -> c -> b",
        ),
        (
            {"a": ("a.r = root.id", True), "b": ("b.a = a.id", True)},
            "b",
            "b hangs on a, which is rolled up already",
        ),
        ({"a": ("a.id", False)}, "a", "write `a.id = other.a_id`"),
    ],
)
def test_a_relation_without_a_place_is_told_once(related: dict[str, tuple[str, bool]], name: str, message: str) -> None:
    _, faults = grow("root", related)
    assert [fault.name for fault in faults] == [name]
    assert message in faults[0].message
