"""What the web UI's API answers to a drawing, and to whoever asks how far one is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.image import infotext
from services.image.drawing import Current, Job, JobState, Picture, Preview
from services.image.encoded import encoded
from services.image.sdapi_drawing import Wanted
from services.image.sdapi_request import Drawing, Img2Img

LEAST = 0.01
"""Progress of a job that has only begun: clients take 0 for no job at all."""


def progress(current: Current | None, *, image: bool) -> dict[str, Any]:
    """How far a job is; None: nothing is drawn.

    Args:
        current: The job.
        image: Whether a preview is wanted.
    """
    if current is None or current.job.state.ended:
        return _idle(current.job if current else None)
    job = current.job
    preview = _preview(current.preview) if image else None
    waiting = f"Waiting: {job.position} before it" if job.state is JobState.QUEUED else None
    return {
        "progress": max(LEAST, min(1.0, job.progress.fraction)),
        "eta_relative": job.progress.remaining or 0.0,
        "state": {
            "skipped": current.skipped,
            "interrupted": False,
            "stopping_generation": False,
            "job": job.id,
            "job_count": job.count,
            "job_timestamp": timestamp(job.create_time),
            "job_no": min(job.progress.images_done, job.count),
            "sampling_step": job.progress.step,
            "sampling_steps": job.progress.steps,
        },
        "current_image": preview,
        "textinfo": waiting,
    }


def _idle(ended: Job | None) -> dict[str, Any]:
    """What is said when nothing is drawn, after a job or before any."""
    return {
        "progress": 0.0,
        "eta_relative": 0.0,
        "state": {
            "skipped": False,
            "interrupted": ended is not None and ended.state is JobState.CANCELLED,
            "stopping_generation": False,
            "job": "",
            "job_count": 0,
            "job_timestamp": timestamp(ended.create_time) if ended else "0",
            "job_no": 0,
            "sampling_step": 0,
            "sampling_steps": 0,
        },
        "current_image": None,
        "textinfo": None,
    }


def _preview(preview: Preview | None) -> str | None:
    return encoded(preview.content) if preview is not None else None


def timestamp(time: datetime) -> str:
    """As the web UI has it: YYYYmmddHHMMSS."""
    return time.strftime("%Y%m%d%H%M%S")


def parameters(request: Drawing, wanted: Wanted) -> dict[str, Any]:
    """What the answer repeats of a request, with what the model decided."""
    said = request.model_dump()
    settings, model = wanted.settings, wanted.model
    said |= {
        "width": settings.width,
        "height": settings.height,
        "steps": settings.steps or model.default_steps,
        "cfg_scale": model.default_guidance_scale if settings.guidance_scale is None else settings.guidance_scale,
        "sampler_name": settings.sampler or model.default_sampler,
    }
    if isinstance(request, Img2Img) and not request.include_init_images:
        said |= {"init_images": None, "mask": None}
    return said


def info(request: Drawing, wanted: Wanted, drawn: Sequence[Picture], begun: datetime) -> dict[str, Any]:
    """What the answer tells of its pictures; clients read it from a text of JSON.

    Args:
        request: The body.
        wanted: What it meant.
        drawn: The pictures that are done, in order.
        begun: When the job was asked for.
    """
    said = parameters(request, wanted)
    seeds = [one.seed for one in drawn]
    prompt, negative, count = wanted.settings.prompt, wanted.settings.negative_prompt, len(drawn)
    return {
        "prompt": prompt,
        "all_prompts": [prompt] * count,
        "negative_prompt": negative,
        "all_negative_prompts": [negative] * count,
        "seed": seeds[0] if seeds else request.seed,
        "all_seeds": seeds,
        "subseed": request.subseed,
        "all_subseeds": [request.subseed] * count,
        "subseed_strength": 0,
        "width": said["width"],
        "height": said["height"],
        "sampler_name": infotext.apart(said["sampler_name"])[0],
        "cfg_scale": said["cfg_scale"],
        "steps": said["steps"],
        "batch_size": request.batch_size,
        "restore_faces": bool(wanted.face_restorer),
        "face_restoration_model": wanted.face_restorer or None,
        "sd_model_name": wanted.model.id,
        "sd_model_hash": wanted.model.sha256[:10] or None,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": request.denoising_strength,
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [one.infotext for one in drawn],
        "styles": [],
        "job_timestamp": timestamp(begun),
        "clip_skip": max(1, wanted.settings.clip_skip),
        "is_using_inpainting_conditioning": False,
        "version": infotext.VERSION,
    }
