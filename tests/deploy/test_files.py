"""What pods of the chart execute: migrations, the launcher of Triton, downloads of weights, the release's test."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import os
import pathlib
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import grpc
import pytest
import trustme
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from sqlalchemy import create_engine, inspect, text

from services.mesh.errors import StorageUnavailable
from tests.conftest import ROOT, free_port
from tests.deploy.rendering import CASES, CHART, environment, of_kind, one, pod, rendered
from triton_models.repository import TORCH_ENVIRONMENT, present, profile

FILES = CHART / "files"
SERVICES = ["chat", "sql", "asr", "image", "identity"]


def module(name: str) -> ModuleType:
    """A script of the chart as a module."""
    spec = importlib.util.spec_from_file_location(f"chart_{name}", FILES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


migrate, launch, download, check = (module(n) for n in ("migrate", "launch_triton", "download_models", "test_release"))


def command(job: dict[str, Any]) -> list[str]:
    """What a Job's container executes, with this interpreter."""
    container = pod(job)["containers"][0]
    assert container["command"][0] == "python"
    return [sys.executable, *container["command"][1:], *container["args"]]


@pytest.mark.parametrize("service", SERVICES)
def test_the_migration_job_makes_the_services_tables(
    service: str, make_postgres: Callable[[], str], tmp_path: pathlib.Path
) -> None:
    """The very command of the Job, on a real PostgreSQL; twice, as a Job that is started again does."""
    url = make_postgres()
    (tmp_path / f"PARLEY_{service.upper()}_DATABASE_URL").write_text(url + "\n")
    words = command(one(rendered(), "Job", f"parley-{service}-migrate"))
    words[-1] = str(tmp_path)
    for _time in range(2):
        done = subprocess.run(
            words,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    assert "alembic_version" in inspect(engine).get_table_names()
    assert len(inspect(engine).get_table_names()) > 1
    engine.dispose()


def test_a_migration_that_cannot_reach_the_database_fails(tmp_path: pathlib.Path) -> None:
    (tmp_path / "PARLEY_CHAT_DATABASE_URL").write_text(f"postgresql://parley@127.0.0.1:{free_port()}/x")
    with pytest.raises(StorageUnavailable):
        asyncio.run(migrate.main("chat", tmp_path))


def test_a_rollback_leaves_the_schema_of_the_newer_version(
    make_postgres: Callable[[], str], tmp_path: pathlib.Path
) -> None:
    """A rollback is no downgrade: the Job of the old version has nothing to do."""
    url = make_postgres()
    (tmp_path / "PARLEY_CHAT_DATABASE_URL").write_text(url)
    asyncio.run(migrate.main("chat", tmp_path))
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'of_tomorrow'"))
    asyncio.run(migrate.main("chat", tmp_path))
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "of_tomorrow"
    engine.dispose()


def told(values: dict[str, Any], group: str) -> dict[str, str]:
    """What the chart tells a Triton."""
    return environment(one(rendered(values), "Deployment", f"parley-triton-{group}"))


def test_the_embedded_profile_is_loaded_whole() -> None:
    loaded, parameters = launch.models(told({}, "embedded"))
    assert parameters == {"environment": str(TORCH_ENVIRONMENT)}
    assert loaded == present(profile("embedded"), parameters)


def test_the_groups_together_are_the_gpu_profile() -> None:
    values = {"triton": {"profile": "gpu"}}
    groups = [told(values, group)["PARLEY_TRITON_MODELS"].split(",") for group in ("speech", "diffusion")]
    assert not set(groups[0]) & set(groups[1])
    assert set(profile("gpu")) <= set(groups[0]) | set(groups[1])


def test_weights_that_are_not_there_are_said_and_left_out(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "whisper").mkdir()
    environment_ = told({"triton": {"profile": "gpu"}}, "speech")
    environment_["PARLEY_TRITON_PARAMETERS"] = json.dumps({"model_directory": str(tmp_path)})
    loaded, _ = launch.models(environment_)
    assert {"vad", "whisper"} <= set(loaded)
    assert "whisper_turbo" not in loaded
    assert "whisper_turbo is not loaded" in capsys.readouterr().err


def test_the_launcher_becomes_triton(tmp_path: pathlib.Path) -> None:
    """A server that only writes down how it was started, in the place of the real one."""
    server = tmp_path / "tritonserver"
    server.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    server.chmod(server.stat().st_mode | stat.S_IXUSR)
    told_ = told({}, "embedded") | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    launcher = f"runpy.run_path({str(FILES / 'launch_triton.py')!r})['main']"
    script = f"import os, pathlib, runpy; {launcher}(os.environ, pathlib.Path({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", script], env=told_, capture_output=True, text=True, check=True)
    arguments = done.stdout.split()
    container = pod(one(rendered(), "Deployment", "parley-triton-embedded"))["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {f"--{name}-port={number}" for name, number in ports.items()} <= set(arguments)
    assert "--exit-timeout-secs=120" in arguments
    assert "--model-control-mode=explicit" in arguments
    assert {f"--load-model={name}" for name in present(profile("embedded"), {})} <= set(arguments)
    assert (tmp_path / "models" / "vad" / "config.pbtxt").exists()


def test_with_tls_triton_asks_for_certificates() -> None:
    arguments = launch.arguments(told({"mtls": {"enabled": True}}, "embedded"), pathlib.Path("/r"), ["vad"])
    assert {
        "--grpc-use-ssl-mutual=true",
        "--grpc-server-cert=/run/tls/tls.crt",
        "--grpc-root-cert=/run/tls/ca.crt",
    } <= set(arguments)


def test_nothing_to_load_is_said() -> None:
    environment_ = told({}, "embedded") | {"PARLEY_TRITON_MODELS": "none_such"}
    with pytest.raises(SystemExit, match="no model to load"):
        launch.main(environment_)


@pytest.fixture
def weights(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of weights, as a bucket holds it."""
    folder = tmp_path / "bucket"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"x" * 100_000)
    (folder / "sub" / "config.json").write_text("{}")
    return folder


def fetch(weights: pathlib.Path, folder: pathlib.Path, **more: Any) -> bool:
    """Provides the weights as the model `whisper`; whether anything was fetched."""
    (folder / ".parley").mkdir(parents=True, exist_ok=True)
    source = {"name": "whisper", "url": f"file://{weights}", **more}
    fetched: bool = download.provide(source, folder, folder / ".parley" / "lock")
    return fetched


def test_weights_are_fetched_once_for_each_revision(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    cache = tmp_path / "cache"
    assert fetch(weights, cache, revision="1")
    assert not fetch(weights, cache, revision="1")
    assert (cache / "whisper" / "sub" / "config.json").read_text() == "{}"
    (weights / "sub" / "config.json").write_text('{"new": 1}')
    assert fetch(weights, cache, revision="2")
    assert (cache / "whisper" / "sub" / "config.json").read_text() == '{"new": 1}'


def test_a_download_goes_on_where_it_was_broken_off(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    target = tmp_path / "cache" / "model.bin"
    target.parent.mkdir()
    part = target.with_name("model.bin.part")
    part.write_bytes(b"y" * 60_000)
    download.fetch(download.fsspec.filesystem("file"), str(weights / "model.bin"), target, 100_000, tmp_path / "lock")
    assert target.read_bytes() == b"y" * 60_000 + b"x" * 40_000, "only the rest was read"
    assert not part.exists()


def test_wrong_weights_never_get_their_name(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(ValueError, match=r"model.bin: SHA-256 is \w+, expected 0000"):
        fetch(weights, cache, sha256={"model.bin": "0" * 64})
    assert not (cache / "whisper").exists()
    right = hashlib.sha256(b"x" * 100_000).hexdigest()
    assert fetch(weights, cache, sha256={"model.bin": right})


def test_a_source_that_is_empty_is_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(FileNotFoundError, match="holds nothing"):
        fetch(tmp_path / "nothing", tmp_path / "cache")


def test_one_pod_downloads_and_the_others_find_it_done(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    sources, cache = tmp_path / "sources.json", tmp_path / "cache"
    cache.mkdir()
    sources.write_text(json.dumps([{"name": "whisper", "url": f"file://{weights}"}]))
    words = [sys.executable, str(FILES / "download_models.py"), str(sources), str(cache), "60"]
    running = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    told_ = [process.communicate()[1] for process in running]
    assert all(process.returncode == 0 for process in running), told_
    assert sum("model.bin" in lines for lines in told_) == 1
    assert not (cache / ".parley" / "lock").exists()


def test_a_lock_of_the_dead_is_taken_over(tmp_path: pathlib.Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    os.utime(lock, (0, 0))
    with download.lock(lock, 5):
        assert lock.exists()
    assert not lock.exists()


def test_a_lock_of_the_living_is_waited_for_and_then_given_up(tmp_path: pathlib.Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    with pytest.raises(TimeoutError, match="has been held"), download.lock(lock, 0):
        pass
    assert lock.exists(), "it is another one's"


@contextlib.contextmanager
def serving(status: int) -> Iterator[str]:
    """A gRPC server that reports this health; its address."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        servicer = health.HealthServicer()
        servicer.set("parley.chat.v1.ChatService", status)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


def test_the_releases_test_passes_where_all_are_ready(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(health_pb2.HealthCheckResponse.SERVING) as address:
        check.main([f"chat={address}=parley.chat.v1.ChatService", f"gateway={address}="])
    assert capsys.readouterr().out == "chat is ready\ngateway is ready\n"


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_the_releases_test_makes_a_real_call(
    tls: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through Envoy to identity; its certificate is for the name that clients use."""
    values = {"gateway": {"edge": {"tls": {"existingSecret": "certificate"}}}} if tls else {}
    objects = rendered(values)
    (service,) = one(objects, "Service", "parley-gateway")["spec"]["ports"]
    asked = pod(one(objects, "Job", "parley-test"))["containers"][0]["args"]
    scheme, port = ("https", 443) if tls else ("http", 80)
    assert f"gateway={scheme}://parley-gateway:{port}/api/v1/loginProviders" in asked
    assert (service["port"], service["name"], service["appProtocol"]) == (port, scheme, scheme)
    monkeypatch.setattr(check, "SECONDS", 0.0)
    with answering(tls) as address:
        check.main([f"gateway={scheme}://{address}/api/v1/loginProviders"])
        assert capsys.readouterr().out == "gateway is ready\n"
        with pytest.raises(SystemExit, match=r"gateway at .*: HTTP Error 404"):
            check.main([f"gateway={scheme}://{address}/nothing"])
    with pytest.raises(SystemExit, match=r"gateway at .*refused"):
        check.main([f"gateway={scheme}://{address}/api/v1/loginProviders"])


@contextlib.contextmanager
def answering(tls: bool) -> Iterator[str]:
    """An HTTP server that knows one path; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/v1/loginProviders" else 404)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the base class's name
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("parley.example.com").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_releases_test_names_who_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "SECONDS", 0.0)
    with (
        serving(health_pb2.HealthCheckResponse.NOT_SERVING) as address,
        pytest.raises(SystemExit, match=r"chat at .*: it is not ready"),
    ):
        check.main([f"chat={address}=parley.chat.v1.ChatService"])
    with pytest.raises(SystemExit, match=r"sql at 127.0.0.1:.*UNAVAILABLE"):
        check.main([f"sql=127.0.0.1:{free_port()}=parley.sql.v1.SqlService"])
    assert threading.active_count() < 50


@pytest.mark.parametrize("mode", ["pvc", "imageVolume", "download", "emptyDir"])
def test_weights_come_from_where_the_values_say(mode: str) -> None:
    source = {"name": "whisper", "url": "s3://models/whisper"}
    cache = {"mode": mode, "imageVolume": {"reference": "r.example.com/w:1"}, "download": {"sources": [source]}}
    cache |= {"emptyDir": {"sizeLimit": "4Gi"}}
    objects = rendered({"triton": {"profile": "gpu"}, "modelCache": cache})
    spec = pod(one(objects, "Deployment", "parley-triton-speech"))
    (volume,) = [item for item in spec["volumes"] if item["name"] == "models"]
    kind = {
        "pvc": "persistentVolumeClaim",
        "download": "persistentVolumeClaim",
        "imageVolume": "image",
        "emptyDir": "emptyDir",
    }
    assert set(volume) == {"name", kind[mode]}
    assert ("initContainers" in spec) == (mode in ("download", "emptyDir"))
    (mount,) = [item for item in spec["containers"][0]["volumeMounts"] if item["name"] == "models"]
    assert mount["readOnly"] is True
    assert (
        json.loads(told({"triton": {"profile": "gpu"}}, "speech")["PARLEY_TRITON_PARAMETERS"])["model_directory"]
        == mount["mountPath"]
    )


def test_the_embedded_profile_needs_no_volume() -> None:
    assert not [item for item in of_kind(rendered(), "PersistentVolumeClaim") if "models" in item["metadata"]["name"]]


@pytest.mark.parametrize("case", CASES)
def test_claims_outlive_the_release(case: str) -> None:
    for item in of_kind(rendered(CASES[case]), "PersistentVolumeClaim"):
        assert item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_claim_that_is_there_is_used() -> None:
    objects = rendered({"triton": {"profile": "gpu"}, "modelCache": {"pvc": {"existingClaim": "mine"}}})
    spec = pod(one(objects, "Deployment", "parley-triton-speech"))
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "mine"}} in spec["volumes"]
    assert "parley-models" not in {item["metadata"]["name"] for item in of_kind(objects, "PersistentVolumeClaim")}


def test_downloads_are_configured_as_the_values_say() -> None:
    objects = rendered(CASES["everything"])
    data = one(objects, "ConfigMap", "parley-triton")["data"]
    assert [source["name"] for source in json.loads(data["sources.json"])] == ["whisper", "enhancer"]
    assert yaml.safe_load(json.dumps(data["download.py"])) == (FILES / "download_models.py").read_text()
    (init,) = pod(one(objects, "Deployment", "parley-triton-speech"))["initContainers"]
    assert init["command"][1:4] == ["/etc/parley/cluster/download.py", "/etc/parley/cluster/sources.json", "/models"]
    assert {"name": "download-credentials", "mountPath": "/run/secrets/download", "readOnly": True} in init[
        "volumeMounts"
    ]
