"""Recordings from URLs: only what the operator allowed, and nothing that an attacker would like to reach."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import fsspec
import httpx
import pytest
import trustme
from aiohttp import web

from deploy.local import ports
from parley.asr.v1 import transcriptions_pb2
from services.asr.fetch import Fetcher, SourceFailed, SourceRefused
from services.asr.settings import AsrSettings
from services.mesh.errors import Unavailable
from services.mesh.settings import load
from tests.asr.fakes import ToneEngine
from tests.asr.test_transcriptions import SUCCEEDED, TALK, TEXTS, create, serve, watch

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
async def https(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[str]:
    """A server of HTTPS with a certificate that this process trusts; yields `localhost:port`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)

    async def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/meeting.wav":
                return web.Response(body=TALK)
            case "/on":
                raise web.HTTPFound("/meeting.wav")
            case "/away":
                raise web.HTTPFound("https://169.254.169.254/latest/meta-data")
            case "/plain":
                raise web.HTTPFound(f"http://{request.host}/meeting.wav")
            case "/round":
                raise web.HTTPFound("/round")
            case "/busy":
                return web.Response(status=503)
            case "/broken":
                broken = web.StreamResponse(headers={"content-length": str(len(TALK))})
                await broken.prepare(request)
                await broken.write(TALK[:1000])
                assert request.transport is not None
                request.transport.close()
                return broken
        return web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = ports.free(1)[0]
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    yield f"localhost:{port}"
    await runner.cleanup()


async def fetched(fetcher: Fetcher, url: str) -> bytes:
    return b"".join([piece async for piece in fetcher.open(url)])


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.com/a.wav",
        "ftp://files.example.com/a.wav",
        "file:///etc/passwd",
        "gopher://files.example.com/a",
        "files.example.com/a.wav",
        "https://files.example.com",
        "https:///a.wav",
        "https://user:password@files.example.com/a.wav",
        "https://files.example.com:22/a.wav",
        "https://files.example.com.evil.org/a.wav",
        "https://evil.org/files.example.com/a.wav",
        "https://evil.org#files.example.com/a.wav",
        "https://evil.org\\@files.example.com/a.wav",
        "https://files.example.com\r\nHost: evil.org/a.wav",
        "https://127.0.0.1/a.wav",
        "https://[::1]/a.wav",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/a.wav",
        "https://localhost/a.wav",
        "https://recordings/a.wav",
        "s3://files.example.com/a.wav",
        "s3://other/a.wav",
        "https://[/a.wav",
        "https://files.example.com:99999/a.wav",
        "",
    ],
)
def test_what_is_not_on_the_list_is_refused(url: str) -> None:
    fetcher = Fetcher(["files.example.com", "*.trusted.org", "s3://recordings"])
    with pytest.raises(SourceRefused) as caught:
        fetcher.check(url)
    assert caught.value.violations[0].field == "uri"


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.com/a.wav?signature=x",
        "https://FILES.example.com:443/a.wav",
        "https://a.b.trusted.org/a",
        "s3://recordings/2026/a.wav",
    ],
)
def test_what_is_on_the_list_is_not(url: str) -> None:
    Fetcher(["files.example.com", "*.trusted.org", "s3://recordings"]).check(url)


def test_nothing_is_on_the_list_unless_somebody_puts_it_there() -> None:
    with pytest.raises(SourceRefused, match="PARLEY_ASR_SOURCES"):
        Fetcher([]).check("https://files.example.com/a.wav")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "[::1]",
    ],
)
def test_what_is_near_is_reached_only_where_it_is_listed_as_such(host: str) -> None:
    for entries in (["*"], ["0.0.0.0/0", "::/0"], ["10.0.0.0/8"]):
        with pytest.raises(SourceRefused, match="not a public address"):
            Fetcher(entries, private=True).check(f"https://{host}/a.wav")
    Fetcher(["localhost", "169.254.0.0/16", "0.0.0.0", "fd00:ec2::254"], private=True).check(f"https://{host}/a.wav")


def test_networks_are_listed_as_networks() -> None:
    fetcher = Fetcher(["10.0.0.0/8", "[fd00::/8]:8443"], private=True)
    fetcher.check("https://10.1.2.3/a.wav")
    fetcher.check("https://[fd12::1]:8443/a.wav")
    for url in ("https://11.0.0.1/a.wav", "https://10.1.2.3:8443/a.wav", "https://[fd12::1]/a.wav"):
        with pytest.raises(SourceRefused, match="PARLEY_ASR_SOURCES"):
            fetcher.check(url)


