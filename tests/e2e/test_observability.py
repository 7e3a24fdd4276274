"""What a running stack tells of itself: every metric that rules and dashboards ask for, and a trace from end to end."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local import espeak, ports, sample_shop, stack
from deploy.local.settings import StackSettings
from deploy.local.tracing import Receiver, Root, Span
from tests.conftest import ROOT, free_port
from tests.deploy.monitoring import EXTERNAL, expressions, metrics, recorded
from tests.e2e.conftest import SPOKEN, client, register

SERVICES = ("chat", "sql", "asr", "image", "identity")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


class Watched:
    """A stack that exports its metrics and its traces."""

    def __init__(
        self, settings: StackSettings, scraped: dict[str, int], receiver: Receiver, http: httpx.Client
    ) -> None:
        self.settings, self.receiver, self.http = settings, receiver, http
        self.scraped = scraped
        """Ports of the services' metrics."""

    def metrics(self) -> dict[str, str]:
        """What Prometheus would get: the text of each part."""
        urls = {name: f"http://127.0.0.1:{port}/metrics" for name, port in self.scraped.items()}
        urls["gateway"] = f"http://127.0.0.1:{self.settings.admin_port}/stats/prometheus"
        urls["triton"] = f"http://127.0.0.1:{self._triton_port()}/metrics"
        return {name: httpx.get(url, timeout=30, trust_env=False).text for name, url in urls.items()}

    def _triton_port(self) -> int:
        """Where Triton's metrics are, as it was told."""
        (triton,) = [each for each in stack.status(self.settings.state).components if each.name == "triton"]
        told = Path(f"/proc/{triton.pid}/cmdline").read_text().split("\0")
        (port,) = [part.partition("=")[2] for part in told if part.startswith("--metrics-port=")]
        return int(port)

    def ask_aloud(self, spoken: bytes, traceparent: str) -> str:
        """Sends a spoken question about the shop in a trace; gives the answer as it came."""
        made = self.http.post("/api/v1/conversations", json={"database": "databases/shop"}).raise_for_status().json()
        audio = {"filename": "q.wav", "contentType": "audio/wav", "content": base64.b64encode(spoken).decode()}
        answer = self.http.post(
            f"/api/v1/{made['conversation']['name']}/messages:send",
            json={"attachments": [audio]},
            headers={"traceparent": traceparent},
        )
        return answer.raise_for_status().text


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A WAV file that says SPOKEN."""
    return espeak.synthesise(SPOKEN, tmp_path_factory.mktemp("audio") / "question.wav").read_bytes()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The running stack, with the shop registered."""
    scraped = dict(zip(SERVICES, ports.free(len(SERVICES)), strict=True))
    told = {f"PARLEY_{name.upper()}_METRICS_LISTEN": f"127.0.0.1:{port}" for name, port in scraped.items()}
    # Nobody asks it; but services count what providers do only where they have some.
    provider = {"name": "example", "base_url": f"http://127.0.0.1:{free_port()}/v1", "models": ["model"]}
    told["PARLEY_CHAT_PROVIDERS"] = json.dumps([provider])
    with Receiver() as receiver:
        settings = StackSettings(
            state=tmp_path_factory.mktemp("watched"),
            port=free_port(),
            admin_port=free_port(),
            otlp_endpoint=receiver.endpoint,
            otlp_http_endpoint=receiver.http_endpoint,
        )
        shop = settings.state / "databases" / "shop.db"
        shop.parent.mkdir(parents=True)
        sample_shop.build(shop)
        os.environ.update(told)
        try:
            stack.detach(settings, lambda _event: None)
        finally:
            for name in told:
                del os.environ[name]
        try:
            with client(settings) as http:
                register(http, "shop", shop.name)
                yield Watched(settings, scraped, receiver, http)
        finally:
            stack.down(settings.state)


def exported(texts: dict[str, str]) -> set[str]:
    """The names of the series that a scrape brings."""
    found = set()
    for text in texts.values():
        for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE):
            found |= {name + suffix for suffix in SUFFIXES.get(kind, ("",))}
    return found


def ancestors(span: Span, spans: dict[str, Span]) -> list[str]:
    """The services that a span came by, from itself to the client."""
    way = [span.service]
    while (above := spans.get(span.parent_id)) is not None:
        span = above
        if way[-1] != span.service:
            way.append(span.service)
    return way


