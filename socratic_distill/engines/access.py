"""The way to a server: its address, its key, the proxy before it. No error here shows a key."""

import os
import re
import urllib.request
from urllib.parse import urlsplit

from socratic_distill.errors import UserError


def checked_address(base_url: str) -> str:
    """Return an address without its last slash. Raises UserError where it is none, or holds a password."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UserError(f"server.base_url is {base_url!r}; it should look like http://localhost:8000/v1")
    if parts.username or parts.password:
        raise UserError("server.base_url holds a name or a password; put the key in a variable named by server.key_env")
    return base_url.rstrip("/")


def key_in(variable: str) -> str:
    """Read a key from the environment; none where no variable is named. Raises UserError where it can't be used."""
    if not variable:
        return ""
    if not re.fullmatch("[A-Z_][A-Z0-9_]*", variable):  # not shown: it may be the key itself
        raise UserError("server.key_env is not the name of an environment variable, such as OPENAI_API_KEY")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"the environment variable {variable} is not set; put the server's key in it")
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"the environment variable {variable} holds characters that no key has; set it again")
    return key


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for an address."""
    parts = urlsplit(url)
    return None if urllib.request.proxy_bypass(parts.netloc) else urllib.request.getproxies().get(parts.scheme)
