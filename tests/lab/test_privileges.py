import errno
import os

import pytest

from deadpeer.lab.privileges import NEEDED, capabilities, is_able, why_not

EPERM = OSError(errno.EPERM, os.strerror(errno.EPERM))


def settings(tmp_path, **values):
    for name, value in values.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n", encoding="ascii")
    return tmp_path


@pytest.mark.parametrize(
    ("values", "key", "remedy"),
    [
        (
            {"user__max_user_namespaces": 0},
            "user.max_user_namespaces=0",
            "sysctl user.max_user_namespaces=",
        ),
        (
            {"kernel__unprivileged_userns_clone": 0},
            "kernel.unprivileged_userns_clone=0",
            "sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            {"kernel__apparmor_restrict_unprivileged_userns": 1},
            "kernel.apparmor_restrict_unprivileged_userns=1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_a_refusal_names_the_setting_that_forbids(tmp_path, values, key, remedy):
    others = {
        "user__max_user_namespaces": 9999,
        "kernel__unprivileged_userns_clone": 1,
        "kernel__apparmor_restrict_unprivileged_userns": 0,
    }
    error = why_not(EPERM, settings=settings(tmp_path, **{**others, **values}))

    assert key in error.message
    assert remedy in error.hint
    assert "root" in error.hint


def test_a_refusal_for_no_known_reason_has_a_remedy_too(tmp_path):
    error = why_not(EPERM, settings=tmp_path)

    assert "Operation not permitted" in error.message
    assert "--cap-add" in error.hint


def test_being_able_is_a_matter_of_capabilities():
    mask = capabilities()

    assert is_able() == all(mask >> bit & 1 for bit in NEEDED)
