"""What settings change in Envoy's files: TLS to both sides, origins, limits, issuers of tokens.

Only what differs from the defaults is written: with no setting the files are the committed ones.
"""

from __future__ import annotations

import json
import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from gateway.settings import GatewaySettings, Issuer

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
EDS = re.compile(r"^( *)eds_config: .*\./eds/(\w+)\.yaml.*$", re.MULTILINE)
"""The line of clusters.yaml that says where the addresses of a service are."""
DEFAULTS = GatewaySettings()


def listener(settings: GatewaySettings) -> dict[str, str]:
    """The lines of the listener that differ, by their marks."""
    lines = {}
    if settings.tls_certificate_file:
        lines["tls"] = f"transport_socket: {json.dumps(_edge())}"
        if settings.hsts_seconds:
            said = {"key": "strict-transport-security", "value": f"max-age={settings.hsts_seconds}"}
            lines["hsts"] = f"append: {json.dumps({'header': said, 'append_action': 'OVERWRITE_IF_EXISTS_OR_ADD'})}"
    if settings.cors_origins:
        lines["cors_origins"] = f"allow_origin_string_match: {json.dumps(_origins(settings.cors_origins))}"
    if settings.requests_per_second != DEFAULTS.requests_per_second:
        rate = settings.requests_per_second
        lines["requests_per_second"] = (
            f"token_bucket: {{ max_tokens: {2 * rate}, tokens_per_fill: {rate}, fill_interval: 1s }}"
        )
    most = 0 if settings.trusted_hops else settings.max_connections_per_address
    if most != DEFAULTS.max_connections_per_address:
        value = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": str(most)}
        lines["connections_of_an_address"] = f"configuration: {json.dumps(value)}"
    if settings.otlp_endpoint:
        lines["tracing"] = f"tracing: {json.dumps(_tracing())}\n{14 * ' '}generate_request_id: true"
    if settings.trusted_hops:
        lines["trusted_hops"] = f"xff_num_trusted_hops: {settings.trusted_hops}"
    if settings.issuer:
        lines["issuer"] = f"issuer: {json.dumps(settings.issuer)}"
    if settings.issuers:
        others = {_name(number): _provider(number, other) for number, other in enumerate(settings.issuers)}
        # In the line of our own, which stays the first.
        lines["providers"] = (
            "".join(f"{json.dumps(name)}: {json.dumps(entry)}\n{22 * ' '}" for name, entry in others.items())
            + "parley:"
        )
        wanted = [{"provider_name": name} for name in ("parley", *others)]
        lines["issuers"] = f"requires: {json.dumps({'requires_any': {'requirements': wanted}})}"
    return lines


def bootstrap(settings: GatewaySettings) -> dict[str, str]:
    """The lines of the bootstrap that differ, by their marks."""
    lines = {}
    if settings.max_connections != DEFAULTS.max_connections:
        lines["max_connections"] = f"max_active_downstream_connections: {settings.max_connections}"
    if settings.otlp_endpoint:
        lines["trace_percent"] = f"tracing.random_sampling: {settings.trace_percent}"
    return lines


def collector(settings: GatewaySettings) -> dict[str, str]:
    """The line of clusters.yaml that says where the collector of traces is, by its mark."""
    if not settings.otlp_endpoint:
        return {}
    address = urlsplit(settings.otlp_endpoint)
    found = _place("tracing", address, port=4317)
    return {"collector": "\n    ".join(f"{key}: {json.dumps(value)}" for key, value in found.items())}


def clusters(text: str, settings: GatewaySettings) -> str:
    """The text of clusters.yaml: with TLS to the services, and a cluster for each further issuer's keys."""
    if settings.mesh_certificate_file:
        text = EDS.sub(lambda line: f"{line[0]}\n    transport_socket: {json.dumps(_to_service(line[2]))}", text)
    found = [_keys(number, urlsplit(other.jwks_uri)) for number, other in enumerate(settings.issuers)]
    return text + "".join(f"  - {json.dumps(cluster)}\n" for cluster in found)


