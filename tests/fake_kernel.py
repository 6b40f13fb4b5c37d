"""
A socket of any system, in memory: as much of its kernel as keepalive touches.

It goes by a row of the platform table and refuses what that system refuses, so
the code that talks to kernels can be run against every row on every system. The
same checks run against the real kernel where there is one.
"""

import errno
from dataclasses import dataclass, field

from deadpeer.platforms import SIO_KEEPALIVE_VALS, Name, Option, Platform


def os_error(number: int) -> OSError:
    return OSError(number, errno.errorcode.get(number, str(number)))


@dataclass
class FakeSocket:
    """
    One socket of one system.

    Args:
        platform: The row that says what there is.
        fail_at: Which write fails, counted from 1; 0 for none.
        fail_with: The error number it fails with.
        mute: Whether options that not every kernel reads back are refused.
        lies: Settings that are taken and then hold another value.
    """

    platform: Platform
    fail_at: int = 0
    fail_with: int = errno.EINVAL
    mute: bool = False
    lies: dict[Name, int] = field(default_factory=dict)
    on: bool = False
    held: dict[Name, int] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)

    def __post_init__(self):
        defaults = self.platform.defaults
        for name, option in self.platform.options.items():
            seconds = getattr(defaults, name, 0)
            # The system's own settings lie outside of the options' ranges.
            self.held.setdefault(name, round(seconds / option.unit))

    def getsockopt(self, level, number):
        if self._is_switch(level, number):
            # BSD answers with the option's bit, not with 1.
            return self.platform.switch.number * self.on
        name, _ = self._find(level, number)
        if self.mute and name in self.platform.unreadable:
            raise os_error(errno.ENOPROTOOPT)
        value = self.held[name]
        return value - 2**32 if value >= 2**31 else value

    def setsockopt(self, level, number, value):
        self._count()
        if self._is_switch(level, number):
            self.writes.append("on")
            self.on = bool(value)
            return
        name, option = self._find(level, number)
        self.writes.append(name)
        off = value == 0 and option.zero_is_off
        if not off and not option.lowest <= value <= option.highest:
            raise os_error(errno.EINVAL)
        self.held[name] = self.lies.get(name, value)

    def ioctl(self, request, values):
        self._count()
        assert request == SIO_KEEPALIVE_VALS
        assert self.platform.whole
        on, *numbers = values
        self.writes += self.platform.whole
        self.on = bool(on)
        self.held.update(zip(self.platform.whole, numbers, strict=True))

    def everything(self):
        """Return what can be compared before and after."""
        return self.on, dict(self.held)

    def _count(self):
        self.fail_at -= 1
        if self.fail_at == 0:
            raise os_error(self.fail_with)

    def _is_switch(self, level, number):
        switch = self.platform.switch
        return (level, number) == (switch.level, switch.number)

    def _find(self, level, number) -> tuple[Name, Option]:
        for name, option in self.platform.options.items():
            if name in self.platform.whole:
                continue  # no option: it goes through ioctl
            if (option.level, option.number) == (level, number):
                return name, option
        raise os_error(errno.ENOPROTOOPT)
