"""What a socket gets that takes no user timeout, and settings that no kernel takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.host.trapped import require_settable, while_idle
from deadpeer.kernel.current_platform import this_platform
from deadpeer.policy import Keepalive, plan


@given(st.floats(6, 3600))
def test_without_a_user_timeout_an_idle_death_is_known_as_soon(within):
    planned = plan(within=within).keepalive
    assert planned.idle
    assert planned.interval
    assert planned.user_timeout

    alone = while_idle(planned)

    assert alone.on is True
    assert alone.user_timeout is None
    assert alone.rto_max is None
    assert alone.probes
    death = planned.idle + planned.interval * alone.probes
    assert planned.user_timeout <= death < within
    # The tick before would have been too early with the user timeout, too.
    assert alone.probes == 1 or death - planned.interval < planned.user_timeout


def test_own_probes_are_kept_where_there_is_no_user_timeout():
    own = Keepalive(idle=5, interval=1, probes=3)

    assert while_idle(own) == Keepalive(idle=5, interval=1, probes=3, on=True)


def test_what_this_kernel_takes_is_accepted():
    row = this_platform()

    require_settable(plan(within=10, platform=row).keepalive, row)


def test_what_no_kernel_takes_is_refused_before_the_program_starts():
    with pytest.raises(ConfigError, match="TCP_KEEPIDLE"):
        require_settable(Keepalive(idle=99_999, interval=1, probes=3), this_platform())
