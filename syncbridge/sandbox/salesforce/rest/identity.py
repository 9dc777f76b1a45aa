"""Who is logged in: the identity URL that every token answer names, userinfo and OpenID Connect's discovery."""

from __future__ import annotations

from typing import Any

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.org.ids import to_18
from syncbridge.sandbox.salesforce.rest.reading import stored_values
from syncbridge.sandbox.salesforce.rest.versions import NEWEST_VERSION, known_version
from syncbridge.sandbox.salesforce.store.storage import USER_ID
from syncbridge.sandbox.salesforce.store.values import Stored

TEXT = "text/html;charset=UTF-8"
USER_COLUMNS = ("Username", "Email", "FirstName", "LastName", "Name", "CommunityNickname", "TimeZoneSidKey",
                "LocaleSidKey", "LanguageLocaleKey", "LastModifiedDate")  # fmt: skip
ADDRESS = ("addr_street", "addr_city", "addr_state", "addr_country", "addr_zip")
SOAP_URLS = {"enterprise": "c", "metadata": "m", "partner": "u"}
REST_URLS = {
    "rest": "", "sobjects": "sobjects/", "search": "search/", "query": "query/", "recent": "recent/",
    "tooling_rest": "tooling/", "feeds": "chatter/feeds", "groups": "chatter/groups", "users": "chatter/users",
    "feed_items": "chatter/feed-items", "feed_elements": "chatter/feed-elements",
}  # fmt: skip


def identity(call: Call) -> Reply:
    """GET /id/{organization}/{user}: the user behind the session, for the ids that a token answer gave."""
    refused = _refused(call)
    if refused is not None:
        return refused
    if to_18(call.params["organization"]) != call.sandbox.sessions.organization:
        return Reply(403, b"Wrong_Org", {}, TEXT)
    if to_18(call.params["user"]) != USER_ID:
        return Reply(404, b"Bad_Id", {}, TEXT)
    version = call.query.get("version")
    if version not in (None, "latest") and known_version(str(version)) is None:
        return Reply(406, b"Invalid_Version", {}, TEXT)
    user, url, organization = _user(call), call.own_url, call.sandbox.sessions.organization
    return answer(
        {
            "id": f"{url}/id/{organization}/{USER_ID}", "asserted_user": True, "user_id": USER_ID,
            "organization_id": organization, "username": user["Username"], "nick_name": user["CommunityNickname"],
            "display_name": user["Name"], "email": user["Email"], "email_verified": True,
            "first_name": user["FirstName"], "last_name": user["LastName"], "timezone": user["TimeZoneSidKey"],
            "photos": _photos(url), **dict.fromkeys(ADDRESS), "mobile_phone": None, "mobile_phone_verified": False,
            "is_lightning_login_user": False, "status": {"created_date": None, "body": None},
            "urls": _urls(url, organization, version), **_common(user), "last_modified_date": user["LastModifiedDate"],
        }
    )  # fmt: skip


def userinfo(call: Call) -> Reply:
    """GET or POST /services/oauth2/userinfo: the same in the words of OpenID Connect"""
    refused = _refused(call)
    if refused is not None:
        return refused
    user, url, organization = _user(call), call.own_url, call.sandbox.sessions.organization
    return answer(
        {
            "sub": f"{url}/id/{organization}/{USER_ID}", "user_id": USER_ID, "organization_id": organization,
            "preferred_username": user["Username"], "nickname": user["CommunityNickname"], "name": user["Name"],
            "email": user["Email"], "email_verified": True, "given_name": user["FirstName"],
            "family_name": user["LastName"], "zoneinfo": user["TimeZoneSidKey"], "photos": _photos(url),
            "profile": f"{url}/{USER_ID}", "picture": _photos(url)["picture"], "address": {},
            "urls": _urls(url, organization, None), **_common(user), "updated_at": user["LastModifiedDate"],
        }
    )  # fmt: skip


def discovery(call: Call) -> Reply:
    """GET /.well-known/openid-configuration"""
    url = call.own_url
    oauth = f"{url}/services/oauth2"
    return answer(
        {
            "issuer": url, "authorization_endpoint": f"{oauth}/authorize", "token_endpoint": f"{oauth}/token",
            "revocation_endpoint": f"{oauth}/revoke", "userinfo_endpoint": f"{oauth}/userinfo",
            "introspection_endpoint": f"{oauth}/introspect", "jwks_uri": f"{url}/id/keys",
            "scopes_supported": ["api", "id", "refresh_token"], "response_types_supported": ["code"],
            "subject_types_supported": ["public"], "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "display_values_supported": ["page", "popup", "touch"],
        }
    )  # fmt: skip


def keys(call: Call) -> Reply:
    """GET /id/keys: none, as the sandbox signs no id tokens"""
    return answer({"keys": []})


def _refused(call: Call) -> Reply | None:
    """Both endpoints refuse in plain text, which is how jsforce knows that it must log in again."""
    token = call.query.get("access_token") or call.query.get("oauth_token")
    header = call.headers.get("authorization", "")
    token = token or header.partition(" ")[2].strip()
    if not token:
        return Reply(403, b"Missing_OAuth_Token", {}, TEXT)
    if not call.sandbox.sessions.is_valid(token):
        return Reply(403, b"Bad_OAuth_Token", {}, TEXT)
    return None


def _user(call: Call) -> dict[str, Stored]:
    return stored_values(call, "User", USER_ID, USER_COLUMNS)


def _common(user: dict[str, Stored]) -> dict[str, Any]:
    return {
        "active": True, "user_type": "STANDARD", "language": user["LanguageLocaleKey"], "locale": user["LocaleSidKey"],
        "utcOffset": 0, "is_app_installed": True,
    }  # fmt: skip


def _photos(url: str) -> dict[str, str]:
    return {"picture": f"{url}/profilephoto/005/F", "thumbnail": f"{url}/profilephoto/005/T"}


def _urls(url: str, organization: str, version: str | None) -> dict[str, str]:
    """Where the APIs are; `{version}` is left to the client, unless it asked for one."""
    number = f"{NEWEST_VERSION}.0" if version == "latest" else version or "{version}"
    soap = {name: f"{url}/services/Soap/{kind}/{number}/{organization[:15]}" for name, kind in SOAP_URLS.items()}
    rest = {name: f"{url}/services/data/v{number}/{path}" for name, path in REST_URLS.items()}
    return soap | rest | {"profile": f"{url}/{USER_ID}", "custom_domain": url}
