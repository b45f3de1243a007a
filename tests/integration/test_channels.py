"""The contract that every channel keeps: its outcomes, inert names, limits, secrets, and the same message in every
attempt. Each channel is made from its settings and talks to a real server or program."""

from __future__ import annotations

import json
import logging
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from claude_force.alerts.channels.base import Channel
from claude_force.alerts.channels.settings import load_channels, shown
from claude_force.alerts.notification import Action, Notification, Severity
from tests.builders import NOON_US, a_notification
from tests.counterparts import Authority, MailServer, Reply, ScriptedServer, mail_server, scripted
from tests.profiles import thorough

HOSTILE = [
    "<!channel>",
    "<@U123>",
    "<!subteam^S1|team>",
    "x\r\nBcc: victim@example.com",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;owned\x07",
    "\u202eevil\u202c",
    "\u2066hidden\u2069",
    '=HYPERLINK("http://evil.example","x")',
    "half \udcff surrogate",
    "nul \x00 nul",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "</td></table><h1>big</h1>",
    "&lt;b&gt; &amp;",
    '"; do shell script "touch owned"; "',
    "$(touch owned) `touch owned` ; touch owned",
    "\\033[31m \\n \\\\",
    "*bold* _it_ ~gone~ `code` :skull:",
    "https://evil.example/x www.evil.example @here",
    "漢🙂" * 600,
    "<" * 100_000,
    "",
]
SECRETS = {
    "HOOK_PATH": "T0AAAAAAA/B0BBBBBBB/verysecrettoken",
    "ROUTING_KEY": "r0utingk3yr0utingk3yr0utingk3y00",
    "API_KEY": "ap1k3yap1k3yap1k3y",
    "PASSWORD": "p4ssw0rd-p4ssw0rd",
    "SIGNING": "s1gning-s1gning",
}
ECHO = " and ".join(SECRETS.values())
"""A service that quotes what it should not."""


class Arrived(NamedTuple):
    """One received message: its raw text, the words that a person reads, and its identity."""

    raw: str
    words: list[str]
    identity: str


@dataclass
class Rig:
    """A channel and its counterpart."""

    channel: Channel
    arrived: Callable[[], list[Arrived]]


def strings(found: object) -> list[str]:
    """Every text in a JSON value, keys included."""
    if isinstance(found, str):
        return [found]
    if isinstance(found, list):
        return [text for item in found for text in strings(item)]
    if isinstance(found, dict):
        return [text for name, item in found.items() for text in (name, *strings(item))]
    return []


def make(config: dict[str, Any], folder: Path, **environment: str) -> Channel:
    """The channel of these settings, which have no problem."""
    channels, problems = load_channels({"it": config}, SECRETS | {"PATH": "/usr/bin:/bin"} | environment, folder)
    assert problems == []
    return channels["it"]


def http_rig(
    config: dict[str, Any], folder: Path, server: ScriptedServer, identity: Callable[[Any, dict[str, str]], str]
) -> Rig:
    """A channel whose messages are JSON over HTTP."""

    def arrived() -> list[Arrived]:
        return [
            Arrived(request.body.decode(), strings(request.json()), identity(request.json(), dict(request.headers)))
            for request in server.requests
            if request.body
        ]

    return Rig(make(config, folder), arrived)


STATUSES = {"delivered": 200, "retry": 503, "failed": 404}


def slack(stack: ExitStack, folder: Path, verdict: str) -> Rig:
    """Slack's incoming webhook."""
    server = stack.enter_context(scripted([Reply(STATUSES[verdict], ECHO.encode())]))
    config = {"type": "slack", "webhook_url": server.url + "services/${HOOK_PATH}"}
    return http_rig(config, folder, server, lambda body, _: json.dumps(body))


def events(stack: ExitStack, folder: Path, verdict: str) -> Rig:
    """PagerDuty's Events API."""
    server = stack.enter_context(scripted([Reply(STATUSES[verdict], ECHO.encode())]))
    config = {"type": "pagerduty", "routing_key": "${ROUTING_KEY}", "url": server.url}
    return http_rig(config, folder, server, lambda body, _: str(body["dedup_key"]))


def incidents(stack: ExitStack, folder: Path, verdict: str) -> Rig:
    """PagerDuty's REST API."""
    server = stack.enter_context(scripted([Reply(STATUSES[verdict], ECHO.encode())]))
    config = {
        "type": "pagerduty",
        "api_key": "${API_KEY}",
        "service_id": "PABC123",
        "from": "me@example.com",
        "url": server.url,
    }
    return http_rig(config, folder, server, lambda body, _: json.dumps(body))


