"""What the administrator of one organisation made, and a call of every RPC that names such a thing."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tests.security.conftest import Mesh
from tests.security.methods import METHODS

OWNER = "admin"
"""Who made everything."""
COUNT = "SELECT count(*) FROM customers"
LINE = base64.b64encode(b'{"question": "how many?", "sql": "SELECT count(*) FROM orders"}').decode()
REQUESTS: dict[str, dict[str, Any]] = {
    "TranscriptionService.CreateTranscription": {"recording": "{recording}"},
    "TranscriptionService.GetTranscription": {"name": "{transcription}"},
    "TranscriptionService.WatchTranscription": {"name": "{transcription}"},
    "TranscriptionService.GetTranscript": {"name": "{transcription}"},
    "TranscriptionService.ExportTranscript": {"name": "{transcription}", "format": "TRANSCRIPT_FORMAT_TEXT"},
    "TranscriptionService.RenameSpeaker": {"name": "{transcription}", "speaker": "S1", "display_name": "Lan"},
    "TranscriptionService.RevertEnhancement": {"name": "{transcription}"},
    "TranscriptionService.CancelTranscription": {"name": "{transcription}"},
    "TranscriptionService.DeleteTranscription": {"name": "{transcription}"},
    "ChatService.CreateConversation": {"conversation": {"database": "{database}"}},
    "ChatService.GetConversation": {"name": "{conversation}"},
    "ChatService.UpdateConversation": {"conversation": {"name": "{conversation}", "title": "Ours"}},
    "ChatService.SendMessage": {"conversation": "{conversation}", "text": "hello", "parent_message": "{message}"},
    "ChatService.ListMessages": {"parent": "{conversation}"},
    "ChatService.CancelGeneration": {"name": "{generation}"},
    "ChatService.DeleteConversation": {"name": "{conversation}"},
    "ApiKeyService.GetApiKey": {"name": "{key}"},
    "ApiKeyService.RotateApiKey": {"name": "{key}"},
    "ApiKeyService.RevokeApiKey": {"name": "{key}"},
    "IdentityService.DeleteGrant": {"name": "{grant}"},
    "ImageService.GetJob": {"name": "{job}"},
    "ImageService.GetImage": {"name": "{image}"},
    "ImageService.DownloadImage": {"name": "{image}"},
    "ImageService.Interrupt": {"name": "{job}"},
    "ImageService.DeleteImage": {"name": "{image}"},
    "KnowledgeService.SubmitFeedback": {"database": "{database}", "query": "{query}", "verdict": "VERDICT_RIGHT"},
    "KnowledgeService.CreateExample": {"database": "{database}", "example": {"question": "how many?", "sql": COUNT}},
    "KnowledgeService.ListExamples": {"database": "{database}"},
    "KnowledgeService.UpdateExample": {"example": {"name": "{example}", "comment": "ours"}},
    "KnowledgeService.ImportExamples": {"database": "{database}", "jsonl": LINE},
    "KnowledgeService.ExportExamples": {"database": "{database}"},
    "KnowledgeService.GetStatistics": {"database": "{database}"},
    "KnowledgeService.SuggestQuestions": {"database": "{database}", "count": 1},
    "KnowledgeService.ListQueries": {"database": "{database}"},
    "KnowledgeService.DeleteExample": {"name": "{example}"},
    "KnowledgeService.GetSemanticLayer": {"name": "{database}"},
    "KnowledgeService.SetSemanticLayer": {"name": "{database}", "yaml": "version: 1"},
    "SqlService.GetDatabase": {"name": "{database}"},
    "SqlService.UpdateDatabase": {"database": {"name": "{database}", "description": "ours"}},
    "SqlService.GetSchema": {"name": "{database}"},
    "SqlService.RefreshSchema": {"name": "{database}"},
    "SqlService.GetVocabulary": {"name": "{database}"},
    "SqlService.GenerateQuery": {"database": "{database}", "question": "how many customers are there?"},
    "SqlService.ExecuteQuery": {"database": "{database}", "sql": COUNT},
    "SqlService.ExportQuery": {"database": "{database}", "sql": COUNT, "format": "EXPORT_FORMAT_CSV"},
    "SqlService.ExplainQuery": {"database": "{database}", "sql": COUNT},
    "SqlService.Ask": {"database": "{database}", "question": "how many customers are there?"},
    "SqlService.DeleteDatabase": {"name": "{database}"},
}  # fmt: skip
"""Calls that the owner may make. What ends a thing comes after everything else about it."""
ELSEWHERE = {
    "IdentityService.GetOrganisation": "an organisation is nobody's but its own people's",
    "IdentityService.UpdateOrganisation": "an organisation is nobody's but its own people's",
    "IdentityService.CreateOrganisation": "makes one",
    "IdentityService.CreateUser": "makes one in the caller's own organisation",
    "IdentityService.CreateGrant": "makes one in the caller's own organisation",
    "IdentityService.GetUser": "names are each organisation's own",
    "IdentityService.UpdateUser": "names are each organisation's own",
    "IdentityService.DeleteUser": "names are each organisation's own",
    "IdentityService.SetPassword": "names are each organisation's own",
    "ApiKeyService.CreateApiKey": "names are each organisation's own",
    "ApiKeyService.ListApiKeys": "names are each organisation's own",
    "AuditService.ListAuditEntries": "a filter over the caller's own organisation",
    "AuditService.ExportAuditEntries": "a filter over the caller's own organisation",
    "UsageService.QueryUsage": "a filter over the caller's own organisation",
    "ImageService.ViewImage": "a link is its own credential: test_links.py",
    "TokenService.Login": "where the credential itself is given",
    "SqlService.CreateDatabase": "makes one in the caller's own organisation",
}
"""RPCs that name something and are about no other organisation's things; tests of their own are in tests/identity."""


