"""What one stack on one machine can be told."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from deploy.local import certificates
from gateway.settings import GatewaySettings


@dataclasses.dataclass(frozen=True)
class StackSettings:
    """Settings of `parley up`. What the services and models can be told besides, they take from the environment."""

    state: Path = Path(".parley")
    """Folder for everything that the stack writes: key, logs/, run/, data/, databases/, secrets/, certificates/. One
    stack for each."""
    host: str = "127.0.0.1"
    """Address that the gateway listens on."""
    port: int = 8080
    """Port that the gateway listens on."""
    admin_port: int = 9901
    """Port of Envoy's admin interface, on loopback."""
    tls_certificate: Path | None = None
    """The gateway's certificate for clients, PEM; with it the port speaks TLS alone. None: as
    PARLEY_GATEWAY_TLS_CERTIFICATE_FILE in the environment says, else plaintext."""
    tls_key: Path | None = None
    """The private key of that certificate, PEM."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the gateway from a browser. Empty: those of PARLEY_GATEWAY_CORS_ORIGINS."""
    profile: str = "embedded"
    """Which models Triton loads: a profile of triton_models/profiles.toml."""
    model_parameters: dict[str, str] = dataclasses.field(default_factory=dict)
    """Values for parameters of the models, e.g. `{"model_directory": "/models/whisper"}`."""
    sqlite_root: Path | None = None
    """Folder that SQLite files must lie in to be registered as databases. None: PARLEY_SQL_SQLITE_ROOT from the
    environment, else databases/ in the state folder."""
    otlp_endpoint: str = ""
    """OTLP/gRPC collector that the gateway and the services send traces to. Empty: none."""
    otlp_http_endpoint: str = ""
    """OTLP/HTTP collector that Triton sends traces to, e.g. http://127.0.0.1:4318/v1/traces. Empty: none."""
    start_seconds: float = 120.0
    """How long a component may take until it is ready."""
    stop_seconds: float = 10.0
    """How long a component may take to end by itself before it is killed."""
    components: str = "deploy.local.components:mesh"
    """What to supervise: `module:function`, called with these settings, gives the components in their order."""

    @property
    def url(self) -> str:
        """Base URL of the gateway."""
        scheme = "https" if self.gateway.tls_certificate_file else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    @property
    def gateway(self) -> GatewaySettings:
        """What the gateway is told: by these settings, and by PARLEY_GATEWAY_… in the environment for the rest.

        Raises:
            gateway.settings.SettingsError: One does not fit.
        """
        own: dict[str, Any] = {"issuer": os.environ.get("PARLEY_IDENTITY_ISSUER", "")}
        if self.tls_certificate or self.tls_key:
            own |= {"tls_certificate_file": self.tls_certificate, "tls_key_file": self.tls_key}
        if self.cors_origins:
            own["cors_origins"] = self.cors_origins
        return dataclasses.replace(GatewaySettings.from_environment(), **own)

    @property
    def issuer(self) -> str:
        """Who signs the tokens."""
        return self.gateway.issuer or self.url

    @property
    def key_file(self) -> Path:
        """The first administrator's API key, readable by the user only."""
        return self.state.resolve() / "key"

    def certificate(self, component: str) -> certificates.Files:
        """Where a component's certificate is."""
        return certificates.files(self.state.resolve() / "certificates", component)

    def to_json(self) -> str:
        """The settings as JSON text, for another process."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> StackSettings:
        """The settings that `to_json` wrote."""
        values = json.loads(text)
        for name in ("state", "sqlite_root", "tls_certificate", "tls_key"):
            values[name] = Path(values[name]) if values[name] else None
        return cls(**values | {"cors_origins": tuple(values["cors_origins"])})