def webhook(stack: ExitStack, folder: Path, verdict: str) -> Rig:
    """A signed webhook."""
    server = stack.enter_context(scripted([Reply(STATUSES[verdict], ECHO.encode())]))
    config = {"type": "webhook", "url": server.url + "${HOOK_PATH}", "secret": "${SIGNING}"}
    return http_rig(config, folder, server, lambda body, headers: headers["claude-force-id"] + json.dumps(body))


def email(stack: ExitStack, folder: Path, verdict: str) -> Rig:
    """A mail server with STARTTLS by its own authority, and a login."""
    answers = {"delivered": {}, "retry": {"DATA": f"451 {ECHO}"}, "failed": {"DATA": f"554 {ECHO}"}}[verdict]
    authority = Authority(folder)
    server = stack.enter_context(mail_server(authority.context(), answers=answers, login=("me", SECRETS["PASSWORD"])))
    config = {
        "type": "email",
        "host": "127.0.0.1",
        "username": "me",
        "password": "${PASSWORD}",
        "port": server.port,
        "ca_file": "ca.pem",
        "from": "alerts@example.com",
        "to": ["you@example.com"],
    }
    return Rig(make(config, folder), lambda: mail_of(server))


class _Text(HTMLParser):
    """The words of a page, and the tags in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def mail_of(server: MailServer) -> list[Arrived]:
    """The messages that a server took. Their headers and tags are only those that the channel writes."""
    found = []
    for message, addresses in server.messages:
        assert addresses == ["you@example.com"]
        assert set(message.keys()) <= {
            *("From", "To", "Subject", "Date", "Message-ID", "References", "Auto-Submitted", "MIME-Version"),
            *("Content-Type", "X-Peer", "X-MailFrom", "X-RcptTo"),
        }
        plain, page = (message.get_body((kind,)) for kind in ("plain", "html"))
        assert plain is not None
        assert page is not None
        text = _Text(page.get_content())
        assert text.tags <= {"html", "head", "meta", "body", "h2", "h3", "p", "table", "tr", "td"}
        words = [message["Subject"], *plain.get_content().splitlines(), *"\n".join(text.words).splitlines()]
        found.append(Arrived(message.as_string(), words, message["Message-ID"]))
    return found


def program(path: Path, verdict: str, exit_codes: dict[str, int]) -> Path:
    """A program that records its arguments, input and variables, prints a secret URL, and exits as the verdict asks."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"#!{sys.executable} -I\nimport json, os, sys\n"
        f"variables = {{n: v for n, v in os.environ.items() if n.startswith('CLAUDE_FORCE_ALERT')}}\n"
        f"kept = {{'arguments': sys.argv[1:], 'input': sys.stdin.read(), 'variables': variables}}\n"
        f"open({str(path.with_suffix('.kept'))!r}, 'a').write(json.dumps(kept) + '\\n')\n"
        f"print('no, because https://somebody:else@example.com/secret/path?key=1')\n"
        f"sys.exit({exit_codes[verdict]})\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def recorded_by(path: Path) -> list[dict[str, Any]]:
    """What `program` recorded of each run."""
    file = path.with_suffix(".kept")
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def command(stack: ExitStack, folder: Path, verdict: str) -> Rig:
    """A program of the user's own."""
    path = program(folder / "tell", verdict, {"delivered": 0, "retry": 1, "failed": 78})

    def arrived() -> list[Arrived]:
        found = []
        for kept in recorded_by(path):
            assert kept["arguments"] == ["--first", "second argument"]
            words = [*strings(json.loads(kept["input"])), *kept["variables"].values()]
            found.append(Arrived(json.dumps(kept), words, kept["variables"]["CLAUDE_FORCE_ALERT_ID"] + kept["input"]))
        return found

    return Rig(make({"type": "command", "command": [str(path), "--first", "second argument"]}, folder), arrived)


def desktop(stack: ExitStack, folder: Path, verdict: str) -> Rig:
    """A fake notify-send, first on the PATH."""
    path = program(folder / "bin" / "notify-send", verdict, {"delivered": 0, "retry": 1, "failed": 127})

    def arrived() -> list[Arrived]:
        found = []
        for kept in recorded_by(path):
            name, _, end, title, body = kept["arguments"]
            assert (name, end) == ("--app-name=Claude Force", "--")
            found.append(Arrived(json.dumps(kept), [title, *body.splitlines()], json.dumps(kept["arguments"])))
        return found

    return Rig(make({"type": "desktop"}, folder, PATH=f"{path.parent}:/usr/bin:/bin"), arrived)


