"""Conditional requests for single records: 304 for what the client has already, 412 for what has changed since."""

from __future__ import annotations

from email.utils import format_datetime, parsedate_to_datetime

import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api

LONG_AGO = "Mon, 30 Nov 2020 08:34:54 GMT"


def path_of(api: Api, kind: str = "Account") -> str:
    values = {"Account": {"Name": "Acme"}, "Contact": {"LastName": "L"}}[kind]
    return f"/sobjects/{kind}/{api.create(kind, **values)}"


def test_a_read_tells_when_the_record_changed_and_accounts_have_an_etag(api: Api) -> None:
    account, contact = api.get(path_of(api)), api.get(path_of(api, "Contact"))
    moment = parsedate_to_datetime(account.headers["Last-Modified"])
    assert moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000") == account.json()["LastModifiedDate"]
    assert account.headers["ETag"].startswith('"')
    assert "ETag" not in contact.headers


def test_if_modified_since_is_304_until_the_record_changes(api: Api, sandbox: SandboxServer) -> None:
    path = path_of(api, "Contact")
    since = {"If-Modified-Since": api.get(path).headers["Last-Modified"]}
    same = api.get(path, headers=since)
    assert (same.status_code, same.content) == (304, b"")
    sandbox.control.advance_clock(5)
    api.patch(path, json={"LastName": "M"})
    assert api.get(path, headers=since).status_code == 200
    assert api.get(path, headers={"If-Modified-Since": "soon"}).status_code == 200


def test_if_none_match_is_304_for_a_read_and_412_for_a_write(api: Api) -> None:
    path = path_of(api)
    tag = api.get(path).headers["ETag"]
    assert api.get(path, params={"fields": "Name"}, headers={"If-None-Match": tag}).status_code == 304
    assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert api.patch(path, json={"Name": "Bolt"}, headers={"If-None-Match": tag}).status_code == 412
    assert api.get(path).json()["Name"] == "Acme"


def test_if_match_lets_only_the_first_of_two_writers_through(api: Api) -> None:
    path = path_of(api)
    tag = api.get(path).headers["ETag"]
    known = {"If-Match": f'"other", {tag[:-1]}--gzip"'}
    assert api.patch(path, json={"Name": "Bolt"}, headers=known).status_code == 204
    late = api.patch(path, json={"Name": "Core"}, headers=known)
    assert (late.status_code, late.json()[0]["errorCode"]) == (412, "PRECONDITION_FAILED")
    assert api.get(path, headers=known).status_code == 412
    assert api.get(path).json()["Name"] == "Bolt"


def test_if_unmodified_since_is_412_once_the_record_has_changed(api: Api, sandbox: SandboxServer) -> None:
    path = path_of(api, "Contact")
    moment = parsedate_to_datetime(api.get(path).headers["Last-Modified"])
    unchanged = {"If-Unmodified-Since": format_datetime(moment, usegmt=True)}
    assert api.patch(path, json={"FirstName": "A"}, headers=unchanged).status_code == 204
    sandbox.control.advance_clock(5)
    api.patch(path, json={"FirstName": "B"})
    for headers in (unchanged, {"If-Unmodified-Since": LONG_AGO}):
        assert api.patch(path, json={"FirstName": "C"}, headers=headers).status_code == 412
        assert api.get(path, headers=headers).status_code == 412
    assert api.get(path).json()["FirstName"] == "B"


@pytest.mark.parametrize("header", [{"If-Match": "tag"}, {"If-None-Match": "tag"}, {"If-Unmodified-Since": "soon"}])
def test_a_condition_of_a_write_that_cannot_be_read_is_400(api: Api, header: dict[str, str]) -> None:
    path = path_of(api)
    response = api.patch(path, json={"Name": "Bolt"}, headers=header)
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "INVALID_HEADER")
    assert api.get(path).json()["Name"] == "Acme"


def test_a_record_that_is_gone_is_404_whatever_the_condition(api: Api) -> None:
    path = path_of(api)
    headers = {"If-Unmodified-Since": LONG_AGO}
    api.delete(path)
    assert api.get(path, headers=headers).status_code == 404
    assert api.patch(path, json={"Name": "Bolt"}, headers=headers).status_code == 404
