"""Between the messages of parley.image.v1 and the domain."""

from __future__ import annotations

from datetime import datetime

from google.protobuf import duration_pb2, timestamp_pb2

from parley.image.v1 import image_pb2 as pb2
from services.image import catalog
from services.image.drawing import (
    ControlUse,
    Edit,
    Event,
    Format,
    Job,
    JobState,
    LoraUse,
    Output,
    Picture,
    Preview,
    Progress,
    ResizeMode,
    SecondPass,
    Settings,
)
from services.image.links import Links
from services.mesh import status

STATES = {
    JobState.QUEUED: pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: pb2.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: pb2.JOB_STATE_SUCCEEDED,
    JobState.FAILED: pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: pb2.JOB_STATE_CANCELLED,
}
FORMATS = {
    pb2.IMAGE_FORMAT_UNSPECIFIED: Format.PNG,
    pb2.IMAGE_FORMAT_PNG: Format.PNG,
    pb2.IMAGE_FORMAT_JPEG: Format.JPEG,
    pb2.IMAGE_FORMAT_WEBP: Format.WEBP,
}
RESIZE_MODES = {
    pb2.RESIZE_MODE_UNSPECIFIED: ResizeMode.STRETCH,
    pb2.RESIZE_MODE_STRETCH: ResizeMode.STRETCH,
    pb2.RESIZE_MODE_CROP: ResizeMode.CROP,
    pb2.RESIZE_MODE_FILL: ResizeMode.FILL,
}


def settings_of(message: pb2.Settings) -> Settings:
    """How to draw."""
    second = message.second_pass
    return Settings(
        prompt=message.prompt,
        negative_prompt=message.negative_prompt,
        model=message.model,
        width=message.width,
        height=message.height,
        steps=message.steps,
        guidance_scale=message.guidance_scale if message.HasField("guidance_scale") else None,
        seed=message.seed if message.HasField("seed") else None,
        sampler=message.sampler,
        count=message.count or 1,
        loras=tuple(LoraUse(use.lora, use.weight if use.HasField("weight") else 1.0) for use in message.loras),
        controls=tuple(map(_control_of, message.controls)),
        clip_skip=message.clip_skip,
        second_pass=SecondPass(
            second.scale, second.upscaler, second.steps, second.strength if second.HasField("strength") else 0.7
        )
        if message.HasField("second_pass")
        else None,
    )


def _control_of(message: pb2.ControlUse) -> ControlUse:
    return ControlUse(
        message.control_net,
        message.image,
        message.preprocessor,
        message.weight if message.HasField("weight") else 1.0,
        message.start,
        message.end if message.HasField("end") else 1.0,
    )


def edit_of(message: pb2.EditRequest) -> Edit:
    """What is drawn anew."""
    return Edit(
        message.image,
        message.mask,
        message.strength if message.HasField("strength") else 0.75,
        message.mask_blur,
        message.invert_mask,
        RESIZE_MODES[message.resize_mode],
    )


def output_of(message: pb2.Output) -> Output:
    """What comes back."""
    return Output(FORMATS[message.format], message.quality or 90, message.preview_interval)


def event_pb(event: Event, links: Links, *, content: bool) -> pb2.JobEvent:
    """What happened to a job.

    Args:
        event: It.
        links: Makes the link to a picture.
        content: Whether a picture goes with its bytes.
    """
    if isinstance(event, Job):
        return pb2.JobEvent(job=job_pb(event))
    if isinstance(event, Progress):
        return pb2.JobEvent(progress=progress_pb(event))
    if isinstance(event, Preview):
        return pb2.JobEvent(
            preview=pb2.Preview(
                index=event.index, step=event.step, content=event.content, content_type=event.content_type
            )
        )
    return pb2.JobEvent(image=image_pb(event, links, content=content))


def job_pb(job: Job) -> pb2.Job:
    """A job as its message."""
    message = pb2.Job(
        name=job.name,
        state=STATES[job.state],
        position=job.position,
        progress=progress_pb(job.progress),
        model=job.model,
        count=job.count,
        images=[f"images/{picture}" for picture in job.pictures],
        create_time=_time(job.create_time),
        start_time=_time(job.start_time) if job.start_time else None,
        end_time=_time(job.end_time) if job.end_time else None,
    )
    if job.failure is not None:
        message.error.CopyFrom(status.to_status(status.of_reason(job.failure.reason, job.failure.message)))
    return message


def progress_pb(progress: Progress) -> pb2.Progress:
    """How far a job is."""
    message = pb2.Progress(
        step=progress.step, steps=progress.steps, images_done=progress.images_done, progress=progress.fraction
    )
    if progress.remaining is not None:
        duration = duration_pb2.Duration()
        duration.FromMilliseconds(round(progress.remaining * 1000))
        message.remaining.CopyFrom(duration)
    return message


def image_pb(picture: Picture, links: Links, *, content: bool = False) -> pb2.Image:
    """A picture as its message, with a link, and its bytes where `content` is set and they are at hand."""
    return pb2.Image(
        name=picture.name,
        index=picture.index,
        width=picture.width,
        height=picture.height,
        content_type=picture.content_type,
        content=picture.content if content else b"",
        size=picture.size,
        seed=picture.seed,
        infotext=picture.infotext,
        model=picture.model,
        job=f"imageJobs/{picture.job}" if picture.job else "",
        create_time=_time(picture.create_time),
        expire_time=_time(picture.expire_time),
        link=links.of(picture),
    )


def model_pb(model: catalog.Model) -> pb2.ImageModel:
    """A model as its message."""
    return pb2.ImageModel(
        id=model.id,
        title=model.title,
        architecture=model.architecture,
        default_size=model.default_size,
        default_steps=model.default_steps,
        default_guidance_scale=model.default_guidance_scale,
        default_sampler=model.default_sampler,
        loaded=model.loaded,
        fault=model.fault,
        sha256=model.sha256,
        description=model.description,
    )


def _time(moment: datetime) -> timestamp_pb2.Timestamp:
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message
