"""
Elements of HTML and SVG, made so that text cannot become markup by accident.

A plain string is text and is escaped; only what `element` made is markup. The
result is well-formed XML, and HTML too.
"""

from html import escape

__all__ = ["Markup", "element", "joined"]

# What the two languages close by itself; anything else gets an end tag, since
# HTML would take <td/> for the beginning of a cell.
EMPTY = frozenset(("br", "line", "link", "meta", "path", "rect", "use"))


class Markup(str):
    """Text that is already markup."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: object) -> Markup:
    """
    Return an element.

    Args:
        name: Its tag.
        children: Text, which is escaped, and `Markup`, which is not.
        attributes: By name. ``class_`` is ``class``, and ``aria_label`` is
            ``aria-label``. None leaves one out. A float loses needless digits.

    >>> element("b", "1 < 2", class_="x")
    '<b class="x">1 &lt; 2</b>'
    """
    given = "".join(
        f' {_attribute_name(key)}="{escape(_attribute_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in EMPTY:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(parts: tuple[str, ...] | list[str]) -> Markup:
    """
    Return parts one after the other.

    Args:
        parts: Text, which is escaped, and `Markup`, which is not.

    >>> joined(["a & b", element("br")])
    'a &amp; b<br/>'
    """
    return Markup(
        "".join(
            part if isinstance(part, Markup) else escape(_printable(part), quote=False)
            for part in parts
        )
    )


def _attribute_name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _attribute_text(value: object) -> str:
    if isinstance(value, float):
        return f"{round(value, 1):g}"
    return _printable(str(value))


def _printable(text: str) -> str:
    # XML has no way at all to write most control characters.
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )
