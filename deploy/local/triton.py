"""Finds Triton inside the `nvidia-pytriton` wheel and says how to start it: no installation, no root, no GPU.

The wheel holds the server, its Python backend and one stub executable for each Python version. The backend looks for
the stub beside its own shared object, so a private backend folder is linked together under the state folder: the
installed package stays as it is.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.local.certificates import Files
from triton_models import tracing
from triton_models.repository import TORCH_ENVIRONMENT, present, render

ROOT = Path(__file__).resolve().parents[2]
SHM = Path("/dev/shm")  # noqa: S108 -- not a temporary file: where Linux keeps POSIX shared memory


class TritonMissingError(RuntimeError):
    """Triton cannot run here; the message says what is missing and what to do about it."""


class TritonLayout(NamedTuple):
    """Where the parts of Triton are."""

    server: Path
    """The executable."""
    backends: Path
    """The folder of `python/libtriton_python.so` as installed."""
    stub: Path
    """The stub executable for the running Python version."""
    libraries: Path
    """The folder of the shared libraries that the wheel brings."""
    libpython: Path
    """The folder of the interpreter's own shared library."""


def locate() -> TritonLayout:
    """Finds Triton. Raises TritonMissingError when the wheel, this Python's stub or the shared libpython is missing."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise TritonMissingError("Triton is not installed: pip install 'parley[local]' brings it (nvidia-pytriton).")
    package = Path(spec.submodule_search_locations[0])
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = package / "tritonserver" / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        known = sorted(path.name for path in stub.parents[1].glob("3.*"))
        raise TritonMissingError(
            f"Triton's wheel supports Python {', '.join(known)}; this is {version}. Use one of those."
        )
    return TritonLayout(
        server=package / "tritonserver" / "bin" / "tritonserver",
        backends=package / "tritonserver" / "backends",
        stub=stub,
        libraries=package.parent / "nvidia_pytriton.libs",
        libpython=_libpython(),
    )


def _libpython() -> Path:
    """The folder that holds the interpreter's shared library. Raises TritonMissingError when there is none."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    variable = sysconfig.get_config_var
    folders = [Path(variable("LIBDIR") or "/usr/lib"), Path(sys.base_prefix) / "lib"]
    folders += [folder / str(variable("MULTIARCH")) for folder in list(folders)]
    for folder in folders:
        if (folder / name).exists():
            return folder
    raise TritonMissingError(
        f"Triton runs its Python models in this interpreter's shared library, {name}, and {sys.base_prefix} has none. "
        "Use a Python that has it: `apt install libpython3.11` for Debian's, `uv python install 3.11`, or pyenv with "
        "PYTHON_CONFIGURE_OPTS=--enable-shared; then make the virtual environment again."
    )


def prepare(state: Path) -> Path:
    """Links a backend folder together below `state` and returns it. Raises TritonMissingError as `locate` does."""
    layout = locate()
    folder = state / "backends" / "python"
    folder.mkdir(parents=True, exist_ok=True)
    for target in (*(layout.backends / "python").glob("*.[sp][oy]"), layout.stub):
        link = folder / target.name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return folder.parent


def environment(repository: Path) -> dict[str, str]:
    """The environment for Triton and its stubs: this process's own, with the paths that they need.

    Args:
        repository: The folder of the models' sources; its parent becomes an import root, so that a model can say
            `from triton_models.shared import …`.
    """
    layout = locate()
    libraries = [str(layout.libraries), str(layout.libpython)]
    imports = dict.fromkeys([str(repository.parent), str(ROOT), *_site_packages()])
    return {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]),
        # The stub's interpreter is isolated: it reads no PYTHONPATH, and takes its packages from where the first
        # `python3` on PATH lives. Without this it works in an activated virtual environment only.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(imports),
        # A relocated interpreter does not find its standard library from inside the stub.
        "PYTHONHOME": sys.base_prefix,
        "PYTHONDONTWRITEBYTECODE": "1",
        # The stub does not take the locale's encoding: texts would be read as ASCII.
        "PYTHONUTF8": "1",
        # Each model has one instance for each core; threads inside an instance would only fight over them.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # glibc keeps a heap for each thread otherwise: a hundred megabytes for an idle server.
        "MALLOC_ARENA_MAX": "2",
    }


