"""What the tests of threads are given."""

import pytest
from tests.loopback import pair
from tests.sync.stories import QUICK, echo

from deadpeer.sync import connect_peer, serve_peers

HOST = "127.0.0.1"


@pytest.fixture
def ends():
    with pair() as (near, far):
        yield near, far


@pytest.fixture
def server():
    with serve_peers(echo, HOST, 0, heartbeat=QUICK) as running:
        yield running


@pytest.fixture
def peer(server):
    with connect_peer(HOST, server.port, heartbeat=QUICK) as connected:
        yield connected
