"""Context that a language model writes: asked once, kept, checked, and counted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

from ragkit.chunk.accounts import Estimate, Prices, Tally, WritingReport
from ragkit.chunk.answers import Answers
from ragkit.chunk.pipeline import Pipeline
from ragkit.chunk.prompts import PROMPT_VERSION, Prompt, make_prompts
from ragkit.chunk.verdict import Reply, tidy, verdict
from ragkit.errors import ContextError, InvalidInputError
from ragkit.progress import progress as progress_bar
from ragkit.seams import Chunker
from ragkit.types import Chunk, Document, canonical_json

#: Providers' prompt caches begin at this many tokens.
_LEAST_CACHED = 1024
_TOKENS_PER_WORD = 1.5
#: An answer may be so many times as long as asked for; models do not count well.
_TOLERANCE = 2


class PromptedSituator:
    """A Situator for ``Situate(write=...)``: any function that puts a prompt to a language model and returns its Reply.

    ``ragkit.langchain.ChatSituator`` is one for every chat model of LangChain. The document is shown whole, or in parts of
    at most ``window`` tokens around the passage, before the passage itself and in document order, so that prompt caches
    work. The answer is to have about ``words`` words, and is checked (``ragkit.chunk.verdict``); a chunk whose answer is
    unusable, or whose call failed, gets no words, so that its context is what else Situate gives it: title and headings.
    ``report()`` has each of them.

    Answers are kept in the file ``cache`` the moment they come, under a digest of all that was asked, of ``name`` and of
    ``settings``: an interrupted run goes on where it stopped, and nothing is paid for twice. Failed calls are not kept, and
    are made again the next time. ``concurrency`` calls run at once; time-outs and retries are ``ask``'s own affair.

    Raises InvalidInputError for settings out of range, ContextError when ``patience`` calls in a row have failed, StoreError
    when an answer cannot be kept, and StoreCorruptError or StoreFormatError for a file of something else.
    """

    def __init__(
        self,
        ask: Callable[[Prompt], Reply],
        *,
        name: str,
        cache: str | Path,
        settings: Mapping[str, Any] | None = None,
        words: int = 50,
        window: int = 32_000,
        concurrency: int = 4,
        patience: int = 10,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise InvalidInputError(f"name is {name!r}; name the model, for example name='gpt-4o-mini'.")
        for label, value in (("words", words), ("window", window), ("concurrency", concurrency), ("patience", patience)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidInputError(f"{label} is {value!r}; it must be a whole number, at least 1.")
        self._ask = ask
        self.words, self.window, self.concurrency, self.patience = words, window, concurrency, patience
        self._recipe = {
            "situator": "prompted",
            "model": name,
            "settings": dict(settings or {}),
            "prompt": PROMPT_VERSION,
            "words": words,
            "window": window,
        }
        self._model = canonical_json({"model": name, "settings": dict(settings or {})})
        self._answers = Answers(cache)
        self._tally = Tally()
        self._failing = 0

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Model, prompt and settings: all that decides what is written."""
        return self._recipe

    def __call__(self, document: Document, chunks: Sequence[Chunk], /) -> list[str]:
        """One text per chunk, "" where there is none; asks only for what the file does not hold."""
        groups = self._prompts(document, chunks)
        words = {prompt.key: text for prompt, text in self._written(iter(groups))}
        return [words[prompt.key] for group in groups for prompt in group]

    def prepare(self, documents: Iterable[Document], chunker: Chunker, *, progress: bool = True) -> WritingReport:
        """Ask for every chunk of every document now, across documents, with a progress bar on stderr.

        Adding the same documents with the same chunker then asks nothing. ``chunker`` is the one that adds them,
        with this situator in it or without; ``index.chunker`` where an Index does.
        """
        with progress_bar("Writing context", enabled=progress) as watch:
            groups = (group for document in documents for group in self._prompts(document, _cut(document, chunker)))
            with closing(self._written(groups)) as written:
                for prompt, _ in written:
                    watch.advance(note=prompt.doc_id)
        return self.report()

    def estimate(self, documents: Iterable[Document], chunker: Chunker, *, prices: Prices | None = None) -> Estimate:
        """What ``prepare`` of the same would ask, and cost where ``prices`` are given; nothing is asked."""
        calls = kept = uncached = cached = 0
        seen: set[bytes] = set()
        for document in documents:
            for group in self._prompts(document, _cut(document, chunker)):
                seen |= self._answers.load([prompt.key for prompt in group]).keys()
                missing = [prompt for prompt in group if prompt.key not in seen]
                seen |= {prompt.key for prompt in missing}
                kept += len(group) - len(missing)
                calls += len(missing)
                shown = sum(prompt.n_shown for prompt in missing)
                repeated = shown - missing[0].n_shown if missing and missing[0].n_shown >= _LEAST_CACHED else 0
                cached += repeated
                uncached += shown - repeated + sum(prompt.n_passage for prompt in missing)
        out = round(calls * self.words * _TOKENS_PER_WORD)
        price = None if prices is None else prices.of(uncached=uncached, cached=cached, out=out)
        return Estimate(calls=calls, kept=kept, tokens_uncached=uncached, tokens_cached=cached, tokens_out=out, price=price)

    def report(self) -> WritingReport:
        """What was written, kept, and fell back since this object was made; each chunk counts once."""
        return self._tally.report()

    def unfinished(self, doc_id: str) -> str:
        """What is missing of a document and may come when asked again: chunks whose call failed; "" when nothing."""
        failed = self._tally.failed(doc_id)
        return f"{failed} chunks have no words of {self._recipe['model']}: their calls failed" if failed else ""

    def close(self) -> None:
        """Close the file of answers; the next call opens it again."""
        self._answers.close()

    def _prompts(self, document: Document, chunks: Sequence[Chunk]) -> list[list[Prompt]]:
        return make_prompts(document, chunks, words=self.words, window=self.window, model=self._model)

    def _written(self, groups: Iterator[list[Prompt]]) -> Generator[tuple[Prompt, str], None, None]:
        """Each prompt with its words, as they come: kept ones at once, the others from the model.

        The first of a group goes alone, for the others begin with the same text and then find it in the provider's cache.
        """
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="ragkit-context")
        running: dict[Future[Reply | str], tuple[bytes, Sequence[Prompt]]] = {}
        waiting: dict[bytes, list[Prompt]] = {}

        def submit(prompt: Prompt, then: Sequence[Prompt] = ()) -> bool:
            asked = prompt.key in waiting
            waiting.setdefault(prompt.key, []).append(prompt)
            if not asked:
                running[pool.submit(self._one, prompt)] = (prompt.key, then)
            return not asked

        try:
            while True:
                while len(running) < 2 * self.concurrency and (group := next(groups, None)) is not None:
                    kept = self._answers.load([prompt.key for prompt in group])
                    for prompt in group:
                        if prompt.key in kept:
                            yield prompt, self._judged(prompt, kept[prompt.key], new=False)
                    missing = [prompt for prompt in group if prompt.key not in kept]
                    if missing and not submit(missing[0], missing[1:]):
                        for prompt in missing[1:]:
                            submit(prompt)
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    key, then = running.pop(future)
                    reply = future.result()
                    # An equal document may have had them answered while the first was on its way.
                    kept = self._answers.load([prompt.key for prompt in then])
                    for prompt in then:
                        if prompt.key in kept:
                            yield prompt, self._judged(prompt, kept[prompt.key], new=False)
                        else:
                            submit(prompt)
                    for prompt in waiting.pop(key):
                        yield prompt, self._judged(prompt, reply, new=True)
        finally:
            # What runs is paid for: it is waited for and kept. What only waits is not begun.
            pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, prompt: Prompt) -> Reply | str:
        """The reply, kept already; or what went wrong."""
        try:
            reply = self._ask(prompt)
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:500]
        if not isinstance(reply, Reply) or not isinstance(reply.text, str):
            raise InvalidInputError(
                f"The function that asks {self._recipe['model']} returned {reply!r:.100}; it returns a Reply with its text."
            )
        self._answers.save(prompt.key, reply)
        self._tally.paid(reply)
        return reply

    def _judged(self, prompt: Prompt, reply: Reply | str, *, new: bool) -> str:
        """The words, or "" with the reason on record. ContextError when too many calls in a row have failed."""
        if isinstance(reply, str):
            self._tally.told(prompt, new=new, reason="failed", detail=reply)
            self._failing += 1
            if self._failing >= self.patience:
                failed, self._failing = self._failing, 0
                raise ContextError(
                    f"The last {failed} calls of {self._recipe['model']} failed, the last one on document {prompt.doc_id!r}: {reply} "
                    "What was answered is kept; set the model right and run again."
                )
            return ""
        self._failing = 0 if new else self._failing
        reason = verdict(reply, prompt, most_words=_TOLERANCE * self.words)
        self._tally.told(prompt, new=new, reason=reason)
        return "" if reason else tidy(reply.text)


def _cut(document: Document, chunker: Chunker) -> list[Chunk]:
    """The chunks as a situator in ``chunker`` sees them."""
    if isinstance(chunker, Pipeline):
        chunker = chunker.chunker.keeping_free(sum(step.reserve for step in chunker.steps))
    return chunker(document)
