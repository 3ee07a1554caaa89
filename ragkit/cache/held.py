"""What the parts of SemanticCache share."""

from __future__ import annotations

from pathlib import Path

from ragkit.cache.desk import Desk
from ragkit.cache.making import Maker
from ragkit.cache.policies import Policy
from ragkit.cache.questions import Question, question
from ragkit.cache.scope import Scope, required
from ragkit.cache.vault import Vault
from ragkit.types import ModelCard

#: The scope of those who need none.
NOWHERE = Scope("-", "-")


class Held:
    """An open cache. ``path`` is where it is, ``card`` the model that compares prompts, None for none."""

    path: Path
    card: ModelCard | None
    _vault: Vault
    _desk: Desk
    _maker: Maker
    _require_scope: bool
    _secret: bytes

    @property
    def policy(self) -> Policy:
        """The policy as it is now, with what was learned from all processes."""
        return self._desk.learning.policy

    def _question(self, prompt: object, scope: Scope | None, exact_only: bool = False) -> Question:
        place = required(scope) if self._require_scope or scope is not None else NOWHERE
        asked = question(prompt, place, secret=self._secret)
        if exact_only:
            asked.alone = asked.alone or "asked for"
        return asked
