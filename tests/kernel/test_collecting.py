"""Python's search for garbage is put off, and taken up again only if it was on."""

import gc

import pytest

from deadpeer.kernel.collecting import without_collecting


@without_collecting()
def broken() -> None:
    """Fail while nothing is collected."""
    assert not gc.isenabled()
    raise KeyError


@pytest.mark.parametrize("was_on", [True, False])
def test_afterwards_it_is_as_before_also_after_an_error(was_on):
    try:
        if not was_on:
            gc.disable()
        with pytest.raises(KeyError):
            broken()

        assert gc.isenabled() == was_on
    finally:
        gc.enable()
