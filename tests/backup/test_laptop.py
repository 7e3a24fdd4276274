"""`parley backup` and `parley restore`: what comes back, and everything that must not."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest

from deploy.backup import archive, laptop
from deploy.local import state as stack_state
from services.mesh.database import Database
from tests.conftest import ROOT

REVISIONS = {name: ROOT / "services" / name / "migrations" for name in ("chat", "identity")}


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """A state folder as `parley up` leaves it: two services' databases, files, keys, and what is made anew."""
    folder = tmp_path / "state"
    for name in ("data", "databases", "recordings/ab", "secrets", "logs", "run", "certificates"):
        (folder / name).mkdir(parents=True)
    for name, migrations in REVISIONS.items():
        database = Database(f"sqlite:///{folder}/data/{name}.db", migrations)
        await database.migrate()
        await database.close()
    (folder / "key").write_text("sk-parley-0\n")
    (folder / "secrets" / "sql_encryption_key").write_text("secret\n")
    (folder / "recordings" / "ab" / "1").write_bytes(os.urandom(300_000))
    (folder / "logs" / "chat.log").write_text("a line\n")
    with sqlite3.connect(folder / "databases" / "shop.db") as shop:
        shop.execute("CREATE TABLE customers (name TEXT)")
        shop.execute("INSERT INTO customers VALUES ('Lan')")
    shop.close()
    return folder


