"""What the embedded model says of pictures, in English and Vietnamese, and how it finds in a text what it drew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from services.chat.language import Language
from services.chat.models import PromptMessage, Role
from services.chat.tools import Drawing, Picture
from services.chat.wishes import Earlier
from services.mesh.errors import ParleyError

EN, VI = Language.ENGLISH, Language.VIETNAMESE

ASK_BACK: Mapping[Language, str] = {
    EN: "What shall I draw? For example “draw a red circle left of a blue square”, or “draw two pictures of a star”.",
    VI: "Bạn muốn tôi vẽ gì? Ví dụ “vẽ hình tròn đỏ bên trái hình vuông xanh dương” hoặc “vẽ hai bức tranh ngôi sao”.",
}
UNCLEAR: Mapping[Language, str] = {
    EN: (
        "I only exchange a colour that the picture's description has, where it is clear which one is meant: “make it "
        "blue” for one thing, “make the square blue” for one of several. Or describe the whole picture again."
    ),
    VI: (
        "Tôi chỉ thay được một màu có trong mô tả của bức tranh, khi rõ là màu nào: “đổi sang màu tím” khi có một vật, "
        "“đổi hình vuông sang màu tím” khi có nhiều vật. Hoặc bạn hãy mô tả lại cả bức tranh."
    ),
}
MISSING: Mapping[Language, str] = {
    EN: "I cannot draw here: there is no image service that I know of (PARLEY_CHAT_IMAGE_TARGET is not set).",
    VI: "Ở đây tôi không vẽ được: hệ thống này không có dịch vụ hình ảnh (PARLEY_CHAT_IMAGE_TARGET chưa được đặt).",
}
# A picture in Markdown as `link` writes it, or as clients of the OpenAI API got it, with a link of the image service's.
# No bracket may stand in what is described: a hostile text is read once.
_LINK = re.compile(
    r"!\[(?P<prompt>(?:[^\[\]\\]|\\.)+)\]"
    r"\(\S*?/api/v1/images/[0-9a-zA-Z-]{1,64}(?::view\?[^\s()]*)?(?: \"seed (?P<seed>\d{1,10})\")?\)"
)
_ESCAPED = re.compile(r"([\\\[\]])")


def drawn(drawing: Drawing, language: Language) -> str:
    """What was drawn, with each picture as a Markdown image: clients of the OpenAI API see nothing else."""
    first, number = drawing.pictures[0], len(drawing.pictures)
    seeds = ", ".join(str(picture.seed) for picture in drawing.pictures)
    facts = f"{first.width} × {first.height}, {drawing.model}, seed {seeds}"
    what = " ".join(drawing.prompt.split())
    text = {
        EN: f"I drew “{what}” ({facts})." if number == 1 else f"I drew {number} pictures of “{what}” ({facts}).",
        VI: f"Tôi đã vẽ “{what}” ({facts})." if number == 1 else f"Tôi đã vẽ {number} bức tranh “{what}” ({facts}).",
    }[language]
    if drawing.fault:
        text += {
            EN: f" {drawing.wanted} were wanted; then it ended: {drawing.fault}",
            VI: f" Bạn muốn {drawing.wanted}, nhưng việc vẽ đã dừng: {drawing.fault}",
        }[language]
    return "\n\n".join([text, *(link(drawing.prompt, picture) for picture in drawing.pictures)])


def link(prompt: str, picture: Picture) -> str:
    """A picture in Markdown; its title is the seed, so that a text alone says how to draw it again."""
    described = _ESCAPED.sub(r"\\\1", " ".join(prompt.split())) or "…"
    return f'![{described}]({picture.url} "seed {picture.seed}")'


def earlier(messages: Sequence[PromptMessage]) -> Earlier | None:
    """What the answer before the last message of a person drew; None where it drew nothing."""
    asked = next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role is Role.USER), 0)
    for message in reversed(messages[:asked]):
        output = message.result.output if message.result is not None else None
        if isinstance(output, Drawing):
            return Earlier(output.prompt, output.pictures[0].seed)
        if message.role is Role.USER:
            return None
        found = _LINK.search(message.text)
        if found is not None:
            seed = int(found["seed"]) if found["seed"] else None
            return Earlier(re.sub(r"\\(.)", r"\1", found["prompt"]), seed)
    return None


def explain(error: ParleyError, language: Language) -> str:
    """Why nothing was drawn, and what to do."""
    text = {EN: f"I could not draw it. {error.message}", VI: f"Tôi chưa vẽ được. {error.message}"}[language]
    if error.reason == "MODEL_NOT_FOUND":
        text += {EN: " `parley models` lists the models.", VI: " `parley models` liệt kê các mô hình."}[language]
    if error.retry_after is not None:
        wait = max(1, round(error.retry_after))
        text += {EN: f" Ask again in {wait} s.", VI: f" Hãy thử lại sau {wait} giây."}[language]
    return text
