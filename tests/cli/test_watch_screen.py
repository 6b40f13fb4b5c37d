"""The screen of ``deadpeer watch``, driven by textual's own pilot, over real sockets."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from tests.cli.watched import GUARDED
from tests.neighbours import neighbour
from textual.widgets import DataTable
from textual.widgets.data_table import RowKey

from deadpeer.cli.watch_lines import SORTS
from deadpeer.cli.watch_question import Question
from deadpeer.cli.watch_screen import WatchScreen
from deadpeer.host.selection import Selection
from deadpeer.host.watching import Watcher

pytestmark = pytest.mark.netns

PATIENCE = 15.0


@pytest.fixture
def child():
    with neighbour(namespace=True) as made:
        made.told("a = pair(); b = pair()")
        made.told(GUARDED.format("a"))
        yield made


class Driver:
    """A pilot that waits for what it wants to see."""

    def __init__(self, app, pilot) -> None:
        self.app = app
        self.pilot = pilot

    async def until(self, is_so: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, self.text()
            await self.pilot.pause(0.02)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def filter(self, text: str) -> None:
        await self.press("slash")
        self.app.query_one("#filter").value = text
        await self.press("enter")

    def heading(self) -> str:
        return str(self.app.query_one("#head").render())

    def column(self, name: str) -> list[str]:
        return [str(cell) for cell in self.app.query_one("#table").get_column(name)]

    def text(self) -> str:
        """What stands below the table."""
        return "\n".join(line.text for line in self.app.query_one("#changes").lines)

    def question(self) -> str:
        return str(self.app.screen.query_one("#text").render())


def driven(child, story, *, within=60.0, size=(160, 40)):
    """Run the screen over the child's namespace, and have *story* use it."""

    async def play():
        selection = Selection(netns=(str(child.pid),), within=within)
        with Watcher(selection) as watcher:
            app = WatchScreen(watcher, selection, every=0.1)
            async with app.run_test(size=size) as pilot:
                driver = Driver(app, pilot)
                await driver.until(lambda: driver.app.query_one("#table").row_count)
                await story(driver)

    asyncio.run(play())


def test_the_worst_comes_first_and_another_order_is_a_key_away(child):
    async def story(driver):
        assert driver.column("verdict") == ["unprotected"] * 2 + ["protected"] * 2
        await driver.press(*["s"] * (list(SORTS).index("peer")))
        await driver.until(lambda: "by peer" in driver.heading())
        assert driver.column("peer") == sorted(driver.column("peer"))

    driven(child, story)


def test_a_pulled_cable_scrolls_by_and_shows_in_the_evidence(child):
    async def story(driver):
        child.told("loopback(False)")
        await driver.until(lambda: "suspect" in driver.column("verdict"))
        await driver.until(lambda: "2 probes unanswered" in driver.text())
        # The cursor stays with its connection; the suspects have moved above it.
        await driver.press("ctrl+home")
        await driver.until(lambda: max(driver.app.query_one("#unanswered").data) >= 2)
        await driver.until(lambda: "dead: timed out" in driver.text())
        assert driver.text().count("suspect:") == 2

    child.told("[s.setsockopt(6, 18, 4000) for s in a]")
    driven(child, story)


def test_a_filter_is_written_and_a_wrong_one_is_refused(child):
    port = child.told("a[0].getsockname()[1]")

    async def story(driver):
        await driver.filter("dport =")
        await driver.until(lambda: driver.app.query_one("#filter").has_class("wrong"))
        assert len(driver.column("peer")) == 4
        await driver.filter(f"sport = :{port}")
        await driver.until(lambda: len(driver.column("local")) == 1)
        assert driver.column("local") == [f"127.0.0.1:{port}"]

    driven(child, story)


def test_a_connection_is_fixed_after_a_yes_and_no_other(child, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "deadpeer.cli.watch_deeds.new_record_path", lambda: tmp_path / "record.json"
    )

    async def story(driver):
        await driver.press("f")
        await driver.until(lambda: isinstance(driver.app.screen, Question))
        assert "Protect python" in driver.question()
        assert "keepalive off → on" in driver.question()
        await driver.press("n")
        assert child.told("[s.getsockopt(1, 9) for s in b]") == [0, 0]

        await driver.press("f")
        await driver.until(lambda: isinstance(driver.app.screen, Question))
        await driver.press("y")
        await driver.until(lambda: "undo" in driver.text())
        assert sorted(child.told("[s.getsockopt(1, 9) for s in b]")) == [0, 1]
        assert (tmp_path / "record.json").exists()
        await driver.until(lambda: driver.column("verdict").count("unprotected") == 1)

    driven(child, story, within=12.0)


