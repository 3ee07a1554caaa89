"""What people put around a question, and what must stay."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.lexical import bare_question
from ragkit.lexical.courtesies import COURTESIES

PHRASES = sorted(
    {
        one
        for some in COURTESIES.values()
        for role in ("greetings", "openings", "closings")
        for one in getattr(some, role).split("|")
    }
)


@pytest.mark.parametrize(
    "around",
    [
        "Hello, I would like to know the following, could you please help me: {} Thank you very much!",
        "Hi there! Could you please tell me {}",
        "I was wondering if you could help me find out {} Thanks in advance.",
        "Sorry to bother you, but do you happen to know {}",
        "Hey, quick question - {}",
        "Good morning. I have a question. {} Any help would be appreciated.",
        "Please answer the following question: {}",
        "I’d like to know {} if you don’t mind",
        "Können Sie mir bitte sagen, {} Vielen Dank!",
        "Bonjour, pourriez-vous me dire {} Merci d'avance.",
        "Hola, ¿podrías decirme {} Gracias.",
        "Ciao, potresti dirmi {} Grazie mille!",
        "Olá, você poderia me dizer {} Obrigado!",
        "Hallo, kunt u mij vertellen {} Alvast bedankt!",
    ],
)
@pytest.mark.parametrize("question", ["who likes quinces?", "what is the tallest tower of Paris?"])
def test_words_around_a_question_go(around, question):
    assert bare_question(around.format(question)).strip(" -") == question


@pytest.mark.parametrize(
    "question",
    [
        "who likes Thank You Notes",
        "Hello Kitty",
        "hello world program in c",
        "Good Morning Vietnam cast",
        "how do you say please",
        "what is the meaning of thank you",
        "sorry seems to be the hardest word",
        "The Who",
        "to be or not to be",
        "thank you",
        "Could you?",
        "is it possible to weld aluminium",
        "what does 3.14, or e.g. 2.71, mean",
        "def f(x): return please(x)",
    ],
)
def test_questions_that_only_look_polite_stay(question):
    assert bare_question(question) == question


@given(st.text() | st.lists(st.sampled_from([*PHRASES, ",", ".", "?", "\n", "quince", "the"]), max_size=12).map(" ".join))
def test_what_is_left_is_part_of_the_text_and_bare_itself(text):
    bare = bare_question(text)
    assert bare == text or len(bare) < len(text)
    assert bare or not text
    words = iter(text.translate(str.maketrans("’‘ʼ", "'''")).split())
    assert bare == text or all(any(piece in word for word in words) for piece in bare.split())


@pytest.mark.parametrize(
    "text", ["please " * 280, "could you " * 200, ". " * 1000, "thanks " * 285, "'" * 2000, "hi," * 660, "\ud800\x00" * 900]
)
def test_no_question_takes_long(text):
    begun = time.process_time()
    bare_question(text)
    assert time.process_time() - begun < 1
