"""The commands that the live page asks: the words of a query string are the options of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from claude_force.cli.asked import Asked, ask_in
from claude_force.cli.lazy import CHOSEN_DATABASE
from claude_force.cli.root import cli, message_of
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.errors import ClaudeForceError
from claude_force.ingest.freshness import Freshness
from claude_force.web.answers import Answer, BadQuestion, Form, Query

_YES, _NO = frozenset(("true", "on", "yes", "1")), frozenset(("false", "off", "no", "0"))


class PageCommands:
    """Asks commands about one database, in any thread. The connections stay open between questions."""

    def __init__(self, location: str | None, freshness: Callable[[int], Freshness]) -> None:
        self._location, self._freshness = location, freshness
        self._databases: dict[str, Database] = {}

    def __call__(self, command: str, query: Query, form: Form) -> Answer:
        question = self._run(command, query, form)
        assert question.answer is not None, f"{command} hands nothing over"
        return question.answer

    def change(self, command: str, query: Query) -> None:
        """Run a command that changes something."""
        self._run(command, query, "table")

    def close(self) -> None:
        """Close every connection."""
        for database in self._databases.values():
            database.close()

    def _run(self, command: str, query: Query, form: Form) -> Asked:
        question = Asked(self._freshness, self._database)
        context = click.Context(cli, info_name="claude-force", **cli.context_settings)
        context.meta[CHOSEN_DATABASE] = [self._location] if self._location else []
        ask_in(context, question)
        try:
            with context:
                self._invoke(context, command, query, form)
        except click.UsageError as error:
            raise BadQuestion(" ".join(message_of(error).split())) from None
        except ClaudeForceError as error:
            # Some commands refuse what they have just shown, such as a difference above the tolerance.
            if question.answer is None:
                raise
            question.lines.append(str(error))
        except (SystemExit, click.exceptions.Exit):
            # An exit code is for scripts.
            pass
        return question

    def _invoke(self, context: click.Context, command: str, query: Query, form: Form) -> None:
        found: click.Command = context.command
        path = command.split()
        for word in path[:-1]:
            assert isinstance(found, click.Group)
            group = found.get_command(context, word)
            assert group is not None
            found, context = group, click.Context(group, parent=context, info_name=word)
        assert isinstance(found, click.Group)
        last = found.get_command(context, path[-1])
        assert last is not None
        words = [*_words(last, query)]
        if form == "json" and _option(last, "json"):
            words.insert(0, "--json")
        with last.make_context(path[-1], words, parent=context) as made:
            last.invoke(made)

    def _database(self, location: str) -> Database:
        if location not in self._databases:
            self._databases[location] = open_database(location)
        return self._databases[location]


def _option(command: click.Command, word: str) -> click.Option | None:
    return next(
        (each for each in command.params if isinstance(each, click.Option) and f"--{word}" in each.opts), None
    )  # fmt: skip


def _words(command: click.Command, query: Query) -> Iterator[str]:
    """The query as words of the command line, arguments last. Raises BadQuestion for a flag that is neither true nor
    false."""
    arguments = {each.make_metavar(click.Context(command)).lower(): "" for each in command.params
                 if isinstance(each, click.Argument)}  # fmt: skip
    for word, value in query:
        if word in arguments:
            arguments[word] = value
            continue
        option = _option(command, word)
        assert option is not None, f"{command.name} has no --{word}"
        if not option.is_flag:
            yield f"--{word}={value}"
        elif value.lower() in _YES:
            yield f"--{word}"
        elif value.lower() not in _NO:
            raise BadQuestion(f"{word} is true or false")
    yield "--"
    yield from (value for value in arguments.values() if value)
