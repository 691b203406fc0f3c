import pytest

from store.limits.subjects import account, client


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.7", "client 192.0.2.7"),
        ("::ffff:192.0.2.7", "client 192.0.2.7"),
        ("2001:DB8:1:2:3::4", "client 2001:db8:1:2::/64"),
    ],
)
def test_one_client_is_one_subject(address: str, subject: str) -> None:
    assert client(address) == subject


def test_the_width_of_an_ipv6_client_can_be_chosen() -> None:
    assert client("2001:db8:1:2::1", ipv6_prefix=48) == "client 2001:db8:1::/48"


def test_text_that_is_not_an_address_is_rejected() -> None:
    with pytest.raises(ValueError, match="unknown"):
        client("unknown")
    assert account("alice") == "account alice"
