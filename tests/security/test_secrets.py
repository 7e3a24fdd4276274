"""Every secret that this test uses is looked for in all that the mesh wrote and answered."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.security.conftest import Mesh, bearer
from tests.security.methods import METHODS

PASSWORD = "Canary-Password-8c1f"
WRONG = "Canary-Wrong-Password-77aa"
DATABASE_PASSWORD = "canary-database-password-51d2"
PROMPT = "canaryprompt4471"
LAST = "/the-last-of-the-canaries"
"""A path that is asked for after everything else, and nowhere but here."""


@pytest.fixture(scope="module")
def said(mesh: Mesh) -> tuple[dict[str, str], str]:
    """The secrets by what they are, and everything that was answered where none of them belongs."""
    user = {"roles": ["ROLE_MEMBER"]}
    mesh.made("IdentityService.CreateUser", "operator", user=user, userId="canary", password=PASSWORD)
    tokens = mesh.made("TokenService.Login", "nobody", userId="canary", password=PASSWORD)["tokens"]
    made = mesh.made("ApiKeyService.CreateApiKey", "operator", apiKey={"user": "users/canary"})
    secrets = {
        "password": PASSWORD,
        "wrong password": WRONG,
        "access token": tokens["accessToken"].rpartition(".")[2],
        "refresh token": tokens["refreshToken"],
        "API key": made["secret"].split("-", 3)[3],
        "operator's key": mesh.keys["operator"].split("-", 3)[3],
        "database's password": DATABASE_PASSWORD,
        "question": PROMPT,
    }
    secrets |= {file.name: file.read_text().strip() for file in (mesh.stack.settings.state / "secrets").iterdir()}
    return secrets, "\n".join(provoke(mesh, made["secret"], tokens))


def provoke(mesh: Mesh, key: str, tokens: dict[str, Any]) -> list[str]:
    """Goes wrong with every secret in as many ways as there are: what was answered."""
    answers = []
    url = f"postgresql://shop:{DATABASE_PASSWORD}@127.0.0.1:1/shop"
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("TokenService.Login", "nobody", {"userId": "canary", "password": WRONG}),
        ("TokenService.RefreshToken", "nobody", {"refreshToken": tokens["refreshToken"] + "x"}),
        ("SqlService.CreateDatabase", "admin", {"databaseId": "canary", "database": {"url": url}}),
        ("SqlService.CreateDatabase", "admin", {"databaseId": "canary", "database": {"url": url + "?x=%zz"}}),
        ("SqlService.CreateDatabase", "admin", {"databaseId": "Not A Name", "database": {"url": url}}),
        ("IdentityService.SetPassword", "nobody", {"name": "users/me", "currentPassword": WRONG, "newPassword": "x"}),
        ("SqlService.Ask", "admin", {"database": "databases/nowhere", "question": PROMPT}),
        ("ChatService.SendMessage", "admin", {"conversation": "conversations/none", "text": PROMPT}),
        ("ImageService.Generate", "admin", {"settings": {"prompt": PROMPT, "width": 3}}),
        ("ApiKeyService.ListApiKeys", "operator", {}),
        ("IdentityService.ListUsers", "operator", {}),
        ("AuditService.ListAuditEntries", "operator", {"pageSize": 1000}),
        ("SqlService.ListDatabases", "admin", {}),
    ]
    for method, who, request in calls:
        answer = mesh.call(method, who, **request)
        answers += [answer.message, str(answer.first)]
    for credential in (key + "x", tokens["accessToken"] + "x", f"{tokens['refreshToken']}"):
        answers.append(METHODS["SqlService.ListDatabases"].call(mesh.channel, bearer(credential), {}).message)
        headers = {"authorization": f"Bearer {credential}"}
        for path in ("/v1/models", "/api/v1/databases", "/sdapi/v1/samplers", "/nowhere"):
            got = httpx.get(mesh.stack.url + path, headers=headers)
            answers += [got.text, str(got.headers)]
    body = {"model": "parley-embedded", "messages": [{"role": "user", "content": PROMPT}], "n": 99}
    refused = httpx.post(f"{mesh.stack.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
    return [*answers, refused.text, httpx.get(mesh.stack.url + LAST).text]


def test_no_answer_holds_a_secret(said: tuple[dict[str, str], str]) -> None:
    secrets, answers = said
    assert [what for what, secret in secrets.items() if what != "question" and secret in answers] == []


def logs(mesh: Mesh) -> str:
    """What the mesh logged, once the last call of above is in it: Envoy writes its lines out every few seconds."""
    for _ in range(300):
        files = [file for file in (mesh.stack.settings.state / "logs").rglob("*") if file.is_file()]
        text = "\n".join(file.read_text(errors="replace") for file in files)
        if f'"path":"{LAST}"' in text:
            return text
        time.sleep(0.2)
    pytest.fail("the calls are not in the logs")


def test_no_log_holds_a_secret(mesh: Mesh, said: tuple[dict[str, str], str]) -> None:
    secrets, _answers = said
    text = logs(mesh)
    assert "/parley.sql.v1.SqlService/Ask" in text
    assert [what for what, secret in secrets.items() if secret in text] == []


def test_nothing_stores_a_key_or_password_readably(mesh: Mesh, said: tuple[dict[str, str], str]) -> None:
    secrets, _answers = said
    kept = ("password", "API key", "operator's key", "refresh token", "database's password")
    data = b"".join(file.read_bytes() for file in (mesh.stack.settings.state / "data").iterdir())
    assert [what for what in kept if secrets[what].encode() in data] == []


def test_secrets_lie_in_files_that_only_their_owner_reads(mesh: Mesh) -> None:
    state = mesh.stack.settings.state
    files = [state / "key", *(state / "secrets").iterdir(), *(state / "certificates").rglob("*key*")]
    assert json.dumps({str(file): oct(mode(file)) for file in files if mode(file) & 0o077}) == "{}"


def mode(file: Path) -> int:
    """A file's permissions."""
    return file.stat().st_mode & 0o777
