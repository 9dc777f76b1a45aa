"""The rules of windows for changed and deleted ids."""

from __future__ import annotations

import pytest

from syncbridge.sandbox.salesforce.rest import changed
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api

CODE = "INVALID_REPLICATION_DATE"


def window(api: Api, feed: str, start: str, end: str) -> tuple[int, object]:
    response = api.get(f"/sobjects/Account/{feed}", params={"start": start, "end": end})
    body = response.json()
    return response.status_code, body[0]["errorCode"] if isinstance(body, list) else body["latestDateCovered"]


def minutes_ago(sandbox: SandboxServer, minutes: int, second: int) -> str:
    return sandbox.sandbox.clock.stamp_before(60 * minutes)[:17] + f"{second:02d}.000+0000"


def test_seconds_of_a_window_do_not_count(api: Api, sandbox: SandboxServer) -> None:
    at = [minutes_ago(sandbox, 10, second) for second in (1, 59, 0)]
    assert window(api, "updated", at[0], at[1]) == (400, CODE)
    later = minutes_ago(sandbox, 5, 42)
    assert window(api, "updated", at[0], later) == (200, minutes_ago(sandbox, 5, 0))


@pytest.mark.parametrize(("feed", "status"), [("updated", 200), ("deleted", 400)])
def test_a_window_of_deletes_is_longer_than_a_minute(api: Api, sandbox: SandboxServer, feed: str, status: int) -> None:
    start = minutes_ago(sandbox, 10, 0)
    assert window(api, feed, start, minutes_ago(sandbox, 9, 30))[0] == status
    assert window(api, feed, start, minutes_ago(sandbox, 8, 0))[0] == 200


@pytest.mark.parametrize(("feed", "days"), [("updated", 30), ("deleted", 15)])
def test_a_window_goes_back_no_further_than_the_feed(api: Api, sandbox: SandboxServer, feed: str, days: int) -> None:
    end = minutes_ago(sandbox, 2, 0)
    assert window(api, feed, minutes_ago(sandbox, days * 1440 - 2, 0), end)[0] == 200
    assert window(api, feed, minutes_ago(sandbox, days * 1440 + 2, 0), end) == (400, CODE)


def test_too_many_ids_are_refused(api: Api, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        api.create("Account", Name=str(number))
    sandbox.control.advance_clock(120)
    start, end = minutes_ago(sandbox, 10, 0), minutes_ago(sandbox, 0, 0)
    monkeypatch.setattr(changed, "MOST_IDS", 3)
    assert window(api, "updated", start, end)[0] == 200
    monkeypatch.setattr(changed, "MOST_IDS", 2)
    assert window(api, "updated", start, end) == (400, "EXCEEDED_ID_LIMIT")