def test_a_list_that_holds_no_hosts_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_ASR_SOURCES", "https://files.example.com")
    with pytest.raises(SystemExit, match="2"):
        load(AsrSettings, [])
    assert "PARLEY_ASR_SOURCES: Value error, 'https://files.example.com' is no host" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "0.0.0.0"])
def test_a_list_that_allows_everything_allows_no_private_address(address: str) -> None:
    with pytest.raises(SourceRefused, match="public"):
        Fetcher(["*"]).check(f"https://{address}/a.wav")


async def test_a_name_that_means_a_private_address_is_refused(https: str) -> None:
    with pytest.raises(SourceRefused, match="public"):
        await fetched(Fetcher([https]), f"https://{https}/meeting.wav")
    # However the address is written.
    for address in ("2130706433", "0x7f000001", "127.1"):
        with pytest.raises(SourceRefused):
            await fetched(Fetcher(["*"]), f"https://{address}/meeting.wav")


async def test_a_recording_is_fetched_and_redirects_are_followed_as_far_as_they_are_allowed(https: str) -> None:
    fetcher = Fetcher([https], private=True)
    assert await fetched(fetcher, f"https://{https}/meeting.wav") == TALK
    assert await fetched(fetcher, f"https://{https}/on") == TALK
    for path in ("away", "plain"):
        with pytest.raises(SourceRefused):
            await fetched(fetcher, f"https://{https}/{path}")
    for path, status in (("round", "leads on"), ("nothing", "404")):
        with pytest.raises(SourceFailed, match=status):
            await fetched(fetcher, f"https://{https}/{path}")
    for path in ("busy", "broken"):
        with pytest.raises(Unavailable):
            await fetched(fetcher, f"https://{https}/{path}")


async def test_a_server_that_nobody_vouches_for_is_not_trusted(https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Unavailable):
        await fetched(Fetcher([https], private=True), f"https://{https}/meeting.wav")


async def test_a_url_is_transcribed_and_its_query_is_not_shown(https: str, tmp_path: Path) -> None:
    async with serve(tmp_path, ToneEngine(), sources=https, private_sources=True) as jobs:
        states, segments = await watch(jobs, await create(jobs, uri=f"https://{https}/meeting.wav?signature=secret"))
        assert states[-1].state == SUCCEEDED
        assert [segment.text for segment in segments] == TEXTS
        assert states[-1].source == f"https://{https}/meeting.wav"
        states, _ = await watch(jobs, await create(jobs, uri=f"https://{https}/nothing"))
        assert states[-1].state == transcriptions_pb2.TRANSCRIPTION_STATE_FAILED
        assert "404" in states[-1].error.message


@pytest.fixture(scope="module")
def s3(s3_server: str) -> str:
    """URL of a server that speaks S3, with a bucket `recordings`."""
    httpx.put(f"{s3_server}/recordings").raise_for_status()
    return s3_server


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the bucket, for this process to find by the environment."""
    for name, value in (KEYS | {"AWS_ENDPOINT_URL_S3": s3, "AWS_ENDPOINT_URL": s3}).items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").pipe("recordings/2026/meeting.wav", TALK)
    return "recordings"


async def test_an_object_of_an_allowed_bucket_is_fetched(bucket: str) -> None:
    fetcher = Fetcher([f"s3://{bucket}"])
    assert await asyncio.wait_for(fetched(fetcher, f"s3://{bucket}/2026/meeting.wav"), 60) == TALK
    with pytest.raises(SourceFailed, match="no such object"):
        await fetched(fetcher, f"s3://{bucket}/nothing.wav")


async def test_recordings_are_kept_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    def kept() -> int:
        system = fsspec.filesystem("s3")
        system.invalidate_cache()
        return len(system.find(f"{bucket}/kept"))

    async with serve(tmp_path, ToneEngine(), recordings_url=f"s3://{bucket}/kept") as jobs:
        name = await create(jobs)
        assert [segment.text for segment in (await watch(jobs, name))[1]] == TEXTS
        assert await asyncio.to_thread(kept) == 1
        await jobs.DeleteTranscription(transcriptions_pb2.DeleteTranscriptionRequest(name=name))
        assert await asyncio.to_thread(kept) == 0
