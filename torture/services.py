"""Four failing services for alerts: Slack, PagerDuty, a webhook and a mail server.

Each lists the messages that it accepted: those with a good answer, even if the sender died before reading it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from tests.counterparts import HANG, RESET, MailServer, Received, Reply, ScriptedServer, mail_server, scripted

_PASSING = (Reply(500), Reply(503), Reply(429), Reply(429, headers={"Retry-After": "60"}), Reply(408),
            Reply(fault=RESET), Reply(fault=RESET))  # fmt: skip
_RARE = (Reply(fault=HANG), Reply(400, b"no"), Reply(403, b"action_prohibited"), Reply(410, b"channel_is_archived"))
_MAIL = ("451 try again", "421 closing", "452 full", "550 no")
_AGENT = re.compile(r"agent-\d+")


class Accepted(NamedTuple):
    """One accepted message: its agent, whether it is a resolution, and its key, if the service has keys."""

    agent: str
    is_end: bool
    key: str | None = None


class Services:
    """The services, and the settings that a sender needs."""

    def __init__(self, web: Mapping[str, ScriptedServer], mail: MailServer) -> None:
        self._web, self._mail = web, mail
        self.environment = {"HOOK": web["slack"].url, "KEY": "k" * 32}
        self.channels: dict[str, Any] = {
            "slack": {"type": "slack", "webhook_url": "${HOOK}"},
            "pager": {"type": "pagerduty", "routing_key": "${KEY}", "url": web["pager"].url},
            "hook": {"type": "webhook", "url": web["hook"].url},
            "mail": {
                "type": "email", "host": "127.0.0.1", "port": mail.port, "security": "none",
                "from": "alerts@example.com", "to": "oncall@example.com",
            },
        }  # fmt: skip

    def begin(self, chance: random.Random, faults: int) -> None:
        """Forget everything. From now on each service answers with faults first, mixed with good answers."""
        for server in self._web.values():
            replies = [self._reply(chance) for _ in range(faults)]
            server.requests.clear()
            server.replies = [*replies, Reply(202)]
        self._mail.messages.clear()
        self.change_mail(chance)

    @staticmethod
    def _reply(chance: random.Random) -> Reply:
        kind = chance.random()
        return Reply(202) if kind < 0.4 else chance.choice(_RARE if kind > 0.95 else _PASSING)

    def change_mail(self, chance: random.Random) -> None:
        """Choose another answer of the mail server, mostly a good one."""
        self._mail.answers = {"DATA": chance.choice(_MAIL)} if chance.random() < 0.3 else {}

    def recover(self) -> None:
        """Give good answers from now on."""
        for server in self._web.values():
            server.replies = [*server.replies[: len(server.requests)], Reply(202)]
        self._mail.answers = {}

    def accepted(self) -> dict[str, list[Accepted]]:
        """The accepted messages of each service, in order."""
        slack, pager, hook = (self._accepted_requests(name) for name in ("slack", "pager", "hook"))
        return {
            "slack": [
                Accepted(_agent_in(item["text"]), item["color"] == "good")
                for request in slack
                for item in request.json()["attachments"]
            ],
            "pager": [_of_event(request.json()) for request in pager],
            "hook": [
                Accepted(notification["labels"]["agent"], notification["action"] == "resolve", notification["episode"])
                for request in hook
                for notification in request.json()["notices"]
            ],
            "mail": [found for message, _ in self._mail.messages for found in _in_mail(message)],
        }

    def faults(self) -> int:
        """The number of HTTP requests without a good answer."""
        return sum(len(server.requests) - len(self._accepted_requests(name)) for name, server in self._web.items())

    def _accepted_requests(self, name: str) -> Sequence[Received]:
        server = self._web[name]
        answers = [server.replies[min(number, len(server.replies) - 1)] for number in range(len(server.requests))]
        return [
            request
            for request, answer in zip(server.requests, answers, strict=True)
            if answer.fault is None and answer.status < 300 and _is_whole(request)
        ]


def _agent_in(text: str) -> str:
    found = _AGENT.search(text)
    assert found is not None
    return found[0]


def _is_whole(request: Received) -> bool:
    """Whether the whole body arrived: a killed sender may have sent only a part."""
    return len(request.body) == int(request.headers.get("content-length", 0))


def _of_event(event: Mapping[str, Any]) -> Accepted:
    """An event. A resolution names no agent, only its key."""
    agent = event.get("payload", {}).get("component", "")
    return Accepted(agent, event["event_action"] == "resolve", event["dedup_key"])


def _in_mail(message: Any) -> Iterator[Accepted]:
    for part in re.split(r"(?=[✅⚠])", message.get_body(("plain",)).get_content())[1:]:
        yield Accepted(_agent_in(part), part.startswith("✅"))


@contextmanager
def services() -> Iterator[Services]:
    """Services that run until the end of the block."""
    with ExitStack() as stack:
        web = {name: stack.enter_context(scripted()) for name in ("slack", "pager", "hook")}
        yield Services(web, stack.enter_context(mail_server()))
