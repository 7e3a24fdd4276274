"""Services whose answers are scripted by what the request says, on the real chassis.

    python -m tests.gateway.scripted HOST:PORT [CERTIFICATE KEY AUTHORITY]

Names and texts that begin with `error-CODE` end the call with that gRPC code.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import struct_pb2

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from parley.image.v1 import image_pb2, image_pb2_grpc
from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from parley.sdapi.v1 import sdapi_pb2, sdapi_pb2_grpc
from parley.sql.v1 import knowledge_pb2, knowledge_pb2_grpc, sql_pb2, sql_pb2_grpc
from services.mesh import errors, openai, server, settings

Context = grpc.aio.ServicerContext[Any, Any]
cancelled: list[str] = []


async def maybe_fail(context: Context, text: str) -> None:
    """Ends the call where the text says so."""
    if text.startswith("error-"):
        await context.abort(grpc.StatusCode[text.removeprefix("error-")], f'scripted "{text}" \\ ü')


class Chat(chat_pb2_grpc.ChatServiceServicer):
    """Conversations that exist only while they are asked for."""

    async def CreateConversation(
        self, request: chat_pb2.CreateConversationRequest, context: Context
    ) -> chat_pb2.CreateConversationResponse:
        """Echoes what was asked for."""
        return chat_pb2.CreateConversationResponse(conversation=request.conversation)

    async def GetConversation(
        self, request: chat_pb2.GetConversationRequest, context: Context
    ) -> chat_pb2.GetConversationResponse:
        """Fails as the name says; `conversations/metadata` has the call's metadata as its title."""
        name = request.name.removeprefix("conversations/")
        await maybe_fail(context, name.replace("-", "_").replace("error_", "error-"))
        if name == "missing":
            raise errors.NotFound(request.name)
        seen = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        title = json.dumps(seen) if name == "metadata" else ""
        return chat_pb2.GetConversationResponse(conversation=chat_pb2.Conversation(name=request.name, title=title))

    async def UpdateConversation(
        self, request: chat_pb2.UpdateConversationRequest, context: Context
    ) -> chat_pb2.UpdateConversationResponse:
        """Echoes the conversation and puts the mask's paths into its model."""
        request.conversation.model = ",".join(request.update_mask.paths)
        return chat_pb2.UpdateConversationResponse(conversation=request.conversation)

    async def DeleteConversation(
        self, request: chat_pb2.DeleteConversationRequest, context: Context
    ) -> chat_pb2.DeleteConversationResponse:
        """Does nothing."""
        return chat_pb2.DeleteConversationResponse()

    async def ListConversations(
        self, request: chat_pb2.ListConversationsRequest, context: Context
    ) -> chat_pb2.ListConversationsResponse:
        """Says which page was asked for."""
        return chat_pb2.ListConversationsResponse(next_page_token=f"{request.page_size}/{request.page_token}")

    async def SendMessage(
        self, request: chat_pb2.SendMessageRequest, context: Context
    ) -> AsyncIterator[chat_pb2.SendMessageResponse]:
        """Three deltas, a fifth of a second apart; `forever` goes on until the call is cancelled."""
        await maybe_fail(context, request.text)
        try:
            sequence = 0
            while request.text == "forever" or sequence < 3:
                sequence += 1
                yield chat_pb2.SendMessageResponse(sequence=sequence, text_delta=chat_pb2.TextDelta(text=f"{sequence}"))
                await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            cancelled.append("SendMessage")
            raise

    async def ListModels(self, request: chat_pb2.ListModelsRequest, context: Context) -> chat_pb2.ListModelsResponse:
        """The calls that were cancelled, as models."""
        return chat_pb2.ListModelsResponse(models=[chat_pb2.Model(id=name) for name in cancelled])


async def completion(request: openai_pb2.CreateChatCompletionRequest, context: Context) -> AsyncIterator[HttpBody]:
    """Events a fifth of a second apart when the body asks for a stream, else an echo; fails where it says so."""
    asked = json.loads(request.body.data)
    if asked.get("model") == "missing":
        raise errors.NotFound("models/missing")
    if asked.get("model") == "slow-down":
        raise errors.Unavailable("upstream is busy", retry_after=7)
    if asked.get("model") == "crash":
        raise ZeroDivisionError
    if not asked.get("stream"):
        yield openai.json_body(json.dumps({"echo": asked}).encode())
        return
    try:
        number = 0
        while asked.get("model") == "forever" or number < 3:
            number += 1
            yield HttpBody(content_type="text/event-stream", data=f'data: {{"n": {number}}}\n\n'.encode())
            await asyncio.sleep(0.2)
            if asked.get("model") == "break":
                raise errors.Unavailable("upstream broke off")
        yield HttpBody(data=b"data: [DONE]\n\n")
    except (asyncio.CancelledError, GeneratorExit):
        cancelled.append("CreateChatCompletion")
        raise


