"""
The documentation is run: its code, its commands, its links and its tables.

Blocks fenced as ``python`` are executed, those of one page in one namespace, so
that a page reads like one session. A block inside a comment (``<!-- python``)
runs too and is not shown: it makes the server that the page connects to. After
``<!-- not run: why -->`` a block is left alone.
"""

import importlib
import inspect
import itertools
import re
import shlex
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from deadpeer import errors
from deadpeer.cli.root import root
from deadpeer.policy import MIDDLEBOXES

HOUSE = Path(__file__).parents[1]
PAGES = sorted([*HOUSE.glob("*.md"), *HOUSE.glob("docs/**/*.md")])

NAMES = (HOUSE / "docs/reference/python.md").read_text(encoding="utf-8")

PATIENCE = 30  # seconds for a page; all of them take less than one

BLOCK = re.compile(
    r"(?P<note><!-- not run: [^>]+-->\n+)?"
    r"^(?:```python\n|<!-- python\n)(?P<code>.*?)^(?:```|-->)$",
    re.MULTILINE | re.DOTALL,
)
SHELL = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENDS = {"|", ">", ">>", "<", "2>", "&&", "||", ";", "&"}  # of a command in a shell
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"")


def name_of(page: Path) -> str:
    return page.relative_to(HOUSE).as_posix()


def blocks(page: Path) -> Iterator[str]:
    """Yield a page's blocks of code, each on the lines where it stands."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        if not found["note"]:
            lines_above = text.count("\n", 0, found.start("code"))
            yield "\n" * lines_above + found["code"]


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the calls of our own program in a page's blocks of shell."""
    for found in SHELL.finditer(page.read_text(encoding="utf-8")):
        for line in found[1].splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            words = list(itertools.takewhile(lambda word: word not in ENDS, words))
            words = words[1:] if words[:1] == ["sudo"] else words
            if words[:1] == ["deadpeer"] and len(words) > 1:
                yield words[1:]


def links(page: Path) -> Iterator[str]:
    """Yield what a page links to inside this repository."""
    text = re.sub(
        r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for found in LINK.finditer(text):
        target = found[1] or found[2]
        if not re.match(r"https?:|mailto:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def table(page: str, name: str) -> str:
    """Return the table that stands between a page's two comments of that name."""
    text = (HOUSE / page).read_text(encoding="utf-8")
    return text.split(f"<!-- {name} -->\n")[1].split("\n<!-- end -->")[0]


@pytest.fixture
def patience() -> Iterator[None]:
    """Fail a page that waits for ever, where the system has alarms."""
    if not hasattr(signal, "alarm"):
        yield
        return

    def give_up(_number: int, _frame: object) -> None:
        pytest.fail(f"still waiting after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
@pytest.mark.usefixtures("patience")
def test_the_code_on_a_page_runs(page):
    namespace: dict[str, object] = {"__name__": f"page {page.name}"}
    try:
        for code in blocks(page):
            exec(compile(code, str(page), "exec"), namespace)  # noqa: S102
    finally:
        for value in namespace.values():
            if isinstance(value, socket.socket):
                value.close()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_on_a_page_exist_with_their_options(page):
    for words in commands(page):
        parse(root, words)


def parse(
    command: click.Command, words: list[str], parent: click.Context | None = None
) -> None:
    """Parse a call down to its last verb, without running any."""
    context = command.make_context(command.name, list(words), parent=parent)
    if isinstance(command, click.Group):
        # Where click keeps a group's words until it invokes the next command.
        words = [*context._protected_args, *context.args]
        _, verb, rest = command.resolve_command(context, words)
        assert verb is not None
        if "--help" not in rest:
            parse(verb, rest, context)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_on_a_page_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_is_found_from_the_index():
    index = HOUSE / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in links(index)}

    assert set(HOUSE.glob("docs/*/**/*.md")) - linked == set()


def bases_of(kind: type) -> list[str]:
    """Return the names of what a class is, in place of a private base its own."""
    found = []
    for base in kind.__bases__:
        private = base.__name__.startswith("_")
        found += bases_of(base) if private else [base.__name__]
    return found


def test_the_reference_lists_every_error_as_it_is():
    rows = [
        "| error | is also a | exit | carries | meaning |",
        "| --- | --- | ---: | --- | --- |",
    ]
    for name in errors.__all__:
        kind = getattr(errors, name)
        bases = [base for base in bases_of(kind) if base != "Exception"]
        facts = sorted(set(inspect.signature(kind).parameters) - {"message"})
        meaning = inspect.cleandoc(kind.__doc__).splitlines()[0]
        rows.append(
            f"| `{name}` | {', '.join(f'`{base}`' for base in bases)} "
            f"| {kind.exit_code} | {', '.join(f'`{fact}`' for fact in facts)} "
            f"| {meaning} |"
        )

    assert table("docs/reference/errors.md", "errors") == "\n".join(rows)


SECTIONS = re.findall(r"^## (\S+)$(.*?)(?=^## |\Z)", NAMES, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("module", "text"), SECTIONS, ids=[name for name, _ in SECTIONS]
)
def test_the_reference_names_what_is_public_and_nothing_else(module, text):
    public = set(importlib.import_module(module).__all__)
    if module == "deadpeer":
        public -= set(errors.__all__)  # these have a page of their own
    rows = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))

    assert rows <= public
    assert {name for name in public - rows if f"{name}`" not in text} == set()


def test_the_reference_has_each_package_that_hands_names_on():
    shown = {name for name, _ in SECTIONS}

    assert shown >= {"deadpeer", "deadpeer.aio", "deadpeer.sync", "deadpeer.testing"}


def test_the_reference_lists_every_middlebox_as_it_is():
    rows = [
        "| box | forgets after | how | can be set | source |",
        "| --- | ---: | --- | --- | --- |",
    ]
    rows += [
        f"| {box.name} | {box.idle_timeout:g} s | {box.forgets} | {box.note} "
        f"| {box.source} |"
        for box in MIDDLEBOXES
    ]

    assert table("docs/reference/middleboxes.md", "middleboxes") == "\n".join(rows)


def test_a_page_that_lies_would_be_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n```python\nassert 1 == 1\n```\n\n<!-- python\nx = 1\n-->\n\n"
        "<!-- not run: it would take a day -->\n```python\nsleep(86400)\n```\n"
        "```sh\n$ deadpeer explain --sideways   # no such option\n```\n"
        "[gone](gone.md) [far](https://example.org) [here](#a-page)\n",
        encoding="utf-8",
    )

    assert [code.strip() for code in blocks(page)] == ["assert 1 == 1", "x = 1"]
    assert list(links(page)) == ["gone.md", "#a-page"]
    assert anchors(page) == {"a-page"}
    [words] = commands(page)
    with pytest.raises(click.UsageError):
        parse(root, words)