def apprise(stack: ExitStack, folder: Path, verdict: str) -> Rig:
    """Apprise's channel to a JSON server. An unknown service is its permanent failure."""
    server = stack.enter_context(scripted([Reply(STATUSES[verdict], ECHO.encode())]))
    address = server.url.removeprefix("http://") + SECRETS["HOOK_PATH"]
    url = f"{'nosuchservice' if verdict == 'failed' else 'json'}://{address}"
    channel = make({"type": "apprise", "url": "${URL}"}, folder, URL=url)

    def arrived() -> list[Arrived]:
        found = []
        for request in server.requests:
            words = [request.json()["title"], *request.json()["message"].splitlines()]
            found.append(Arrived(request.body.decode(), words, request.body.decode()))
        return found

    return Rig(channel, arrived)


RIGS = [slack, events, incidents, webhook, email, command, desktop, apprise]
OWN = {
    "slack": ["HOOK_PATH"],
    "events": ["ROUTING_KEY"],
    "incidents": ["API_KEY"],
    "webhook": ["HOOK_PATH", "SIGNING"],
    "email": ["PASSWORD"],
    "command": [],
    "desktop": [],
    "apprise": ["HOOK_PATH"],
}
"""The secrets that each of them knows, and can keep."""
OBEYED = {"slack": set("<>"), "desktop": set("<>")}
"""What begins something that a service would do; mail is looked through for tags and headers."""
every_channel = pytest.mark.parametrize("build", [*RIGS[:-1], *thorough(RIGS[-1])], ids=lambda rig: rig.__name__)
"""Apprise takes most of a second for each message, so a quick run asks it for its outcomes and hostile names alone."""
every_channel_with_apprise = pytest.mark.parametrize("build", RIGS, ids=lambda rig: rig.__name__)
Build = Callable[[ExitStack, Path, str], Rig]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Stops the counterparts."""
    with ExitStack() as found:
        yield found


def send_all(rig: Rig, notifications: list[Notification]) -> set[str]:
    """Send notifications, as one message if the channel groups; returns the statuses."""
    messages = [notifications] if rig.channel.groups else [[notification] for notification in notifications]
    return {rig.channel.send(message, f"key {number}", None).status for number, message in enumerate(messages)}


@every_channel_with_apprise
@pytest.mark.parametrize("verdict", ["delivered", "retry", "failed"])
def test_every_channel_returns_each_status(build: Build, verdict: str, stack: ExitStack, tmp_path: Path) -> None:
    """With a problem of one line and at most 300 characters, unless it is delivered."""
    rig = build(stack, tmp_path, verdict)
    outcome = rig.channel.send([a_notification()], "key", None)
    assert outcome.status == verdict
    assert (outcome.problem is None) == (verdict == "delivered")
    assert (outcome.problem or "").isprintable()
    assert len(outcome.problem or "") <= 300


@every_channel_with_apprise
@pytest.mark.parametrize("verdict", ["delivered", "retry", "failed"])
def test_no_channel_reveals_a_secret(
    build: Build, verdict: str, stack: ExitStack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in a problem, though the other side quotes it, nor in a repr or a log, however much is logged."""
    caplog.set_level(logging.DEBUG)
    rig = build(stack, tmp_path, verdict)
    outcome = rig.channel.send([a_notification()], "key", None)
    # The mail server of the test logs what it answers, in this process.
    logged = [record.getMessage() for record in caplog.records if record.name != "mail.log"]
    text = f"{outcome!r} {rig.channel!r} {rig.channel} {logged}"
    assert [name for name in OWN[build.__name__] if SECRETS[name] in text] == []
    assert "secret/path" not in text
    if "HOOK_PATH" in OWN[build.__name__]:
        assert "verysecrettoken" not in text


def hostile_notifications() -> list[Notification]:
    """One for each hostile text, used wherever a name may be, and one with all of them."""
    each = [
        a_notification(
            **dict.fromkeys(("rule", "title", "summary", "period", "store", "host", "episode"), text),
            labels={text: text},
            details={text or "x": text},
            action=action,
        )
        for text, action in zip(HOSTILE, list(get_args(Action)) * len(HOSTILE), strict=False)
    ]
    return [*each, a_notification(labels=dict.fromkeys(HOSTILE, "x"), details={text: text for text in HOSTILE})]


@every_channel_with_apprise
def test_hostile_names_are_inert(build: Build, stack: ExitStack, tmp_path: Path) -> None:
    """Everything is delivered, and nothing that arrives can mislead a terminal or a reader."""
    rig = build(stack, tmp_path, "delivered")
    assert send_all(rig, hostile_notifications()) == {"delivered"}
    arrived = rig.arrived()
    assert arrived
    for message in arrived:
        assert "\udcff" not in message.raw
        assert [text for text in message.words if set(text) & OBEYED.get(rig.channel.kind, set())] == []
        for text in message.words:
            assert [line for line in text.split("\n") if not line.replace("\u200b", "").isprintable()] == []
    assert not (tmp_path / "owned").exists()
    assert not Path("owned").exists()


