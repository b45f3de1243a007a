"""Where the receiver listens and whom it lets in: `performance.otlp_port` and the token of claude.json."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from claude_force.errors import SettingsError
from claude_force.network.redaction import Secret
from claude_force.settings.claude_json import Settings
from claude_force.settings.fields import Fields, Problems
from claude_force.settings.home import SECTION

_TOKEN = "otlp_token"  # noqa: S105  (the name of the setting)
_VARIABLE = "CLAUDE_FORCE_OTLP_TOKEN"


def token_of(settings: Settings, environment: Mapping[str, str], folder: Path) -> Secret | None:
    """The token that clients must send; None if there is none. A relative file is relative to `folder`. Raises
    SettingsError if it cannot be read, or is in claude.json itself."""
    fields = _fields(settings, environment, folder)
    if not fields.has(_TOKEN):
        return None
    token = fields.secret(_TOKEN)
    if fields.problems:
        raise SettingsError("; ".join(f"{SECTION}: {problem}" for problem in fields.problems))
    return token


def token_in(file: Path) -> Secret:
    """The token in a file that only its owner can read. Raises SettingsError."""
    token = token_of(Settings(otlp_token_file=str(file)), {}, Path())
    assert token is not None
    return token


def token_problems(settings: Settings, environment: Mapping[str, str], folder: Path) -> Problems:
    """What is wrong with the token in claude.json, whatever variables are set."""
    fields = _fields(settings, environment, folder)
    if fields.has(_TOKEN):
        fields.secret(_TOKEN)
    return fields.lasting()


def _fields(settings: Settings, environment: Mapping[str, str], folder: Path) -> Fields:
    given = {_TOKEN: settings.otlp_token, f"{_TOKEN}_file": settings.otlp_token_file}
    return Fields(SECTION, given, {_TOKEN: _VARIABLE}, environment, folder)


def server_tls(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """TLS with a certificate, and its key if that is in a file of its own. Raises SettingsError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password=lambda: _refuse_password(key or certificate))
    except ssl.SSLError:
        raise SettingsError(f"{certificate}: no certificate in PEM form, or not that of the key") from None
    except OSError as error:
        raise SettingsError(f"{certificate if key is None else f'{certificate} or {key}'}: {error.strerror}") from None
    return context


def _refuse_password(key: Path) -> str:
    # Without this, OpenSSL asks for it on the terminal, where a service has none.
    raise SettingsError(f"{key}: the key has a password; give one without")
