"""An object of claude.json as it is read, field by field: what is wrong with it, and its secrets from elsewhere.

A secret stands in the environment (`"${NAME}"`) or in a file of its owner's alone (`"..._file"`), never in claude.json.
What is wrong is noted in one line that names the field and the remedy, and an empty value stands in for it, so that all
that is wrong is found at once.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from claude_force.network.connection import Refused, is_loopback, refuse_link_local, tls_context
from claude_force.network.secret import HIDDEN, Secret, redact_urls
from claude_force.text import kind_of, sanitize

SECRET_FILE_LIMIT = 16 * 1024

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How a text of claude.json names a variable of the environment."""

Known = Mapping[str, str | None]
"""The fields that an object has; of a secret, the variable that a remedy names. It may also stand as `FIELD_file`."""


class Problems(NamedTuple):
    """What is wrong with a part of claude.json wherever it is used, a line each: the `secrets` that stand in it, and
    the `others`. A variable that is not set here is none of them: it may be set where the program runs."""

    secrets: list[str]
    others: list[str]


class Fields:
    """The fields of one object, which is called `name`. A relative `..._file` is relative to `folder`."""

    def __init__(self, name: str, given: object, known: Known, environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.environment = environment
        self.folder = folder
        self.problems: list[str] = []
        self.given: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
        self._exposed: list[str] = []
        self._unset: set[str] = set()
        self._known = known
        if not isinstance(given, dict):
            self.problems.append(f"must be an object, not {kind_of(given)}")
        names = [*known, *file_fields(known)]
        for field in self.given:
            if field not in names:
                self.problems.append(f"there is no field {sanitize(field)}{nearest(field, names)}")

    def problem(self, field: str, what: str) -> None:
        """Note what is wrong with a field."""
        self.problems.append(f"{field} {what}")

    def expose(self, field: str, what: str) -> None:
        """Note that a field holds a secret, or may hold one, which must not stand in claude.json."""
        self.problem(field, what)
        self._exposed.append(self.problems[-1])

    def lack(self, field: str, what: str) -> None:
        """Note that a field needs a variable that is not set."""
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
        """Whether a field is there, or for a secret the file of it."""
        return any(self.given.get(name) is not None for name in (field, f"{field}_file"))

    def text(self, field: str, default: str | None = None) -> str:
        """A text, with the variables in it; the default, or a problem, where there is none."""
        value = self.given.get(field, default)
        if value is None:
            self.problem(field, "is missing")
            return ""
        if not isinstance(value, str):
            self.problem(field, f"must be text, not {kind_of(value)}")
            return ""
        return self._expanded(field, value)

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
        """A secret, from the environment or its file; in claude.json itself it is a problem."""
        file = f"{field}_file"
        if self.given.get(file) is not None:
            if self.given.get(field) is not None:
                self.problem(field, f"and {file} say the same; remove one of them")
            return Secret(self._plain_ascii(file, self._secret_file(file)))
        value = self.given.get(field)
        if isinstance(value, str) and not REFERENCE.search(value):
            variable = self._known[field]
            self.expose(field, f'must not stand in claude.json; set {variable} and write "${{{variable}}}"')
            return Secret("")
        return Secret(self._plain_ascii(field, self.text(field)))

    def file(self, field: str) -> Path | None:
        """The path of a file, or None."""
        return self.folder / os.path.expanduser(self.text(field)) if self.has(field) else None  # noqa: PTH111

    def port(self) -> int | None:
        """The field `port`; None where there is none."""
        value = self.given.get("port")
        if value is None:
            return None
        if isinstance(value, str):
            value = self.text("port")
            value = int(value) if value.isascii() and value.isdecimal() and len(value) <= 5 else value
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65_536:
            self.problem("port", "must be a whole number from 1 to 65535")
            return None
        return value

    def check_url(self, field: str, url: str, *, is_private: bool) -> None:
        """Note what is wrong with a URL; what is private, or holds a login, is encrypted, but on this machine."""
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
        """The `ca_file`, which holds certificates."""
        path = self.file("ca_file")
        if path is None:
            return None
        try:
            tls_context(path)
        except (OSError, ValueError) as error:
            # ssl.SSLError is an OSError, whose words are those of its library.
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
            self.problem(field, "holds a line break or another character that cannot be seen; remove it")
            return ""
        return found

    def _plain_ascii(self, field: str, value: str) -> str:
        if not value.isascii():
            self.problem(field, "holds a character that is not ASCII, which no service takes in a secret")
        return value

    def _secret_file(self, field: str) -> str:
        path = self.file(field)
        assert path is not None
        try:
            # Opened first, so that what is checked is what is read. Not waiting for a writer, should it be a pipe.
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    self.problem(field, f"{path} is not a file")
                    return ""
                if mode & 0o077:
                    self.problem(field, f"{path} can be read by others; chmod 600 {path}")
                    return ""
                content = file.read(SECRET_FILE_LIMIT + 1)
        except (OSError, ValueError) as error:
            self.problem(field, f"{path}: {getattr(error, 'strerror', None) or 'cannot be opened'}")
            return ""
        found = content.decode("ascii", "replace").strip()
        if not found or len(content) > SECRET_FILE_LIMIT or not found.isprintable():
            self.problem(field, f"{path} must hold the secret alone, on one line")
            return ""
        return found

    def _has_problem(self, field: str) -> bool:
        return any(problem.startswith(f"{field} ") for problem in self.problems)


def shown_object(given: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """An object as it may be printed: a secret, and whatever might be one, is ***; "${NAME}" stays."""
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
        # Of a command the program alone: an argument may be anything.
        told = value[:1] if field == "command" else value
        return [_shown_value(field, item, True) for item in told] + [HIDDEN] * (len(value) - len(told))
    return HIDDEN


def file_fields(fields: Mapping[str, str | None]) -> Iterable[str]:
    """The fields that name the file of a secret."""
    return (f"{field}_file" for field, variable in fields.items() if variable is not None)


def quoted(value: object) -> str:
    """A value as a problem quotes it."""
    return f'"{sanitize(value, 60)}"' if isinstance(value, str) else f"({kind_of(value)})"


def nearest(given: object, known: Iterable[str]) -> str:
    """What is said after a name that does not exist: the nearest that does, or all."""
    near = get_close_matches(given, list(known), n=1) if isinstance(given, str) else []
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}"
