"""Raised once, recovered once, whatever happens in between; and how that reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from syncbridge import config
from syncbridge.alerts.conditions import Holds, Reading
from syncbridge.alerts.message import compose, project_name
from syncbridge.alerts.transition import Transition, transition
from syncbridge.store.alerts import Remembered
from tests.alerts.snapshots import AT, HALTED_AT

CALM = timedelta(minutes=5)
LAG = Reading("lag", "people", "lag over 10m", Holds.YES, "its oldest change waits for 11 min", "Run: this")
HALTED = Reading("halted", "people", "halted", Holds.YES, "the field is gone", "Mend it.", since=HALTED_AT, steady=True)
WORKER = Reading("worker", "worker", "no worker", Holds.YES, "no worker captures", after=60.0)


class Watch:
    """Looks one after the other, and what each told."""

    def __init__(self) -> None:
        self.at = AT
        self.remembered: list[Remembered] = []

    def look(self, *readings: Reading, after: float = 30.0) -> str:
        """`+lag` and `-lag` for what was raised and what has recovered."""
        change = self.change(readings, after)
        told = [f"+{each.kind}" for each in change.raised] + [f"-{each.alert.kind}" for each in change.recovered]
        return " ".join(told)

    def change(self, readings: Sequence[Reading], after: float = 30.0) -> Transition:
        self.at += timedelta(seconds=after)
        change = transition(self.remembered, readings, at=self.at, calm=CALM)
        held = {(each.kind, each.about): each for each in self.remembered}
        held |= {(each.kind, each.about): each for each in change.kept}
        for each in change.gone:
            del held[each.kind, each.about]
        self.remembered = list(held.values())
        return change


def no(reading: Reading) -> Reading:
    return replace(reading, holds=Holds.NO, words="well", since=None)


def as_before(reading: Reading) -> Reading:
    return replace(reading, holds=Holds.AS_BEFORE, since=None)


def test_it_is_raised_once_and_recovered_once() -> None:
    watch = Watch()
    assert [watch.look(LAG) for _ in range(3)] == ["+lag", "", ""]
    assert watch.look(no(LAG)) == ""
    assert watch.look(no(LAG), after=299) == ""
    assert watch.look(no(LAG), after=1) == "-lag"
    assert (watch.look(no(LAG)), watch.remembered) == ("", [])


def test_what_is_as_before_changes_nothing() -> None:
    watch = Watch()
    assert [watch.look(as_before(LAG)), watch.remembered] == ["", []]
    assert [watch.look(LAG), watch.look(as_before(LAG), after=9999), watch.look(LAG)] == ["+lag", "", ""]


def test_a_figure_that_dances_is_one_alert_until_it_was_calm_long_enough() -> None:
    watch = Watch()
    told = [watch.look(LAG if turn % 2 else no(LAG), after=200) for turn in range(20)]
    assert [each for each in told if each] == ["+lag"]
    assert watch.look(no(LAG), after=10) == ""
    assert watch.look(as_before(LAG), after=290) == ""  # not well: the calm begins anew
    assert watch.look(no(LAG), after=299) == ""
    assert watch.look(no(LAG), after=300) == "-lag"


def test_a_stop_by_a_person_s_matter_is_over_at_once() -> None:
    watch = Watch()
    assert [watch.look(HALTED), watch.look(no(HALTED)), watch.look(no(HALTED))] == ["+halted", "-halted", ""]


def test_a_mapping_that_was_resumed_and_halted_again_between_two_looks_is_told_again() -> None:
    watch = Watch()
    again = replace(HALTED, since=HALTED_AT + timedelta(minutes=1), words="another reason")
    assert [watch.look(HALTED), watch.look(again), watch.look(again)] == ["+halted", "+halted", ""]
    assert watch.remembered[0].words == "another reason"


def test_what_a_restart_explains_is_told_only_when_it_lasts() -> None:
    watch = Watch()
    assert [watch.look(WORKER), watch.look(no(WORKER)), watch.remembered] == ["", "", []]
    assert [watch.look(WORKER), watch.look(WORKER, after=59), watch.look(WORKER, after=1)] == ["", "", "+worker"]


def test_what_is_not_watched_any_more_is_over() -> None:
    watch = Watch()
    watch.look(LAG, HALTED)
    change = watch.change([])
    assert {each.now for each in change.recovered} == {"it is not watched any more"}
    assert watch.remembered == []


def test_nothing_is_written_while_nothing_changes() -> None:
    watch = Watch()
    watch.look(LAG)
    assert watch.change([LAG]).kept == ()
    assert [each.words for each in watch.change([replace(LAG, words="12 min")]).kept] == ["12 min"]


@given(st.lists(st.tuples(st.sampled_from(Holds), st.integers(1, 400)), max_size=60), st.booleans())
def test_every_recovery_follows_one_raise(steps: list[tuple[Holds, int]], steady: bool) -> None:
    watch, open_now = Watch(), False
    for holds, seconds in steps:
        told = watch.look(replace(LAG, holds=holds, steady=steady), after=seconds)
        assert told in (("", "-lag") if open_now else ("", "+lag"))
        open_now = open_now != bool(told)
        assert not (holds is Holds.YES and not open_now), "what holds is told"
        assert open_now == any(each.raised_at for each in watch.remembered)


def test_a_message_says_what_since_when_the_number_and_the_command() -> None:
    title, body = compose(Watch().change([HALTED]), "app on db")
    assert title == "syncbridge, app on db: people: halted"
    assert body == "RAISED people: halted\nthe field is gone\nSince 2026-03-01 11:57:00 UTC.\nMend it."


def test_a_recovery_says_how_long_it_lasted_and_how_it_is_now() -> None:
    watch = Watch()
    watch.look(HALTED)
    title, body = compose(watch.change([replace(no(HALTED), words="it is active now")], after=600), "app on db")
    assert title == "syncbridge, app on db: people: halted: recovered"
    assert body == (
        "RECOVERED people: halted\nIt lasted 13 min, from 2026-03-01 11:57:00 UTC to 2026-03-01 12:10:30 UTC."
        " Now: it is active now."
    )


def test_the_calm_before_a_recovery_is_told_does_not_count() -> None:
    watch = Watch()
    watch.look(LAG)
    watch.look(no(LAG), after=600)
    _, body = compose(watch.change([no(LAG)], after=300), "app")
    assert "It lasted 10 min" in body


def test_what_happens_at_once_is_one_message() -> None:
    title, body = compose(Watch().change([LAG, HALTED]), "app")
    assert title == "syncbridge, app: 2 raised"
    assert [part.splitlines()[0] for part in body.split("\n\n")] == [
        "RAISED people: lag over 10m",
        "RAISED people: halted",
    ]


def test_a_message_stays_short_when_everything_breaks_at_once() -> None:
    title, body = compose(Watch().change([replace(LAG, about=f"m{n}") for n in range(30)]), "app")
    assert title == "syncbridge, app: 30 raised"
    assert body.endswith("\n\nand 10 more. Run: syncbridge alerts")
    assert body.count("RAISED") == 20


def test_the_project_is_called_by_its_database_and_host_or_its_own_name() -> None:
    environ = {"SYNCBRIDGE_POSTGRES_DSN": "postgresql://me:hunter2@db.internal/app"}
    assert project_name(config.load(None, environ)) == "app on db.internal"
    assert project_name(config.load(None, environ | {"SYNCBRIDGE_ALERTS__NAME": "production"})) == "production"
