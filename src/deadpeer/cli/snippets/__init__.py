"""
Settings as ready lines for other languages and programs: pure, values to text.

``TARGETS`` is the table, one renderer for each. Each writes what its target can
do, and says in a comment what it cannot promise. Not every target can set a user
timeout; where none is in force the number of probes counts, so it is always
written.
"""

from collections.abc import Callable
from dataclasses import dataclass

from deadpeer.cli.snippets import languages, servers
from deadpeer.cli.snippets.settings import Settings, settings_for

__all__ = ["TARGETS", "Settings", "Target", "settings_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    Something that settings are written for.

    Args:
        title: What people call it.
        comment: What starts a comment line there.
        render: Settings to the lines that set them.
    """

    title: str
    comment: str
    render: Callable[[Settings], str]

    def text(self, settings: Settings) -> str:
        """Return the whole snippet, which ends with a line break."""
        return self.render(settings).strip("\n") + "\n"


TARGETS: dict[str, Target] = {
    "python": Target(
        title="Python, standard library", comment="#", render=languages.python
    ),
    "deadpeer": Target(
        title="Python, deadpeer", comment="#", render=languages.deadpeer
    ),
    "c": Target(title="C", comment="//", render=languages.c),
    "go": Target(title="Go", comment="//", render=languages.go),
    "rust": Target(title="Rust, socket2", comment="//", render=languages.rust),
    "nginx": Target(title="nginx", comment="#", render=servers.nginx),
    "haproxy": Target(title="HAProxy", comment="#", render=servers.haproxy),
    "postgresql": Target(
        title="PostgreSQL server", comment="#", render=servers.postgresql
    ),
    "libpq": Target(title="PostgreSQL client", comment="#", render=servers.libpq),
    "redis": Target(title="Redis", comment="#", render=servers.redis),
    "systemd": Target(title="systemd socket unit", comment="#", render=servers.systemd),
    "kubernetes": Target(
        title="Kubernetes pod", comment="#", render=servers.kubernetes
    ),
}
