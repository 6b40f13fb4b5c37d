"""What a shell leaves of a variable that is not set is refused where a name is meant."""

import pytest

from deadpeer.cli.root import run


@pytest.mark.parametrize(
    "words",
    [
        ["ls", "--replay", ""],
        ["ls", "--record", ""],
        ["ls", "--process", ""],
        ["ls", "--user", " "],
        ["ls", "--netns", ""],
        ["kill", "--process", "one", "--process", ""],
        ["fix", "--within", "10", "--user", ""],
        ["fix", "--within", "10", "--record", "", "dport", "1"],
        ["undo", ""],
        ["lab", "--from", ""],
        ["lab", "--report", "", "--list"],
        ["system", "undo", ""],
        ["system", "set", "--within", "8", "--record-dir", ""],
        ["run", "--within", "10", "--log", "", "--", "true"],
        ["watch", "--json", "--output", ""],
        ["watch", "--json", "--rules", ""],
        ["watch", "--json", "--metrics", ""],
        ["watch", "--json", "--webhook", ""],
        ["watch", "--json", "--on", "dead", ""],
    ],
)
def test_an_empty_name_is_a_usage_error_that_names_the_option(words, capsys):
    assert run(words) == 2

    answer = capsys.readouterr()
    assert answer.out == ""
    assert "empty" in answer.err or "is no URL" in answer.err