@every_channel
def test_long_notifications_are_cut(build: Build, stack: ExitStack, tmp_path: Path) -> None:
    """A thousand figures and texts of a million characters are delivered, as a message that a service accepts."""
    rig = build(stack, tmp_path, "delivered")
    long = "<&>" * 300_000
    notification = a_notification(
        title=long,
        summary=long,
        period=long,
        labels={f"{number} {long[:5000]}": long for number in range(1000)},
        details={f"{long[:5000]} {number}": long for number in range(1000)},
    )
    assert send_all(rig, [notification]) == {"delivered"}
    (message,) = rig.arrived()
    assert len(message.raw.encode()) < 1_000_000
    if rig.channel.kind == "pagerduty":
        assert len(message.raw.encode()) <= 512_000


@every_channel
def test_many_notifications_are_one_message(build: Build, stack: ExitStack, tmp_path: Path) -> None:
    """If a channel groups, a thousand are one message that says how many it does not show."""
    rig = build(stack, tmp_path, "delivered")
    notifications = [a_notification(episode=str(number), title=f"Alert {number}") for number in range(300)]
    if not rig.channel.groups:
        notifications = notifications[:1]
    assert send_all(rig, notifications) == {"delivered"}
    (message,) = rig.arrived()
    assert len(message.raw.encode()) < 1_000_000


@every_channel
def test_a_retry_is_the_same_message(build: Build, stack: ExitStack, tmp_path: Path) -> None:
    """The other side recognises it by the same key; another key, or another episode, is another message."""
    rig = build(stack, tmp_path, "delivered")
    for key, notification in (
        ("a", a_notification()),
        ("a", a_notification()),
        ("b", a_notification(episode="other", title="Other")),
    ):
        assert rig.channel.send([notification], key, None).status == "delivered"
    first, again, other = (message.identity for message in rig.arrived())
    assert first == again
    assert first != other


@every_channel
def test_an_empty_notification_is_sent(build: Build, stack: ExitStack, tmp_path: Path) -> None:
    """Without labels and details, with empty texts, and with figures that are unknown or not a number."""
    rig = build(stack, tmp_path, "delivered")
    notifications = [
        a_notification(labels={}, details={}),
        a_notification(details={"a": None, "b": float("nan"), "c": float("inf"), "d": 0, "e": -1.5, "f": 10**30}),
        a_notification(**dict.fromkeys(("rule", "title", "summary", "period", "store", "host", "episode"), "")),
    ]
    assert send_all(rig, notifications) == {"delivered"}
    assert all("NaN" not in message.raw and "Infinity" not in message.raw for message in rig.arrived())


@every_channel
@pytest.mark.parametrize("action", get_args(Action))
def test_every_severity_and_action_is_sent(build: Build, action: Action, stack: ExitStack, tmp_path: Path) -> None:
    """None of them is an exception."""
    rig = build(stack, tmp_path, "delivered")
    notifications = [a_notification(severity=severity, action=action, at_us=NOON_US) for severity in get_args(Severity)]
    assert send_all(rig, notifications) == {"delivered"}


def test_settings_are_shown_without_secrets() -> None:
    """What `config list` prints of a channel of each type."""
    literal = {
        "slack": {"type": "slack", "webhook_url": "https://hooks.slack.com/services/T/B/literal-secret"},
        "pager": {"type": "pagerduty", "routing_key": "literal-secret", "url": "https://x:literal-secret@a.example/b"},
        "mail": {"type": "email", "host": "a", "password": "literal-secret", "to": ["a@b.example"], "port": 587},
        "hook": {"type": "webhook", "url": "https://a.example/literal-secret?k=literal-secret", "secret": "${HOOK}"},
        "cmd": {"type": "command", "command": ["curl", "-H", "literal-secret"]},
        "many": {"type": "apprise", "url": "slack://literal-secret/literal-secret"},
        "typo": {"type": "slack", "webhok_url": "literal-secret", "nested": {"a": "literal-secret"}},
        "none": {"webhook_url": "literal-secret"},
        "odd": "literal-secret",
        "list": {"type": ["literal-secret"], "url": ["literal-secret"]},
        "mailfile": {"type": "email", "password_file": "smtp-password", "security": "ssl"},
    }
    sent = shown(literal)
    assert "literal-secret" not in json.dumps(sent)
    assert sent["mail"] == {"type": "email", "host": "a", "password": "***", "to": ["a@b.example"], "port": 587}
    assert sent["hook"] == {"type": "webhook", "url": "https://a.example/***", "secret": "${HOOK}"}
    assert sent["cmd"] == {"type": "command", "command": ["curl", "***", "***"]}
    assert sent["mailfile"] == literal["mailfile"]
