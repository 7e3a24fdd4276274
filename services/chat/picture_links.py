"""Links to pictures in what people are sent. What is stored, and what models read, has a picture's own address.

That address wants a credential, which the browser that shows a text does not send; a link of the image service's opens
the picture without one, and ends after a while. So an answer gets its links on its way out, and an old one new ones.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from services.chat.conversation import Message
from services.chat.models import Role, TextDelta, ToolAnswered
from services.chat.tools import Drawing, Picture, ToolResult

E = TypeVar("E")
Lookup = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
"""Links by the names of pictures, without those that are gone."""

IMAGES = "/api/v1/images/"
# What an address begins after, in Markdown and HTML. In the middle of another address it is somebody else's, who would
# be told the signature.
BEFORE = r"""(?<![^\s("'<\[])"""


class PictureLinks:
    """Exchanges addresses of pictures for links.

    Args:
        public_url: What stands before the paths of pictures; empty: paths alone.
        lookup: Finds links; None: there is nobody who makes any.
    """

    def __init__(self, public_url: str = "", lookup: Lookup | None = None) -> None:
        self.base = public_url.rstrip("/")
        self._lookup = lookup
        start = self.base + IMAGES
        self.address = re.compile(rf"{BEFORE}{re.escape(start)}(?P<id>[0-9a-zA-Z-]{{1,64}})(?![0-9a-zA-Z:/?-])")
        begun = "|".join(re.escape(start[:length]) for length in range(len(start), 0, -1))
        self.unfinished = re.compile(rf"{BEFORE}(?:{re.escape(start)}[0-9a-zA-Z-]{{0,64}}[:/?]?|{begun})\Z")
        self.longest = len(start) + 65

    async def in_messages(self, messages: Sequence[Message]) -> list[Message]:
        """Stored messages as people are sent them: pictures that are still there have links, in texts and results."""
        names = list(dict.fromkeys(name for message in messages for name in self._names(message)))
        if not names or self._lookup is None:
            return list(messages)
        links = await self._lookup(names)
        return [self._linked(message, links) for message in messages]

    async def in_events(self, events: AsyncGenerator[E, None]) -> AsyncGenerator[E | TextDelta, None]:
        """The events of an answer as people are sent them: its text has links to what was drawn for it."""
        text = _Text(self)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, TextDelta):
                    said = text.more(event.text)
                    if said:
                        yield TextDelta(said)
                    continue
                rest = text.rest()
                if rest:
                    yield TextDelta(rest)
                if isinstance(event, ToolAnswered):
                    text.links.update((picture.name, picture.link) for picture in _pictures(event.result))
                yield event
        rest = text.rest()
        if rest:
            yield TextDelta(rest)

    def exchange(self, text: str, links: Mapping[str, str], start: int = 0, end: int | None = None) -> str:
        """A piece of a text, from `start` to `end`, with links for the addresses in it."""
        pieces, end = [], len(text) if end is None else end
        for match in self.address.finditer(text, start):
            link = links.get(f"images/{match['id']}")
            if match.end() <= end and link:
                pieces += [text[start : match.start()], self.base, link]
                start = match.end()
        return "".join([*pieces, text[start:end]])

    def _names(self, message: Message) -> Iterator[str]:
        """The pictures that an answer shows."""
        if message.role is Role.ASSISTANT:
            yield from (picture.name for result in message.results for picture in _pictures(result))
            yield from (f"images/{match['id']}" for match in self.address.finditer(message.text))

    def _linked(self, message: Message, links: Mapping[str, str]) -> Message:
        if message.role is not Role.ASSISTANT:
            return message
        results = tuple(_with_links(result, links) for result in message.results)
        return replace(message, text=self.exchange(message.text, links), results=results)


class _Text:
    """A text that is on its way, in pieces: an address that may go on in the next one waits for it.

    Args:
        addresses: Knows what an address looks like.
    """

    def __init__(self, addresses: PictureLinks) -> None:
        self._addresses = addresses
        self.links: dict[str, str] = {}
        # The last character that was sent says whether an address may begin behind it.
        self._before, self._held = "", ""

    def more(self, piece: str) -> str:
        """What can be sent once another piece is there."""
        text = self._before + self._held + piece
        return self._sent(text, self._open(text) if any(self.links.values()) else len(text))

    def rest(self) -> str:
        """What waited for more, which does not come."""
        text = self._before + self._held
        return self._sent(text, len(text))

    def _sent(self, text: str, end: int) -> str:
        start = len(self._before)
        said = self._addresses.exchange(text, self.links, start, end)
        self._before, self._held = text[max(0, end - 1) : end], text[end:]
        return said

    def _open(self, text: str) -> int:
        """Where an address begins that may not be whole; the end of the text where there is none."""
        last = max(len(self._before), len(text) - self._addresses.longest)
        found = self._addresses.unfinished.search(text, last)
        return len(text) if found is None else found.start()


def _pictures(result: ToolResult) -> Sequence[Picture]:
    """What a tool drew."""
    return result.output.pictures if isinstance(result.output, Drawing) else ()


def _with_links(result: ToolResult, links: Mapping[str, str]) -> ToolResult:
    if not isinstance(result.output, Drawing):
        return result
    pictures = tuple(replace(one, link=links.get(one.name, "")) for one in result.output.pictures)
    return replace(result, output=replace(result.output, pictures=pictures))
