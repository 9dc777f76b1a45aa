"""Which org a login reached, by what its answer says; no call is made for it.

Sources: the answers of the token endpoint name it in `id`, `https://login.salesforce.com/id/<organization>/<user>`
(Salesforce help, "OAuth 2.0 identity URL"); session ids begin with the org's 15 characters and an exclamation mark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from syncbridge.destinations.salesforce.normal_form import long_id

_SESSION = re.compile(r"(00D[0-9A-Za-z]{12})!")
_PATH = re.compile(r"/id/(00D[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?)/")


def organization(token: str, answer: Mapping[str, Any]) -> str | None:
    """The id of the org, 18 characters, of an access token and the answer that brought it.

    None for a token that says nothing, a JWT that was set as `session_id`: then the org is not compared.
    """
    found = _PATH.match(urlsplit(str(answer.get("id") or "")).path) or _SESSION.match(token)
    return long_id(found[1]) if found else None
