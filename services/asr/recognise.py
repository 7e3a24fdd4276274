"""Recognises one stretch of speech, with one model or with several whose words are fused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.asr import metrics, profanity
from services.asr.fusion import fuse
from services.asr.listen import Utterance
from services.asr.models import (
    FUSION,
    PHOWHISPER,
    RECOGNISERS,
    WHISPER,
    Engine,
    Heard,
    Model,
    chosen,
    find,
    hints_tensor,
    primary,
)
from services.asr.tidy import tidy
from services.asr.transcript import Config, Segment
from services.mesh.errors import InvalidArgument

ENGLISH = "en"
MOST_HYPOTHESES = 10
"""That models give of a segment."""


class Recogniser:
    """Recognises speech with the models of an engine.

    Args:
        engine: The models.
        default_model: For requests that name none.
        max_seconds: Longest audio that is taken.
        in_flight: How many segments of one recording are recognised at the same time.
        fused: Ids of the models that `fusion` hears, two of them.
    """

    def __init__(
        self,
        engine: Engine,
        default_model: str,
        max_seconds: float,
        in_flight: int,
        fused: Sequence[str] = (WHISPER.id, PHOWHISPER.id),
    ) -> None:
        self.engine = engine
        self.default_model = default_model
        self.max_seconds = max_seconds
        self.in_flight = in_flight
        self.fused = tuple(fused)

    def model(self, config: Config) -> Model:
        """The model that a request means. Raises ModelNotFound, NotGranted."""
        return chosen(config.model, self.default_model)

    def needs(self, model: str) -> tuple[str, ...]:
        """The models on the server that a model needs: `fusion` is none itself, it needs those that it fuses."""
        return self.fused if model == FUSION.id else (model,)

    async def ready(self, model: str) -> bool:
        """Whether a model is loaded and answers."""
        return all([await self.engine.ready(needed) for needed in self.needs(model)])

    def check(self, config: Config) -> None:
        """Raises InvalidArgument, naming the field, for what the model cannot do, and ModelNotFound."""
        model = self.model(config)
        if config.translate and not model.translates:
            able = ", ".join(known.id for known in RECOGNISERS if known.translates)
            raise InvalidArgument("config.translate", f"{model.id} cannot translate; these can: {able}")
        if config.languages and not any(map(model.knows, config.languages)):
            known = ", ".join(model.languages)
            raise InvalidArgument(
                "config.language_codes", f"{model.id} knows {known}; not {', '.join(config.languages)}"
            )

    async def recognise(self, model: str, utterance: Utterance, config: Config) -> Segment:
        """What is said in one segment; its text is empty where no word was understood."""
        metrics.AUDIO.labels(model).inc(utterance.end - utterance.start)
        with metrics.SECONDS.labels(model).time():
            return await self._recognised(model, utterance, config)

    async def _recognised(self, model: str, utterance: Utterance, config: Config) -> Segment:
        if model == FUSION.id:
            segment = await self._fused(utterance, config)
        else:
            segment = tidy(await self._hear(model, utterance, config), utterance.start, utterance.end)
            others = [one for one in segment.alternatives if one.text.strip() != segment.text]
            segment = replace(segment, alternatives=tuple(others[: config.max_alternatives]))
        return profanity.filtered(segment) if config.profanity_filter else segment

    async def _fused(self, utterance: Utterance, config: Config) -> Segment:
        """What the models heard together; one that does not know the language that is spoken is not asked."""
        asked = [model for model in self.fused if not config.language or find(model, "").knows(config.language)]
        heard = await asyncio.gather(*(self._hear(model, utterance, config) for model in asked or self.fused))
        segments = [tidy(one, utterance.start, utterance.end) for one in heard]
        return fuse(dict(zip(asked or self.fused, segments, strict=True)))

    async def _hear(self, model: str, utterance: Utterance, config: Config) -> Heard:
        """What one model heard, in a language that may be spoken."""
        allowed = [language for language in config.languages if find(model, "").knows(language)]
        language = config.language or (allowed[0] if len(allowed) == 1 else "")
        heard = await self._ask(model, utterance, config, language)
        if language or len(allowed) < 2 or primary(heard.language) in map(primary, allowed):
            return heard
        # Detection went astray: the language that the model is surest of, of those that may be spoken.
        heards = [await self._ask(model, utterance, config, one) for one in allowed]
        return max(heards, key=lambda one: sum(word.confidence for word in one.words) / max(1, len(one.words)))

    async def _ask(self, model: str, utterance: Utterance, config: Config, language: str) -> Heard:
        hints = hints_tensor(config.hints)
        heard = await self.engine.hear(
            model,
            utterance.samples,
            language,
            hints,
            translate=config.translate,
            # They count the best text among them.
            alternatives=min(config.max_alternatives + 1, MOST_HYPOTHESES) if config.max_alternatives else 0,
        )
        return heard._replace(language=ENGLISH) if config.translate else heard
