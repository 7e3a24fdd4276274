"""What a stack is made of, as data: the processes, what they are told, and how to know that they are ready."""

from __future__ import annotations

import base64
import dataclasses
import functools
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local import certificates, drain, ports
from deploy.local.probes import Probe, Secured, grpc_serving, http_ready
from deploy.local.settings import StackSettings
from gateway import config
from gateway.settings import GatewaySettings
from services.mesh.hosts import address_of

LOOPBACK = "127.0.0.1"
GATEWAY, TRITON, SUPERVISOR = "gateway", "triton", "supervisor"
HEALTH = {
    "identity": (
        "parley.identity.v1.IdentityService",
        "parley.identity.v1.ApiKeyService",
        "parley.identity.v1.TokenService",
        "parley.identity.v1.AuditService",
        "parley.identity.v1.UsageService",
        "envoy.service.auth.v3.Authorization",
    ),
    "chat": ("parley.chat.v1.ChatService", "parley.openai.v1.ChatCompletionsService"),
    "sql": ("parley.sql.v1.SqlService", "parley.sql.v1.KnowledgeService"),
    "asr": (
        "parley.asr.v1.SpeechRecognition",
        "parley.asr.v1.TranscriptionService",
        "parley.openai.v1.AudioService",
        "nvidia.riva.asr.RivaSpeechRecognition",
    ),
    "image": (
        "parley.image.v1.ImageService",
        "parley.openai.v1.ImagesService",
        "parley.sdapi.v1.StableDiffusionService",
    ),
}
"""The gRPC services that each of our processes serves, as its health service names them."""


@dataclasses.dataclass(frozen=True)
class Component:
    """A process of the stack."""

    name: str
    """What people call it; names its log."""
    command: Sequence[str]
    """What to execute."""
    environment: Mapping[str, str]
    """What to add to the supervisor's own environment."""
    port: int
    """The port that it serves on."""
    probe: Probe
    """Passes when it is ready."""
    after: Sequence[str] = ()
    """The components that must be ready before it is started."""
    stage: int = 0
    """Components end stage by stage, the highest first."""
    folder: Path | None = None
    """Folder that it runs in; the supervisor's when None."""
    drain: Callable[[float], None] | None = None
    """Lets calls in flight end before it is asked to, for at most so many seconds. None: it does so by itself."""


def mesh(settings: StackSettings) -> list[Component]:
    """Triton, the services and Envoy, on free ports; writes the folders, secrets and certificates that they need.

    Raises:
        deploy.local.certificates.CertificatesError: They cannot be made.
        gateway.config.EnvoyMissingError: Envoy is not installed.
        gateway.settings.SettingsError: A setting of the gateway does not fit.
    """
    gateway = settings.gateway
    certificates.ensure(settings.state.resolve() / "certificates", [GATEWAY, TRITON, SUPERVISOR, *HEALTH])
    shown = certificates.client(settings.certificate(SUPERVISOR))
    triton_grpc, triton_metrics, *rest = ports.free(2 + len(HEALTH))
    addresses = dict(zip(HEALTH, rest, strict=True))
    extra = service_environment(settings, addresses, triton_grpc)
    own = [*addresses.values(), triton_grpc, triton_metrics, settings.port, settings.admin_port]
    extra["sql"] |= database_hosts(settings, own)
    services = [
        Component(
            name=name,
            command=[sys.executable, "-m", f"services.{name}"],
            environment=extra[name],
            port=port,
            probe=grpc_serving(port, HEALTH[name], Secured(shown, name)),
            stage=1,
        )
        for name, port in addresses.items()
    ]
    models = triton(settings, triton_grpc, triton_metrics, Secured(shown, TRITON))
    return [models, *services, envoy(settings, gateway, addresses)]


def triton(settings: StackSettings, grpc: int, metrics: int, secured: Secured) -> Component:
    """The model server. Finding it takes imports that the supervisor shall not hold: launch_triton does."""
    return Component(
        name=TRITON,
        command=[sys.executable, "-m", "deploy.local.launch_triton", settings.to_json(), f"{grpc},{metrics}"],
        environment={},
        port=grpc,
        probe=grpc_serving(grpc, [""], secured),
    )


def envoy(settings: StackSettings, told: GatewaySettings, addresses: Mapping[str, int]) -> Component:
    """The gateway, before services at these ports of loopback. Fills the folder that it runs in."""
    folder = settings.state.resolve() / "run" / "envoy"
    own = settings.certificate(GATEWAY)
    told = dataclasses.replace(
        told,
        issuer=settings.issuer,
        otlp_endpoint=settings.otlp_endpoint or told.otlp_endpoint,
        mesh_certificate_file=own.certificate,
        mesh_key_file=own.key,
        mesh_ca_file=own.authority,
    )
    listen = config.Endpoint(settings.host, settings.port)
    admin = config.Endpoint(LOOPBACK, settings.admin_port)
    config.write(
        folder,
        {name: [config.Endpoint(LOOPBACK, port)] for name, port in addresses.items()},
        listen=listen,
        admin=admin,
        settings=told,
    )
    return Component(
        name="envoy",
        command=config.command(workers=min(4, len(os.sched_getaffinity(0)))),
        environment={},
        port=settings.port,
        probe=http_ready(settings.admin_port, "/ready"),
        after=tuple(addresses),
        stage=2,
        folder=folder,
        drain=functools.partial(drain.envoy, settings.admin_port),
    )


