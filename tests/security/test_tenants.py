"""Another organisation's things, named in every request that names one: they do not exist for anybody else."""

from __future__ import annotations

import re

import grpc
import pytest

from deploy.local import state
from tests.security.belongings import ABSENT, ELSEWHERE, OWNER, REQUESTS, filled, make, naming
from tests.security.conftest import Mesh

PERSONAL = re.compile(r"(Transcription|Chat|Image)Service\.(?!CreateConversation)")
"""Methods about things that belong to the user who made them, not to the whole organisation as a database does."""


@pytest.fixture(scope="module")
def belongings(mesh: Mesh) -> dict[str, str]:
    """What the owner made."""
    return make(mesh, "ours")


def test_every_request_that_names_a_thing_is_here() -> None:
    assert sorted({*REQUESTS, *ELSEWHERE}) == sorted(naming())


@pytest.mark.parametrize("method", REQUESTS)
def test_another_organisation_cannot_tell_it_from_nothing(mesh: Mesh, belongings: dict[str, str], method: str) -> None:
    theirs = mesh.call(method, "rival", **filled(REQUESTS[method], belongings))
    nothing = mesh.call(method, "rival", **filled(REQUESTS[method], ABSENT))
    assert theirs.code == nothing.code == grpc.StatusCode.NOT_FOUND, theirs.message
    said = theirs.message
    for kind, name in belongings.items():
        said = said.replace(name, ABSENT[kind])
    assert said == nothing.message


@pytest.mark.parametrize("method", [method for method in REQUESTS if PERSONAL.match(method)])
def test_a_colleague_cannot_tell_it_from_nothing(mesh: Mesh, belongings: dict[str, str], method: str) -> None:
    request = filled(REQUESTS[method], belongings)
    assert mesh.call(method, "operator", **request).code == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("method", REQUESTS)
def test_its_owner_may_do_what_the_others_may_not(mesh: Mesh, belongings: dict[str, str], method: str) -> None:
    # After the others: some of these end the thing. Whoever was refused above has changed nothing.
    answer = mesh.call(method, OWNER, **filled(REQUESTS[method], belongings))
    assert answer.code in {grpc.StatusCode.OK, grpc.StatusCode.FAILED_PRECONDITION}, answer.message


@pytest.mark.parametrize("file", ["../{shop}", "default/{shop}", "{folder}/{shop}", "./../{shop}", "%2e%2e/{shop}"])
def test_a_database_file_of_another_organisation_is_not_there(mesh: Mesh, file: str) -> None:
    shop = mesh.stack.shop
    url = f"sqlite:///{file.format(shop=shop.name, folder=shop.parent)}"
    answer = mesh.call("SqlService.CreateDatabase", "rival", databaseId="taken", database={"url": url})
    assert answer.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "no such file" in answer.message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@169.254.169.254/latest",
        "mysql://u@[::ffff:169.254.169.254]/latest",
        "clickhouse://u@2852039166/latest",
        "mongodb://u@168.63.129.16/latest",
        "postgresql://u@0.0.0.0/postgres",
        "clickhouse://u@{identity}/default",
    ],
)
def test_no_database_leads_to_a_clouds_metadata_or_into_the_mesh(mesh: Mesh, url: str) -> None:
    running = state.read(mesh.stack.settings.state)
    assert running is not None
    (port,) = [component.port for component in running.components if component.name == "identity"]
    url = url.format(identity=f"127.0.0.1:{port}")
    answer = mesh.call("SqlService.CreateDatabase", "rival", databaseId="taken", database={"url": url})
    assert answer.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "PARLEY_SQL_HOSTS" in answer.message