def secrets(settings: GatewaySettings) -> dict[str, str]:
    """The files that say where Envoy finds certificates (SDS), by name. It watches those folders."""
    edge = (settings.tls_certificate_file, settings.tls_key_file)
    mesh = (settings.mesh_certificate_file, settings.mesh_key_file)
    found = {}
    for name, (certificate, key) in (("edge", edge), ("mesh", mesh)):
        if certificate and key:
            found[name] = {
                "tls_certificate": {
                    "certificate_chain": {"filename": str(certificate.absolute())},
                    "private_key": {"filename": str(key.absolute())},
                    "watched_directory": {"path": str(certificate.absolute().parent)},
                }
            }
    if settings.mesh_ca_file:
        found["authority"] = {
            "validation_context": {
                "trusted_ca": {"filename": str(settings.mesh_ca_file.absolute())},
                "watched_directory": {"path": str(settings.mesh_ca_file.absolute().parent)},
            }
        }
    return {
        f"{name}.yaml": json.dumps({"resources": [{"@type": f"{TLS}Secret", "name": name, **secret}]}, indent=2) + "\n"
        for name, secret in found.items()
    }


def _tracing() -> dict[str, Any]:
    """What sends spans to the cluster `tracing`."""
    tracer = {
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": "gateway",
        "grpc_service": {"envoy_grpc": {"cluster_name": "tracing"}, "timeout": "1s"},
    }
    return {"provider": {"name": "envoy.tracers.opentelemetry", "typed_config": tracer}}


def _secret(name: str) -> dict[str, Any]:
    """Where a secret is configured."""
    source = {"resource_api_version": "V3", "path_config_source": {"path": f"./{name}.yaml"}}
    return {"name": name, "sds_config": source}


def _edge() -> dict[str, Any]:
    """TLS towards clients."""
    common = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [_secret("edge")],
    }
    return _socket("DownstreamTlsContext", common_tls_context=common)


def _to_service(name: str) -> dict[str, Any]:
    """TLS towards a service, which has to be the one of that name."""
    names = [{"san_type": "DNS", "matcher": {"exact": name}}]
    common = {
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [_secret("mesh")],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": names},
            "validation_context_sds_secret_config": _secret("authority"),
        },
    }
    return _socket("UpstreamTlsContext", sni=name, common_tls_context=common)


def _socket(kind: str, **more: Any) -> dict[str, Any]:
    """A transport socket that speaks TLS."""
    return {"name": "envoy.transport_sockets.tls", "typed_config": {"@type": f"{TLS}{kind}", **more}}


def _origins(origins: tuple[str, ...]) -> list[dict[str, Any]]:
    """What matches these origins."""
    if "*" in origins:
        return [{"safe_regex": {"regex": ".*"}}]
    return [{"exact": origin} for origin in origins]


def _name(number: int) -> str:
    """The name of a further issuer among the providers of tokens, and of the cluster that its keys come from."""
    return f"issuer-{number}"


def _provider(number: int, other: Issuer) -> dict[str, Any]:
    """A further issuer; what its tokens say goes to identity, and no further, in a header that nobody else can set."""
    return {
        "issuer": other.issuer,
        "audiences": list(other.audiences),
        "require_expiration": True,
        "clock_skew_seconds": 30,
        "forward": True,
        "forward_payload_header": "x-parley-token-payload",
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "remote_jwks": {
            "http_uri": {"uri": other.jwks_uri, "cluster": _name(number), "timeout": "5s"},
            "cache_duration": "300s",
            "async_fetch": {"fast_listener": True},
        },
    }


def _keys(number: int, address: SplitResult) -> dict[str, Any]:
    """The cluster of a further issuer's keys."""
    secure = address.scheme == "https"
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": _name(number),
        "type": "STRICT_DNS",
        "connect_timeout": "5s",
        **_place(_name(number), address, port=443 if secure else 80),
    }


def _place(cluster: str, address: SplitResult, port: int) -> dict[str, Any]:
    """The fields of a cluster that say where it is, and that it is TLS where the address is https."""
    host = str(address.hostname)
    member = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": address.port or port}}}}
    found: dict[str, Any] = {"load_assignment": {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [member]}]}}
    if address.scheme == "https":
        names = [{"san_type": "DNS", "matcher": {"exact": host}}]
        trusted = {"trusted_ca": {"filename": str(_authorities())}, "match_typed_subject_alt_names": names}
        found["transport_socket"] = _socket(
            "UpstreamTlsContext", sni=host, common_tls_context={"validation_context": trusted}
        )
    return found


def _authorities() -> Path:
    """The certificates of the authorities that this machine trusts."""
    return Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
