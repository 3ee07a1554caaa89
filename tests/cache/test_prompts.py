"""Which last user texts are matched exactly only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cache import Outcome, exact_only, normalised, refuse_storing


@pytest.mark.parametrize(
    "text",
    [
        None, 3, ["a", "b"], {"type": "image"}, "", "   ", "\n", "???", "👍", "yes", "Continue", "continue.", "Go on!", "why?",
        "Why is that?", "and what about this one?", "tell me more", "Tell me more about it.", "What does that mean?", "weiter",
        "mach weiter", "Warum ist das so?", "continuez", "Pourquoi est-ce?", "sigue", "¿Por qué es eso?", "продолжай", "и почему?",
        "继续", "请继续", "続けて", "はい", "계속해줘", "और बताओ", "استمر", "42",
    ],
)  # fmt: skip
def test_texts_that_mean_nothing_alone(text: object):
    assert exact_only(text)


@pytest.mark.parametrize(
    "text",
    [
        "What is inflation?", "How do I reset my password?", "reset password", "error 502", "Wie setze ich mein Passwort zurück?",
        "Comment annuler mon abonnement ?", "¿Cuál es la capital de Francia?", "Как сбросить пароль?", "如何重置密码", "日本の首都はどこですか",
        "비밀번호를 어떻게 재설정하나요", "कैसे पासवर्ड बदलें", "How does it work with a proxy?",
    ],
)  # fmt: skip
def test_texts_that_can_be_compared_by_meaning(text: str):
    assert exact_only(text) is None


@given(st.text())
def test_any_text_has_an_answer_and_a_normal_form_that_stays(text: str):
    assert exact_only(text) is None or exact_only(text)
    assert normalised(normalised(text)) == normalised(text)


def test_exact_repetitions_may_differ_in_blanks_and_the_final_mark_only():
    assert normalised(" What  is\tit? ") == normalised("What is it")
    assert normalised("call US") != normalised("call us")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"no_store": True}, "no-store"), ({"error": "timeout"}, "timeout"), ({"status": 429}, "429"), ({"tool_calls": 1}, "tool"),
        ({"complete": False}, "broke off"), ({"finish": "length"}, "length"), ({"finish": "content_filter"}, "content_filter"),
        ({"finish": "tool_calls"}, "tool_calls"), ({"finish": ""}, "not a complete"), ({"refusal": True}, "refused"),
        ({"text": "  "}, "empty"), ({"temperature": 1.2}, "temperature"), ({"temperature": float("nan")}, "temperature"),
    ],
)  # fmt: skip
def test_what_is_never_stored(change: dict, said: str):
    outcome = Outcome(**({"text": "an answer"} | change))
    assert said in (refuse_storing(outcome) or "")


def test_complete_answers_are_stored():
    assert refuse_storing(Outcome(text="an answer")) is None
    assert refuse_storing(Outcome(text="an answer", finish=None, temperature=0.7)) is None
    assert refuse_storing(Outcome(text="an answer", temperature=0.7), max_temperature=0.5)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What does it print?\nif x:\n    a()\nb()", "What does it print?\nif x:\n    a()\n    b()"),
        ("What is 5!", "What is 5?"),
        ("What does it match: a.*?", "What does it match: a.*"),
        ("Translate: let us go", "Translate: let US go"),
    ],
)
def test_what_says_something_else_is_no_repetition(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_blanks_and_a_final_mark_say_nothing() -> None:
    assert len({normalised(f" How  do I\u00a0pay{end}") for end in ("", "?", " ?", "?!", ".", "...\n")}) == 1
    assert normalised("How was 2024?") == normalised("How was 2024")
