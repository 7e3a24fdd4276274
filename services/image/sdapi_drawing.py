"""What txt2img and img2img ask for, in the studio's words; what cannot be had is refused by name.

Fields that would change the picture and are not here (`tiling`, variation seeds, a refiner, other scripts) are taken at
the values that mean "off", as clients send them by habit, and refused at any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from PIL import Image, ImageOps

from services.image import encoded, infotext, masked, pictures
from services.image.catalog import Catalog, Model
from services.image.drawing import SEEDS, Edit, Format, Output, ResizeMode, SecondPass, Settings
from services.image.errors import InvalidImage, listed
from services.image.masked import Fill, Region
from services.image.options import CLIP_SKIP, MODEL, Options
from services.image.plan import GRID, MAX_COUNT
from services.image.sdapi_errors import HttpException
from services.image.sdapi_request import Drawing, Img2Img, Txt2Img
from services.image.sdapi_units import Canvas, units
from services.mesh.errors import FieldViolation, InvalidArgument, InvalidRequest, Unsupported

OWN_SCHEDULE = (None, "", "automatic", "uniform", "use same scheduler")
"""Noise schedules that every sampler has by itself."""
SAME = (None, "", "none", "use same checkpoint", "use same sampler", "use same scheduler")
RESIZE_MODES = (ResizeMode.STRETCH, ResizeMode.CROP, ResizeMode.FILL, ResizeMode.STRETCH)
HIRES_STRENGTH = 0.7
SHAPES_DIFFER = 0.02
"""Share by which the two scales of a second pass may differ: sides are rounded to multiples of 8."""
# What the web UI's fields are called in the studio.
FIELDS: Mapping[str, str] = {
    "settings.guidance_scale": "cfg_scale",
    "settings.count": "batch_size",
    "settings.sampler": "sampler_name",
    "settings.model": f"override_settings.{MODEL}",
    "settings.clip_skip": f"override_settings.{CLIP_SKIP}",
    "settings.second_pass.scale": "hr_scale",
    "settings.second_pass.upscaler": "hr_upscaler",
    "settings.second_pass.steps": "hr_second_pass_steps",
    "settings.second_pass.strength": "denoising_strength",
    "settings.second_pass": "hr_scale",
    "settings.loras": "prompt",
    "settings": "",
    "strength": "denoising_strength",
    "edit.image": "init_images[0]",
    "edit.mask": "mask",
    "image": "init_images[0]",
    "job_id": "force_task_id",
}


@dataclass(frozen=True, slots=True)
class PutBack:
    """A part that was drawn by itself, and where it belongs."""

    image: Image.Image
    mask: Image.Image
    part: Region

    def picture(self, drawn: bytes, infotext: str, output: Output) -> bytes:
        """The file of the whole picture."""
        image = pictures.opaque(pictures.read(drawn, "image", 1 << 30))
        whole = masked.put_back(self.image, self.mask, self.part, image)
        return pictures.write(pictures.pixels(whole), output.format, output.quality, infotext)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request, as the studio understands it.

    Attributes:
        model: What draws.
        settings: How to draw.
        output: What comes back.
        edit: What is drawn anew; None: a picture from nothing.
        job_id: As the client calls it; empty: it does not.
        face_restorer: What restores faces afterwards; empty: nothing.
        put_back: What becomes of a part that is drawn by itself; None: the whole is drawn.
        fields: What the client calls the fields of the studio.
    """

    model: Model
    settings: Settings
    output: Output
    edit: Edit | None = None
    job_id: str = ""
    face_restorer: str = ""
    put_back: PutBack | None = None
    fields: Mapping[str, str] = field(default_factory=lambda: FIELDS)


