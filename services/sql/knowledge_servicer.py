"""parley.sql.v1.KnowledgeService over the domain: converts, calls, converts."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody

from parley.sql.v1 import knowledge_pb2, knowledge_pb2_grpc
from services.mesh.errors import InvalidArgument
from services.mesh.server import Bound
from services.sql.asking.suggestions import Suggestions
from services.sql.databases import Databases
from services.sql.examples.examples import State
from services.sql.knowledge.feedback import Feedback, Given
from services.sql.knowledge.history import History
from services.sql.knowledge.history_store import Asked
from services.sql.knowledge.knowledge_store import Stored
from services.sql.semantics import Semantics

Context = grpc.aio.ServicerContext[Any, Any]
_EXAMPLE = re.compile(r"databases/([a-z][a-z0-9-]{0,62})/examples/([0-9a-zA-Z-]{1,64})")
JSON_LINES = "application/jsonl"


class KnowledgeServicer(knowledge_pb2_grpc.KnowledgeServiceServicer):
    """Implements the service.

    Args:
        feedback: Use cases about examples and verdicts.
        history: The history of questions.
        suggestions: Suggests questions.
        databases: The registered databases.
        semantics: Use cases about semantic layers.
    """

    def __init__(
        self,
        feedback: Feedback,
        history: History,
        suggestions: Suggestions,
        databases: Databases,
        semantics: Semantics,
    ) -> None:
        self._semantics = semantics
        self._feedback = feedback
        self._history = history
        self._suggestions = suggestions
        self._databases = databases

    async def SubmitFeedback(
        self, request: knowledge_pb2.SubmitFeedbackRequest, context: Context
    ) -> knowledge_pb2.SubmitFeedbackResponse:
        """Takes a verdict."""
        database = _id(request.database)
        given = Given(
            _query_id(database, request.query),
            request.question,
            request.sql,
            request.verdict == knowledge_pb2.VERDICT_RIGHT,
            request.corrected_sql,
            request.comment,
        )
        made = await self._feedback.submit(database, given)
        return knowledge_pb2.SubmitFeedbackResponse(example=_example(database, made) if made else None)

    async def CreateExample(
        self, request: knowledge_pb2.CreateExampleRequest, context: Context
    ) -> knowledge_pb2.CreateExampleResponse:
        """Adds an example."""
        database, asked = _id(request.database), request.example
        made = await self._feedback.create(database, asked.question, asked.sql, _state(asked.state), asked.comment)
        return knowledge_pb2.CreateExampleResponse(example=_example(database, made))

    async def ListExamples(
        self, request: knowledge_pb2.ListExamplesRequest, context: Context
    ) -> knowledge_pb2.ListExamplesResponse:
        """Lists a page of examples."""
        database = _id(request.database)
        found, token = await self._feedback.list(database, _state(request.state), request.page_size, request.page_token)
        return knowledge_pb2.ListExamplesResponse(
            examples=[_example(database, item) for item in found], next_page_token=token
        )

    async def UpdateExample(
        self, request: knowledge_pb2.UpdateExampleRequest, context: Context
    ) -> knowledge_pb2.UpdateExampleResponse:
        """Changes an example."""
        asked = request.example
        database, identifier = _example_id(asked.name, "example.name")
        changed = await self._feedback.update(
            database, identifier, asked.question, asked.sql, _state(asked.state), asked.comment
        )
        return knowledge_pb2.UpdateExampleResponse(example=_example(database, changed))

    async def DeleteExample(
        self, request: knowledge_pb2.DeleteExampleRequest, context: Context
    ) -> knowledge_pb2.DeleteExampleResponse:
        """Forgets an example."""
        await self._feedback.delete(*_example_id(request.name, "name"))
        return knowledge_pb2.DeleteExampleResponse()

    async def ImportExamples(
        self, request: knowledge_pb2.ImportExamplesRequest, context: Context
    ) -> knowledge_pb2.ImportExamplesResponse:
        """Adds examples from JSON lines."""
        found = await self._feedback.load(_id(request.database), request.jsonl)
        errors = [knowledge_pb2.LineError(line=number, message=message) for number, message in found.errors]
        return knowledge_pb2.ImportExamplesResponse(added=found.added, unchanged=found.unchanged, errors=errors)

    async def ExportExamples(
        self, request: knowledge_pb2.ExportExamplesRequest, context: Context
    ) -> AsyncIterator[knowledge_pb2.ExportExamplesResponse]:
        """Writes the examples as JSON lines."""
        empty = True
        async with contextlib.aclosing(self._feedback.dump(_id(request.database))) as pieces:
            async for piece in pieces:
                empty = False
                yield knowledge_pb2.ExportExamplesResponse(body=HttpBody(content_type=JSON_LINES, data=piece))
        if empty:
            yield knowledge_pb2.ExportExamplesResponse(body=HttpBody(content_type=JSON_LINES))

    async def GetStatistics(
        self, request: knowledge_pb2.GetStatisticsRequest, context: Context
    ) -> knowledge_pb2.GetStatisticsResponse:
        """Counts what was asked, answered and judged."""
        database = _id(request.database)
        await self._databases.get(database)
        found = await self._history.statistics(database, request.days)
        return knowledge_pb2.GetStatisticsResponse(
            questions=found.questions,
            answered=found.answered,
            refused=found.refused,
            failed=found.failed,
            right=found.right,
            wrong=found.wrong,
            examples=found.examples,
            proposed=found.proposed,
            unknown_words=found.unknown_words,
        )

    async def SuggestQuestions(
        self, request: knowledge_pb2.SuggestQuestionsRequest, context: Context
    ) -> knowledge_pb2.SuggestQuestionsResponse:
        """Suggests questions."""
        found = await self._suggestions.suggest(_id(request.database), request.count, request.language_code)
        return knowledge_pb2.SuggestQuestionsResponse(
            suggestions=[knowledge_pb2.Suggestion(question=item.question, sql=item.sql) for item in found]
        )

    async def ListQueries(
        self, request: knowledge_pb2.ListQueriesRequest, context: Context
    ) -> knowledge_pb2.ListQueriesResponse:
        """Lists a page of the caller's queries."""
        database = _id(request.database)
        await self._databases.get(database)
        found, token = await self._history.list(database, request.page_size, request.page_token)
        return knowledge_pb2.ListQueriesResponse(queries=map(_query, found), next_page_token=token)

    async def GetSemanticLayer(
        self, request: knowledge_pb2.GetSemanticLayerRequest, context: Context
    ) -> knowledge_pb2.GetSemanticLayerResponse:
        """Gets the semantic layer."""
        return knowledge_pb2.GetSemanticLayerResponse(yaml=await self._semantics.get(_id(request.name)))

    async def SetSemanticLayer(
        self, request: knowledge_pb2.SetSemanticLayerRequest, context: Context
    ) -> knowledge_pb2.SetSemanticLayerResponse:
        """Replaces the semantic layer."""
        return knowledge_pb2.SetSemanticLayerResponse(
            warnings=await self._semantics.set(_id(request.name), request.yaml)
        )


