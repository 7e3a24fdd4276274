"""Bodies of the Stable Diffusion web UI's API, as its own FastAPI declares them (modules/api/models.py).

Fields and their types are its own, and so are the defaults, with one exception: what a body leaves out of `width`,
`height`, `steps`, `cfg_scale` and the sampler is the model's to decide, where the web UI would take what suits Stable
Diffusion 1.5. Names that it keeps under two spellings have both.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from services.image.bodies import Anything, Body
from services.image.plan import MAX_COUNT, MAX_STEPS


class Drawing(Body):
    """What txt2img and img2img share."""

    prompt: str | None = ""
    negative_prompt: str | None = ""
    styles: list[str] | None = None
    seed: int | None = -1
    subseed: int | None = -1
    subseed_strength: float | None = 0
    seed_resize_from_h: int | None = -1
    seed_resize_from_w: int | None = -1
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int | None = Field(1, ge=1, le=MAX_COUNT)
    n_iter: int | None = Field(1, ge=1, le=MAX_COUNT)
    steps: int | None = Field(None, ge=1, le=MAX_STEPS)
    cfg_scale: float | None = Field(None, ge=0, le=30)
    width: int | None = Field(None, ge=8, le=4096)
    height: int | None = Field(None, ge=8, le=4096)
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool | None = False
    do_not_save_grid: bool | None = False
    eta: float | None = None
    denoising_strength: float | None = Field(None, ge=0, le=1)
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: Anything | None = None
    override_settings_restore_afterwards: bool | None = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool | None = False
    comments: Anything | None = None
    sampler_index: str | None = None
    script_name: str | None = None
    script_args: list[bool | int | float | str | None] | None = None
    send_images: bool | None = True
    save_images: bool | None = False
    alwayson_scripts: Anything | None = None
    force_task_id: str | None = None
    infotext: str | None = None


class Txt2Img(Drawing):
    """POST /sdapi/v1/txt2img."""

    enable_hr: bool | None = False
    firstphase_width: int | None = Field(0, ge=0, le=4096)
    firstphase_height: int | None = Field(0, ge=0, le=4096)
    hr_scale: float | None = Field(2.0, ge=1, le=4)
    hr_upscaler: str | None = None
    hr_second_pass_steps: int | None = Field(0, ge=0, le=MAX_STEPS)
    hr_resize_x: int | None = Field(0, ge=0, le=4096)
    hr_resize_y: int | None = Field(0, ge=0, le=4096)
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str | None = ""
    hr_negative_prompt: str | None = ""


class Img2Img(Drawing):
    """POST /sdapi/v1/img2img."""

    init_images: list[str] | None = None
    resize_mode: Literal[0, 1, 2, 3] | None = 0
    denoising_strength: float | None = Field(0.75, ge=0, le=1)
    image_cfg_scale: float | None = None
    mask: str | None = None
    mask_blur_x: int | None = Field(4, ge=0, le=256)
    mask_blur_y: int | None = Field(4, ge=0, le=256)
    mask_blur: int | None = Field(None, ge=0, le=256)
    mask_round: bool | None = True
    inpainting_fill: Literal[0, 1, 2, 3] | None = 0
    inpaint_full_res: bool | None = True
    inpaint_full_res_padding: int | None = Field(0, ge=0, le=4096)
    inpainting_mask_invert: Literal[0, 1] | None = 0
    initial_noise_multiplier: float | None = None
    latent_mask: str | None = None
    include_init_images: bool | None = False


class Unit(Body):
    """One of the ControlNet extension's units (scripts/external_code.py), its old names included."""

    enabled: bool | None = True
    image: str | dict[str, Any] | None = None
    input_image: str | None = None
    mask: str | None = None
    module: str | None = "none"
    model: str | None = None
    weight: float | None = Field(1.0, ge=0, le=4)
    resize_mode: str | int | None = None
    processor_res: int | None = None
    threshold_a: float | None = None
    threshold_b: float | None = None
    guidance: float | None = Field(None, ge=0, le=1)
    guidance_start: float | None = Field(0.0, ge=0, le=1)
    guidance_end: float | None = Field(1.0, ge=0, le=1)
    control_mode: str | int | None = None
    pixel_perfect: bool | None = None


class Extras(Body):
    """What extra-single-image and extra-batch-images share."""

    resize_mode: Literal[0, 1] = 0
    show_extras_results: bool | None = True
    gfpgan_visibility: float = Field(0, ge=0, le=1)
    codeformer_visibility: float = Field(0, ge=0, le=1)
    codeformer_weight: float = Field(0, ge=0, le=1)
    upscaling_resize: float = Field(2, gt=0, le=8)
    upscaling_resize_w: int = Field(512, ge=1, le=8192)
    upscaling_resize_h: int = Field(512, ge=1, le=8192)
    upscaling_crop: bool = True
    upscaler_1: str = "None"
    upscaler_2: str = "None"
    extras_upscaler_2_visibility: float = Field(0, ge=0, le=1)
    upscale_first: bool = False


class ExtraSingle(Extras):
    """POST /sdapi/v1/extra-single-image."""

    image: str


class FileData(Body):
    """A picture of a batch."""

    data: str
    name: str = ""


class ExtraBatch(Extras):
    """POST /sdapi/v1/extra-batch-images."""

    imageList: list[FileData] = Field(min_length=1, max_length=MAX_COUNT)  # noqa: N815  # the web UI's own spelling


class PngInfo(Body):
    """POST /sdapi/v1/png-info."""

    image: str


class Detect(Body):
    """POST /controlnet/detect. `controlnet_images` is what webuiapi calls the pictures."""

    controlnet_module: str = "none"
    controlnet_input_images: list[str] | None = Field(None, max_length=MAX_COUNT)
    controlnet_images: list[str] | None = Field(None, max_length=MAX_COUNT)
    controlnet_processor_res: int | None = None
    controlnet_threshold_a: float | None = None
    controlnet_threshold_b: float | None = None
