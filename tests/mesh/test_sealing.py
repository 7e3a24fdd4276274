"""What is stored encrypted: read again with the keys, told where it cannot be, renewed when the keys change."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from services.mesh.errors import FailedPrecondition
from services.mesh.sealing import Seal

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.mark.parametrize("keys", ["", OLD, f"{NEW}, {OLD}"], ids=["none", "one", "two"])
@pytest.mark.parametrize("text", ["", "postgresql://a:b@c/d", "mật khẩu: ừ"])
def test_a_text_comes_back(keys: str, text: str) -> None:
    stored = Seal(keys).seal(text)
    assert Seal(keys).open(stored, "") == text
    assert not keys or not text or text not in stored


@pytest.mark.parametrize("keys", ["", NEW], ids=["none", "another"])
def test_another_key_says_what_it_is_told_to_say(keys: str) -> None:
    with pytest.raises(FailedPrecondition, match="set the key again") as caught:
        Seal(keys).open(Seal(OLD).seal("x"), "set the key again", {"resource": "databases/shop"})
    assert caught.value.metadata == {"resource": "databases/shop"}


def test_what_lies_under_an_older_key_or_none_is_renewed() -> None:
    both = Seal(f"{NEW},{OLD}")
    for stored in (Seal(OLD).seal("x"), Seal("").seal("x")):
        renewed = both.renewed(stored)
        assert renewed is not None
        assert Seal(NEW).open(renewed, "") == "x"
    assert both.renewed(both.seal("x")) is None
    assert Seal(NEW).renewed(Seal(OLD).seal("x")) is None
    assert Seal("").renewed("plain:x") is None


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        Seal(f"{NEW},short")