def text_to_image(request: Txt2Img, options: Options, catalog: Catalog, max_pixels: int) -> Wanted:
    """What POST /sdapi/v1/txt2img asks for.

    Args:
        request: The body.
        options: The owner's, with the request's own overrides.
        catalog: What there is to draw with.
        max_pixels: How many a picture of the request may have.

    Raises:
        InvalidRequest: Fields are wrong; they are named.
        InvalidImage: A unit's picture is.
        ModelNotFound: There is no such model.
        Unsupported: Faces cannot be restored here.
    """
    model = options.model(catalog)
    width, height = request.width or model.default_size, request.height or model.default_size
    second = None
    if request.enable_hr:
        second, width, height = _second_pass(request, width, height)
    canvas = Canvas(width, height, max_pixels)
    return _wanted(request, options, catalog, replace(_settings(request, model, catalog), second_pass=second), canvas)


def image_to_image(request: Img2Img, options: Options, catalog: Catalog, max_pixels: int) -> Wanted:
    """What POST /sdapi/v1/img2img asks for. Arguments and errors are as in `text_to_image`."""
    model = options.model(catalog)
    content = _init_image(request)
    image = pictures.opaque(pictures.read(content, "init_images[0]", max_pixels))
    width, height = request.width or _grid(image.width), request.height or _grid(image.height)
    canvas = Canvas(width, height, max_pixels, content)
    wanted = _wanted(request, options, catalog, _settings(request, model, catalog), canvas)
    strength = 0.75 if request.denoising_strength is None else request.denoising_strength
    mode = RESIZE_MODES[request.resize_mode or 0]
    if not request.mask:
        return replace(wanted, edit=Edit(content, strength=strength, resize_mode=mode))
    mask = _mask(request, image, max_pixels)
    blur = (request.mask_blur if request.mask_blur is not None else request.mask_blur_x) or 0
    soft = pictures.blurred(mask, blur)
    ground = masked.filled(image, soft, Fill(request.inpainting_fill or 0), wanted.settings.seed or 0)
    part = None
    if request.inpaint_full_res:
        part = masked.region(ground, soft, width, height, request.inpaint_full_res_padding or 0)
    if part is None:
        return replace(wanted, edit=Edit(_png(ground), _png(mask), strength, mask_blur=blur, resize_mode=mode))
    # The part's mask is soft already, by the picture's own pixels.
    edit = Edit(_png(part.image), _png(part.mask), strength)
    return replace(wanted, edit=edit, put_back=PutBack(image, soft, part))


def seed_of(request: Drawing) -> int | None:
    """The seed of a request; None: by chance. Raises InvalidArgument."""
    if request.seed in (None, -1):
        return None
    if not 0 <= (request.seed or 0) < SEEDS:
        raise InvalidArgument("seed", f"must be -1, or from 0 to {SEEDS - 1}; not {request.seed}")
    return request.seed


def sampler(name: str | None, scheduler: str | None, catalog: Catalog) -> str:
    """The studio's name of a sampler with a noise schedule; empty where the model's own is meant.

    Raises:
        HttpException: There is no such sampler.
        InvalidArgument: It has no such schedule.
    """
    own = scheduler is None or scheduler.strip().casefold() in OWN_SCHEDULE
    if not name:
        if own:
            return ""
        raise InvalidArgument("scheduler", "needs a sampler_name: GET /sdapi/v1/samplers")
    found = catalog.sampler(name)
    if found is None:
        known = listed([one.name for one in catalog.samplers])
        raise HttpException("sampler_name", f"Sampler not found: {name!r}; there are: {known}", 400)
    if own:
        return found.name
    assert scheduler is not None
    wanted = infotext.together(infotext.apart(found.name)[0], scheduler.strip().replace("_", " "))
    both = catalog.sampler(wanted)
    if both is None:
        known = listed([one.name for one in catalog.samplers if infotext.apart(one.name)[1] != infotext.AUTOMATIC])
        raise InvalidArgument(
            "scheduler", f"{wanted!r} is not here; send automatic. With a schedule there are: {known}"
        )
    return both.name


