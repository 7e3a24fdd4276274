"""The gateway over HTTP: JSON requests, streams of JSON events, uploads; errors as exceptions of `cli.errors`."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import quote, urlsplit

import typer

from cli import credentials
from cli.errors import CommandError, GatewayUnreachableError, IncompleteError, UsageError, from_response, from_status

if TYPE_CHECKING:
    import httpx

DEFAULT = "http://127.0.0.1:8080"
CONNECT_SECONDS = 5.0
# Between two bytes of an answer: a long recording is transcribed before the first one comes.
READ_SECONDS = 600.0
PAGE = 200
UPLOAD_PIECE = 1 << 16

Json = dict[str, Any]

GatewayOption = Annotated[
    str,
    typer.Option("--gateway", envvar="PARLEY_GATEWAY", metavar="URL", help="Where the gateway is.", show_default=True),
]


class Gateway:
    """A connection to the gateway; a context manager.

    Args:
        url: Its base URL. Raises UsageError when it is none.
        anonymous: Send no credential, although there may be one.
    """

    def __init__(self, url: str, *, anonymous: bool = False) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"--gateway: {url!r} is no URL such as {DEFAULT}")
        # Imported here, as everywhere in the command: `parley --help` needs no HTTP client.
        import httpx

        self.url = url.rstrip("/")
        loopback = parts.hostname in {"127.0.0.1", "localhost", "::1"}
        self._http = httpx.Client(
            base_url=self.url,
            headers={} if anonymous else credentials.headers(self.url),
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            # A proxy of the environment knows no way to this machine's own loopback.
            trust_env=not loopback,
            verify=credentials.trusted(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **parameters: str | int | list[str]) -> Json:
        """GETs JSON; a parameter that is a list is repeated. Raises ServerError, GatewayUnreachableError."""
        return self._json("GET", path, params=parameters)

    def post(self, path: str, body: Json, **parameters: str | int) -> Json:
        """POSTs JSON for JSON. Raises ServerError, GatewayUnreachableError."""
        return self._json("POST", path, json=body, params=parameters)

    def patch(self, path: str, body: Json, **parameters: str | int) -> Json:
        """PATCHes JSON for JSON. Raises ServerError, GatewayUnreachableError."""
        return self._json("PATCH", path, json=body, params=parameters)

    def put(self, path: str, body: Json) -> Json:
        """PUTs JSON for JSON. Raises ServerError, GatewayUnreachableError."""
        return self._json("PUT", path, json=body)

    def delete(self, path: str) -> Json:
        """DELETEs. Raises ServerError, GatewayUnreachableError."""
        return self._json("DELETE", path)

    def pages(self, path: str, field: str, limit: int | None = None, **parameters: str) -> list[Json]:
        """All resources of a paged list, or the first `limit`.

        Args:
            path: The collection.
            field: The field of each page that holds its resources.
            limit: How many at most.
            **parameters: Further parameters of the query.
        """
        found: list[Json] = []
        token = ""
        while True:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            page = self.get(path, pageSize=size, pageToken=token, **parameters)
            found += page.get(field, [])
            token = page.get("nextPageToken", "")
            if not token or (limit is not None and len(found) >= limit):
                return found

    def picture_url(self, image: Json) -> str:
        """Where a browser sees a picture; without a link, where a client with a credential does."""
        return self.url + (image.get("link") or f"/api/v1/{image.get('name', '')}")

    def follow(self, path: str) -> Generator[Json, None, None]:
        """GETs a stream and yields its events as they arrive. Raises ServerError for an answer that is an error."""
        with self._stream("GET", path) as response:
            for line in response.iter_lines():
                if line.strip():
                    yield self._event(line)

    def events(self, path: str, body: Json, last: str | tuple[str, ...]) -> Generator[Json, None, None]:
        """POSTs JSON and yields the events of the answer as they arrive, the one that carries an error included.

        Closing the iterator closes the connection.

        Args:
            path: The streaming method.
            body: Its request.
            last: The field, or one of the fields, that only the last event has. Raises IncompleteError when the stream
                ends without it.

        Raises:
            ServerError: the answer is an error, or an event of it carries one.
        """
        complete, ends = False, (last,) if isinstance(last, str) else last
        with self._stream("POST", path, json=body) as response:
            for line in response.iter_lines():
                if not line.strip():
                    continue
                event = self._event(line)
                yield event
                if "error" in event:
                    raise from_status(event["error"])
                complete = complete or any(end in event for end in ends)
        if not complete:
            raise IncompleteError(ends[0])

    def upload(self, path: str, file: Path, sent: Callable[[int], None]) -> Json:
        """POSTs a file as it is, piece by piece, for JSON.

        Args:
            path: Where to.
            file: The file.
            sent: Told how many bytes of it were sent so far.
        """

        def pieces() -> Iterator[bytes]:
            with file.open("rb") as source:
                while piece := source.read(UPLOAD_PIECE):
                    yield piece
                    sent(source.tell())

        return self._json("POST", path, content=pieces(), headers={"content-type": "application/octet-stream"})

    def download(self, path: str, body: Json, file: Path) -> int:
        """POSTs JSON and writes the answer's bytes to a file, which appears when it is whole; returns their number.

        Args:
            path: Where to.
            body: The request.
            file: Where the bytes go; one that is there is replaced.
        """
        partial = file.with_name(f".{file.name}.part")
        try:
            with self._stream("POST", path, json=body) as response, partial.open("wb") as target:
                for piece in response.iter_bytes():
                    target.write(piece)
            size = partial.stat().st_size
            partial.replace(file)
            return size
        finally:
            partial.unlink(missing_ok=True)

    def bytes_of(self, path: str) -> Iterator[bytes]:
        """GETs bytes, piece by piece. Raises ServerError, GatewayUnreachableError."""
        with self._stream("GET", path) as response:
            yield from response.iter_bytes()

    def _json(self, method: str, path: str, **request: Any) -> Json:
        with self._stream(method, path, **request) as response:
            body = response.read()
        return self._event(body or b"{}")

    def _event(self, text: str | bytes) -> Json:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise CommandError(f"{self.url} answers with something that is no JSON object. Is it a Parley gateway?")
        return value

    @contextmanager
    def _stream(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        """An open answer whose status is a good one; transport errors come out as CommandError."""
        import httpx

        try:
            with self._http.stream(method, path, **request) as response:
                if response.status_code >= 300:
                    raise from_response(response.status_code, response.read())
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise GatewayUnreachableError(self.url, _brief(error)) from None
        except httpx.ReadTimeout:
            raise CommandError(f"no answer from {self.url} within {READ_SECONDS:g} s. Ask again.") from None
        except httpx.HTTPError as error:
            raise CommandError(f"the connection to {self.url} broke off ({_brief(error)}). Ask again.") from None


def _brief(error: Exception) -> str:
    """An exception's text without its errno."""
    return str(error).rpartition("] ")[2].lower() or type(error).__name__


def segment(text: str) -> str:
    """Text as one segment of a path: a question mark in an id must not become a query."""
    return quote(text, safe="")


def resource(collection: str, given: str) -> str:
    """The full resource name for what a person typed: `shop` and `databases/shop` are the same database."""
    return f"{collection}/{segment(given.removeprefix(collection + '/'))}"