class ChatCompletions(openai_pb2_grpc.ChatCompletionsServiceServicer):
    """The façade of chat."""

    async def CreateChatCompletion(
        self, request: openai_pb2.CreateChatCompletionRequest, context: Context
    ) -> AsyncIterator[openai_pb2.CreateChatCompletionResponse]:
        """What `completion` answers."""
        wrap = lambda body: openai_pb2.CreateChatCompletionResponse(body=body)  # noqa: E731 — as the façades write it
        async for part in openai.with_envelope(context, completion(request, context), wrap):
            yield part

    async def GetModel(
        self, request: openai_pb2.GetModelRequest, context: Context
    ) -> AsyncIterator[openai_pb2.GetModelResponse]:
        """Fails as the id says, with no envelope of its own; else echoes the id."""
        await maybe_fail(context, request.model)
        yield openai_pb2.GetModelResponse(body=openai.json_body(json.dumps({"id": request.model}).encode()))


class Audio(openai_pb2_grpc.AudioServiceServicer):
    """The façade of asr."""

    async def CreateTranscription(
        self, request: openai_pb2.CreateTranscriptionRequest, context: Context
    ) -> AsyncIterator[openai_pb2.CreateTranscriptionResponse]:
        """Says how many bytes came, and of which type."""
        seen = {"bytes": len(request.body.data), "content_type": request.body.content_type}
        yield openai_pb2.CreateTranscriptionResponse(body=openai.json_body(json.dumps(seen).encode()))


class Sql(sql_pb2_grpc.SqlServiceServicer):
    """A database of two rows."""

    async def GetDatabase(self, request: sql_pb2.GetDatabaseRequest, context: Context) -> sql_pb2.GetDatabaseResponse:
        """A database of the name that was asked for."""
        return sql_pb2.GetDatabaseResponse(database=sql_pb2.Database(name=request.name))

    async def ExecuteQuery(
        self, request: sql_pb2.ExecuteQueryRequest, context: Context
    ) -> AsyncIterator[sql_pb2.ExecuteQueryResponse]:
        """Columns, two rows, a summary; fails first where the statement says so."""
        await maybe_fail(context, request.sql)
        yield sql_pb2.ExecuteQueryResponse(columns=sql_pb2.ResultColumns(columns=[sql_pb2.ResultColumn(name="n")]))
        rows = [struct_pb2.ListValue(values=[struct_pb2.Value(number_value=n)]) for n in (1, 2)]
        yield sql_pb2.ExecuteQueryResponse(rows=sql_pb2.RowBatch(rows=rows))
        yield sql_pb2.ExecuteQueryResponse(summary=sql_pb2.ResultSummary(row_count=2))


class Knowledge(knowledge_pb2_grpc.KnowledgeServiceServicer):
    """Two examples."""

    async def SubmitFeedback(
        self, request: knowledge_pb2.SubmitFeedbackRequest, context: Context
    ) -> knowledge_pb2.SubmitFeedbackResponse:
        """The example that the verdict made."""
        example = knowledge_pb2.Example(name=f"{request.database}/examples/1", sql=request.corrected_sql)
        return knowledge_pb2.SubmitFeedbackResponse(example=example)

    async def ExportExamples(
        self, request: knowledge_pb2.ExportExamplesRequest, context: Context
    ) -> AsyncIterator[knowledge_pb2.ExportExamplesResponse]:
        """A line in each piece."""
        for number in (1, 2):
            body = HttpBody(content_type="application/jsonl", data=f'{{"n": {number}}}\n'.encode())
            yield knowledge_pb2.ExportExamplesResponse(body=body)