def test_a_connection_is_ended_after_a_yes(child):
    async def story(driver):
        await driver.press("k")
        await driver.until(lambda: isinstance(driver.app.screen, Question))
        assert "cannot be undone" in driver.question()
        await driver.press("enter")
        assert len(driver.column("peer")) == 4

        await driver.press("k")
        await driver.until(lambda: isinstance(driver.app.screen, Question))
        await driver.press("y")
        await driver.until(lambda: "done" in driver.text())
        await driver.until(lambda: driver.column("verdict").count("unprotected") == 0)
        assert driver.column("verdict") == ["protected"] * 2

    driven(child, story)


@pytest.mark.parametrize("key", ["n", "escape", "enter", "q", "ctrl+c"])
def test_what_elsewhere_leaves_the_screen_only_says_no_to_a_question(child, key):
    async def story(driver):
        for _ in range(2):  # it is still there to be asked again
            await driver.press("k")
            await driver.until(lambda: isinstance(driver.app.screen, Question))
            assert "cannot be undone" in driver.question()
            await driver.press(key)
            await driver.until(lambda: not isinstance(driver.app.screen, Question))
        assert driver.app.is_running

    driven(child, story)


@pytest.mark.parametrize("key", ["k", "f"])
def test_a_connection_that_ended_while_the_question_was_open_is_told(child, key):
    # A reset leaves nothing behind that could be ended.
    aborted = "[s.setsockopt(1, 13, bytes([1] + [0] * 7)) or s.close() for s in b]"

    async def story(driver):
        await driver.press(key)
        await driver.until(lambda: isinstance(driver.app.screen, Question))
        child.told(aborted)
        await driver.press("y")
        await driver.until(lambda: ": gone" in driver.text())

    driven(child, story)


@pytest.mark.parametrize("size", [(80, 24), (40, 24)])
def test_a_small_terminal_shows_the_worst_and_what_happens(child, size):
    async def story(driver):
        for name in ("head", "table", "changes"):
            region = driver.app.query_one(f"#{name}").region
            assert region.height >= (1 if name == "head" else 2), (name, region)
            assert region.bottom <= size[1]

    driven(child, story, size=size)


def test_what_the_table_says_after_the_screen_was_left_is_no_error(child):
    """It was told while the widgets went away, and ended in a traceback."""
    met = []

    async def story(driver):
        met.append((driver.app, driver.app.query_one("#table")))

    driven(child, story)
    [(app, table)] = met
    app.on_data_table_row_highlighted(DataTable.RowHighlighted(table, 0, RowKey()))


def test_a_name_cannot_command_the_terminal(child):
    child.told("open('/proc/self/comm', 'w').write('x' + chr(27) + '[2J')")

    async def story(driver):
        await driver.until(lambda: "?" not in driver.column("process"))
        assert driver.column("process")[0].startswith("x\\x1b[2J[")

    driven(child, story)


def test_a_look_that_ends_when_the_screen_was_left_shows_nothing(child):
    class Slow(Watcher):
        def look(self):
            if looking.is_set():
                leave.wait(PATIENCE)
            return super().look()

    looking, leave = threading.Event(), threading.Event()

    async def play():
        selection = Selection(netns=(str(child.pid),))
        with Slow(selection) as watcher:
            app = WatchScreen(watcher, selection, every=0.05)
            async with app.run_test() as pilot:
                await Driver(app, pilot).until(
                    lambda: app.query_one("#table", DataTable).row_count
                )
                looking.set()
                await pilot.pause(0.1)  # one is being taken
                asyncio.get_running_loop().call_later(0.05, leave.set)

    asyncio.run(play())


def test_q_leaves(child):
    async def story(driver):
        await driver.press("q")
        await driver.until(lambda: not driver.app.is_running)

    driven(child, story)
