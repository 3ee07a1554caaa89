"""A verifier with a time limit: one that does not answer in time has refused."""

from __future__ import annotations

from concurrent.futures import Future
from threading import BoundedSemaphore, Thread

from ragkit.cache.candidate import Candidate
from ragkit.cache.verdict import Verifier

#: Verifiers that may run, or hang, at once; a thread cannot be killed.
_AT_ONCE = 16


class Timed:
    """``verifier``, answered within ``seconds`` or refused with TimeoutError.

    One that hangs keeps its thread. When sixteen do, further calls wait for one to come back, and are refused in time too.
    """

    def __init__(self, verifier: Verifier, seconds: float) -> None:
        self._verifier, self._seconds = verifier, seconds
        self._free = BoundedSemaphore(_AT_ONCE)

    def __call__(self, prompt: str, candidate: Candidate, /) -> bool:
        """What the verifier says. Raises whatever it raises, and TimeoutError."""
        if not self._free.acquire(timeout=self._seconds):
            raise TimeoutError(f"{_AT_ONCE} verifications are still running")
        said: Future[bool] = Future()

        def ask() -> None:
            try:
                said.set_result(self._verifier(prompt, candidate))
            except BaseException as error:
                said.set_exception(error)
            finally:
                self._free.release()

        Thread(target=ask, name="ragkit-cache-verifier", daemon=True).start()
        try:
            return said.result(timeout=self._seconds)
        except TimeoutError as error:
            raise TimeoutError(f"no answer within {self._seconds:g} s") from error
