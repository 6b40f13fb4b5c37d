"""What a verb tells as JSON."""

import json
from typing import Any

from deadpeer.cli.root import run

__all__ = ["told"]


def told(capsys: Any, *words: str) -> dict[str, Any]:
    """Run a verb that has to succeed, and return its JSON."""
    capsys.readouterr()
    code = run([*words, "--json"])
    answer = capsys.readouterr()
    assert code == 0, answer.err
    found: dict[str, Any] = json.loads(answer.out)
    return found
