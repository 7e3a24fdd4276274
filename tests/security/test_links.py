"""Links to pictures, attacked through the gateway: they are the one way to a person's things without a credential."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest

from tests.security.conftest import Mesh

Picture = dict[str, Any]
REFUSED = "This link is not valid: it has expired, was changed, or its picture is gone."
FIELDS = ("organisation", "expires", "signature")


@pytest.fixture(scope="module")
def pictures(mesh: Mesh) -> list[Picture]:
    """Two pictures of a member's, and one of somebody in another organisation."""
    drawn = []
    for who, job in (("member", "link-1"), ("member", "link-2"), ("rival", "link-3")):
        settings = {"prompt": "a red circle", "steps": 1}
        events = mesh.answers("ImageService.Generate", who, settings=settings, jobId=job)
        drawn += [event["event"]["image"] for event in events if "image" in event["event"]]
    return drawn


@pytest.fixture(scope="module")
def stranger(mesh: Mesh) -> Iterator[httpx.Client]:
    """Somebody without a credential."""
    with httpx.Client(base_url=mesh.stack.url, timeout=60, trust_env=False) as http:
        yield http


def said(link: str) -> dict[str, str]:
    """What a link says in its query."""
    return dict(parse_qsl(urlsplit(link).query))


def refused(answer: httpx.Response) -> bool:
    return answer.status_code == 403 and str(answer.json()["message"]).startswith(REFUSED)


def test_a_link_opens_its_picture(stranger: httpx.Client, pictures: list[Picture]) -> None:
    for picture in pictures:
        answer = stranger.get(picture["link"])
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"].startswith("private, max-age=")


def test_what_it_says_of_one_picture_opens_no_other(stranger: httpx.Client, pictures: list[Picture]) -> None:
    mine, second, theirs = pictures
    for a, b in ((mine, second), (mine, theirs), (theirs, mine)):
        query = said(a["link"])
        for organisation in (query["organisation"], said(b["link"])["organisation"], "", "*", "%"):
            path = f"/api/v1/{b['name']}:view"
            assert refused(stranger.get(path, params=query | {"organisation": organisation}))


@pytest.mark.parametrize("field", FIELDS)
def test_every_character_of_it_counts(stranger: httpx.Client, pictures: list[Picture], field: str) -> None:
    path, query = urlsplit(pictures[0]["link"]).path, said(pictures[0]["link"])
    value = query[field]
    # The last character of a signature has bits that stand for nothing.
    for at in range(len(value) - (field == "signature")):
        other = "1" if value[at] == "0" else "0"
        changed = value[:at] + other + value[at + 1 :]
        assert stranger.get(path, params=query | {field: changed}).status_code in {400, 403}, changed
    for changed in (value + "0", value[:-2], value * 3):
        assert stranger.get(path, params=query | {field: changed}).status_code in {400, 403}, changed


def test_an_end_that_was_put_off_is_an_end(stranger: httpx.Client, pictures: list[Picture]) -> None:
    path, query = urlsplit(pictures[0]["link"]).path, said(pictures[0]["link"])
    for moment in (int(query["expires"]) + 3600, 253402300799, 1):
        assert refused(stranger.get(path, params=query | {"expires": str(moment)}))
    for expires in ("0", "-1", "9" * 30, "1e12", "never", ""):
        assert stranger.get(path, params=query | {"expires": expires}).status_code == 400


def test_fields_that_come_twice_open_nothing_else(stranger: httpx.Client, pictures: list[Picture]) -> None:
    mine, _, theirs = pictures
    query = list(said(mine["link"]).items())
    for field, value in said(theirs["link"]).items():
        for doubled in ([*query, (field, value)], [(field, value), *query]):
            answer = stranger.get(f"/api/v1/{theirs['name']}:view?{urlencode(doubled)}")
            assert answer.status_code in {400, 403}
    for name in (theirs["name"], "images/none"):
        answer = stranger.get(f"{mine['link']}&name={name}")
        assert answer.status_code == 400, "the path says which picture it is"


@pytest.mark.parametrize(
    "path",
    ["/api/v1/{name}", "/api/v1/{name}/metadata", "/api/v1/images", "/api/v1/images:batchGet", "/api/v1/imageJobs"],
)
def test_it_is_a_credential_for_nothing_else(stranger: httpx.Client, pictures: list[Picture], path: str) -> None:
    query = said(pictures[0]["link"])
    assert stranger.get(path.format(name=pictures[0]["name"]), params=query).status_code == 401
    assert stranger.delete(f"/api/v1/{pictures[0]['name']}", params=query).status_code == 401


def test_what_is_gone_is_as_what_never_was(mesh: Mesh, stranger: httpx.Client) -> None:
    settings = {"prompt": "a red circle", "steps": 1}
    events = mesh.answers("ImageService.Generate", "member", settings=settings, jobId="link-gone")
    (picture,) = [event["event"]["image"] for event in events if "image" in event["event"]]
    mesh.made("ImageService.DeleteImage", "member", name=picture["name"])
    gone = stranger.get(picture["link"])
    never = stranger.get(f"/api/v1/images/{'0' * 32}:view", params=said(picture["link"]))
    assert refused(gone)
    assert gone.json() == never.json()
    assert gone.headers.keys() == never.headers.keys()


def test_a_link_says_nobodys_name(pictures: list[Picture]) -> None:
    for picture in pictures:
        assert set(parse_qs(urlsplit(picture["link"]).query)) == set(FIELDS)
        assert "account" not in picture["link"]
