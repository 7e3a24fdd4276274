"""What a deployment can draw with: models, LoRAs, ControlNets, samplers, upscalers, face restorers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from services.mesh.authority import Authority, NotGranted


@dataclass(frozen=True, slots=True)
class Model:
    """A model that draws."""

    id: str
    title: str
    """For people."""
    architecture: str
    """`sd` or `sdxl`."""
    default_size: int
    """Width and height in pixels that it was trained for."""
    default_steps: int
    default_guidance_scale: float
    default_sampler: str
    loaded: bool = False
    """Whether it is in memory now; others are loaded when they are asked for."""
    fault: str = ""
    """Why it cannot be used; empty where it can."""
    sha256: str = ""
    """Of its weights, in hexadecimal; empty until it was computed."""
    description: str = ""
    """What it can draw and what not; for people."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A style or a subject that a model learned besides."""

    id: str
    title: str
    size: int = 0
    """Of its file, in bytes."""
    fault: str = ""
    sha256: str = ""
    """Of its file, in hexadecimal; empty where it is not known."""


@dataclass(frozen=True, slots=True)
class ControlNet:
    """Lets a picture decide where things are."""

    id: str
    title: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Sampler:
    """A way from noise to a picture."""

    name: str
    aliases: tuple[str, ...] = ()
    """Other names, as A1111 knows them."""


@dataclass(frozen=True, slots=True)
class Upscaler:
    """Enlarges pictures."""

    name: str
    scale: float = 0.0
    """How much larger it makes a picture by itself; 0: any factor."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one kind of memory of the model server."""

    free: int = 0
    used: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Catalog:
    """What there is to draw with."""

    models: tuple[Model, ...] = ()
    """The default one first."""
    closed: tuple[Model, ...] = ()
    """Models that are not open to the caller."""
    loras: tuple[Lora, ...] = ()
    control_nets: tuple[ControlNet, ...] = ()
    samplers: tuple[Sampler, ...] = ()
    upscalers: tuple[Upscaler, ...] = ()
    face_restorers: tuple[str, ...] = ()
    """Their names; empty where none is installed."""
    ram: Memory = field(default_factory=Memory)
    cuda: Memory | None = None
    """None without a GPU."""

    def open_to(self, caller: Authority) -> Catalog:
        """The same, as far as somebody may use it."""
        models = tuple(model for model in self.models if caller.may_use_model(model.id))
        return replace(self, models=models, closed=tuple(model for model in self.models if model not in models))

    def model(self, name: str) -> Model | None:
        """The model of that id, the default one where it is empty; None where there is none.

        Raises:
            NotGranted: It is not open to the caller; nor is any, where it is empty.
        """
        found = next((model for model in self.models if name in ("", model.id)), None)
        if found is None:
            self.require_open(next((model for model in self.closed if name in ("", model.id)), None))
        return found

    def require_open(self, model: Model | None) -> None:
        """Raises NotGranted for one of the models that are not open."""
        if model is not None and model in self.closed:
            raise NotGranted(f"models/{model.id}")

    def sampler(self, name: str) -> Sampler | None:
        """The sampler of that name or alias, whatever its case; None where there is none."""
        wanted = name.casefold()
        for sampler in self.samplers:
            if wanted in (sampler.name.casefold(), *(alias.casefold() for alias in sampler.aliases)):
                return sampler
        return None
