"""What the tests of threads are given."""

import pytest
from tests.loopback import pair


@pytest.fixture
def ends():
    with pair() as (near, far):
        yield near, far
