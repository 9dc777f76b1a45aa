"""Where an org is reached: the host that signs us in, from what people write as `domain` or `instance_url`.

Browsers show other hosts than the API answers at (`acme.lightning.force.com`, `acme.my.salesforce-setup.com`); such an
address is refused with the one that was meant. Raises ValueError with what to write instead.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

LOGIN_HOSTS = {"login": "login.salesforce.com", "test": "test.salesforce.com"}
_EXAMPLE = "https://acme.my.salesforce.com"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_LABELS = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)
#: Where Salesforce's API answers: everywhere, in US government clouds, and in mainland China.
_API_HOSTS = (".salesforce.com", ".salesforce.mil", ".sfcrmproducts.cn")
#: What browsers show, and what the API's host has in its place.
_BROWSER_HOSTS = (".lightning.force.com", ".my.salesforce-setup.com", "--c.vf.force.com", "--c.visualforce.com")


def login_host(domain: str | None, instance_url: str | None) -> str:
    """Host (and port) that signs us in; `instance_url` wins."""
    if instance_url is not None:
        return _host_of(instance_url)
    return _host_of_domain((domain or "login").strip().rstrip("/"))


def _host_of_domain(domain: str) -> str:
    """`login`, `test`, a My Domain by its name (`acme`, `acme--dev`), a host, or its https address."""
    if domain in LOGIN_HOSTS:
        return LOGIN_HOSTS[domain]
    if "//" in domain:
        return _host_of(domain, name="domain")
    if _NAME.fullmatch(domain):
        return f"{domain}{'.sandbox' if '--' in domain else ''}.my.salesforce.com"
    host = domain if _known(domain) else f"{domain}.salesforce.com"
    if not _LABELS.fullmatch(domain) or not domain.endswith((".my", *_API_HOSTS)):
        _refuse_browser_host(domain, "domain")
        raise ValueError(f"domain should be `login`, `test`, a My Domain such as `acme`, or its address {_EXAMPLE}")
    return host


def _host_of(url: str, name: str = "instance_url") -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError(f"{name} should look like {_EXAMPLE}")
    _refuse_browser_host(parts.hostname, name)
    if parts.path or parts.query or parts.fragment:
        raise ValueError(f"{name} should look like {_EXAMPLE}: leave out what follows the host")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"{name} must use https: plain http is allowed to this machine only")
    return parts.netloc


def _refuse_browser_host(host: str, name: str) -> None:
    for ending in _BROWSER_HOSTS:
        if host.lower().endswith(ending):
            meant = f"{host[: -len(ending)]}.my.salesforce.com"
            raise ValueError(f"{name}: {host} is what a browser shows; the API answers at https://{meant}")
    if host.lower().endswith((".force.com", ".site.com")):
        raise ValueError(f"{name}: {host} is a site of the org; take the My Domain of Setup > My Domain, as {_EXAMPLE}")


def _known(host: str) -> bool:
    return host.lower().endswith(_API_HOSTS)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
