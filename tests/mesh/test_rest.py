"""A REST call acts on what its path names, whatever its body or query say."""

from __future__ import annotations

import pytest

from parley.chat.v1 import chat_pb2
from parley.sql.v1 import sql_pb2
from services.mesh import rest
from services.mesh.errors import InvalidArgument

ASK = "/parley.sql.v1.SqlService/Ask"
UPDATE = "/parley.chat.v1.ChatService/UpdateConversation"


def test_a_request_that_says_what_the_path_says_passes() -> None:
    check = rest.path_check(ASK)
    assert check is not None
    check("/api/v1/databases/shop:ask", sql_pb2.AskRequest(database="databases/shop"))
    check("/api/v1/databases/sho%70:ask?alt=1", sql_pb2.AskRequest(database="databases/shop"))


@pytest.mark.parametrize("path", ["/api/v1/databases/shop:ask", "/api/v1/databases/shop", "/elsewhere", ""])
def test_another_resource_in_the_body_is_refused(path: str) -> None:
    check = rest.path_check(ASK)
    assert check is not None
    with pytest.raises(InvalidArgument, match=r"^database: differs from the path"):
        check(path, sql_pb2.AskRequest(database="databases/other"))


def test_a_field_inside_a_message_is_compared_too() -> None:
    check = rest.path_check(UPDATE)
    assert check is not None
    request = chat_pb2.UpdateConversationRequest(conversation=chat_pb2.Conversation(name="conversations/b"))
    check("/api/v1/conversations/b", request)
    with pytest.raises(InvalidArgument, match=r"^conversation\.name: "):
        check("/api/v1/conversations/a", request)


def test_templates_become_patterns() -> None:
    fields, pattern = rest.compiled("/v1/models/{model=**}")
    assert (fields, pattern.fullmatch("/v1/models/a/b")[1]) == (["model"], "a/b")  # type: ignore[index]  # it matches
    fields, pattern = rest.compiled("/x/{name}:cancel")
    assert (fields, pattern.fullmatch("/x/y:cancel")[1]) == (["name"], "y")  # type: ignore[index]  # it matches
    assert pattern.fullmatch("/x/y/z:cancel") is None


@pytest.mark.parametrize(
    "method", ["/parley.chat.v1.ChatService/ListModels", "/grpc.health.v1.Health/Check", "/no.such/Method"]
)
def test_methods_without_variables_have_nothing_to_compare(method: str) -> None:
    assert rest.path_check(method) is None
