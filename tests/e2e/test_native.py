"""Every native RPC through the gateway, with the Python stubs and over REST, and the main job from voice to figures."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import field_mask_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from tests.e2e.conftest import MeshStack

SHOP = "databases/shop"


@pytest.fixture(scope="module")
def channel(stack: MeshStack) -> Iterator[grpc.Channel]:
    with stack.channel() as made:
        yield made


@pytest.fixture(scope="module")
def chat(channel: grpc.Channel) -> chat_pb2_grpc.ChatServiceStub:
    return chat_pb2_grpc.ChatServiceStub(channel)


@pytest.fixture(scope="module")
def sql(channel: grpc.Channel) -> sql_pb2_grpc.SqlServiceStub:
    return sql_pb2_grpc.SqlServiceStub(channel)


@pytest.fixture(scope="module")
def asr(channel: grpc.Channel) -> asr_pb2_grpc.SpeechRecognitionStub:
    return asr_pb2_grpc.SpeechRecognitionStub(channel)


def test_a_spoken_question_becomes_an_answer_from_the_database(
    chat: chat_pb2_grpc.ChatServiceStub, stack: MeshStack
) -> None:
    conversation = chat.CreateConversation(
        chat_pb2.CreateConversationRequest(conversation=chat_pb2.Conversation(database=SHOP))
    ).conversation
    audio = chat_pb2.Attachment(
        filename="question.wav", content_type="audio/wav", content=stack.spoken_question.read_bytes()
    )
    events = list(chat.SendMessage(chat_pb2.SendMessageRequest(conversation=conversation.name, attachments=[audio])))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    kinds = [event.WhichOneof("event") for event in events]
    assert (kinds[0], kinds[-1]) == ("started", "done")
    results = [event.tool_result for event in events if event.WhichOneof("event") == "tool_result"]
    assert [result.WhichOneof("result") for result in results] == ["transcript", "table"]
    (expected,) = stack.shop_row("SELECT count(*) FROM customers")
    assert results[1].table.rows[0].values[0].number_value == expected
    answer = "".join(event.text_delta.text for event in events)
    assert str(expected) in answer.replace(",", "").replace(".", "")
    stored = chat.ListMessages(chat_pb2.ListMessagesRequest(parent=conversation.name)).messages
    assert [message.role for message in stored] == [chat_pb2.ROLE_USER, chat_pb2.ROLE_ASSISTANT]
    assert stored[1].text == answer
    assert stored[1].state == chat_pb2.MESSAGE_STATE_COMPLETE


def test_conversations_are_made_found_renamed_listed_and_deleted(chat: chat_pb2_grpc.ChatServiceStub) -> None:
    made = chat.CreateConversation(chat_pb2.CreateConversationRequest()).conversation
    chat.UpdateConversation(
        chat_pb2.UpdateConversationRequest(
            conversation=chat_pb2.Conversation(name=made.name, title="Doanh thu"),
            update_mask=field_mask_pb2.FieldMask(paths=["title"]),
        )
    )
    assert chat.GetConversation(chat_pb2.GetConversationRequest(name=made.name)).conversation.title == "Doanh thu"
    page = chat.ListConversations(chat_pb2.ListConversationsRequest(page_size=1))
    assert [c.name for c in page.conversations] == [made.name]
    chat.DeleteConversation(chat_pb2.DeleteConversationRequest(name=made.name))
    with pytest.raises(grpc.RpcError) as caught:
        chat.GetConversation(chat_pb2.GetConversationRequest(name=made.name))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        chat.CancelGeneration(chat_pb2.CancelGenerationRequest(name="generations/none"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert chat.ListModels(chat_pb2.ListModelsRequest()).models[0].id == "parley-embedded"


def test_a_database_is_registered_described_asked_and_forgotten(
    sql: sql_pb2_grpc.SqlServiceStub, stack: MeshStack
) -> None:
    made = sql.CreateDatabase(
        sql_pb2.CreateDatabaseRequest(database_id="second", database=sql_pb2.Database(url=f"sqlite:///{stack.shop}"))
    ).database
    assert (made.name, made.url, made.dialect) == ("databases/second", "", sql_pb2.DIALECT_SQLITE)
    assert made.name in [d.name for d in sql.ListDatabases(sql_pb2.ListDatabasesRequest()).databases]
    assert sql.GetDatabase(sql_pb2.GetDatabaseRequest(name=made.name)).database.url == ""
    schema = sql.GetSchema(sql_pb2.GetSchemaRequest(name=made.name)).schema
    assert "customers" in [table.name for table in schema.tables]
    assert sql.RefreshSchema(sql_pb2.RefreshSchemaRequest(name=made.name)).schema.tables == schema.tables
    assert sql.GetVocabulary(sql_pb2.GetVocabularyRequest(name=made.name)).phrases
    question = "How many customers are there?"
    query = sql.GenerateQuery(sql_pb2.GenerateQueryRequest(database=made.name, question=question)).query
    assert query.sql.upper().startswith("SELECT")
    assert query.explanation
    assert any(link.table == "customers" for link in query.links)
    parts = list(sql.ExecuteQuery(sql_pb2.ExecuteQueryRequest(database=made.name, sql=query.sql)))
    assert [part.WhichOneof("part") for part in parts] == ["columns", "rows", "summary"]
    asked = list(sql.Ask(sql_pb2.AskRequest(database=made.name, question=question)))
    assert [part.WhichOneof("part") for part in asked] == ["linked_schema", "query", "columns", "rows", "answer"]
    (expected,) = stack.shop_row("SELECT count(*) FROM customers")
    assert asked[3].rows.rows[0].values[0].number_value == expected
    sql.DeleteDatabase(sql_pb2.DeleteDatabaseRequest(name=made.name))
    with pytest.raises(grpc.RpcError) as caught:
        sql.GetSchema(sql_pb2.GetSchemaRequest(name=made.name))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_speech_is_recognised_recorded_and_live(asr: asr_pb2_grpc.SpeechRecognitionStub, stack: MeshStack) -> None:
    hints = asr_pb2.RecognitionHints(phrases=["how many customers are there"])
    config = asr_pb2.RecognitionConfig(hints=hints)
    wav = stack.spoken_question.read_bytes()
    transcript = asr.Recognize(asr_pb2.RecognizeRequest(config=config, audio=wav)).transcript
    assert transcript.text == "how many customers are there"
    assert [word.text for word in transcript.segments[0].words] == transcript.text.split()
    assert asr.ListModels(asr_pb2.ListModelsRequest()).models[0].ready

    rate, samples = stack.spoken_samples()

    def requests() -> Iterator[asr_pb2.StreamingRecognizeRequest]:
        live = asr_pb2.StreamingConfig(config=config, sample_rate_hertz=rate, interim_results=True)
        yield asr_pb2.StreamingRecognizeRequest(config=live)
        for start in range(0, len(samples), 6400):
            yield asr_pb2.StreamingRecognizeRequest(audio=samples[start : start + 6400])

    results = [r for r in asr.StreamingRecognize(requests()) if r.WhichOneof("event") == "result"]
    finals = [r.result.segment.text for r in results if r.result.is_final]
    assert finals == ["how many customers are there"]


def test_health_and_reflection_answer_at_the_gateway(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
    names = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert {
        "parley.chat.v1.ChatService",
        "parley.sql.v1.SqlService",
        "parley.asr.v1.SpeechRecognition",
    } <= names


def post(stack: MeshStack, path: str, body: object) -> list[dict[str, object]]:
    """The JSON lines that a POST is answered with."""
    answer = stack.http.post(path, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_same_over_rest(stack: MeshStack) -> None:
    (made,) = post(stack, "/api/v1/conversations", {"database": SHOP})
    name = made["conversation"]["name"]  # type: ignore[index]  # JSON
    lines = post(stack, f"/api/v1/{name}/messages:send", {"text": "Có bao nhiêu khách hàng?"})
    (expected,) = stack.shop_row("SELECT count(*) FROM customers")
    tables = [line["toolResult"]["table"] for line in lines if "toolResult" in line]  # type: ignore[index]  # JSON
    assert tables[0]["rows"] == [[expected]]
    assert "done" in lines[-1]
