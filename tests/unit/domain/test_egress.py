"""Which hosts an account may make us connect to."""

import pytest

from app.domain.egress import host_fault, is_public_address, port_fault


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
        "192.88.99.1", "255.255.255.255", "::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "2001::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "ff02::1", "not an address", "",
    ],
)  # fmt: skip
def test_an_address_that_leads_inside_is_not_public(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST.", "db.localhost", "printer.local", "metadata.google.internal", "127.0.0.1", "[::1]",
        "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "a b.example.com", "smtp..example.com", "-a.example.com",
        "smtp.example.com/x", "user@example.com", "mail", "",
    ],
)  # fmt: skip
def test_a_host_that_leads_inside_or_is_no_name_is_refused(host: str) -> None:
    assert host_fault(host, allow_private=False) is not None


@pytest.mark.parametrize(
    "host", ["smtp.example.com", "SMTP.Example.COM", "smtp.example.com.", "8.8.8.8", "xn--bcher-kva.example"]
)
def test_a_public_host_is_taken(host: str) -> None:
    assert host_fault(host, allow_private=False) is None


def test_an_installation_may_allow_private_hosts_and_other_ports() -> None:
    assert host_fault("postfix", allow_private=True) is None
    assert host_fault("10.0.0.1", allow_private=True) is None
    assert port_fault(1025, allow_private=True) is None
    assert port_fault(1025, allow_private=False) is not None
    assert port_fault(587, allow_private=False) is None
