"""simple-salesforce speaks https only, the sandbox http only."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter


class PlainHttp(HTTPAdapter):
    """Sends to a plain-http server what a client insists on calling https."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        path = str(request.url).split("/", 3)[3]
        request.url = f"{self._url}/{path}"
        return super().send(request, *args, **kwargs)
