"""A SemanticCache as LangChain's cache of answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.outputs import Generation

from ragkit.cache import Scope, SemanticCache, Verdict
from ragkit.errors import EmbeddingError, InvalidInputError, StoreError
from ragkit.langchain.answers import outcome_of, packed, text_of, unpacked
from ragkit.langchain.asked import Asked, QuestionIn, asked

#: Says of a question, a stored answer's text and a fresh one's whether both say the same.
Judge = Callable[[str, str, str], bool]
_LOG = logging.getLogger(__name__)
_SPARED = (StoreError, EmbeddingError)
#: Look-ups whose answer has not come yet; a model that failed never brings one.
_WAITING = 1000


class RagkitSemanticCache(BaseCache):
    """Answers of chat models and LLMs, given again for the same question and, where the cache's policy allows, for its paraphrases.

    LangChain hands over all messages as one JSON text. Here only the text of the last human message is compared by meaning; the
    system prompt, every earlier message, the model with all its settings, ``tenant``, ``access`` and ``extra`` must match exactly.
    A last message that is no human text (an image, a tool's result) and prompts of plain LLMs are matched exactly as a whole.
    ``question_in`` takes a last human text apart that holds more than a question, such as retrieved passages: it returns the
    question and, as a text, all the rest, which then has to match exactly too.

    ``access`` says what the asker may read, ``tags`` mark what is stored for ``cache.invalidate(tag=...)``, ``principal`` names the
    writer where writers are not all trusted. ``judge`` compares a fresh answer with the stored one whenever the policy asks, when the
    model has answered; a hit that is to be judged goes to the model too. Without it a certified policy learns nothing.

    Answers that were cut, filtered or refused, that call tools, or that JSON does not give back exactly are not stored
    (``cache.stats().refused`` counts reasons). A store that cannot be read or written is passed by with a warning in the log: the model
    answers. ``clear()`` removes all entries of the tenant. ``Runnable.stream`` asks no cache in LangChain; ``invoke`` of a
    model with ``streaming=True`` does.
    """

    def __init__(
        self,
        cache: SemanticCache,
        *,
        tenant: str,
        access: Any = None,
        extra: Any = None,
        tags: Iterable[str] = (),
        principal: str = "",
        judge: Judge | None = None,
        question_in: QuestionIn | None = None,
    ) -> None:
        self.cache, self.tenant = cache, tenant
        self._access, self._extra = access, extra
        self._tags, self._principal = tuple(tags), principal
        self._judge, self._question_in = judge, question_in
        self._begun: OrderedDict[tuple[str, str], tuple[float, Verdict]] = OrderedDict()
        self._lock = Lock()
        # An empty tenant, or an access that JSON cannot hold, is told now.
        self.scope(Asked("", (), None), "any")

    def scope(self, question: Asked, llm_string: str) -> Scope:
        """What must match exactly beside the question itself."""
        return Scope(
            self.tenant,
            llm_string or "no model named",
            history=question.around,
            sampling=None if question.temperature is None else {"temperature": question.temperature},
            access=self._access,
            extra=self._extra,
        )

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The stored generations, None where the model has to answer."""
        question = asked(prompt, llm_string, self._question_in)
        begun = time.time()
        try:
            verdict = self.cache.lookup(question.text, scope=self.scope(question, llm_string), principal=self._principal)
        except _SPARED as error:
            _LOG.warning("The cache could not be asked, and the model answers: %s", error)
            return None
        generations = None if verdict.answer is None else unpacked(verdict.answer)
        if generations is not None and not (verdict.judge and self._judge):
            return generations
        with self._lock:
            self._begun[prompt, llm_string] = (begun, verdict)
            while len(self._begun) > _WAITING:
                self._begun.popitem(last=False)
        return None

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Store generations, where they may be stored at all."""
        question = asked(prompt, llm_string, self._question_in)
        with self._lock:
            begun, verdict = self._begun.pop((prompt, llm_string), (None, None))
        outcome = outcome_of(return_val, temperature=question.temperature)
        text = packed(return_val)
        if text is None:
            outcome, text = outcome_of(return_val, error="the answer cannot be stored exactly"), "-"
        try:
            stored = self.cache.put(
                question.text,
                text,
                outcome=outcome,
                scope=self.scope(question, llm_string),
                tags=self._tags,
                principal=self._principal,
                begun=begun,
                cost=None if begun is None else time.time() - begun,
            )
            if stored and verdict is not None and verdict.judge and self._judge is not None:
                self._compare(question, verdict, return_val, self._judge)
        except _SPARED as error:
            _LOG.warning("The answer could not be stored: %s", error)

    def _compare(self, question: Asked, verdict: Verdict, fresh: Sequence[Generation], judge: Judge) -> None:
        stored = self.cache.get(str(verdict.entry))
        known = verdict.answer or (stored.answer if stored else None)
        before = unpacked(known) if known else None
        if before is None or not isinstance(question.text, str):
            return
        try:
            same = judge(question.text, text_of(before), text_of(fresh))
        except Exception as error:
            _LOG.warning("The judge failed, and nothing was learned: %s: %s", type(error).__name__, error)
            return
        if not isinstance(same, bool):
            raise InvalidInputError(f"The judge said {same!r}; it says True or False.")
        self.cache.judged(verdict, same=same)

    def clear(self, **kwargs: Any) -> None:
        """Remove all entries of this tenant."""
        with self._lock:
            self._begun.clear()
        self.cache.invalidate(tenant=self.tenant)

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """``lookup`` in a worker thread."""
        return await asyncio.to_thread(self.lookup, prompt, llm_string)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """``update`` in a worker thread."""
        await asyncio.to_thread(self.update, prompt, llm_string, return_val)

    async def aclear(self, **kwargs: Any) -> None:
        """``clear`` in a worker thread."""
        await asyncio.to_thread(self.clear, **kwargs)
