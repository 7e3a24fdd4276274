"""The certificates of a stack: made at its first start, renewed before they are over, and nobody else's to read."""

from __future__ import annotations

import datetime
import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from deploy.local import authority, certificates

NAMES = ["chat", "gateway"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with certificates for NAMES."""
    place = tmp_path / "certificates"
    certificates.ensure(place, NAMES)
    return place


def serial(folder: Path, name: str = "chat") -> int:
    """Tells one certificate from another."""
    return x509.load_pem_x509_certificate(certificates.files(folder, name).certificate.read_bytes()).serial_number


@contextmanager
def server(found: certificates.Files) -> Iterator[int]:
    """Answers one connection that shows a certificate; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(found.certificate, found.key)
    context.load_verify_locations(found.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            plain, _address = listening.accept()
            try:
                with plain, context.wrap_socket(plain, server_side=True) as secured:
                    secured.sendall(b"hello")
            except OSError:
                return  # Whoever came was refused.

        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def hello(port: int, context: ssl.SSLContext, name: str) -> bytes:
    """What a server says to a client."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        return secured.recv(5)


def test_components_trust_each_other_by_name(folder: Path) -> None:
    chat, gateway = (certificates.files(folder, name) for name in NAMES)
    context = certificates.client(gateway)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with server(chat) as port:
        assert hello(port, context, "chat") == b"hello"
    with server(chat) as port, pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        hello(port, context, "sql")


def test_the_certificates_of_another_stack_are_nobodys(folder: Path, tmp_path: Path) -> None:
    certificates.ensure(tmp_path / "other", NAMES)
    foreign = certificates.files(tmp_path / "other", "gateway")
    mixed = foreign._replace(authority=certificates.files(folder, "gateway").authority)
    with server(certificates.files(folder, "chat")) as port, pytest.raises(OSError, match=r"unknown ca|reset"):
        hello(port, certificates.client(mixed), "chat")


def test_only_the_user_may_read_them_and_the_authoritys_key_is_nowhere(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert sorted(path.parent.name for path in folder.rglob("key.pem")) == NAMES
    assert len({file.read_bytes() for file in folder.rglob("key.pem")}) == len(NAMES)
    assert not folder.with_name("certificates.new").exists()


def test_they_stay_until_they_are_nearly_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = serial(folder)
    certificates.ensure(folder, NAMES)
    assert serial(folder) == first
    ends = certificates.not_after(certificates.files(folder, "chat").certificate.read_text())
    assert datetime.timedelta(days=364) < ends - datetime.datetime.now(datetime.UTC) <= datetime.timedelta(days=365)
    monkeypatch.setattr(authority, "LIFETIME", certificates.RENEWED_BEFORE - datetime.timedelta(hours=1))
    authority.make(folder, NAMES)
    old = serial(folder)
    certificates.ensure(folder, NAMES)
    assert serial(folder) != old


def test_a_new_component_or_a_damaged_file_has_all_of_them_made_anew(folder: Path) -> None:
    first = serial(folder)
    certificates.ensure(folder, [*NAMES, "sql"])
    second = serial(folder)
    assert second != first
    certificates.files(folder, "gateway").certificate.write_text("x")
    certificates.ensure(folder, NAMES)
    third = serial(folder)
    assert third != second
    certificates.files(folder, "chat").key.unlink()
    certificates.ensure(folder, NAMES)
    assert serial(folder) != third


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(certificates.CertificatesError, match=r"file/certificates: NotADirectoryError"):
        certificates.ensure(tmp_path / "file" / "certificates", NAMES)