def _site_packages() -> list[str]:
    """The folders of the installed packages. The stub knows nothing of virtual environments."""
    return [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]


def command(
    repository: Path,
    models: Sequence[str],
    http: int | None,
    grpc: int,
    metrics: int,
    state: Path,
    *,
    certificates: Files | None = None,
    instances: int | None = None,
    parameters: Mapping[str, str] | None = None,
    otlp_http_endpoint: str = "",
) -> tuple[list[str], dict[str, str]]:
    """What to execute, and in which environment, for a Triton that serves `models` on loopback.

    Its log goes to standard error, warnings and errors only. SIGTERM stops it and its stubs.

    Args:
        repository: The folder of the models' sources, `triton_models/`.
        models: The models to load, e.g. `triton_models.repository.profile("embedded")`. One whose weights are not in
            the `model_directory`, or whose `environment` is not there, is left out: Triton would not start.
        http: Port for HTTP/REST; `/v2/health/ready` answers 200 when every model is loaded. None: not offered. It wants
            no certificate, and whoever may load models runs programs as this user.
        grpc: Port for gRPC.
        metrics: Port for Prometheus metrics.
        state: A folder of this Triton's own, made if absent: links, rendered configurations.
        certificates: Its certificate; clients need one of the same authority. None: plaintext.
        instances: Instances of the models that scale with cores; the number of cores when None.
        parameters: Values for model parameters, e.g. `{"model_directory": …}`.
        otlp_http_endpoint: OTLP/HTTP collector that traces go to. Empty: none.

    Raises:
        TritonMissingError: Triton cannot run here.
        FileNotFoundError: a model is not in the repository.
    """
    state = state.resolve()
    parameters = {"environment": str(TORCH_ENVIRONMENT), **(parameters or {})}
    models = present(models, parameters, source=repository)
    backends = prepare(state)
    rendered = render(models, state / "models", source=repository, instances=instances, parameters=parameters)
    prefix = _shm_prefix(state)
    _sweep(prefix)
    arguments = {
        "model-repository": rendered,
        "backend-directory": backends,
        "model-control-mode": "explicit",
        "disable-auto-complete-config": None,
        "grpc-address": "127.0.0.1",
        "grpc-port": grpc,
        "metrics-address": "127.0.0.1",
        "metrics-port": metrics,
        "allow-gpu-metrics": "true" if Path("/dev/nvidiactl").exists() else "false",
        "log-info": "false",
        "exit-timeout-secs": 5,
        "pinned-memory-pool-byte-size": 0,
        "backend-config": f"python,shm-region-prefix-name={prefix}",
        **_http(http),
        **_tls(certificates),
    }
    flags = [f"--{name}" if value is None else f"--{name}={value}" for name, value in arguments.items()]
    flags += [*tracing.flags(otlp_http_endpoint), *(f"--load-model={model}" for model in models)]
    return [str(locate().server), *flags], environment(repository)


def _http(port: int | None) -> dict[str, object]:
    """The arguments of HTTP on loopback."""
    if port is None:
        return {"allow-http": "false"}
    return {"http-address": "127.0.0.1", "http-port": port, "http-thread-count": 2}


def _tls(certificates: Files | None) -> dict[str, object]:
    """The arguments of TLS on gRPC's port, with certificates on both sides."""
    if certificates is None:
        return {}
    return {
        "grpc-use-ssl-mutual": "true",
        "grpc-server-cert": certificates.certificate,
        "grpc-server-key": certificates.key,
        "grpc-root-cert": certificates.authority,
    }


def _shm_prefix(state: Path) -> str:
    """A name for the shared memory of the Triton that owns `state`."""
    return "parley" + re.sub(r"[^A-Za-z0-9]+", "_", str(state))[-80:]


def _sweep(prefix: str) -> None:
    """Removes the shared memory that a Triton killed outright left behind: nothing else would, until a reboot."""
    for region in SHM.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)
