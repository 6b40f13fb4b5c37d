"""The question before something is done: only a yes does it."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

__all__ = ["Question"]


class Question(ModalScreen[bool]):
    """
    Asks, and comes back with the answer.

    Args:
        text: What would be done, or why nothing can be.
        can_do: Whether there is anything to say yes to.
    """

    CSS = """
    Question { align: center middle; }
    #box { width: 90; max-width: 95%; height: auto; padding: 1 2;
           border: round $warning; background: $surface; }
    #keys { color: $text-muted; padding-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,enter,q,ctrl+c", "answer(False)", "No"),
    ]

    def __init__(self, text: str, *, can_do: bool) -> None:
        super().__init__()
        self._text = text
        self._can_do = can_do

    def compose(self) -> ComposeResult:
        """Yield the box with the question."""
        with Vertical(id="box"):
            yield Static(self._text, id="text", markup=False)
            keys = "y: do it    n, Esc or Enter: do not"
            yield Static(keys if self._can_do else "Esc leaves", id="keys")

    def action_answer(self, yes: bool) -> None:  # noqa: FBT001 - textual calls it
        """
        Leave with an answer.

        Args:
            yes: Whether it is to be done.
        """
        self.dismiss(yes and self._can_do)
