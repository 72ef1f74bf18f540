"""Ports that are chosen now and listened on seconds later."""

import socket

from embedded import ports


def test_what_one_has_reserved_another_does_not_choose():
    first = ports.reserve()
    try:
        second = ports.reserve(first.port)
        second.close()
        assert second.port != first.port
    finally:
        first.close()


def test_what_was_given_back_can_be_had_again():
    first = ports.reserve()
    first.close()
    again = ports.reserve(first.port)
    again.close()
    assert again.port == first.port


def test_a_port_that_a_stranger_listens_on_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        assert not ports.is_free(stranger.getsockname()[1])
