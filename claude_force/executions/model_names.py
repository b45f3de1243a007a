"""From the name of a model to who sells it and how the price package calls it.

The package `genai-prices` matches many names by their beginning. Here a name is taken only if somebody published it:
the name of a Claude model is parsed, and that of another model must be the whole of what the package matches, but for
the date or edition behind it. So neither `claude-opus-4-10` nor `deepseek-v4-pro-max` gets the price of a shorter name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from claude_force.executions.price_supplements import ANTHROPIC, ClaudeModel

_CLAUDE_SELLERS = {
    "": ANTHROPIC,
    "anthropic": ANTHROPIC,
    # OpenRouter charges Anthropic's price; the package has no one-hour cache write for it.
    "openrouter/anthropic": ANTHROPIC,
    "vertex_ai": "google",
}
"""The seller of a Claude model, by the prefix of its name."""

_SLUG_TIERS = {"-fast": "fast", ":batch": "batch"}
"""Service tiers that OpenRouter and Vercel write behind the name of a Claude model."""

_SELLERS = {
    "openai": "openai",
    "azure": "azure",
    "google": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "deepseek": "deepseek",
    "moonshot": "moonshotai",
    "moonshotai": "moonshotai",
    "z-ai": "zai",
    "zai": "zai",
    "mistral": "mistral",
    "mistralai": "mistral",
    "x-ai": "x-ai",
    "xai": "x-ai",
    "minimax": "minimax",
    "cohere": "cohere",
    "groq": "groq",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "cerebras": "cerebras",
    "novita": "novita",
    "perplexity": "perplexity",
    "openrouter": "openrouter",
}
"""The seller of another model, by the first part of its name: as LiteLLM writes it, or the maker as OpenRouter does."""

_MAKERS = {"glm-": "zai"}
"""The maker of a bare name, where the package takes another seller: it prices GLM as sold in China."""

_VERSION = r"\d{1,2}(?:[.-]\d{1,2})?"
_CLAUDE = re.compile(
    rf"claude-(?:(?:instant-)?v?(?P<early>{_VERSION})(?:-(?P<early_family>[a-z]{{3,}}))?"
    rf"|(?P<family>[a-z]{{3,}})-(?P<late>{_VERSION}))"
    r"(?:-latest|-\d{8}|-\d{4}-\d\d-\d\d)?(?P<edition>-v[12])?(?::\d{1,2})?(?::\d+k)?(?::beta|:thinking)?"
    r"(?:@(?:\d{8}|default|latest))?"
)
"""A Claude model: claude-3-5-haiku-20241022, claude-opus-4-6, claude-sonnet-4-5-20250929-v1:0,
claude-opus-5@default."""

_BEDROCK = re.compile(
    r"(?:(?P<everywhere>global\.)|(?:us|us-gov|eu|apac|jp|au|ca|in|sa)\.)?(?P<id>anthropic\.(?P<name>claude-.+))"
)
"""A model id of Bedrock, with or without a region or "global" before it. All regions have one price, but the package
does not have all of them for every model."""

_DATE = r"0\d\d|\d{4}|20\d{6}|20\d\d-\d\d-\d\d|\d\d-\d\d|\d\d-20\d\d|latest"
_EDITION = re.compile(rf"(?:-(?:{_DATE}))*(?:@(?:\d{{3,8}}|default|latest))?")
"""What may stand behind the name of a model of another maker: its date."""

_GEMINI_EDITION = re.compile(rf"(?:-(?:{_DATE}|preview|exp))*")
"""Google also publishes previews and experiments at the price of the model."""

_CUT_DATE = re.compile(r"-[\d-]*$")
"""The begin of a date at the end of what the package matches: "magistral-small-", "gemini-2.0-flash-0"."""

_TWO_DIGITS = re.compile(r"\d\d")


@dataclass(frozen=True, slots=True)
class ModelName:
    """How to look up the price of a model. `seller` is None where the package finds the maker by itself; `claude` is
    None for a model of another maker. `tier` is the service tier that the name says."""

    name: str
    seller: str | None
    claude: ClaudeModel | None = None
    tier: str | None = None
    _version: str = ""

    def is_published(self, found: Any) -> bool:
        """Whether the model of the package has this name, and not only the begin of it."""
        if self.claude is None:
            return _is_whole(self.name, found)
        # For 4-10 the package may find 4-1, by its beginning.
        return not _TWO_DIGITS.search(self._version) or self._version in found.id.replace(".", "-")


def parse_model(model: str) -> ModelName | None:
    """How to look up the price of this model; None for a name with "claude" in it that no Claude model has."""
    name = model.lower().removesuffix("[1m]")
    return _parse_claude(name) if "claude" in name else _parse_other(name)


def _parse_claude(whole_name: str) -> ModelName | None:
    prefix, _, name = whole_name.rpartition("/")
    seller = _CLAUDE_SELLERS.get(prefix)
    tier = None
    if prefix and seller == ANTHROPIC:
        name, tier = _without_tier(name)
    at_bedrock = _BEDROCK.fullmatch(name)
    if at_bedrock and (not prefix or prefix.startswith(("bedrock", "arn:aws"))):
        seller, name = "aws", (at_bedrock["everywhere"] or "") + at_bedrock["id"]
    elif seller == ANTHROPIC and "@" in name:
        # Only Google writes the date after an @.
        seller = "google"
    parts = _CLAUDE.fullmatch(at_bedrock["name"] if at_bedrock and seller == "aws" else name)
    if seller is None or parts is None or (parts["edition"] and seller == ANTHROPIC):
        return None
    version = (parts["early"] or parts["late"]).replace(".", "-")
    major, _, minor = version.partition("-")
    claude = ClaudeModel(seller, parts["family"] or parts["early_family"], (int(major), int(minor or 0)))
    return ModelName(name, seller, claude, tier, version)


def _without_tier(name: str) -> tuple[str, str | None]:
    for suffix, tier in _SLUG_TIERS.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), tier
    return name, None


def _parse_other(name: str) -> ModelName:
    prefix, _, rest = name.partition("/")
    if rest and prefix in _SELLERS:
        return ModelName(rest, _SELLERS[prefix])
    return ModelName(name, next((maker for begin, maker in _MAKERS.items() if name.startswith(begin)), None))


def _is_whole(name: str, found: Any) -> bool:
    return name == found.id.lower() or _covers(found.match, name)


def _covers(clause: Any, name: str) -> bool:
    """Whether a clause of the package says the whole name, but for its edition."""
    if hasattr(clause, "or_"):
        return any(_covers(part, name) for part in clause.or_)
    if hasattr(clause, "and_"):
        return all(part.is_match(name) for part in clause.and_) and any(_covers(part, name) for part in clause.and_)
    if hasattr(clause, "regex"):
        return "(?!" not in clause.regex and bool(clause.is_match(name))
    for kind in ("equals", "starts_with", "contains", "ends_with"):
        literal = getattr(clause, kind, None)
        if literal is not None:
            return _is_edition(name, literal.lower())
    return False


def _is_edition(name: str, literal: str) -> bool:
    edition = _GEMINI_EDITION if literal.startswith("gemini-") else _EDITION
    return any(
        name.startswith(begin) and edition.fullmatch(name.removeprefix(begin)) is not None
        for begin in (literal, _CUT_DATE.sub("", literal))
    )
