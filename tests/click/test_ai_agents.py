"""An assistant that fetches a page for somebody says so in one manner, whoever makes it."""

from __future__ import annotations

import pytest

from stackfluence.click import bot_score
from stackfluence.vocabulary import TrafficReason as R

CHROME = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
    "Safari/537.36"
)


def found(user_agent: str) -> tuple[R, ...]:
    return bot_score.read([("User-Agent", user_agent)], has_headers=False).reasons


@pytest.mark.parametrize(
    "user_agent",
    [
        "Kimi-User/1.0",
        "BrandAI-User/2.1 (+https://brand.example)",
        f"{CHROME} Assistant-User/1.0",
        f"{CHROME}; compatible; Helper-User/1; +https://brand.example",
    ],
)
def test_a_token_in_the_manner_of_assistants_names_one(user_agent: str) -> None:
    assert R.ai_agent in found(user_agent)


@pytest.mark.parametrize(
    "user_agent",
    [
        "Mozilla/5.0 (Linux; U; Android 2.3.5; en-us; Phone One Build/phone_one-user 2.3.5 GRJ90) AppleWebKit/533.1 "
        "(KHTML, like Gecko) Version/4.0 Mobile Safari/533.1",
        "Mozilla/5.0 (Linux; Android 13; Phone-user/3 Build/TP1A) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; U; Android 2.2; de-de) AppleWebKit/530.17 (KHTML, like Gecko) Version/4.0 Mobile "
        "Safari/530.17; A50-V5.0-user-20101025",
    ],
)
def test_a_phone_s_build_is_for_users_and_no_assistant(user_agent: str) -> None:
    assert found(user_agent) == ()