ABSENT = {
    "database": "databases/nowhere",
    "query": "databases/nowhere/queries/nothing",
    "example": "databases/nowhere/examples/nothing",
    "conversation": "conversations/nothing",
    "message": "messages/nothing",
    "generation": "generations/nothing",
    "recording": "recordings/nothing",
    "transcription": "transcriptions/nothing",
    "job": "imageJobs/nothing",
    "image": "images/nothing",
    "key": "apiKeys/nothing",
    "grant": "grants/nothing",
}
"""Names of the same kinds that nobody has given to anything."""


def make(mesh: Mesh, tag: str, owner: str = OWNER) -> dict[str, str]:
    """Things of every kind, made by their owner: their resource names.

    Args:
        mesh: The mesh.
        tag: Told in the names that people choose; lower case.
        owner: Whose they are: one of the mesh's keys.
    """
    database = f"databases/shop-{tag}"
    file = {"url": f"sqlite:///{mesh.stack.shop.name}"}
    mesh.made("SqlService.CreateDatabase", owner, databaseId=f"shop-{tag}", database=file)
    mesh.answers("SqlService.Ask", owner, database=database, question="how many customers are there?")
    queries = mesh.made("KnowledgeService.ListQueries", owner, database=database)
    pair = {"question": f"how many people are {tag}?", "sql": COUNT}
    taught = mesh.made("KnowledgeService.CreateExample", owner, database=database, example=pair)
    conversation = found(mesh.made("ChatService.CreateConversation", owner, conversation={"title": tag}), "name")
    said = mesh.answers("ChatService.SendMessage", owner, conversation=conversation, text="hello")
    recording = mesh.upload(owner)
    speakers: dict[str, Any] = {"diarization": {}}
    begun = mesh.made("TranscriptionService.CreateTranscription", owner, recording=recording, config=speakers)
    transcription = found(begun, "name")
    mesh.answers("TranscriptionService.WatchTranscription", owner, name=transcription)
    picture = {"prompt": "a red circle", "steps": 1}
    drawn = mesh.answers("ImageService.Generate", owner, settings=picture, jobId=f"job-{tag}")
    grant = {"subject": "everyone", "resource": database}
    return {
        "database": database,
        "query": found(queries, "name", f"{database}/queries/"),
        "example": found(taught, "name"),
        "conversation": conversation,
        "message": found(said, "message", "messages/"),
        "generation": found(said, "generation"),
        "recording": recording,
        "transcription": transcription,
        "job": f"imageJobs/job-{tag}",
        "image": found(drawn, "name", "images/"),
        "key": found(mesh.made("ApiKeyService.CreateApiKey", owner, apiKey={}), "name"),
        "grant": found(mesh.made("IdentityService.CreateGrant", owner, grant=grant), "name"),
    }


def found(value: Any, key: str, prefix: str = "") -> str:
    """The first text under a key, at any depth, that begins so."""
    if isinstance(value, Mapping):
        own = value.get(key)
        if isinstance(own, str) and own.startswith(prefix):
            return own
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return next((text for one in inner if (text := found(one, key, prefix))), "")


def filled(request: Any, names: Mapping[str, str]) -> Any:
    """A request with names in the places of the variables."""
    if isinstance(request, Mapping):
        return {key: filled(value, names) for key, value in request.items()}
    if isinstance(request, str):
        for key, name in names.items():
            request = request.replace(f"{{{key}}}", name)
    return request


def naming() -> list[str]:
    """The RPCs whose requests name things."""
    return [name for name, method in METHODS.items() if method.references]