def service_environment(
    settings: StackSettings, addresses: Mapping[str, int], triton_grpc: int
) -> dict[str, dict[str, str]]:
    """What each service is told besides the user's environment: where it listens, whom it calls, where it stores."""
    state = settings.state.resolve()
    for folder in ("data", "databases"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    place = {name: f"{LOOPBACK}:{port}" for name, port in addresses.items()}
    # All have one address: the certificate has to be that of who is meant.
    target = {name: f"{name}@{address}" for name, address in place.items()}
    models = f"{TRITON}@{LOOPBACK}:{triton_grpc}"
    root = settings.sqlite_root or os.environ.get("PARLEY_SQL_SQLITE_ROOT") or state / "databases"
    extra = {
        "identity": {
            "PARLEY_IDENTITY_DATABASE_URL": f"sqlite:///{state}/data/identity.db",
            "PARLEY_IDENTITY_ENCRYPTION_KEY": secret(state, "identity_encryption_key"),
            "PARLEY_IDENTITY_ADMIN_KEY_FILE": str(settings.key_file),
            "PARLEY_IDENTITY_ISSUER": settings.issuer,
        },
        "chat": {
            "PARLEY_CHAT_SQL_TARGET": target["sql"],
            "PARLEY_CHAT_ASR_TARGET": target["asr"],
            "PARLEY_CHAT_IMAGE_TARGET": target["image"],
            "PARLEY_CHAT_DATABASE_URL": f"sqlite:///{state}/data/chat.db",
        },
        "sql": {
            "PARLEY_SQL_DATABASE_URL": f"sqlite:///{state}/data/sql.db",
            "PARLEY_SQL_ENCRYPTION_KEY": secret(state, "sql_encryption_key"),
            "PARLEY_SQL_SQLITE_ROOT": str(root),
            "PARLEY_SQL_UPLOAD_ROOT": os.environ.get("PARLEY_SQL_UPLOAD_ROOT") or str(state / "uploads"),
        },
        "asr": {
            "PARLEY_ASR_TRITON_TARGET": models,
            "PARLEY_ASR_DATABASE_URL": f"sqlite:///{state}/data/asr.db",
            "PARLEY_ASR_RECORDINGS_URL": os.environ.get("PARLEY_ASR_RECORDINGS_URL") or str(state / "recordings"),
        },
        "image": {
            "PARLEY_IMAGE_TRITON_TARGET": models,
            "PARLEY_IMAGE_DATABASE_URL": f"sqlite:///{state}/data/image.db",
            "PARLEY_IMAGE_LINK_KEY": secret(state, "image_link_key"),
            "PARLEY_IMAGE_PICTURES_URL": os.environ.get("PARLEY_IMAGE_PICTURES_URL") or str(state / "pictures"),
        },
    }
    chosen = ("PROVIDERS", "PROVIDERS_FILE")
    if not any(os.environ.get(f"PARLEY_SQL_{name}") for name in chosen):
        # Models that answer can also write SQL.
        given = {name: os.environ.get(f"PARLEY_CHAT_{name}") for name in chosen}
        extra["sql"] |= {f"PARLEY_SQL_{name}": value for name, value in given.items() if value}
    for name, variables in extra.items():
        prefix = f"PARLEY_{name.upper()}_"
        variables[f"{prefix}LISTEN"] = place[name]
        if name != "identity":
            variables[f"{prefix}IDENTITY_TARGET"] = target["identity"]
        own = settings.certificate(name)
        variables[f"{prefix}TLS_CERTIFICATE_FILE"] = str(own.certificate)
        variables[f"{prefix}TLS_KEY_FILE"] = str(own.key)
        variables[f"{prefix}TLS_CA_FILE"] = str(own.authority)
        variables[f"{prefix}DRAIN_SECONDS"] = str(settings.stop_seconds / 2)
        # glibc keeps a heap for each thread otherwise: memory for nothing in an idle service.
        variables["MALLOC_ARENA_MAX"] = "2"
        if settings.otlp_endpoint:
            variables[f"{prefix}OTLP_ENDPOINT"] = settings.otlp_endpoint
    return extra


def database_hosts(settings: StackSettings, own: Sequence[int]) -> dict[str, str]:
    """Where the sql service is told that databases may be: on this machine too, while nobody else reaches the gateway.

    Args:
        settings: The stack's.
        own: The stack's own ports, where no database is.
    """
    address = address_of(settings.host)
    alone = settings.host == "localhost" or (address is not None and address.is_loopback)
    closed = [f"localhost:{port}" for port in own]
    given = os.environ.get("PARLEY_SQL_CLOSED_HOSTS")
    return {
        "PARLEY_SQL_HOSTS": os.environ.get("PARLEY_SQL_HOSTS") or ("*,localhost" if alone else "*"),
        "PARLEY_SQL_CLOSED_HOSTS": ",".join([*closed, *([given] if given else [])]),
    }


def secret(state: Path, name: str) -> str:
    """A secret of this stack's, made on first use: 32 random bytes in urlsafe base64, readable by the user only."""
    file = state / "secrets" / name
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text().strip()
    with os.fdopen(descriptor, "w") as out:
        value = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        out.write(value + "\n")
    return value
