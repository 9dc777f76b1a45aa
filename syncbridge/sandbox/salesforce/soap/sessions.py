"""Sessions over SOAP: login for a user, a password and a security token, logout, and who the user is."""

from __future__ import annotations

from typing import Any

from syncbridge.sandbox.salesforce.auth import SESSION_SECONDS
from syncbridge.sandbox.salesforce.call import Call
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.rest.reading import stored_values
from syncbridge.sandbox.salesforce.soap.xml import Envelope
from syncbridge.sandbox.salesforce.store.storage import PROFILE_ID, USER_ID

INVALID_LOGIN = "Invalid username, password, security token; or user locked out."
NEWEST_LOGIN = 64.0
USER_COLUMNS = ("Username", "Email", "Name", "TimeZoneSidKey", "LocaleSidKey", "LanguageLocaleKey")


def login(call: Call, request: Envelope) -> Any:
    """login(username, password)"""
    if call.version > NEWEST_LOGIN:
        text = f"The SOAP Login operation is not available in the API version specified ({call.version})."
        raise Refusal("INVALID_OPERATION", f"{text} Refer to the documentation for supported versions.")
    user, password = (next(iter(request.texts(each)), None) for each in ("username", "password"))
    if not call.sandbox.sessions.is_user(user, password):
        raise Refusal("INVALID_LOGIN", INVALID_LOGIN)
    kind, version = call.params["kind"], call.params["version"]
    home, organization = f"{call.own_url}/services/Soap", call.sandbox.sessions.organization
    return {
        "metadataServerUrl": f"{home}/m/{version}/{organization[:15]}",
        "passwordExpired": False,
        "sandbox": True,
        "serverUrl": f"{home}/{kind}/{version}/{organization[:15]}",
        "sessionId": call.sandbox.sessions.issue(),
        "userId": USER_ID,
        "userInfo": user_info(call, request),
    }


def logout(call: Call, request: Envelope) -> Any:
    """logout()"""
    call.sandbox.sessions.expire(call.token)
    return []


def server_timestamp(call: Call, request: Envelope) -> Any:
    """getServerTimestamp()"""
    return {"timestamp": call.sandbox.clock.stamp().replace("+0000", "Z")}


def user_info(call: Call, request: Envelope) -> Any:
    """getUserInfo()"""
    user = stored_values(call, "User", USER_ID, USER_COLUMNS)
    organization_id = call.sandbox.sessions.organization
    organization = stored_values(call, "Organization", organization_id, ("Name",))
    return {
        "accessibilityMode": False, "chatterExternal": False, "currencySymbol": "$",
        "orgAttachmentFileSizeLimit": 5242880,
        "orgDefaultCurrencyDecimalPlaces": 2, "orgDefaultCurrencyIsoCode": "USD", "orgDefaultCurrencyLocale": None,
        "orgDisallowHtmlAttachments": False, "orgHasPersonAccounts": False, "organizationId": organization_id,
        "organizationMultiCurrency": False, "organizationName": organization["Name"], "profileId": PROFILE_ID,
        "roleId": None, "sessionSecondsValid": SESSION_SECONDS, "userDefaultCurrencyIsoCode": None,
        "userEmail": user["Email"], "userFullName": user["Name"], "userId": USER_ID,
        "userLanguage": user["LanguageLocaleKey"], "userLocale": user["LocaleSidKey"], "userName": user["Username"],
        "userTimeZone": user["TimeZoneSidKey"], "userType": "Standard", "userUiSkin": "Theme3",
    }  # fmt: skip
