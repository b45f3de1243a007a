"""The address of an Elasticsearch server, and the login."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from claude_force.network.connection import Patience
from claude_force.network.redaction import Secret
from claude_force.settings.fields import Fields, Known

FIELDS: Known = {
    **dict.fromkeys(("url", "username", "ca_file")),
    "password": "ELASTIC_PASSWORD",
    "api_key": "ELASTIC_API_KEY",
}
URL = "http://localhost:9200"

PATIENCE = Patience(30.0, 60.0)
"""A bulk request of a thousand documents may take a while."""


@dataclass(frozen=True, slots=True)
class Login:
    """An API key, a user name with a password, or neither."""

    api_key: Secret | None = None
    username: str = ""
    password: Secret | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What no message may show."""
        return tuple(secret for secret in (self.api_key, self.password) if secret is not None)

    @property
    def headers(self) -> dict[str, str]:
        """The header that logs in."""
        if self.api_key is not None:
            return {"Authorization": f"ApiKey {self.api_key.reveal()}"}
        if self.password is not None:
            pair = f"{self.username}:{self.password.reveal()}"
            return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        return {}


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and how long to wait for it. The URL has no slash at its end and no login, so messages may show it."""

    url: str
    login: Login = field(default_factory=Login)
    ca_file: Path | None = None
    patience: Patience = PATIENCE


def server_from(fields: Fields) -> Server:
    """The server that the fields name, else ELASTICSEARCH_URL, else the one on this machine."""
    login = _login(fields)
    url = fields.text("url", fields.environment.get("ELASTICSEARCH_URL") or URL).rstrip("/")
    fields.check_url("url", url, is_private=login != Login())
    return Server(_without_login(fields, url), login, fields.authority())


def _without_login(fields: Fields, url: str) -> str:
    """The URL; a login in it, or anything after the path, is a problem."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.username is not None or parts.password is not None:
        # A login that came from a variable is not in claude.json.
        note = fields.expose if "@" in str(fields.given.get("url")) else fields.problem
        note("url", "must not hold a login; write username, and password as a variable or a file")
        return ""
    if parts.query or parts.fragment:
        fields.problem("url", "must end with the path, without ? and #")
    return url


def _login(fields: Fields) -> Login:
    """The login of the fields. Its secret may also come from ELASTIC_API_KEY or ELASTIC_PASSWORD."""
    has_name = fields.has("username")
    api_key, password = _secret(fields, "api_key", not has_name), _secret(fields, "password", has_name)
    if has_name and api_key is not None:
        fields.problem("api_key", "and username are two ways to log in; remove one of them")
    if has_name and password is None:
        fields.lack("password", f"is missing; set {FIELDS['password']}")
    if password is not None and not has_name:
        fields.problem("username", "is missing, which the password belongs to")
    return Login(api_key, fields.text("username", ""), password)


def _secret(fields: Fields, name: str, is_expected: bool) -> Secret | None:
    variable = FIELDS[name]
    if is_expected and variable in fields.environment and not fields.has(name):
        fields.given[name] = f"${{{variable}}}"
    return fields.secret(name) if fields.has(name) else None
