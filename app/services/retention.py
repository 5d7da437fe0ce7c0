"""Keeps lineages from growing without end: old versions that never were active are removed."""

from collections.abc import Callable, Collection, Sequence

from models_store.pruning import Pruning


class Retention:
    """Keeps each lineage's newest versions, and all that ever were active.

    Parameters
    ----------
    keep
        How many of the newest stay, active or not.
    in_use
        Each tells which of a driver's versions something else needs, so that they stay too.
    """

    def __init__(
        self, pruning: Pruning, *, keep: int, in_use: Sequence[Callable[[str], Collection[str]]]
    ) -> None:
        self._pruning = pruning
        self._keep = keep
        self._in_use = in_use

    def prune(self) -> int:
        """Removes what need not be kept; how many versions."""
        removed = 0
        for key in self._pruning.lineages():
            used = {model_id for models_of in self._in_use for model_id in models_of(key.user_id)}
            removed += self._pruning.prune(key, keep=self._keep, used=used)
        return removed