def test_one_trace_leads_from_the_gateway_to_the_models(watched: Watched, spoken: bytes) -> None:
    root = Root.new()
    assert "customers" in watched.ask_aloud(spoken, root.traceparent)
    found = watched.receiver.trace(root, timeout=15)
    spans = {span.span_id: span for span in found}
    assert {span.service for span in found} >= {"gateway", "identity", "chat", "sql", "asr", "triton"}
    for span in found:
        assert span.parent_id in spans or span.parent_id == root.span_id, f"{span.service} {span.name} hangs in the air"
    (outermost,) = [span for span in found if span.parent_id == root.span_id]
    assert (outermost.service, outermost.kind) == ("gateway", "server")
    computed = [span for span in found if span.service == "triton" and span.name == "compute"]
    assert computed, "each execution of a model is a span"
    assert {tuple(ancestors(span, spans)) for span in computed} == {("triton", "asr", "chat", "gateway")}
    (asked,) = [span for span in found if span.service == "sql" and span.name.endswith("/Ask")]
    assert ancestors(asked, spans) == ["sql", "chat", "gateway"]
    (authorised,) = [span for span in found if span.service == "identity" and span.kind == "server"]
    assert ancestors(authorised, spans) == ["identity", "gateway"]


def test_a_trace_that_is_not_recorded_is_recorded_nowhere(watched: Watched, spoken: bytes) -> None:
    root = Root.new()
    watched.ask_aloud(spoken, root.traceparent.removesuffix("01") + "00")
    after = Root.new()
    watched.http.get("/api/v1/models", headers={"traceparent": after.traceparent})
    assert watched.receiver.trace(after, timeout=15), "what came later has arrived"
    assert watched.receiver.trace(root, timeout=0.1) == []


def test_a_request_without_a_trace_begins_one(watched: Watched) -> None:
    known = watched.receiver.traces()
    watched.http.get("/api/v1/models")
    watched.receiver.trace(Root.new(), timeout=3)
    begun = [{span.service for span in watched.receiver.spans(trace)} for trace in watched.receiver.traces() - known]
    assert [services for services in begun if services >= {"gateway", "identity", "chat"}]


def test_every_metric_that_rules_and_dashboards_ask_for_is_exported(watched: Watched, spoken: bytes) -> None:
    watched.ask_aloud(spoken, Root.new().traceparent)
    assert watched.http.get("/no/such/path").status_code == 404
    texts = watched.metrics()
    known = exported(texts)
    asked = set[str]().union(*map(metrics, expressions())) - recorded() - EXTERNAL
    assert asked <= known, f"nobody exports {sorted(asked - known)}"
    assert not EXTERNAL & known - {"up"}, "what the stack exports is no stranger's"
    # The guide names all of ours, and nothing that is not there.
    guide = set(re.findall(r"`(parley_\w+)`", (ROOT / "docs" / "operations" / "monitoring.md").read_text()))
    ours = {name for name in known if name.startswith("parley_") and not name.endswith("_created")}
    assert guide <= ours | {name.rpartition("_")[0] for name in ours}, "named, and not there"
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours} <= guide, "there, and not named"
    # What the dashboards select by.
    for label in ("grpc_type", "grpc_service", "grpc_method", "grpc_code"):
        assert f"{label}=" in texts["chat"]
    assert 'envoy_http_conn_manager_prefix="parley"' in texts["gateway"]
    assert 'model="vad"' in texts["triton"]


def test_what_the_stack_did_shows_in_its_metrics(watched: Watched, spoken: bytes) -> None:
    watched.ask_aloud(spoken, Root.new().traceparent)
    texts = watched.metrics()
    for part, series in {
        "chat": r'parley_chat_answers_total\{model="[^"]+",reason="stop"\} [1-9]',
        "sql": r'parley_sql_statement_seconds_count\{system="sqlite"\} [1-9]',
        "asr": r'parley_asr_audio_seconds_total\{model="pocketsphinx"\} [0-9.]+[1-9]',
        "image": r"parley_database_connections 1.0",
        "identity": r'parley_identity_decisions_total\{outcome="allowed"\} [1-9]',
        "triton": r'nv_inference_request_success\{model="vad",version="1"\} [1-9]',
        "gateway": r'envoy_cluster_membership_healthy\{envoy_cluster_name="chat"\} 1',
    }.items():
        assert re.search(series, texts[part]), f"{part}: {series}"
    assert 'outcome="answered",tool="sql.ask"' in texts["chat"]
