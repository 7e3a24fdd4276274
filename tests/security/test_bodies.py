"""Bodies that are JSON to one reader and nothing to another, or cost more than they weigh: refused, never a fault."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.security.conftest import Mesh

SAID = '"model":"parley-embedded","messages":[{"role":"user","content":"hello"}]'
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "no UTF-8": b'{"model":"\xff\xfe","question":"\xff","prompt":"\xff","width":3}',
    "half a character": rb'{"model":"\ud800","question":"\ud800","prompt":"\ud800","width":3}',
    "a null character": rb'{"model":"a\u0000","question":"a\u0000","size":"a\u0000","width":3}',
    "lists without end": b"[" * 100_000,
    "lists in lists": b"[" * 100_000 + b"]" * 100_000,
    "objects in objects": b'{"messages":' * 50_000 + b"1" + b"}" * 50_000,
    "lists in what nobody reads": f'{{{SAID},"width":3,"x":{"[" * 100_000}{"]" * 100_000}}}'.encode(),
    "a number of 5,000 digits": f'{{{SAID},"max_tokens":{"9" * 5000},"seed":{"9" * 5000},"width":3}}'.encode(),
    "no number": f'{{{SAID},"temperature":NaN,"seed":NaN,"width":3}}'.encode(),
    "a number without end": f'{{{SAID},"temperature":1e999,"cfg_scale":1e999,"width":3}}'.encode(),
    "brackets without end": json.dumps(
        {"prompt": "(" * 20_000 + "[" * 20_000, "width": 3, "question": "(" * 900}
    ).encode(),
    "an endless weight": json.dumps({"prompt": "(a:1e400)<lora:x:" + "9" * 5000 + ">", "width": 3}).encode(),
    "50,000 messages": json.dumps({"model": "x", "messages": [{"role": "user", "content": "x"}] * 50_000}).encode(),
}
"""A width of 3 keeps the image service from drawing."""
PATHS = [
    "/v1/chat/completions",
    "/v1/images/generations",
    "/sdapi/v1/img2img",
    "/sdapi/v1/png-info",
    "/controlnet/detect",
    "/api/v1/databases/shop:ask",
    "/api/v1/conversations",
    "/api/v1/tokens:login",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("what", BODIES)
def test_no_body_breaks_a_service(mesh: Mesh, what: str, path: str) -> None:
    headers = {"authorization": f"Bearer {mesh.keys['admin']}", "content-type": "application/json"}
    answer = httpx.post(mesh.stack.url + path, content=BODIES[what], headers=headers, timeout=60)
    assert answer.status_code < 500, answer.text
