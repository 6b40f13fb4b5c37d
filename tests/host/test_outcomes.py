"""What the outcomes of many sockets come to: the exit code, the missing privilege."""

from deadpeer.errors import AccessDenied, KernelRefused, UnsupportedError
from deadpeer.host.outcomes import missing_privilege, worst_exit

DENIED = AccessDenied("no", capability="CAP_SYS_PTRACE")
REFUSED = KernelRefused("no")
UNSUPPORTED = UnsupportedError("no")


def test_a_missing_privilege_goes_before_what_has_a_higher_number():
    assert REFUSED.exit_code > DENIED.exit_code
    assert worst_exit([REFUSED, DENIED]) == DENIED.exit_code
    assert worst_exit([UNSUPPORTED, REFUSED]) == REFUSED.exit_code
    assert worst_exit([]) == 0


def test_the_first_privilege_that_is_missing_is_told():
    other = AccessDenied("no", capability="CAP_NET_ADMIN")

    assert missing_privilege([None, REFUSED, DENIED, other]) is DENIED
    assert missing_privilege([None, REFUSED]) is None
