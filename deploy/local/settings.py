"""What one stack on one machine can be told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class StackSettings:
    """Settings of `parley up`. What the services and models can be told besides, they take from the environment."""

    state: Path = Path(".parley")
    """Folder for everything that the stack writes: logs/, run/, data/, databases/, secrets/. One stack for each."""
    host: str = "127.0.0.1"
    """Address that the gateway listens on."""
    port: int = 8080
    """Port that the gateway listens on."""
    admin_port: int = 9901
    """Port of Envoy's admin interface, on loopback."""
    profile: str = "embedded"
    """Which models Triton loads: a profile of triton_models/profiles.toml."""
    model_parameters: dict[str, str] = dataclasses.field(default_factory=dict)
    """Values for parameters of the models, e.g. `{"model_directory": "/models/whisper"}`."""
    sqlite_root: Path | None = None
    """Folder that SQLite files must lie in to be registered as databases. None: PARLEY_SQL_SQLITE_ROOT from the
    environment, else databases/ in the state folder."""
    otlp_endpoint: str = ""
    """OTLP/gRPC collector that the services send traces to. Empty: none."""
    start_seconds: float = 120.0
    """How long a component may take until it is ready."""
    stop_seconds: float = 10.0
    """How long a component may take to end by itself before it is killed."""
    components: str = "deploy.local.components:mesh"
    """What to supervise: `module:function`, called with these settings, gives the components in their order."""

    def to_json(self) -> str:
        """The settings as JSON text, for another process."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> StackSettings:
        """The settings that `to_json` wrote."""
        values = json.loads(text)
        root = values["sqlite_root"]
        return cls(**{**values, "state": Path(values["state"]), "sqlite_root": Path(root) if root else None})
