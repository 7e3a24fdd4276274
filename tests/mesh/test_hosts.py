"""Hosts in every spelling, and lists of them."""

from __future__ import annotations

import ipaddress

import pytest

from services.mesh.hosts import HostList, address_of, normal, special

LOOPBACK = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.255.255.254",
    "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:0:0:1", "64:ff9b::127.0.0.1", "64:ff9b:1::7f00:1",
    "2002:7f00:1::", "１２７.0.0.1", "127。0。0。1", "127.0.0.1.",
]  # fmt: skip
OTHERS = [
    "0.0.0.0", "0", "::", "169.254.169.254", "169.254.170.2", "0xa9fea9fe", "::ffff:169.254.169.254", "fe80::1",
    "224.0.0.1", "ff02::1", "255.255.255.255", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK + OTHERS)
def test_a_special_address_is_one_in_every_spelling(host: str) -> None:
    address = address_of(normal(host))
    assert address is not None
    assert special(address)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "192.168.1.5", "172.16.0.1", "8.8.8.8", "fd12:3456::1", "2606:4700::1111"]
)
def test_private_and_public_addresses_are_not(host: str) -> None:
    address = address_of(normal(host))
    assert address is not None
    assert not special(address)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("DB.Example.COM", "db.example.com"),
        ("db.example.com.", "db.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("ⓛocalhost", "localhost"),
        ("my_db", "my_db"),
        ("deadbeef", "deadbeef"),
        ("1and1.example", "1and1.example"),
    ],
)
def test_a_name_has_one_spelling(host: str, name: str) -> None:
    assert normal(host) == name


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "a..b", "a b", "a,b", "a@b", "a/b", "/var/run/postgresql", "@abstract", "%2Fvar%2Frun", "a\\b", "a#b",
        "[::1]", "::1%lo", "fe80::1%eth0,169.254.169.254", "a\x00b", "a\nb", "-a", "x" * 64, "1::2::3", "a?b=c",
    ],
)  # fmt: skip
def test_what_is_no_host_is_none(host: str) -> None:
    with pytest.raises(ValueError, match="neither the name nor the address"):
        normal(host)


@pytest.mark.parametrize(
    ("entry", "host", "port", "found"),
    [
        ("db.example.com", "db.example.com", 1, True),
        ("DB.example.com.", "db.example.com", 1, True),
        ("db.example.com", "x.db.example.com", 1, False),
        ("db.example.com", "db.example.com.evil.org", 1, False),
        ("*.example.com", "a.b.example.com", 1, True),
        ("*.example.com", "example.com", 1, False),
        ("*.example.com", "evilexample.com", 1, False),
        ("db?.example.com", "db1.example.com", 1, True),
        ("*.bücher.example", "a.xn--bcher-kva.example", 1, True),
        ("*.example.com:5432", "a.example.com", 5432, True),
        ("*.example.com:5432", "a.example.com", 5433, False),
        ("*", "anything", 1, True),
        ("*", "192.0.2.7", 1, True),
        ("*:5432", "anything", 22, False),
    ],
)
def test_a_list_stands_for_names(entry: str, host: str, port: int, found: bool) -> None:
    assert HostList([entry]).names(host, port) is found


@pytest.mark.parametrize(
    ("entry", "address", "port", "found"),
    [
        ("192.0.2.7", "192.0.2.7", 1, True),
        ("192.0.2.7", "::ffff:192.0.2.7", 1, True),
        ("::ffff:192.0.2.7", "192.0.2.7", 1, True),
        ("192.0.2.7:5432", "192.0.2.7", 5433, False),
        ("10.0.0.0/8", "10.255.0.1", 1, True),
        ("10.0.0.0/8", "11.0.0.1", 1, False),
        ("10.0.0.0/8:5432", "10.0.0.1", 22, False),
        ("fd00::/8", "fd12::1", 1, True),
        ("[fd00::/8]:5432", "fd12::1", 5432, True),
        ("[fd00::/8]:5432", "fd12::1", 5433, False),
        ("[::1]", "::1", 1, True),
        ("localhost", "127.0.0.1", 1, True),
        ("localhost", "::1", 1, True),
        ("localhost:5432", "127.8.0.1", 22, False),
        ("127.0.0.1", "127.0.0.1", 1, True),
        ("127.0.0.1", "127.0.0.2", 1, False),
        ("169.254.0.0/16", "169.254.169.254", 1, True),
        # What stands for everything stands for nothing special.
        ("*", "127.0.0.1", 1, False),
        ("0.0.0.0/0", "127.0.0.1", 1, False),
        ("0.0.0.0/0", "169.254.169.254", 1, False),
        ("0.0.0.0/0", "10.0.0.1", 1, True),
        ("::/0", "::1", 1, False),
        ("example.com", "10.0.0.1", 1, False),
    ],
)
def test_a_list_holds_addresses(entry: str, address: str, port: int, found: bool) -> None:
    assert HostList([entry]).holds(ipaddress.ip_address(address), port) is found


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("db.example.com:5432", True),
        ("10.0.0.1:5432", True),
        ("10.0.0.1/32:5432", True),
        ("db.example.com", False),
        ("10.0.0.1", False),
        ("10.0.0.0/8:5432", False),
        ("*.example.com:5432", False),
        ("db.example.com:5433", False),
    ],
)
def test_one_host_and_port_are_singled_out(entry: str, found: bool) -> None:
    assert HostList([entry]).singles_out("db.example.com", ipaddress.ip_address("10.0.0.1"), 5432) is found


@pytest.mark.parametrize(
    "entry",
    [
        "", " ", "http://db.example.com", "db.example.com/x", "db.example.com:", "db.example.com:x", "db:0", "db:65536",
        "10.0.0.1/8", "10.*", "10.0.0.0/33", "[::1", "::1]", "a:b:c", "user@db", "a b", "[db]:1", "a..b",
    ],
)  # fmt: skip
def test_an_entry_that_is_no_host_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host: write a name"):
        HostList([entry])


def test_an_entry_without_a_port_may_stand_for_one() -> None:
    found = HostList(["files.example.com", "*.other.example:8443"], port=443)
    assert found.names("files.example.com", 443)
    assert not found.names("files.example.com", 22)
    assert found.names("a.other.example", 8443)