def with_infotext(request: Drawing) -> None:
    """Fills what a request leaves out from its `infotext`, in place."""
    if not request.infotext:
        return
    told, strength = infotext.settings_of(request.infotext)
    values = {
        "prompt": told.prompt,
        "negative_prompt": told.negative_prompt,
        "seed": told.seed,
        "steps": told.steps or None,
        "cfg_scale": told.guidance_scale,
        "width": told.width or None,
        "height": told.height or None,
        "sampler_name": told.sampler or None,
        "denoising_strength": strength,
    }
    for name, value in values.items():
        if name not in request.model_fields_set and value is not None:
            setattr(request, name, value)


def _wanted(request: Drawing, options: Options, catalog: Catalog, settings: Settings, canvas: Canvas) -> Wanted:
    """A request without its picture."""
    found = units(request.alwayson_scripts, catalog, canvas)
    names = {f"settings.controls[{number}]": place for number, place in enumerate(found.places)}
    return Wanted(
        options.model(catalog),
        replace(
            settings, width=canvas.width, height=canvas.height, controls=found.controls, clip_skip=options.clip_skip
        ),
        options.output(),
        job_id=request.force_task_id or "",
        face_restorer=_face_restorer(options, catalog) if request.restore_faces else "",
        fields={**names, **FIELDS},
    )


def _settings(request: Drawing, model: Model, catalog: Catalog) -> Settings:
    """What both requests say of how to draw, without sizes and pictures."""
    violations = list(_refused(request))
    count = (request.batch_size or 1) * (request.n_iter or 1)
    if count > MAX_COUNT:
        violations.append(FieldViolation("n_iter", f"times batch_size must be at most {MAX_COUNT}; it is {count}"))
    if violations:
        raise InvalidRequest(violations)
    if request.script_name and request.script_name.casefold() != "none":
        raise HttpException(
            "script_name", f"Script '{request.script_name}' not found: there are none. Leave it out", 422
        )
    return Settings(
        prompt=request.prompt or "",
        negative_prompt=request.negative_prompt or "",
        model=model.id,
        steps=request.steps or 0,
        guidance_scale=request.cfg_scale,
        seed=seed_of(request),
        sampler=sampler(request.sampler_name or request.sampler_index, request.scheduler, catalog),
        count=count,
    )


def _refused(request: Drawing) -> Iterator[FieldViolation]:
    """Fields at values that cannot be honoured."""
    leave = "is not here; leave it out"
    given: Mapping[str, tuple[bool, str]] = {
        "styles": (bool(request.styles), "there are none: write them into the prompt"),
        "tiling": (bool(request.tiling), leave),
        "subseed_strength": (bool(request.subseed_strength), "must be 0: variation seeds are not here"),
        "seed_resize_from_w": ((request.seed_resize_from_w or 0) > 0, leave),
        "seed_resize_from_h": ((request.seed_resize_from_h or 0) > 0, leave),
        "eta": (request.eta not in (None, 0, 1), "must be 1: samplers use their own noise"),
        "s_min_uncond": (bool(request.s_min_uncond), "must be 0"),
        "s_churn": (bool(request.s_churn), "must be 0"),
        "s_tmin": (bool(request.s_tmin), "must be 0"),
        "s_tmax": (bool(request.s_tmax), "must be 0: no limit"),
        "s_noise": (request.s_noise not in (None, 1), "must be 1"),
        "refiner_checkpoint": (not _same(request.refiner_checkpoint), leave),
    }
    if isinstance(request, Txt2Img) and request.enable_hr:
        given = {
            **given,
            "hr_checkpoint_name": (not _same(request.hr_checkpoint_name), "must be the same model: leave it out"),
            "hr_sampler_name": (request.hr_sampler_name != request.sampler_name and not _same(request.hr_sampler_name),
                                "must be the same sampler: leave it out"),
            "hr_scheduler": (request.hr_scheduler != request.scheduler and not _same(request.hr_scheduler),
                             "must be the same schedule: leave it out"),
            "hr_prompt": (request.hr_prompt not in (None, "", request.prompt), "must be the same prompt: leave it out"),
            "hr_negative_prompt": (request.hr_negative_prompt not in (None, "", request.negative_prompt),
                                   "must be the same prompt: leave it out"),
        }  # fmt: skip
    if isinstance(request, Img2Img):
        blurs = request.mask_blur is None and request.mask_blur_x != request.mask_blur_y
        given = {
            **given,
            "latent_mask": (bool(request.latent_mask), "is not here; send `mask`"),
            "mask_blur_y": (blurs, "must be as mask_blur_x; or send mask_blur"),
            "initial_noise_multiplier": (request.initial_noise_multiplier not in (None, 0, 1), "must be 1"),
        }
    for name, (wrong, text) in given.items():
        if wrong:
            yield FieldViolation(name, text)


