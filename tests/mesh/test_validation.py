"""Which requests are validated, and how violations are named."""

from __future__ import annotations

import re

import pytest
from google.api import httpbody_pb2

from parley.asr.v1 import asr_pb2
from parley.chat.v1 import chat_pb2
from parley.openai.v1 import openai_pb2
from services.mesh import validation
from services.mesh.errors import InvalidRequest
from tests.conftest import ROOT


def test_a_rule_deep_inside_is_found_and_its_field_named_as_a_client_writes_it() -> None:
    hints = asr_pb2.RecognitionHints(phrases=["fine", "x" * 501])
    request = asr_pb2.RecognizeRequest(audio=b"x", config=asr_pb2.RecognitionConfig(hints=hints))
    with pytest.raises(InvalidRequest) as caught:
        validation.check(request)
    assert [violation.field for violation in caught.value.violations] == ["config.hints.phrases[1]"]


def test_a_name_of_the_wrong_form_is_explained_in_words() -> None:
    with pytest.raises(InvalidRequest) as caught:
        validation.check(chat_pb2.SendMessageRequest(conversation="42"))
    assert caught.value.message == ("conversation: must be conversations/{conversation}, as CreateConversation gave it")


def test_every_pattern_of_the_contracts_is_explained() -> None:
    texts = [path.read_text() for path in (ROOT / "protos").rglob("*.proto")]
    patterns = {found for text in texts for found in re.findall(r'pattern: "([^"]+)"', text)}
    assert patterns == set(validation.PATTERNS)


def test_many_faults_are_cut_off() -> None:
    hints = asr_pb2.RecognitionHints(phrases=[""] * 100)
    with pytest.raises(InvalidRequest) as caught:
        validation.check(asr_pb2.RecognizeRequest(audio=b"x", config=asr_pb2.RecognitionConfig(hints=hints)))
    assert len(caught.value.violations) == validation.SHOWN


def test_only_types_without_any_rule_are_passed_over() -> None:
    assert not validation.has_rules(openai_pb2.CreateChatCompletionRequest.DESCRIPTOR, set())
    assert validation.has_rules(chat_pb2.SendMessageRequest.DESCRIPTOR, set())
    assert validation.has_rules(asr_pb2.RecognizeRequest.DESCRIPTOR, set())
    validation.check(openai_pb2.CreateChatCompletionRequest(body=httpbody_pb2.HttpBody(data=b"{}")))
