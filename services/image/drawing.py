"""What is asked of the image service and what comes of it: settings, pictures, and the jobs between them.

Sizes are pixels, widths first; durations are seconds; times are in UTC. Pictures travel as the bytes of a file here;
services/image/pictures.py makes arrays of them and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

SEEDS = 1 << 32
"""Seeds are below this."""


@dataclass(frozen=True, slots=True)
class LoraUse:
    """A LoRA that takes part."""

    name: str
    """As the catalog names it."""
    weight: float = 1.0
    """How strongly, from -4 to 4."""


@dataclass(frozen=True, slots=True)
class ControlUse:
    """A ControlNet that takes part."""

    name: str
    """As the catalog names it."""
    image: bytes
    """The picture that it follows, as a file; stretched to the size that is drawn."""
    preprocessor: str = ""
    """What makes the ControlNet's picture of it (`preprocess.PREPROCESSORS`); empty: it is one already."""
    weight: float = 1.0
    """How strongly, from 0 to 4."""
    start: float = 0.0
    """Share of the steps after which it begins."""
    end: float = 1.0
    """Share of the steps after which it ends."""


@dataclass(frozen=True, slots=True)
class SecondPass:
    """Draws every picture again in a larger size."""

    scale: float
    """How much larger, from 1 to 4."""
    upscaler: str = ""
    """What enlarges in between; Lanczos where it is empty."""
    steps: int = 0
    """Steps of the second pass; as many as of the first where it is 0."""
    strength: float = 0.7
    """How much of it is drawn anew, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to draw. What is at its default is the model's, or the deployment's, to decide."""

    prompt: str = ""
    """What to draw; `<lora:name:weight>` in it adds a LoRA."""
    negative_prompt: str = ""
    """What not to draw."""
    model: str = ""
    """As the catalog names it; the default one where it is empty."""
    width: int = 0
    """A multiple of 8; 0: the model's own, and for an edit the picture's, rounded down."""
    height: int = 0
    """As the width."""
    steps: int = 0
    """From 1 to 150; 0: the model's default."""
    guidance_scale: float | None = None
    """From 0 to 30; None: the model's default."""
    seed: int | None = None
    """From 0 to SEEDS - 1; None: by chance. Further pictures have the following ones."""
    sampler: str = ""
    """By its name or an alias of it; the model's default where it is empty."""
    count: int = 1
    """How many pictures, from 1 to 16."""
    loras: tuple[LoraUse, ...] = ()
    """Besides those in the prompt."""
    controls: tuple[ControlUse, ...] = ()
    clip_skip: int = 0
    """Final layers of the text encoder that are left out, plus one, as A1111 counts; 0 and 1: none."""
    second_pass: SecondPass | None = None
    """Not for edits."""


class ResizeMode(StrEnum):
    """How a picture is brought to another shape."""

    STRETCH = "stretch"
    CROP = "crop"
    """Scaled until it covers all, and cropped around its middle."""
    FILL = "fill"
    """Scaled until it fits, the rest filled with its edges."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What is drawn anew."""

    image: bytes
    """The picture, as a file."""
    mask: bytes = b""
    """Which part: the white of a grey picture, or the transparent of one with an alpha channel; as large as the
    picture. All of it where it is empty."""
    strength: float = 0.75
    """How much is drawn anew, from 0, nothing, to 1, everything."""
    mask_blur: int = 0
    """Pixels over which the mask's edge is softened, at most 256."""
    invert_mask: bool = False
    """Draw what the mask does not mark."""
    resize_mode: ResizeMode = ResizeMode.STRETCH


class Format(StrEnum):
    """The formats of pictures that are given out."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"

    @property
    def content_type(self) -> str:
        """Its media type."""
        return f"image/{self.value}"


@dataclass(frozen=True, slots=True)
class Output:
    """What comes back."""

    format: Format = Format.PNG
    """Of pictures and of previews."""
    quality: int = 90
    """Of JPEG and WebP, from 1 to 100."""
    preview_interval: int = 0
    """A preview after every so many steps; none where it is 0."""


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Interrupted by its owner, or its client went away."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is."""

    step: int = 0
    """Steps done of the pictures that are being drawn together."""
    steps: int = 0
    """Steps that these take; 0 until that is known."""
    images_done: int = 0
    fraction: float = 0.0
    """How much of the whole job is done, from 0 to 1."""
    remaining: float | None = None
    """Seconds that it will take from now on, waiting included; None while that cannot be said."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a picture looks like while it is drawn."""

    index: int
    """Which of the request's pictures, from 0."""
    step: int
    """Steps done."""
    content: bytes
    """A small picture, as a file."""
    content_type: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is kept."""

    id: str
    index: int
    """Which of the request's pictures, from 0."""
    width: int
    height: int
    content_type: str
    size: int
    """In bytes."""
    seed: int
    """That it was drawn with; 0 for one that was only enlarged."""
    infotext: str
    """How it was drawn, as A1111 writes it."""
    model: str
    """What drew it; empty for one that was only enlarged."""
    job: str
    """Id of its job; empty for one that was only enlarged."""
    create_time: datetime
    expire_time: datetime
    content: bytes = field(default=b"", repr=False)
    """The file, on the picture that a job or an enlargement gives; empty on those that are looked up."""

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"images/{self.id}"

    @property
    def path(self) -> str:
        """Where the gateway serves it."""
        return f"/api/v1/{self.name}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed."""

    reason: str
    """A name of parley.errors.v1.ErrorReason without its prefix."""
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """The pictures of one request, as its owner sees them."""

    id: str
    """One name of the owner's: another owner may have a job that is called the same."""
    state: JobState
    position: int
    """Jobs that are before it, those that run included; 0 once it runs."""
    progress: Progress
    model: str
    count: int
    """How many pictures were asked for."""
    pictures: tuple[str, ...]
    """Ids of those that are done, while they are kept."""
    failure: Failure | None
    create_time: datetime
    start_time: datetime | None = None
    end_time: datetime | None = None

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"imageJobs/{self.id}"


Event = Job | Progress | Preview | Picture
"""What happens to a job: see Studio.draw for the order."""


@dataclass(frozen=True, slots=True)
class Current:
    """The job that somebody waits for."""

    job: Job
    """Not ended; with its latest progress."""
    preview: Preview | None
    """The latest one, where the job asked for previews and there was one."""
    skipped: bool = False
    """Whether pictures of it were skipped."""
