"""The fields of one object in claude.json, read one by one: an exporter or a channel.

A secret comes from an environment variable (`"${NAME}"`) or from a file that only its owner can read (`"..._file"`); it
must never be in claude.json itself. Each problem is one line that names the field and the remedy. A field with a
problem reads as an empty value, so that one run finds all problems.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from claude_force.network.connection import Refused, is_loopback, refuse_link_local, tls_context
from claude_force.network.redaction import HIDDEN, Secret, redact_urls
from claude_force.settings.values import REFERENCE, nearest, value_problem
from claude_force.text import kind_of, sanitize

SECRET_FILE_LIMIT = 16 * 1024

Known = Mapping[str, str | None]
"""The fields of an object. For a secret, which may also be given as `FIELD_file`: the variable that remedies
suggest."""


class Problems(NamedTuple):
    """The problems of a part of claude.json, one line each: the `secrets` in it, and the `others`. A variable that is
    not set is not among them: it may be set where the scheduler runs."""

    secrets: list[str]
    others: list[str]

    def add(self, where: str, found: Problems) -> None:
        """Add the problems of a part; each line starts with `where`."""
        self.secrets.extend(f"{where}: {problem}" for problem in found.secrets)
        self.others.extend(f"{where}: {problem}" for problem in found.others)


class Fields:
    """The fields of the object `name`. A relative `..._file` is relative to `folder`."""

    def __init__(self, name: str, given: object, known: Known, environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.environment = environment
        self.folder = folder
        self.problems: list[str] = []
        self.given: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
        self._exposed: list[str] = []
        self._unset: set[str] = set()
        self._known = known
        problem = value_problem(given, dict)
        if problem:
            self.problems.append(problem)
        names = [*known, *file_fields(known)]
        for field in self.given:
            if field not in names:
                self.problems.append(f"there is no field {sanitize(field)}{nearest(field, names)}")

    def problem(self, field: str, what: str) -> None:
        """Record a problem of a field."""
        self.problems.append(f"{field} {what}")

    def expose(self, field: str, what: str) -> None:
        """Record that a field has, or may have, a secret in claude.json itself."""
        self.problem(field, what)
        self._exposed.append(self.problems[-1])

    def lack(self, field: str, what: str) -> None:
        """Record that a field needs a variable that is not set."""
        self.problem(field, what)
        self._unset.add(field)

    def lasting(self) -> Problems:
        """The problems that do not depend on which variables are set."""
        others = [
            problem
            for problem in self.problems
            if problem not in self._exposed and problem.partition(" ")[0] not in self._unset
        ]
        return Problems(self._exposed, others)

    def has(self, field: str) -> bool:
        """Whether a field is given, or for a secret its file."""
        return any(self.given.get(name) is not None for name in (field, f"{field}_file"))

    def text(self, field: str, default: str | None = None) -> str:
        """A text with its variables replaced. If the field is missing: the default, or a problem if that is None."""
        value = self.given.get(field, default)
        if value is None:
            self.problem(field, "is missing")
            return ""
        problem = value_problem(value, str)
        if problem:
            self.problem(field, problem)
            return ""
        return self._expanded(field, str(value))

    def flag(self, field: str) -> bool:
        """True or false; false if the field is missing."""
        value = self.given.get(field, False)
        problem = value_problem(value, bool)
        if problem:
            self.problem(field, problem)
        return value is True

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of texts, or one text with commas between them."""
        value = self.given.get(field)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            found = [self._expanded(field, item) for item in value]
        else:
            found = self.text(field).split(",")
        kept = tuple(item.strip() for item in found if item.strip())
        if not kept and not self._has_problem(field):
            self.problem(field, "is empty")
        return kept

    def secret(self, field: str) -> Secret:
        """A secret, from a variable or from its file."""
        file = f"{field}_file"
        if self.given.get(file) is not None:
            if self.given.get(field) is not None:
                self.problem(field, f"and {file} exclude each other; remove one of them")
            return Secret(self._plain_ascii(file, self._secret_file(file)))
        value = self.given.get(field)
        if isinstance(value, str) and not REFERENCE.search(value):
            variable = self._known[field]
            self.expose(field, f'must not be in claude.json; set {variable} and write "${{{variable}}}"')
            return Secret("")
        return Secret(self._plain_ascii(field, self.text(field)))

    def file(self, field: str) -> Path | None:
        """The path of a file, or None."""
        return self.folder / os.path.expanduser(self.text(field)) if self.has(field) else None  # noqa: PTH111

    def port(self) -> int | None:
        """The field `port`, a number or digits; None if it is missing or wrong."""
        value = self.given.get("port")
        if value is None:
            return None
        if isinstance(value, str):
            text = self.text("port")
            value = int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else text
        problem = value_problem(value, int, (1, 65_535))
        if problem:
            self.problem("port", problem)
        return None if problem else int(value)

    def check_url(self, field: str, url: str, *, is_private: bool) -> None:
        """Check a URL. If what it carries is private, or if it holds a login, it must be https, except on this
        machine."""
        if not url:
            return
        try:
            parts = urlsplit(url)
            host, scheme, _ = parts.hostname or "", parts.scheme, parts.port
            is_private = is_private or parts.username is not None
            refuse_link_local(host)
        except ValueError:
            host, scheme = "", ""
        except Refused as error:
            self.problem(field, f"must not be used: {error}")
            return
        if scheme not in ("http", "https") or not host or not url.isascii() or " " in url:
            self.problem(field, "must be a URL that begins with https:// or http://")
        elif is_private and scheme == "http" and not is_loopback(host):
            self.problem(field, "must begin with https://: what it carries is secret")

    def authority(self) -> Path | None:
        """The path in `ca_file`, which must hold certificates; None if the field is missing."""
        path = self.file("ca_file")
        if path is None:
            return None
        try:
            tls_context(path)
        except (OSError, ValueError) as error:
            # ssl.SSLError is an OSError too, but its text comes from OpenSSL.
            is_missing = isinstance(error, (FileNotFoundError, PermissionError))
            reason = error.strerror if is_missing and isinstance(error, OSError) else "holds no certificate in PEM form"
            self.problem("ca_file", f"{path}: {reason}")
        return path

    def _expanded(self, field: str, value: str) -> str:
        for name in REFERENCE.findall(value):
            if not self.environment.get(name):
                self.lack(field, f"needs the variable {name}, which is not set; export {name}=...")
        found = REFERENCE.sub(lambda reference: self.environment.get(reference[1], ""), value)
        if not found.isprintable():
            self.problem(field, "holds a line break or another invisible character; remove it")
            return ""
        return found

    def _plain_ascii(self, field: str, value: str) -> str:
        if not value.isascii():
            self.problem(field, "holds a character that is not ASCII; no service accepts one in a secret")
        return value

    def _secret_file(self, field: str) -> str:
        path = self.file(field)
        assert path is not None
        try:
            # Opened before it is checked, so that the checked file is the one read. O_NONBLOCK: do not wait on a pipe.
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    self.problem(field, f"{path} is not a file")
                    return ""
                if mode & 0o077:
                    self.problem(field, f"{path} is readable by others; chmod 600 {path}")
                    return ""
                content = file.read(SECRET_FILE_LIMIT + 1)
        except (OSError, ValueError) as error:
            self.problem(field, f"{path}: {getattr(error, 'strerror', None) or 'cannot be opened'}")
            return ""
        found = content.decode("ascii", "replace").strip()
        if not found or len(content) > SECRET_FILE_LIMIT or not found.isprintable():
            self.problem(field, f"{path} must hold only the secret, on one line")
            return ""
        return found

    def _has_problem(self, field: str) -> bool:
        return any(problem.startswith(f"{field} ") for problem in self.problems)


def shown_object(given: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """An object as it may be printed: a secret, and anything that may be one, is ***; "${NAME}" stays."""
    public = {*(field for field, variable in known.items() if variable is None), *file_fields(known)}
    return {field: _shown_value(field, value, field in public) for field, value in given.items()}


def _shown_value(field: str, value: object, is_public: bool) -> object:
    if value is None or (isinstance(value, (bool, int, float)) and is_public):
        return value
    if isinstance(value, str):
        if REFERENCE.fullmatch(value):
            return value
        return redact_urls(value) if is_public else HIDDEN
    if isinstance(value, list) and is_public:
        # Only the program of a command: an argument may be a secret.
        visible = value[:1] if field == "command" else value
        return [_shown_value(field, item, True) for item in visible] + [HIDDEN] * (len(value) - len(visible))
    return HIDDEN


def file_fields(fields: Mapping[str, str | None]) -> Iterable[str]:
    """The `FIELD_file` of each secret."""
    return (f"{field}_file" for field, variable in fields.items() if variable is not None)


def quoted(value: object) -> str:
    """A value as a message quotes it."""
    return f'"{sanitize(value, 60)}"' if isinstance(value, str) else f"({kind_of(value)})"