def parley(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the command."""
    command = [sys.executable, "-m", "cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def contents(folder: Path) -> dict[str, str]:
    """Digests of the files that count, by their paths."""
    files = [file for name in laptop.KEPT for file in sorted((folder / name).rglob("*")) if file.is_file()]
    own = {file.relative_to(folder).as_posix(): digest(file) for file in files if ".db" not in file.name}
    return {**own, "key": digest(folder / "key")}


def digest(file: Path) -> str:
    """Of what a file holds."""
    return archive.describe(file).sha256


def customers(folder: Path) -> list[tuple[str]]:
    """What the shop holds."""
    connection = sqlite3.connect(folder / "databases" / "shop.db")
    try:
        return connection.execute("SELECT name FROM customers ORDER BY name").fetchall()
    finally:
        connection.close()


def test_what_is_lost_comes_back(state: Path, tmp_path: Path) -> None:
    file, before = tmp_path / "all.backup", contents(state)
    made = parley("backup", file, "--state", state)
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == str(file)
    assert "not encrypted" in made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    subprocess.run(["rm", "-rf", str(state)], check=True)
    restored = parley("restore", file, "--state", state)
    assert restored.returncode == 0, restored.stderr
    assert contents(state) == before
    assert customers(state) == [("Lan",)]
    assert not (state / "logs").exists(), "logs are no part of it"
    secret = state / "secrets" / "sql_encryption_key"
    assert (state.stat().st_mode & 0o777, secret.stat().st_mode & 0o777) == (0o700, 0o600)


def test_what_was_there_is_kept_beside(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.backup"
    laptop.back_up(state, file)
    (state / "key").write_text("another\n")
    answer = json.loads(parley("restore", file, "--state", state, "--json").stdout)
    assert (Path(answer["before"]) / "key").read_text() == "another\n"
    assert (state / "key").read_text() == "sk-parley-0\n"
    # Once more at once: no name is taken twice.
    again = laptop.restore(file, state)
    assert again.before is not None
    assert again.before != Path(answer["before"])


def test_a_database_that_is_written_to_meanwhile_is_copied_as_of_one_moment(state: Path, tmp_path: Path) -> None:
    """Pairs of rows are written in one transaction each: a copy holds both of a pair or none."""
    shop, stop = state / "databases" / "shop.db", threading.Event()
    with sqlite3.connect(shop) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE pairs (number INTEGER)")
    connection.close()

    def write() -> None:
        writer = sqlite3.connect(shop, timeout=30)
        number = 0
        while not stop.is_set():
            with writer:
                writer.execute("INSERT INTO pairs VALUES (?)", (number,))
                writer.execute("INSERT INTO pairs VALUES (?)", (number,))
            number += 1
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(5):
            file = tmp_path / f"{number}.backup"
            laptop.back_up(state, file)
            laptop.restore(file, tmp_path / f"restored-{number}")
            copy = sqlite3.connect(tmp_path / f"restored-{number}" / "databases" / "shop.db")
            assert copy.execute("SELECT count(*) FROM pairs GROUP BY number HAVING count(*) != 2").fetchall() == []
            copy.close()
    finally:
        stop.set()
        thread.join()


def test_an_encrypted_one_opens_with_its_key_alone(state: Path, tmp_path: Path) -> None:
    own, others = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    (tmp_path / "own").write_text(f"# created by a test\n{own}\n")
    (tmp_path / "others").write_text(f"{others}\n")
    file, before = tmp_path / "all.backup", contents(state)
    made = parley("backup", file, "--state", state, "--recipient", str(own.to_public()))
    assert made.returncode == 0, made.stderr
    assert "not encrypted" not in made.stderr
    assert b"sk-parley" not in file.read_bytes()
    target = tmp_path / "restored"
    for arguments, said in ((), "--identity"), (("--identity", tmp_path / "others"), "cannot be decrypted"):
        refused = parley("restore", file, "--state", target, *arguments)
        assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
        assert not target.exists()
    assert parley("restore", file, "--state", target, "--identity", tmp_path / "own").returncode == 0
    assert contents(target) == before


def test_it_can_be_encrypted_to_an_ssh_key(state: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    openssh = serialization.PublicFormat.OpenSSH
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, openssh)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    (tmp_path / "id_ed25519.pub").write_bytes(public + b" lan@notebook\n")
    (tmp_path / "id_ed25519").write_bytes(private)
    laptop.back_up(state, tmp_path / "all.backup", [str(tmp_path / "id_ed25519.pub")])
    laptop.restore(tmp_path / "all.backup", tmp_path / "restored", tmp_path / "id_ed25519")
    assert contents(tmp_path / "restored") == contents(state)


@pytest.mark.parametrize("recipient", ["age1nonsense", "ssh-rsa nonsense", "no/such/file", ""])
def test_a_recipient_that_is_none_is_said(state: Path, tmp_path: Path, recipient: str) -> None:
    refused = parley("backup", tmp_path / "all.backup", "--state", state, "--recipient", recipient)
    assert refused.returncode == 1
    assert "recipient" in refused.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["state"], "nothing is left behind"


def test_a_running_stack_is_not_replaced(state: Path, tmp_path: Path) -> None:
    laptop.back_up(state, tmp_path / "all.backup")
    with stack_state.held(state):
        refused = parley("restore", tmp_path / "all.backup", "--state", state)
    assert refused.returncode == 1
    assert "running already" in refused.stderr


def test_where_nothing_is_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    refused = parley("backup", tmp_path / "all.backup", "--state", tmp_path / "none")
    assert (refused.returncode, "--state" in refused.stderr) == (1, True)


def test_a_damaged_database_is_not_backed_up_in_silence(state: Path, tmp_path: Path) -> None:
    database = state / "data" / "chat.db"
    data = bytearray(database.read_bytes())
    data[4096:8192] = os.urandom(4096)
    database.write_bytes(data)
    refused = parley("backup", tmp_path / "all.backup", "--state", state)
    assert (refused.returncode, "damaged" in refused.stderr or "cannot be copied" in refused.stderr) == (1, True)
    assert not (tmp_path / "all.backup").exists()


def test_links_lead_nowhere(state: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("not ours")
    (state / "recordings" / "link").symlink_to(tmp_path / "elsewhere")
    done = laptop.back_up(state, tmp_path / "all.backup")
    assert not [name for name in done.manifest.members if "link" in name]


def rewritten(file: Path, change: Callable[[str, bytes, tarfile.TarInfo], bytes | None]) -> None:
    """Writes an archive anew with its members changed; None leaves one out."""
    members = []
    with tarfile.open(file) as tar:
        for info in tar:
            source = tar.extractfile(info)
            data = change(info.name, source.read() if source is not None else b"", info)
            if data is not None:
                members.append((info, data))
    with tarfile.open(file, "w") as tar:
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))


def relisted(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes, tarfile.TarInfo], bytes]:
    """A change of the list of contents."""

    def work(name: str, data: bytes, _info: tarfile.TarInfo) -> bytes:
        if name != archive.MANIFEST:
            return data
        values = json.loads(data)
        change(values)
        return json.dumps(values).encode()

    return work


def dropped(values: dict[str, Any], name: str) -> None:
    """Takes a file out of the list."""
    del values["members"][name]


def renamed(to: str) -> Callable[[str, bytes, tarfile.TarInfo], bytes]:
    """The key lies elsewhere, and the list says so."""

    def work(name: str, data: bytes, info: tarfile.TarInfo) -> bytes:
        if name == "key":
            info.name = to
        if name == archive.MANIFEST:
            values = json.loads(data)
            values["members"][to] = values["members"].pop("key")
            return json.dumps(values).encode()
        return data

    return work


def linked(name: str, data: bytes, info: tarfile.TarInfo) -> bytes:
    """The key is a link to somewhere else."""
    if name == "key":
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return data


HOSTILE: dict[str, tuple[Callable[[str, bytes, tarfile.TarInfo], bytes | None], str]] = {
    "a byte that differs": (lambda name, data, _info: b"X" + data[1:] if name == "key" else data, "damaged"),
    "a file that is missing": (lambda name, data, _info: None if name == "key" else data, "missing"),
    "a file less in the list": (relisted(lambda values: dropped(values, "key")), "does not list"),
    "a path upwards": (renamed("data/../../outside"), "no path below a folder"),
    "an absolute path": (renamed("/outside"), "no path below a folder"),
    "a path of its own": (renamed("bin/parley"), "no part of a stack's state"),
    "a link": (linked, "no file"),
    "no list": (lambda name, data, _info: None if name == archive.MANIFEST else data, "does not begin with"),
    "a list that is none": (lambda name, data, _info: b"[]" if name == archive.MANIFEST else data, "cannot be read"),
    "a newer format": (relisted(lambda values: values.update(format=99)), "format 99"),
    "a list of nonsense": (relisted(lambda values: values.update(members={"key": 1})), "cannot be read"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_damaged_or_hostile_archive_changes_nothing(state: Path, tmp_path: Path, what: str) -> None:
    file, before = tmp_path / "all.backup", contents(state)
    laptop.back_up(state, file)
    change, said = HOSTILE[what]
    rewritten(file, change)
    refused = parley("restore", file, "--state", state)
    assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
    assert contents(state) == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["all.backup", "state"], "nothing is left behind"


@pytest.mark.parametrize("length", [0, 100, 5000, -20000])
def test_one_that_is_cut_off_changes_nothing(state: Path, tmp_path: Path, length: int) -> None:
    file = tmp_path / "all.backup"
    laptop.back_up(state, file)
    file.write_bytes(file.read_bytes()[:length])
    refused = parley("restore", file, "--state", tmp_path / "restored")
    assert refused.returncode == 1, refused.stderr
    assert "backup" in refused.stderr
    assert not (tmp_path / "restored").exists()


def test_one_of_a_newer_version_is_refused(state: Path, tmp_path: Path) -> None:
    with sqlite3.connect(state / "data" / "chat.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    laptop.back_up(state, tmp_path / "all.backup")
    refused = parley("restore", tmp_path / "all.backup", "--state", tmp_path / "restored")
    assert refused.returncode == 1
    assert "9999" in refused.stderr
    assert "newer" in refused.stderr
