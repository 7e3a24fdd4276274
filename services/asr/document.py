"""A transcript as an Office Open XML document: a title, who speaks, and a paragraph for each turn with its time."""

from __future__ import annotations

import io
import re

from services.asr.transcript import Transcript

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
# XML 1.0 has no place for these, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
GREY = 0x76, 0x76, 0x76
"""Red, green and blue of what is not said but added."""


def as_docx(transcript: Transcript) -> tuple[str, bytes]:
    """The document's content type and bytes."""
    from docx import Document  # here: 6 MB that nobody needs before the first such document
    from docx.shared import RGBColor

    document = Document()
    document.core_properties.title = "Transcript"
    document.core_properties.author = ""
    document.add_heading("Transcript", level=1)
    names = {speaker.id: _clean(speaker.display_name) for speaker in transcript.speakers}
    if names:
        document.add_paragraph(", ".join(names.values()))
    for start, speaker, text in turns(transcript):
        paragraph = document.add_paragraph()
        paragraph.add_run(f"{_clock(start)}  ").font.color.rgb = RGBColor(*GREY)
        if speaker:
            paragraph.add_run(f"{names.get(speaker, _clean(speaker))}: ").bold = True
        paragraph.add_run(_clean(text))
    out = io.BytesIO()
    document.save(out)
    return CONTENT_TYPE, out.getvalue()


def turns(transcript: Transcript) -> list[tuple[float, str, str]]:
    """Start, speaker and text of each turn: segments of one speaker in a row are one; without speakers, each is."""
    found: list[tuple[float, str, str]] = []
    for segment in transcript.segments:
        if found and segment.speaker and found[-1][1] == segment.speaker:
            start, speaker, text = found[-1]
            found[-1] = start, speaker, f"{text} {segment.text}"
        else:
            found.append((segment.start, segment.speaker, segment.text))
    return found


def _clean(text: str) -> str:
    return FORBIDDEN.sub("", text)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