def bound(
    feedback: Feedback, history: History, suggestions: Suggestions, databases: Databases, semantics: Semantics
) -> Bound:
    """The service, to be served."""
    return Bound(
        knowledge_pb2_grpc.add_KnowledgeServiceServicer_to_server,
        KnowledgeServicer(feedback, history, suggestions, databases, semantics),
        knowledge_pb2.DESCRIPTOR.services_by_name["KnowledgeService"],
    )


def _id(name: str) -> str:
    """The id in a resource name."""
    return name.removeprefix("databases/")


def _query_id(database: str, name: str) -> str:
    """The id of a query of a database; empty where none is named. Raises InvalidArgument for another database's."""
    if name and not name.startswith(f"databases/{database}/queries/"):
        raise InvalidArgument("query", f"it must be of this database: databases/{database}/queries/….")
    return name.rpartition("/")[2]


def _example_id(name: str, field: str) -> tuple[str, str]:
    """The ids of the database and of the example in a resource name. Raises InvalidArgument."""
    found = _EXAMPLE.fullmatch(name)
    if found is None:
        raise InvalidArgument(field, "it must be databases/{database}/examples/{example}.")
    return found[1], found[2]


def _state(state: Any) -> State | None:
    """A review state; None where it is not set."""
    return State(knowledge_pb2.ReviewState.Name(state).removeprefix("REVIEW_STATE_")) if state else None


def _example(database: str, stored: Stored) -> knowledge_pb2.Example:
    found = knowledge_pb2.Example(
        name=f"databases/{database}/examples/{stored.example.id}",
        question=stored.example.question,
        sql=stored.example.sql,
        state=f"REVIEW_STATE_{stored.example.state.value}",
        comment=stored.comment,
        use_count=stored.use_count,
    )
    found.create_time.FromDatetime(stored.created)
    return found


def _query(asked: Asked) -> knowledge_pb2.Query:
    found = knowledge_pb2.Query(
        name=f"databases/{asked.database}/queries/{asked.id}",
        question=asked.question,
        sql=asked.sql,
        engine=asked.engine,
        confidence=asked.confidence,
        outcome=f"QUERY_OUTCOME_{asked.outcome.value}",
        verdict=f"VERDICT_{asked.verdict or 'UNSPECIFIED'}",
    )
    found.create_time.FromDatetime(asked.created)
    return found
