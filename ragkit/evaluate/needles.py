"""Passkeys and needles: long texts made by rule, in each of which one sentence decides (LongEmbed, Zhu et al., 2404.12096).

Nothing is stored: the same arguments give the same collection on any machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.evaluate.collections import Collection, Query
from ragkit.seams import Embedder, Tokenizer, Vectors
from ragkit.types import Document

A = TypeVar("A")
B = TypeVar("B")
_FILLER = ("The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.", "There and back again.")
# Lists whose lengths have no common factor, so that counting through two of them meets every pair before one comes again.
_FIRST = (
    *("Ada", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Irene", "Jonas", "Karin", "Luis", "Maria", "Nora"),
    *("Oscar", "Paula", "Quentin", "Rosa", "Simon", "Teresa", "Ulrich", "Vera", "Walter", "Xenia", "Yusuf", "Zoe"),
)
_LAST = (
    *("Abbott", "Baker", "Castro", "Dunn", "Ellis", "Fischer", "Grant", "Hale", "Ivanov", "Jensen", "Keller", "Lopez", "Moore"),
    *("Novak", "Okoye", "Petrov", "Quinn", "Rossi", "Sato", "Tanaka", "Ueda", "Vargas", "Weber", "Young", "Zhang"),
)
_CITIES = (
    *("Lisbon", "Oslo", "Cairo", "Lima", "Kyoto", "Dublin", "Nairobi"),
    *("Quebec", "Naples", "Warsaw", "Hanoi", "Havana", "Perth"),
)
#: (the fact, the question, what may be asked for): each is told of a city.
_FACTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "The old bridge of {city} was painted {word} last spring.",
        "Which colour is the old bridge of {city}?",
        ("red", "green", "violet"),
    ),
    (
        "In {city} people eat {word} on New Year's Day.",
        "What do people in {city} eat on New Year's Day?",
        ("lentils", "plums", "trout"),
    ),
    ("The night train to {city} carries {word}.", "What does the night train to {city} carry?", ("salt", "letters", "glass")),
    (
        "Every child in {city} learns to play the {word}.",
        "Which instrument do children in {city} learn?",
        ("cello", "oboe", "harp"),
    ),
    (
        "The tallest tower of {city} is built of {word}.",
        "What is the tallest tower of {city} built of?",
        ("oak", "brick", "marble"),
    ),
    ("The mayor of {city} keeps {word} at home.", "Which animals does the mayor of {city} keep?", ("geese", "goats", "turtles")),
    ("The library of {city} closes on {word}.", "On which day does the library of {city} close?", ("Monday", "Friday", "Sunday")),
    (
        "The football team of {city} was founded by {word}.",
        "Who founded the football team of {city}?",
        ("bakers", "sailors", "nuns"),
    ),
    (
        "The best coffee in {city} is sold in the {word}.",
        "Where is the best coffee in {city} sold?",
        ("museum", "harbour", "cinema"),
    ),
    (
        "It rains on {word} days a year in {city}.",
        "How many days a year does it rain in {city}?",
        ("forty", "ninety", "two hundred"),
    ),
)
_SUBJECTS = (
    "A good essay",
    "The patient reader",
    "Every new company",
    "An old habit",
    "The best teacher",
    "A small team",
    "Most of us",
)
_VERBS = ("begins with", "depends on", "gets better through", "is nothing without", "turns slowly into", "is ruined by")
_OBJECTS = (
    "a question nobody asked",
    "honest work",
    "long walks",
    "the second draft",
    "other people's patience",
    "luck",
    "doubt",
)
_ENDS = ("", ", and that takes years", ", which surprises beginners", ", though few admit it", ", as anyone who tried will say")


def passkeys(*, tokens: int, tokenizer: Tokenizer, queries: int = 50, documents: int = 100, seed: int = 0) -> Collection:
    """``documents`` texts of the same filler, in each "X's passkey is N" for another X; ``queries`` of the people are asked about.

    Every text has at most ``tokens`` tokens of ``tokenizer``, special tokens included, and lacks less than one sentence of them.
    The fact stands at a random place; ``spans`` of the collection name it. Raises InvalidInputError where the texts are too
    short for their fact or there are more questions than documents.
    """
    chance = random.Random(f"passkeys {seed}")
    pairs = _pairs(_FIRST, _LAST, documents, chance)
    people = [f"{first} {last}" for first, last in pairs]
    facts = [f"{person}'s passkey is {chance.randrange(10_000, 100_000)}." for person in people]
    questions = [f"What is {person}'s passkey?" for person in people]
    return _hidden(f"passkeys_{tokens}", facts, questions, lambda at, _: _FILLER[at % 5], chance, tokens, tokenizer, queries)


def needles(*, tokens: int, tokenizer: Tokenizer, queries: int = 50, documents: int = 100, seed: int = 0) -> Collection:
    """``documents`` essays by rule, in each one made fact about a city; ``queries`` of the facts are asked for.

    Lengths, places, spans and errors as in ``passkeys``; here every text differs from every other.
    """
    chance = random.Random(f"needles {seed}")
    facts, questions = [], []
    for (fact, question, words), city in _pairs(_FACTS, _CITIES, documents, chance):
        facts.append(fact.format(city=city, word=chance.choice(words)))
        questions.append(question.format(city=city))

    def sentence(_: int, chance: random.Random) -> str:
        return f"{chance.choice(_SUBJECTS)} {chance.choice(_VERBS)} {chance.choice(_OBJECTS)}{chance.choice(_ENDS)}."

    return _hidden(f"needles_{tokens}", facts, questions, sentence, chance, tokens, tokenizer, queries)


def first_hits(embedder: Embedder, collection: Collection) -> dict[str, float]:
    """``{question: 1.0 or 0.0}``: whether the whole text with the highest cosine is a relevant one; ``estimate`` takes the values.

    Texts are embedded whole, so TextTooLongError is raised where they do not fit the embedder.
    """
    vectors = embedder.embed_texts([document.text for document in collection.documents])
    return _first(vectors, embedder, collection, [document.id for document in collection.documents])


def first_hits_by_parts(
    embedder: Embedder, collection: Collection, *, parts: Callable[[Document], Sequence[str]]
) -> dict[str, float]:
    """``first_hits`` where a text is as near as its nearest part, as in an index of chunks."""
    texts, owners = [], []
    for document in collection.documents:
        for part in parts(document):
            texts.append(part)
            owners.append(document.id)
    return _first(embedder.embed_texts(texts), embedder, collection, owners)


def _first(vectors: Vectors, embedder: Embedder, collection: Collection, owners: Sequence[str]) -> dict[str, float]:
    asked = [query for query in collection.queries if collection.qrels.get(query.id)]
    best = np.argmax(embedder.embed_queries([query.text for query in asked]) @ vectors.T, axis=1)
    found = [collection.qrels[query.id].get(owners[place], 0) > 0 for query, place in zip(asked, best, strict=True)]
    return {query.id: float(hit) for query, hit in zip(asked, found, strict=True)}


def _pairs(left: Sequence[A], right: Sequence[B], n: int, chance: random.Random) -> list[tuple[A, B]]:
    """Different pairs that share as little with each other as so many can."""
    if not 1 <= n <= len(left) * len(right):
        raise InvalidInputError(f"documents={n}; there are different facts for 1 to {len(left) * len(right)} of them.")
    left, right = chance.sample(left, len(left)), chance.sample(right, len(right))
    return [(left[at % len(left)], right[at % len(right)]) for at in range(n)]


def _hidden(
    name: str,
    facts: Sequence[str],
    questions: Sequence[str],
    filler: Callable[[int, random.Random], str],
    chance: random.Random,
    tokens: int,
    tokenizer: Tokenizer,
    queries: int,
) -> Collection:
    if not 1 <= queries <= len(facts):
        raise InvalidInputError(f"queries={queries}; there are {len(facts)} documents, so 1 to {len(facts)} are allowed.")
    room = tokens - tokenizer.n_special
    documents: list[Document] = []
    spans: dict[str, list[tuple[str, int, int]]] = {}
    for number, fact in enumerate(facts):
        sentences = _filled(fact, filler, chance, room, tokenizer)
        place = chance.randrange(len(sentences) + 1)
        text = " ".join([*sentences[:place], fact, *sentences[place:]])
        documents.append(Document(text, id=f"d{number:04d}", metadata={"place": place / max(1, len(sentences))}))
        if number < queries:
            start = text.index(fact)
            spans[f"q{number:04d}"] = [(f"d{number:04d}", start, start + len(fact))]
    return Collection(
        name=name,
        documents=documents,
        queries=[Query(id=f"q{number:04d}", text=text) for number, text in enumerate(questions[:queries])],
        qrels={f"q{number:04d}": {f"d{number:04d}": 1} for number in range(queries)},
        spans=spans,
    )


def _filled(
    fact: str, filler: Callable[[int, random.Random], str], chance: random.Random, room: int, tokenizer: Tokenizer
) -> list[str]:
    """As many sentences as fit beside the fact: estimated one by one, then counted together, for counts need not add up."""

    def fits(sentences: Sequence[str]) -> bool:
        return tokenizer.count_batch([" ".join([*sentences, fact])])[0] <= room

    if not fits([]):
        raise InvalidInputError(f"The fact {fact!r} alone has more than the {room} tokens left for a text. Raise tokens.")
    estimates: dict[str, int] = {fact: tokenizer.count_batch([fact])[0]}
    sentences: list[str] = []
    left = room - estimates[fact]
    while left > 0:
        sentence = filler(len(sentences), chance)
        if sentence not in estimates:
            estimates[sentence] = max(1, tokenizer.count_batch([sentence])[0])
        sentences.append(sentence)
        left -= estimates[sentence]
    while fits(sentences):
        sentences.append(filler(len(sentences), chance))
    while not fits(sentences):
        sentences.pop()
    return sentences
