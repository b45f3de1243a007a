"""Which Elasticsearch a push goes to, and who it says that it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from claude_force.network.connection import Patience
from claude_force.network.secret import Secret
from claude_force.settings.fields import Fields, Known

FIELDS: Known = {
    **dict.fromkeys(("url", "username", "ca_file")),
    "password": "ELASTIC_PASSWORD",
    "api_key": "ELASTIC_API_KEY",
}
URL = "http://localhost:9200"

PATIENCE = Patience(30.0, 60.0)
"""A server may take its time over some hundred documents."""


@dataclass(frozen=True, slots=True)
class Login:
    """How a client says who it is: an API key, a name with a password, or not at all."""

    api_key: Secret | None = None
    username: str = ""
    password: Secret | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What of it must not be shown."""
        return tuple(secret for secret in (self.api_key, self.password) if secret is not None)

    @property
    def options(self) -> dict[str, Any]:
        """It as the client takes it."""
        if self.api_key is not None:
            return {"api_key": self.api_key.reveal()}
        return {"basic_auth": (self.username, self.password.reveal())} if self.password is not None else {}


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and how long to wait for it. The URL ends without a slash and holds no login, so that it may be
    shown."""

    url: str
    login: Login = field(default_factory=Login)
    ca_file: Path | None = None
    patience: Patience = PATIENCE


def server_of(fields: Fields) -> Server:
    """The server that the fields name, else ELASTICSEARCH_URL, else the one of this machine. What is wrong is noted."""
    login = _login(fields)
    url = fields.text("url", fields.environment.get("ELASTICSEARCH_URL") or URL).rstrip("/")
    fields.check_url("url", url, is_private=login != Login())
    return Server(_refuse_more(fields, url), login, fields.authority())


def _refuse_more(fields: Fields, url: str) -> str:
    """A URL is scheme, host, port and path: anything more would be a secret, or lost."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.username is not None or parts.password is not None:
        # One that a variable brought stands nowhere in claude.json.
        note = fields.expose if "@" in str(fields.given.get("url")) else fields.problem
        note("url", "must not hold a login; write username, and password as a variable or a file")
        return ""
    if parts.query or parts.fragment:
        fields.problem("url", "must end with the path, without ? and #")
    return url


def _login(fields: Fields) -> Login:
    """The login of the fields. Its secret may also stand in the variable that is meant for it alone."""
    has_name = fields.has("username")
    api_key, password = _secret(fields, "api_key", not has_name), _secret(fields, "password", has_name)
    if has_name and api_key is not None:
        fields.problem("api_key", "and username are two ways to log in; remove one of them")
    if has_name and password is None:
        fields.lack("password", f"is missing; set {FIELDS['password']}")
    if password is not None and not has_name:
        fields.problem("username", "is missing, which the password belongs to")
    return Login(api_key, fields.text("username", ""), password)


def _secret(fields: Fields, name: str, is_asked: bool) -> Secret | None:
    variable = FIELDS[name]
    if is_asked and variable in fields.environment and not fields.has(name):
        fields.given[name] = f"${{{variable}}}"
    return fields.secret(name) if fields.has(name) else None
