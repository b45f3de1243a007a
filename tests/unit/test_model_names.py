"""Which names have a price: every notation of a published name, and no name that only begins like one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from genai_prices.data import providers

from claude_force.executions.model_names import parse_model
from claude_force.executions.pricing import PriceTable, Usage
from claude_force.executions.record import model_family

PRICES = PriceTable("claude-sonnet-4-5")
AUTUMN_2026 = (datetime(2026, 11, 20, 12, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def price_of(model: str) -> tuple[Decimal, Decimal] | None:
    """US dollars for a million tokens of input and of output; None without a price."""
    costs = [PRICES.cost(model, usage, AUTUMN_2026) for usage in (Usage(1000, 0), Usage(0, 1000))]
    return None if costs[0] is None or costs[1] is None else (Decimal(costs[0]) / 10**6, Decimal(costs[1]) / 10**6)


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("claude-opus-5-5[1m]", "4"),
        ("claude-opus-4-6[1m]", "5"),
        ("claude-sonnet-5[1m]", "2"),
        ("Claude-Opus-5-5", "4"),
        ("claude-opus-5-5-20260921", "4"),
        ("claude-opus-4-20250514", "15"),
        ("claude-3.5-haiku", "0.80"),
        ("claude-3.7-sonnet:thinking", "3"),
        ("claude-sonnet-4-5@20250929", "3"),
        ("claude-opus-5-5@default", "4"),
        ("claude-opus-5@default", "5"),
        ("claude-fable-5@20260609", "10"),
        ("claude-3-5-sonnet-v2@20241022", "3"),
        ("vertex_ai/claude-sonnet-4-5@20250929", "3"),
        ("vertex_ai/claude-opus-4-6", "5"),
        ("anthropic/claude-sonnet-4-5", "3"),
        ("anthropic/claude-opus-4.6", "5"),
        ("openrouter/anthropic/claude-opus-4.6", "5"),
        ("openrouter/anthropic/claude-sonnet-5-5", "2"),
        ("openrouter/anthropic/claude-opus-4.8-fast", "10"),
        ("openrouter/anthropic/claude-opus-4.8:batch", "2.5"),
        ("anthropic/claude-opus-5-fast", "10"),
        ("claude-mythos-5-1", "10"),
        # Bedrock: a tenth more in a region than anywhere, since Claude 4.5.
        ("anthropic.claude-3-haiku-20240307-v1:0", "0.25"),
        ("anthropic.claude-3-haiku-20240307-v1:0:200k", "0.25"),
        ("apac.anthropic.claude-sonnet-4-20250514-v1:0", "3"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0[1m]", "3.3"),
        ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "1.1"),
        ("anthropic.claude-opus-4-8", "5.5"),
        ("apac.anthropic.claude-opus-4-8", "5.5"),
        ("ca.anthropic.claude-opus-4-8", "5.5"),
        ("eu.anthropic.claude-fable-5-1", "11"),
        ("in.anthropic.claude-sonnet-4-20250514-v1:0", "3"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3"),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "3"),
        ("us.anthropic.claude-opus-4-6-v1", "5.5"),
        ("us.anthropic.claude-opus-5-5", "4.4"),
        ("bedrock/us.anthropic.claude-opus-5-5", "4.4"),
        ("bedrock/converse/global.anthropic.claude-opus-5-5", "4"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "3.3",
        ),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0", "0.25"),
    ],
)
def test_every_way_to_name_a_claude(model: str, dollars: str) -> None:
    """A million input tokens have this price, for every seller and notation of the name."""
    found = price_of(model)
    assert found is not None
    assert found[0] == Decimal(dollars)


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-10",
        "claude-opus-4-11",
        "claude-haiku-4-50",
        "claude-opus-5-7",
        "claude-opus-9-9",
        "claude-2000",
        "claude-3-haiku-of-ours",
        "claude-opus-4-6-fast",
        "my-claude-2",
        "ours/claude-opus-4-6",
        "bedrock/claude-opus-5",
        "us.anthropic.claude-nonsense-9-v1:0",
        "ours.anthropic.claude-opus-4-8",
        "us.global.anthropic.claude-opus-4-8",
        "us.anthropic.claude-opus-4-50-v1:0",
        "vertex_ai/us.anthropic.claude-opus-4-6-v1",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/claude",
        "claude-opus-4-6[1m][1m]",
        "claude-opus-4-8-fast",
        "claude-opus-4-8:batch",
        "anthropic/claude-opus-4.8-turbo",
        "anthropic/claude-haiku-4.5-fast",
        "openrouter/ours/claude-opus-4.6",
        "claude-mythos-5-10",
        "claude-mythos-6",
        "claude-opus-5-v1",
        "claude-sonnet-4-max",
        "claude-sonnet-4-5-max",
        "global.anthropic.claude-mythos-5",
    ],
)
def test_an_invented_claude_has_no_price(model: str) -> None:
    """Also if its name begins with, or contains, the name of a model."""
    assert price_of(model) is None


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-opus-5-5[1m]", "opus"),
        ("claude-3-5-sonnet-v2@20241022", "sonnet"),
        ("vertex_ai/claude-sonnet-5@default", "sonnet"),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "haiku"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-mythos-5-2", "mythos"),
        ("openrouter/anthropic/claude-3.7-sonnet:thinking", "sonnet"),
    ],
)
def test_the_family_in_every_way_to_name_a_model(model: str, family: str) -> None:
    """For every seller."""
    assert model_family(model) == family


@pytest.mark.parametrize(
    ("model", "dollars_in", "dollars_out"),
    [
        # A bare name has the price of its maker, not that of a cheaper seller.
        ("glm-4.7", "0.6", "2.2"),
        ("GLM-4.7", "0.6", "2.2"),
        ("glm-4.7[1m]", "0.6", "2.2"),
        ("glm-4.5-air", "0.2", "1.1"),
        ("kimi-k2.5", "0.6", "3"),
        ("deepseek-chat", "0.27", "1.1"),
        ("gpt-4o", "2.5", "10"),
        ("gpt-5-mini", "0.25", "2"),
        ("o3", "2", "8"),
        ("gemini-2.5-pro", "1.25", "10"),
        ("grok-4", "3", "15"),
        ("mistral-large-latest", "2", "6"),
        ("MiniMax-M2", "0.3", "1.2"),
        ("command-r", "0.15", "0.6"),
        # Its date, or that it is a preview, may stand behind it.
        ("gpt-4o-2024-08-06", "2.5", "10"),
        ("gpt-5.2-20251211", "1.75", "14"),
        ("gemini-2.0-flash-001", "0.1", "0.4"),
        ("gemini-2.5-pro-preview-05-06", "1.25", "10"),
        ("gemini-2.5-flash-lite-preview-09-2025", "0.1", "0.4"),
        ("deepseek-r1-0528", "0.55", "2.19"),
        ("magistral-small-2506", "0.5", "1.5"),
        # Gateways write the seller or the maker before it.
        ("zai/glm-4.7", "0.6", "2.2"),
        ("z-ai/glm-4.7", "0.6", "2.2"),
        ("moonshot/kimi-k2.5", "0.6", "3"),
        ("moonshotai/kimi-k2.5", "0.6", "3"),
        ("deepseek/deepseek-chat", "0.27", "1.1"),
        ("openai/gpt-4o", "2.5", "10"),
        ("azure/gpt-4o", "2.5", "10"),
        ("google/gemini-2.5-pro", "1.25", "10"),
        ("gemini/gemini-2.5-pro", "1.25", "10"),
        ("vertex_ai/gemini-2.5-pro", "1.25", "10"),
        ("x-ai/grok-4", "3", "15"),
        ("xai/grok-4", "3", "15"),
        ("mistral/mistral-large-latest", "2", "6"),
        ("mistralai/mistral-large-2512", "0.5", "1.5"),
        ("minimax/minimax-m2", "0.3", "1.2"),
        ("groq/llama-3.3-70b-versatile", "0.59", "0.79"),
        ("openrouter/openai/gpt-4o", "2.5", "10"),
        ("openrouter/qwen/qwen3-coder", "0.3", "1"),
    ],
)
def test_every_way_to_name_another_model(model: str, dollars_in: str, dollars_out: str) -> None:
    """A million tokens have this price, as the maker or the named seller published it."""
    assert price_of(model) == (Decimal(dollars_in), Decimal(dollars_out))


KNOWN = (
    "deepseek-v4-pro", "deepseek-v4-flash", "deepseek-chat", "deepseek-reasoner", "kimi-k2.5", "kimi-k2.6", "kimi-k2",
    "gemini-3-pro-preview", "gemini-2.5-pro", "gemini-1.5-flash", "gemini-3.6-flash", "gpt-5-mini", "gpt-5-nano",
    "gpt-4o", "gpt-5", "o3", "glm-4.7", "grok-4", "grok-4.5", "mistral-large-latest", "magistral-medium", "minimax-m2",
    "minimax-m2.1-highspeed", "command-r", "command-light", "claude-opus-5", "claude-sonnet-4-5", "claude-haiku-4-5",
    "claude-fable-5", "openai/gpt-4o", "gemini/gemini-2.5-pro", "openrouter/z-ai/glm-4.7",
    "groq/llama-3.3-70b-versatile", "anthropic/claude-opus-4.6", "us.anthropic.claude-opus-5-5",
)  # fmt: skip
"""Names with a price, of every maker."""

NEARLY = (
    "{}-max",
    "{}-ours",
    "{}-custom",
    "{}-turbo2",
    "{}-v9",
    "{}x",
    "{}-7b",
    "{}:free",
    "{}.",
    "my-{}",
    "ours/{}",
    "{}/ours",
)
"""Names that nobody published."""


@pytest.mark.parametrize("known", KNOWN)
def test_a_name_that_only_begins_like_a_known_one_has_no_price(known: str) -> None:
    """Nor one that ends like it: for every maker, seller and notation."""
    assert price_of(known) is not None
    assert {form: price_of(form.format(known)) for form in NEARLY} == dict.fromkeys(NEARLY)


@pytest.mark.parametrize(
    "name",
    [
        "deepseek-v4-pro-max",
        "gemini-3-pro-preview-ours",
        "kimi-k2.5-fast",
        "kimi-k2.5-preview",
        "deepseek-v4-pro-exp",
        "claude-opus-4-10",
        "gpt-5-mini-custom",
        "qwen3-coder",
        "llama-3.3-70b",
        "glm-5-turbo",
        "",
    ],
)
def test_a_name_that_no_maker_published_has_no_price(name: str) -> None:
    """Also if some seller has a price for a name like it."""
    assert price_of(name) is None


@pytest.mark.parametrize("maker", ["openai", "deepseek", "moonshotai", "x-ai", "mistral", "cohere", "minimax", "zai"])
def test_every_name_of_a_maker_keeps_its_price(maker: str) -> None:
    """The price of a bare name is that of its maker, or unknown: never that of another model or seller."""
    checked = 0
    for model in next(provider for provider in providers if provider.id == maker).models:
        name = parse_model(model.id)
        assert name is not None
        if "claude" not in model.id and (maker == "zai") == (name.seller == "zai") and "/" not in model.id:
            by_seller = price_of(f"{maker}/{model.id}")
            assert price_of(model.id) in {by_seller, None}
            checked += by_seller is not None
    assert checked > 3
