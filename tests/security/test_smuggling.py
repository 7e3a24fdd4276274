"""Requests of which two parsers might see a different number: the gateway sees one, and refuses it or ends there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.security import wire
from tests.security.conftest import Mesh

HIDDEN = b"GET /openapi.json HTTP/1.1\r\nHost: parley\r\n\r\n"
"""What would be answered with 200 and the word openapi, if anything took it for a request."""


EMPTY_CHUNK = b"0\r\n\r\n"
LENGTH = str(len(HIDDEN))
POST = "POST /v1/chat/completions HTTP/1.1"
TOGETHER = EMPTY_CHUNK + HIDDEN
AMBIGUOUS: dict[str, tuple[list[str], bytes]] = {
    "length and chunks": ([f"Content-Length: {len(TOGETHER)}", "Transfer-Encoding: chunked"], TOGETHER),
    "chunks and length": (["Transfer-Encoding: chunked", "Content-Length: 4"], TOGETHER),
    "two lengths": (["Content-Length: 0", f"Content-Length: {LENGTH}"], HIDDEN),
    "two lengths in one": ([f"Content-Length: 0, {LENGTH}"], HIDDEN),
    "a signed length": ([f"Content-Length: +{LENGTH}"], HIDDEN),
    "a negative length": (["Content-Length: -1"], HIDDEN),
    "a length in hexadecimal": (["Content-Length: 0x0"], HIDDEN),
    "a length with a space": (["Content-Length : 0"], HIDDEN),
    "chunked, misspelt": (["Transfer-Encoding: xchunked"], TOGETHER),
    "chunked, and not": (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], TOGETHER),
    "chunked with odd spaces": (["Transfer-Encoding:\tchunked\x0b"], TOGETHER),
    "a null in a header": (["X: a\x00b", "Content-Length: 0"], HIDDEN),
    "a chunk size that overflows": (["Transfer-Encoding: chunked"], b"10000000000000000\r\n" + HIDDEN),
    "a chunk size that is none": (["Transfer-Encoding: chunked"], b"zz\r\n" + HIDDEN),
    "a chunk without its end": (["Transfer-Encoding: chunked"], b"1\r\nAB" + TOGETHER),
}
"""Headers and bodies of a POST, whose end two parsers might see in different places."""
MALFORMED: dict[str, bytes] = {
    "HTTP/0.9": b"GET /openapi.json\r\n\r\n",
    "HTTP/1.0": b"GET /openapi.json HTTP/1.0\r\nHost: parley\r\n\r\n",
    "two hosts": wire.request("GET /openapi.json HTTP/1.1", "Host: other"),
    "no host": b"GET /openapi.json HTTP/1.1\r\n\r\n",
    "CONNECT": wire.request("CONNECT 127.0.0.1:22 HTTP/1.1"),
    "TRACE": wire.request("TRACE /openapi.json HTTP/1.1"),
}
"""Requests that are none of HTTP/1.1's, or of none that is offered."""
LENIENT: dict[str, bytes] = {
    "a folded header, whose fold is a space": wire.request(POST, "Transfer-Encoding:", " chunked", body=TOGETHER),
    "a bare carriage return, which is a space": wire.request(POST, f"X: a\rContent-Length: {LENGTH}", body=HIDDEN),
    "line feeds alone": f"{POST}\nHost: parley\nContent-Length: 0\n\n".encode() + HIDDEN,
}
"""Requests that RFC 9112 (2.2, 5.2) lets a server read in one way only, if it takes them at all."""


@pytest.fixture(scope="module")
def answers(mesh: Mesh) -> dict[str, list[bytes]]:
    """What each is answered, the ambiguous ones without a credential and with.

    All are sent together: most of the time passes in waiting whether more comes.
    """
    credentials: tuple[list[str], ...] = ([], [f"Authorization: Bearer {mesh.keys['member']}"])
    sent = {
        shape: [wire.request(POST, *credential, *headers, body=body) for credential in credentials]
        for shape, (headers, body) in AMBIGUOUS.items()
    }
    sent |= {shape: [request] for shape, request in (MALFORMED | LENIENT).items()}
    with ThreadPoolExecutor(2 * len(sent)) as pool:
        waiting = {
            shape: [pool.submit(wire.talk, mesh.stack.address, one) for one in requests]
            for shape, requests in sent.items()
        }
        return {shape: [one.result() for one in results] for shape, results in waiting.items()}


def test_the_hidden_request_works_by_itself(mesh: Mesh) -> None:
    assert b"openapi" in wire.talk(mesh.stack.address, HIDDEN)


def refused(answer: bytes) -> bool:
    """Whether there is one refusal at most, and nothing else."""
    codes = wire.statuses(answer)
    return b'"openapi"' not in answer and len(codes) <= 1 and all(400 <= code < 500 or code == 501 for code in codes)


@pytest.mark.parametrize("shape", AMBIGUOUS)
def test_nothing_hidden_is_answered(answers: dict[str, list[bytes]], shape: str) -> None:
    assert [answer for answer in answers[shape] if not refused(answer)] == []


@pytest.mark.parametrize("shape", MALFORMED)
def test_what_is_malformed_is_refused(answers: dict[str, list[bytes]], shape: str) -> None:
    assert [answer for answer in answers[shape] if not refused(answer)] == []


@pytest.mark.parametrize("shape", LENIENT)
def test_what_may_be_read_is_read_as_the_standard_has_it(answers: dict[str, list[bytes]], shape: str) -> None:
    # Two requests one after the other, each answered as if it had come alone, or the connection ends after the first.
    assert [wire.statuses(answer) in ([401, 200], [401], [400]) for answer in answers[shape]] == [True]


def test_a_body_on_an_upgrade_belongs_to_its_request(mesh: Mesh) -> None:
    headers = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAA"]
    sent = wire.request("GET /v1/models HTTP/1.1", *headers, f"Content-Length: {LENGTH}", body=HIDDEN)
    answer = wire.talk(mesh.stack.address, sent)
    assert b'"openapi"' not in answer
    assert len(wire.statuses(answer)) == 1


def test_a_trace_is_not_echoed(mesh: Mesh) -> None:
    key = mesh.keys["member"]
    answer = wire.talk(mesh.stack.address, wire.request("TRACE / HTTP/1.1", f"Authorization: Bearer {key}"))
    assert key.encode() not in answer
