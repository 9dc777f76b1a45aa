"""Names of both sides as words: spelled differently, the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.mapping.suggesting.words import singular, thing, usual, without, words_of


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["first_name", "FirstName", "firstName", "FNAME", "First_Name__c", "crm__FirstName__c"], "first name"),
        (["zip", "ZIP_CODE", "PostalCode", "postcode"], "postal code"),
        (["dob", "birth_date", "Birthdate", "birthday"], "birth date"),
        (["closed_at", "ClosedDate", "closed_on"], "closed date"),
        (["UTMSource", "utm_src"], "utm source"),
        (["NumberOfEmployees", "num_of_employees"], "number of employee"),
        (["url", "Website"], "website"),
        (["line2", "Line_2__c"], "line 2"),
        (["Straße", "straße"], "straße"),
        (["people", "persons", "person"], "person"),
    ],
)  # fmt: skip
def test_spellings_of_one_name_are_the_same_words(names: list[str], words: str) -> None:
    assert {" ".join(words_of(name)) for name in names} == {words}


@pytest.mark.parametrize(
    ("plural", "one"),
    [("companies", "company"), ("boxes", "box"), ("statuses", "status"), ("orders", "order"), ("status", "status")],
)
def test_plurals_are_dropped(plural: str, one: str) -> None:
    assert singular(plural) == one


def test_a_name_of_no_words_has_none() -> None:
    assert words_of("_") == ()


@given(st.text(max_size=40))
def test_any_name_can_be_cut(name: str) -> None:
    assert all(word == word.lower() or not word.isascii() for word in words_of(name))


def test_the_owners_name_is_taken_off_only_where_something_is_left() -> None:
    assert without(("company", "name"), ("company",)) == ("name",)
    assert without(("company",), ("company",)) == ("company",)


def test_usual_names_are_told_from_those_that_only_often_mean_it() -> None:
    assert usual(words_of("headcount"), words_of("NumberOfEmployees")) == "sure"
    assert usual(words_of("title"), words_of("Name")) == "likely"
    assert usual(words_of("email"), words_of("Phone")) == ""


def test_things_have_one_word() -> None:
    assert thing(words_of("parent_company")) == thing(words_of("ParentAccount"))
