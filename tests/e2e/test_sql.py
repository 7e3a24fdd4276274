"""Databases through the real gateway: files that become one, what is learned about it, advice, and results as files."""

from __future__ import annotations

import json
from typing import Any

from parley.sql.v1 import knowledge_pb2, knowledge_pb2_grpc
from tests.e2e.conftest import MeshStack

SECONDS = 120.0
BOOKS = "title,author,pages\nDế Mèn phiêu lưu ký,Tô Hoài,170\nSố đỏ,Vũ Trọng Phụng,250\nChí Phèo,Nam Cao,90\n"
LONGEST = "SELECT title FROM books ORDER BY pages DESC LIMIT 1"


def post(stack: MeshStack, path: str, body: dict[str, Any]) -> Any:
    """POSTs JSON for JSON."""
    answer = stack.http.post(f"/api/v1/{path}", json=body, timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask(stack: MeshStack, database: str, question: str) -> dict[str, Any]:
    """The parts of an answer, by name; the last of each."""
    parts: dict[str, Any] = {}
    body = {"question": question, "guess": True}
    with stack.http.stream("POST", f"/api/v1/{database}:ask", json=body, timeout=SECONDS) as answer:
        for line in answer.iter_lines():
            if line:
                parts |= json.loads(line)
    return parts


def test_files_become_a_database_that_is_asked_explained_taught_and_exported(stack: MeshStack) -> None:
    made = stack.http.post(
        "/api/v1/databases:upload",
        data={"database_id": "library"},
        files={"file": ("books.csv", BOOKS.encode(), "text/csv")},
        timeout=SECONDS,
    )
    assert made.status_code == 200, made.text
    assert made.json()["database"]["dialect"] == "DIALECT_DUCKDB"
    assert ask(stack, "databases/library", "how many books are there")["rows"]["rows"] == [[3]]

    exported = stack.http.post(
        "/api/v1/databases/library:exportQuery",
        json={"sql": "SELECT title, pages FROM books ORDER BY pages", "format": "EXPORT_FORMAT_CSV"},
        timeout=SECONDS,
    )
    assert exported.headers["content-type"].startswith("text/csv")
    assert exported.text.splitlines() == ["title,pages", "Chí Phèo,90", "Dế Mèn phiêu lưu ký,170", "Số đỏ,250"]
    explained = post(stack, "databases/library:explainQuery", {"sql": LONGEST})
    assert explained["plan"]

    feedback = {"question": "which tome is the thickest", "correctedSql": LONGEST, "verdict": "VERDICT_WRONG"}
    example = post(stack, "databases/library:submitFeedback", feedback)["example"]
    assert ask(stack, "databases/library", "which tome is the thickest")["rows"]["rows"] == [["Số đỏ"]]
    statistics = stack.http.get("/api/v1/databases/library/statistics", timeout=SECONDS).json()
    assert statistics["examples"] == "1"
    with stack.channel() as channel:
        knowledge = knowledge_pb2_grpc.KnowledgeServiceStub(channel)
        listed = knowledge.ListExamples(knowledge_pb2.ListExamplesRequest(database="databases/library"))
    assert [found.name for found in listed.examples] == [example["name"]]

    said = stack.http.post(
        "/v1/chat/completions",
        json={
            "model": "parley-embedded",
            "messages": [{"role": "user", "content": "which tome is the thickest"}],
            "metadata": {"database": "databases/library"},
        },
        timeout=SECONDS,
    )
    assert "Số đỏ" in said.json()["choices"][0]["message"]["content"]
    assert stack.http.delete("/api/v1/databases/library", timeout=SECONDS).status_code == 200


def test_a_semantic_layer_is_kept_and_used(stack: MeshStack) -> None:
    layer = "version: 1\ntables:\n  customers:\n    synonyms: [patrons]\n"
    put = stack.http.put("/api/v1/databases/shop/semanticLayer", json={"yaml": layer}, timeout=SECONDS)
    assert put.status_code == 200, put.text
    try:
        kept = stack.http.get("/api/v1/databases/shop/semanticLayer", timeout=SECONDS).json()["yaml"]
        assert "patrons" in kept
        answered = ask(stack, "databases/shop", "how many patrons are there")
        assert answered["rows"]["rows"] == [[stack.shop_row("SELECT count(*) FROM customers")[0]]]
    finally:
        stack.http.put("/api/v1/databases/shop/semanticLayer", json={"yaml": ""}, timeout=SECONDS)
    wrong = "version: 1\ntables:\n  custommers: {}\n"
    refused = stack.http.put("/api/v1/databases/shop/semanticLayer", json={"yaml": wrong}, timeout=SECONDS)
    assert refused.status_code == 400
    assert "custommers" in refused.text