class Speech(asr_pb2_grpc.SpeechRecognitionServicer):
    """Hears how long things are."""

    async def Recognize(self, request: asr_pb2.RecognizeRequest, context: Context) -> asr_pb2.RecognizeResponse:
        """The number of bytes as the text."""
        return asr_pb2.RecognizeResponse(transcript=asr_pb2.Transcript(text=str(len(request.audio))))


class Images(image_pb2_grpc.ImageServiceServicer):
    """One picture, in two pieces."""

    async def DownloadImage(
        self, request: image_pb2.DownloadImageRequest, context: Context
    ) -> AsyncIterator[image_pb2.DownloadImageResponse]:
        """Bytes that are no text, with the headers of something that never changes."""
        headers = {
            "cache-control": "private, max-age=60, immutable",
            "etag": '"1"',
            "x-content-type-options": "nosniff",
        }
        await context.send_initial_metadata(tuple(headers.items()))
        for piece in (b"\x89PNG", b"\0\xff"):
            yield image_pb2.DownloadImageResponse(body=HttpBody(content_type="image/png", data=piece))

    async def ViewImage(
        self, request: image_pb2.ViewImageRequest, context: Context
    ) -> AsyncIterator[image_pb2.ViewImageResponse]:
        """What arrived, as text; refuses a signature that is none."""
        if request.signature != "signed":
            raise errors.PermissionDenied("This link is not valid.")
        await context.send_initial_metadata((("content-disposition", 'inline; filename="1.png"'),))
        said = f"{request.name} {request.organisation} {request.expires}".encode()
        yield image_pb2.ViewImageResponse(body=HttpBody(content_type="image/png", data=said))


class WebUi(sdapi_pb2_grpc.StableDiffusionServiceServicer):
    """The façade of images for the web UI's clients."""

    async def GetProgress(
        self, request: sdapi_pb2.GetProgressRequest, context: Context
    ) -> AsyncIterator[sdapi_pb2.GetProgressResponse]:
        """Fails as the task says, with no shape of its own; else says what the client called us."""
        await maybe_fail(context, request.id_task)
        seen = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        if request.id_task == "teapot":
            await context.send_initial_metadata(((openai.STATUS_HEADER, "418"),))
        body = openai.json_body(json.dumps({"host": seen.get("x-forwarded-host")}).encode())
        yield sdapi_pb2.GetProgressResponse(body=body)


def bound() -> list[server.Bound]:
    """Every service of the mesh."""
    return [
        server.Bound(
            chat_pb2_grpc.add_ChatServiceServicer_to_server, Chat(), chat_pb2.DESCRIPTOR.services_by_name["ChatService"]
        ),
        server.Bound(
            openai_pb2_grpc.add_ChatCompletionsServiceServicer_to_server,
            ChatCompletions(),
            openai_pb2.DESCRIPTOR.services_by_name["ChatCompletionsService"],
        ),
        server.Bound(
            openai_pb2_grpc.add_AudioServiceServicer_to_server,
            Audio(),
            openai_pb2.DESCRIPTOR.services_by_name["AudioService"],
        ),
        server.Bound(
            sql_pb2_grpc.add_SqlServiceServicer_to_server, Sql(), sql_pb2.DESCRIPTOR.services_by_name["SqlService"]
        ),
        server.Bound(
            knowledge_pb2_grpc.add_KnowledgeServiceServicer_to_server,
            Knowledge(),
            knowledge_pb2.DESCRIPTOR.services_by_name["KnowledgeService"],
        ),
        server.Bound(
            asr_pb2_grpc.add_SpeechRecognitionServicer_to_server,
            Speech(),
            asr_pb2.DESCRIPTOR.services_by_name["SpeechRecognition"],
        ),
        server.Bound(
            image_pb2_grpc.add_ImageServiceServicer_to_server,
            Images(),
            image_pb2.DESCRIPTOR.services_by_name["ImageService"],
        ),
        server.Bound(
            sdapi_pb2_grpc.add_StableDiffusionServiceServicer_to_server,
            WebUi(),
            sdapi_pb2.DESCRIPTOR.services_by_name["StableDiffusionService"],
        ),
    ]


if __name__ == "__main__":
    names = ("listen", "tls_certificate_file", "tls_key_file", "tls_ca_file")
    given = settings.ServiceSettings.model_validate(
        {"drain_seconds": 0, **dict(zip(names, sys.argv[1:], strict=False))}
    )
    server.run(server.serve(given, bound()))