def _same(value: str | None) -> bool:
    """Whether a second model, sampler or schedule is none of its own."""
    return value is None or value.casefold() in SAME


def _second_pass(request: Txt2Img, width: int, height: int) -> tuple[SecondPass, int, int]:
    """The second pass, and the size of the first one."""
    if request.firstphase_width or request.firstphase_height:
        # The old way: the final size, and that of the first pass beside it.
        first = request.firstphase_width or request.firstphase_height or width
        target = (width, height)
        width, height = first, request.firstphase_height or first
    else:
        target = (request.hr_resize_x or 0, request.hr_resize_y or 0)
    scales = [wanted / side for wanted, side in zip(target, (width, height), strict=True) if wanted]
    scale = max(scales) if scales else request.hr_scale or 2.0
    if scales and min(scales) < scale * (1 - SHAPES_DIFFER):
        raise InvalidArgument("hr_resize_y", f"must keep the shape of {width}x{height}: nothing is cropped here")
    strength = HIRES_STRENGTH if request.denoising_strength is None else request.denoising_strength
    upscaler = request.hr_upscaler or ""
    # Latents are not enlarged here: the picture is, and goes back through the encoder.
    plain = upscaler.casefold() == "none" or upscaler.casefold().startswith("latent")
    return SecondPass(scale, "" if plain else upscaler, request.hr_second_pass_steps or 0, strength), width, height


def _init_image(request: Img2Img) -> bytes:
    """The picture of a request."""
    if not request.init_images:
        raise HttpException("init_images", "Init image not found: send one picture in base64", 404)
    if len(request.init_images) > 1:
        raise InvalidArgument("init_images", f"must be one picture; there are {len(request.init_images)}")
    return encoded.picture("init_images[0]", request.init_images[0])


def _mask(request: Img2Img, image: Image.Image, max_pixels: int) -> Image.Image:
    """White where the picture is drawn anew. The web UI takes what is opaque for that where there is transparency."""
    given = pictures.read(encoded.picture("mask", request.mask or ""), "mask", max_pixels)
    if given.size != image.size:
        wrong = f"must be as large as the picture, {image.width}x{image.height}; it is {given.width}x{given.height}"
        raise InvalidImage("mask", wrong)
    alpha = given.getchannel("A") if given.mode == "RGBA" else None
    if alpha is not None and alpha.getextrema() != (255, 255):
        mask = alpha.point([0] * 129 + [255] * 127)
    else:
        mask = pictures.opaque(given).convert("L")
    return ImageOps.invert(mask) if request.inpainting_mask_invert else mask


def _face_restorer(options: Options, catalog: Catalog) -> str:
    """What restores faces. Raises Unsupported where nothing does."""
    if not catalog.face_restorers:
        message = "restore_faces: no face restorer is installed; put one into the model directory, or leave it out"
        raise Unsupported(message, violations=[FieldViolation("restore_faces", "no face restorer is installed")])
    chosen = options.get("face_restoration_model")
    return chosen if chosen in catalog.face_restorers else catalog.face_restorers[0]


def _grid(side: int) -> int:
    """A side as it can be drawn."""
    return max(GRID, side // GRID * GRID)


def _png(image: Image.Image) -> bytes:
    return pictures.write(pictures.pixels(image), Format.PNG, 100)
