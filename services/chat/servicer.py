"""parley.chat.v1.ChatService: requests become calls of the use cases, their results become responses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import grpc

from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from services.chat import converters
from services.chat.catalog import Catalog
from services.chat.conversation import Done, Question, Started
from services.chat.conversations import AnswerEvent, Conversations
from services.chat.models import TextDelta, ToolAnswered, ToolCalled, ToolProgressed, Usage
from services.chat.tools import Attachment
from services.mesh import status
from services.mesh.errors import InvalidArgument, ParleyError
from services.mesh.server import Bound

Context = grpc.aio.ServicerContext[Any, Any]
CHANGEABLE = ("title", "model", "database")


class ChatServicer(chat_pb2_grpc.ChatServiceServicer):
    """Conversations over gRPC.

    Args:
        conversations: The use cases.
        catalog: The chat models.
    """

    def __init__(self, conversations: Conversations, catalog: Catalog) -> None:
        self._conversations = conversations
        self._catalog = catalog

    async def CreateConversation(
        self, request: chat_pb2.CreateConversationRequest, context: Context
    ) -> chat_pb2.CreateConversationResponse:
        """Starts a conversation."""
        wanted = request.conversation
        made = await self._conversations.create(wanted.title, wanted.model, wanted.database)
        return chat_pb2.CreateConversationResponse(conversation=converters.conversation(made))

    async def GetConversation(
        self, request: chat_pb2.GetConversationRequest, context: Context
    ) -> chat_pb2.GetConversationResponse:
        """Gets one conversation."""
        found = await self._conversations.get(_id(request.name))
        return chat_pb2.GetConversationResponse(conversation=converters.conversation(found))

    async def ListConversations(
        self, request: chat_pb2.ListConversationsRequest, context: Context
    ) -> chat_pb2.ListConversationsResponse:
        """Lists conversations."""
        page, token = await self._conversations.page(request.page_size, request.page_token)
        return chat_pb2.ListConversationsResponse(
            conversations=map(converters.conversation, page), next_page_token=token
        )

    async def UpdateConversation(
        self, request: chat_pb2.UpdateConversationRequest, context: Context
    ) -> chat_pb2.UpdateConversationResponse:
        """Renames a conversation or changes its defaults."""
        changed = await self._conversations.update(_id(request.conversation.name), _changes(request))
        return chat_pb2.UpdateConversationResponse(conversation=converters.conversation(changed))

    async def DeleteConversation(
        self, request: chat_pb2.DeleteConversationRequest, context: Context
    ) -> chat_pb2.DeleteConversationResponse:
        """Deletes a conversation."""
        await self._conversations.delete(_id(request.name))
        return chat_pb2.DeleteConversationResponse()

    async def ListMessages(
        self, request: chat_pb2.ListMessagesRequest, context: Context
    ) -> chat_pb2.ListMessagesResponse:
        """Lists the messages of a conversation."""
        page, token = await self._conversations.messages(_id(request.parent), request.page_size, request.page_token)
        return chat_pb2.ListMessagesResponse(messages=map(converters.message, page), next_page_token=token)

    async def CancelGeneration(
        self, request: chat_pb2.CancelGenerationRequest, context: Context
    ) -> chat_pb2.CancelGenerationResponse:
        """Stops a generation."""
        was_running = await self._conversations.cancel(_id(request.name))
        return chat_pb2.CancelGenerationResponse(was_running=was_running)

    async def ListModels(self, request: chat_pb2.ListModelsRequest, context: Context) -> chat_pb2.ListModelsResponse:
        """Lists the chat models."""
        return chat_pb2.ListModelsResponse(models=map(converters.model, self._catalog.infos()))

    async def SendMessage(
        self, request: chat_pb2.SendMessageRequest, context: Context
    ) -> AsyncIterator[chat_pb2.SendMessageResponse]:
        """Adds a message and streams the answer; an error comes as the last event and as the call's status."""
        sequence = 0
        async with aclosing(self._conversations.send(_question(request))) as events:
            try:
                async for event in events:
                    for response in _responses(event):
                        sequence += 1
                        response.sequence = sequence
                        yield response
            except ParleyError as error:
                if sequence:
                    yield chat_pb2.SendMessageResponse(sequence=sequence + 1, error=status.to_status(error))
                raise


def bound(conversations: Conversations, catalog: Catalog) -> Bound:
    """The servicer, ready to be served."""
    return Bound(
        chat_pb2_grpc.add_ChatServiceServicer_to_server,
        ChatServicer(conversations, catalog),
        chat_pb2.DESCRIPTOR.services_by_name["ChatService"],
    )


def _id(name: str) -> str:
    """`conversations/42` → `42`."""
    return name.rpartition("/")[2]


def _question(request: chat_pb2.SendMessageRequest) -> Question:
    return Question(
        conversation_id=_id(request.conversation),
        text=request.text,
        attachments=tuple(Attachment(a.filename, a.content_type, a.content) for a in request.attachments),
        model=request.model,
        database=request.database,
        parent_id=_id(request.parent_message),
    )


def _changes(request: chat_pb2.UpdateConversationRequest) -> dict[str, str]:
    """The fields to change: those of the mask, all for `*` (https://google.aip.dev/134), or else all that are set."""
    wanted = request.conversation
    if not wanted.name.startswith("conversations/"):
        raise InvalidArgument("conversation.name", "must be conversations/{conversation}.")
    names = list(request.update_mask.paths) or [name for name in CHANGEABLE if getattr(wanted, name)]
    if names == ["*"]:
        names = list(CHANGEABLE)
    for name in names:
        if name not in CHANGEABLE:
            raise InvalidArgument("update_mask", f"{name!r} cannot be changed; {', '.join(CHANGEABLE)} can.")
    if not names:
        raise InvalidArgument("update_mask", f"names nothing to change; set one of {', '.join(CHANGEABLE)}.")
    return {name: getattr(wanted, name) for name in names}


def _responses(event: AnswerEvent) -> Iterator[chat_pb2.SendMessageResponse]:
    """What is sent of an event, without its number: one message, or one for each picture that a tool drew."""
    if isinstance(event, ToolAnswered):
        for result in converters.tool_results(event.result):
            yield chat_pb2.SendMessageResponse(tool_result=result)
    else:
        yield _response(event)


def _response(event: Started | TextDelta | ToolCalled | ToolProgressed | Usage | Done) -> chat_pb2.SendMessageResponse:
    response = chat_pb2.SendMessageResponse()
    if isinstance(event, Started):
        response.started.generation = f"generations/{event.begun.generation_id}"
        response.started.user_message.CopyFrom(converters.message(event.begun.question))
        response.started.message = f"messages/{event.begun.message_id}"
        response.started.model = event.model
    elif isinstance(event, TextDelta):
        response.text_delta.text = event.text
    elif isinstance(event, ToolCalled):
        response.tool_call.CopyFrom(converters.tool_call(event.call))
    elif isinstance(event, ToolProgressed):
        response.tool_progress.CopyFrom(converters.tool_progress(event))
    elif isinstance(event, Done):
        response.done.message.CopyFrom(converters.message(event.message))
        response.done.finish_reason = converters.REASONS[event.reason]
    else:
        response.usage.CopyFrom(converters.usage(event))
    return response
