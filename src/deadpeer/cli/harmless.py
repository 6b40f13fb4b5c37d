"""Names that others have chosen, on a terminal that would obey some of them."""

__all__ = ["harmless"]


def harmless(text: str) -> str:
    r"""
    Return a text without anything that a terminal would obey, line breaks included.

    Args:
        text: The name of a process, say: it may give itself any.

    >>> harmless("/a\x1b[2J")
    '/a\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
