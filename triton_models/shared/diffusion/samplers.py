"""The samplers by their usual names: which of diffusers' schedulers each is, and with which options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

KARRAS = {"use_karras_sigmas": True}
DPM = {"algorithm_type": "dpmsolver++", "solver_order": 2}
SDE = {**DPM, "algorithm_type": "sde-dpmsolver++"}


class Sampler(NamedTuple):
    """A way through the steps."""

    name: str
    aliases: tuple[str, ...]
    """What else people call it, and what diffusers does."""
    scheduler: str
    """The class in diffusers."""
    options: Mapping[str, Any] = {}
    """What is changed in the checkpoint's own configuration."""


SAMPLERS = (
    Sampler("Euler", ("k_euler", "euler"), "EulerDiscreteScheduler"),
    Sampler("Euler a", ("k_euler_a", "euler_ancestral"), "EulerAncestralDiscreteScheduler"),
    Sampler("DDIM", ("ddim",), "DDIMScheduler", {"clip_sample": False}),
    Sampler("DPM++ 2M", ("k_dpmpp_2m", "dpmpp_2m"), "DPMSolverMultistepScheduler", DPM),
    Sampler("DPM++ 2M Karras", ("k_dpmpp_2m_ka",), "DPMSolverMultistepScheduler", DPM | KARRAS),
    Sampler("DPM++ 2M SDE", ("k_dpmpp_2m_sde", "dpmpp_2m_sde"), "DPMSolverMultistepScheduler", SDE),
    Sampler("DPM++ 2M SDE Karras", ("k_dpmpp_2m_sde_ka",), "DPMSolverMultistepScheduler", SDE | KARRAS),
    # Of the two that diffusers calls so, the one whose noise comes from each picture's own generator, and which needs
    # no package for Brownian trees.
    Sampler("DPM++ SDE", ("k_dpmpp_sde", "dpmpp_sde"), "DPMSolverSinglestepScheduler", SDE),
    Sampler("DPM++ SDE Karras", ("k_dpmpp_sde_ka",), "DPMSolverSinglestepScheduler", SDE | KARRAS),
    Sampler("UniPC", ("unipc", "uni_pc"), "UniPCMultistepScheduler"),
    Sampler("LMS", ("k_lms", "lms"), "LMSDiscreteScheduler"),
    Sampler("LMS Karras", ("k_lms_ka",), "LMSDiscreteScheduler", KARRAS),
    Sampler("Heun", ("k_heun", "heun"), "HeunDiscreteScheduler"),
    Sampler("DPM2", ("k_dpm_2", "dpm_2"), "KDPM2DiscreteScheduler"),
    Sampler("DPM2 a", ("k_dpm_2_a", "dpm_2_ancestral"), "KDPM2AncestralDiscreteScheduler"),
    Sampler("PNDM", ("PLMS", "plms", "pndm"), "PNDMScheduler", {"skip_prk_steps": True}),
    Sampler("LCM", ("lcm",), "LCMScheduler"),
)
"""All of them, in the order in which they are listed; the first one is taken for a checkpoint with an unusual one."""
_BY_NAME = {name.casefold(): sampler for sampler in SAMPLERS for name in (sampler.name, *sampler.aliases)}


def find(name: str) -> Sampler | None:
    """The sampler of a name or alias, in any case; None where there is none."""
    return _BY_NAME.get(name.strip().casefold())


def of_scheduler(configuration: Mapping[str, Any]) -> Sampler:
    """The sampler that a checkpoint's own scheduler is, from its configuration."""
    same = [one for one in SAMPLERS if one.scheduler == configuration.get("_class_name")]
    karras = bool(configuration.get("use_karras_sigmas"))
    return next((one for one in same if bool(one.options.get("use_karras_sigmas")) == karras), SAMPLERS[0])


def build(sampler: Sampler, configuration: Mapping[str, Any]) -> Any:
    """A scheduler of diffusers for one drawing: it remembers steps.

    Args:
        sampler: Which.
        configuration: The checkpoint's own, which says what its noise is.
    """
    import diffusers  # here, because the stub, which only lists samplers, has none

    own = {name: value for name, value in configuration.items() if name not in ("use_karras_sigmas", "algorithm_type")}
    return getattr(diffusers, sampler.scheduler).from_config(own, **sampler.options)
