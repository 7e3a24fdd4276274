"""The text encoder, taught to understand captions before it ever meets a picture.

Linear heads read back what a caption says: of each thing from the last token of its phrase, of the whole scene from the
end of the text and from the padding behind it. So the states that the U-Net attends to hold which colour belongs to
which shape. The heads are thrown away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from triton_models.training.captions import Caption, SaidThing, write_caption
from triton_models.training.loop import Chance, Loop
from triton_models.training.recipe import Recipe
from triton_models.training.scenes import BACKGROUNDS, COLOURS, PLACES, RELATIONS, SHAPES, SIZES, training_scene
from triton_models.training.tokens import make_tokenizer

# A pool of scenes is enough: their captions are drawn anew at every step.
SCENES, SEEDS_FROM = 20_000, 20_000_000
# Number of answers to each question; one more for "it does not say".
OF_THING = (len(SHAPES), len(COLOURS) + 1, len(SIZES) + 1)
OF_SCENE = (*OF_THING, len(SHAPES) + 1, *OF_THING[1:], 4, len(PLACES) + 1, len(RELATIONS) + 1, len(BACKGROUNDS) + 1)


def make(recipe: Recipe, vocabulary: int, end: int) -> Any:
    """An untrained text encoder; `end` is the token that texts end with."""
    torch.manual_seed(recipe.text.seed)
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=recipe.text_width,
            intermediate_size=4 * recipe.text_width,
            num_hidden_layers=recipe.text_layers,
            num_attention_heads=recipe.text_heads,
            max_position_embeddings=recipe.text_length,
            projection_dim=recipe.text_width,
            bos_token_id=end - 1,
            eos_token_id=end,
            pad_token_id=end,
        )
    )


def thing_answers(thing: SaidThing) -> list[int]:
    """What is said of a thing, as classes: shape, colour, size."""
    return [thing.shape, thing.colour + 1, thing.size + 1]


def scene_answers(caption: Caption) -> list[int]:
    """What a caption says, as classes, in the order of OF_SCENE."""
    first = thing_answers(caption.things[0])
    second = [0, 0, 0]
    if len(caption.things) == 2:
        shape, colour, size = thing_answers(caption.things[1])
        second = [shape + 1, colour, size]
    rest = [caption.count - 1, caption.place + 1, caption.relation + 1, caption.background + 1]
    return first + second + rest


class Reader(nn.Module):  # type: ignore[misc]  # torch has no types where mypy runs
    """The text encoder with its heads."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.of_thing = nn.Linear(width, sum(OF_THING))
        self.of_scene = nn.Linear(width, sum(OF_SCENE))

    def loss(self, tokens: Any, captions: list[Caption]) -> Any:
        """How badly the heads read the captions, and the share of scenes that they read without any mistake."""
        states = self.encoder(tokens).last_hidden_state
        rows = torch.arange(len(captions))
        ends = (tokens == self.encoder.config.eos_token_id).int().argmax(dim=1)
        scene = torch.tensor([scene_answers(caption) for caption in captions])
        at_end = self.of_scene(states[rows, ends])
        loss = _loss(at_end, scene, OF_SCENE) + _loss(self.of_scene(states[:, -1]), scene, OF_SCENE)
        things = [(row, thing) for row, caption in enumerate(captions) for thing in caption.things]
        # The first token is the text's start: word n is token n + 1.
        at = states[[row for row, _ in things], [thing.last + 1 for _, thing in things]]
        loss = loss + _loss(self.of_thing(at), torch.tensor([thing_answers(thing) for _, thing in things]), OF_THING)
        return loss, _all_right(at_end, scene, OF_SCENE)


def _loss(scores: Any, answers: Any, sizes: tuple[int, ...]) -> Any:
    parts = zip(scores.split(sizes, dim=1), answers.unbind(dim=1), strict=True)
    return sum(functional.cross_entropy(part, answer) for part, answer in parts)


def _all_right(scores: Any, answers: Any, sizes: tuple[int, ...]) -> float:
    best = torch.stack([part.argmax(dim=1) for part in scores.split(sizes, dim=1)], dim=1)
    return float((best == answers).all(dim=1).float().mean())


def tokens_of(tokenizer: Any, texts: list[str]) -> Any:
    """Token ids (N, length), padded as the pipelines of diffusers do."""
    found = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    return found.input_ids


def train(recipe: Recipe, folder: Path) -> list[float]:
    """Teach the text encoder; writes `folder/tokenizer` and `folder/text_encoder`."""
    tokenizer = make_tokenizer(recipe.text_length)
    tokenizer.save_pretrained(folder / "tokenizer")
    reader = Reader(make(recipe, len(tokenizer), tokenizer.eos_token_id))
    scenes = [training_scene(seed) for seed in range(SEEDS_FROM, SEEDS_FROM + SCENES)]
    shares: list[float] = []

    loop = Loop(folder / "text-state", reader, recipe.text)

    def loss_of(chance: Chance) -> Any:
        chosen = chance.numpy.integers(len(scenes), size=loop.share(recipe.text.batch))
        captions = [write_caption(scenes[index], chance.numpy) for index in chosen]
        with torch.autocast("cpu", torch.bfloat16):
            loss, share = reader.loss(tokens_of(tokenizer, [caption.text for caption in captions]), captions)
        shares.append(share)
        return loss

    losses = loop.run(loss_of)
    print(f"captions read without a mistake: {np.mean(shares[-50:]):.4f}", flush=True)
    if loop.leads:
        reader.encoder.save_pretrained(folder / "text_encoder")
    return losses


def load(folder: Path) -> tuple[Any, Any]:
    """The tokenizer and the trained encoder."""
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    return CLIPTokenizer.from_pretrained(folder / "tokenizer"), encoder.eval()
