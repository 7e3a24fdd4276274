"""A trigram language model from example sentences, written in ARPA format.

Absolute discounting with back-off (H. Ney, U. Essen, R. Kneser, "On structuring probabilistic dependences in stochastic
language modelling", Computer Speech and Language 8, 1994): a constant is taken from every count, and what that frees is
shared out by the next shorter context. Unigrams are smoothed towards the uniform distribution, so that every word of
the examples may follow any other.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

Gram = tuple[str, ...]
START, END = "<s>", "</s>"
NEVER = -99.0  # ARPA's logarithm of zero
ORDER = 3


class Ngrams:
    """Counts of word sequences, and the probabilities that follow from them.

    Args:
        sentences: Sequences of words.
        discount: What is taken from every count, between 0 and 1.
    """

    def __init__(self, sentences: Iterable[Sequence[str]], discount: float = 0.5) -> None:
        self._discount = discount
        self._counts: list[Counter[Gram]] = [Counter() for _ in range(ORDER)]
        for sentence in sentences:
            words = (START, *sentence, END)
            for order in range(ORDER):
                self._counts[order].update(words[i : i + order + 1] for i in range(len(words) - order))
        del self._counts[0][START,]
        self._follow: list[dict[Gram, list[int]]] = [defaultdict(lambda: [0, 0]) for _ in range(ORDER)]
        for order in range(1, ORDER):
            for gram, count in self._counts[order].items():
                totals = self._follow[order][gram[:-1]]
                totals[0] += count
                totals[1] += 1
        self._total = sum(self._counts[0].values())

    def probability(self, gram: Gram) -> float:
        """The probability of the last word after those before it."""
        if len(gram) == 1:
            spread = self._discount * len(self._counts[0]) / self._total
            return max(self._counts[0][gram] - self._discount, 0) / self._total + spread / len(self._counts[0])
        total, kinds = self._follow[len(gram) - 1].get(gram[:-1], (0, 0))
        shorter = self.probability(gram[1:])
        if not total:
            return shorter
        count = self._counts[len(gram) - 1][gram]
        return max(count - self._discount, 0) / total + self._discount * kinds / total * shorter

    def backoff(self, context: Gram) -> float:
        """The factor for words that were never seen after `context`: interpolation makes it the mass set free."""
        total, kinds = self._follow[len(context)].get(context, (0, 0))
        return self._discount * kinds / total if total else 1.0

    def arpa(self) -> str:
        """The model as the text of an ARPA file."""
        grams = [sorted(counts) for counts in self._counts]
        grams[0].insert(0, (START,))
        lines = ["\\data\\", *(f"ngram {order}={len(found)}" for order, found in enumerate(grams, 1)), ""]
        for order, found in enumerate(grams, 1):
            lines.append(f"\\{order}-grams:")
            lines += [self._line(gram, order) for gram in found]
            lines.append("")
        return "\n".join([*lines, "\\end\\", ""])

    def _line(self, gram: Gram, order: int) -> str:
        chance = NEVER if gram == (START,) else math.log10(self.probability(gram))
        after = "" if order == ORDER else f"\t{math.log10(self.backoff(gram)):.4f}"
        return f"{chance:.4f}\t{' '.join(gram)}{after}"
