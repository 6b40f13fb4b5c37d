"""
Colours and shapes: one style for pictures, one for the page around them.

Light and dark are two sets of the same variables. Text has a contrast of 4.5 to 1
or more on its ground, and nothing is said by colour alone.

Source:
    Web Content Accessibility Guidelines 2.2, 1.4.1 and 1.4.3.
"""

__all__ = ["COLOURS", "PICTURE"]

LIGHT = (
    "--bg:#fff;--panel:#f6f8fa;--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;"
    "--alive:#2f81c7;--dead:#cf3f32;--pale:#fbe5e2;--promise:#7b3fb8;"
    "--good:#116b31;--bad:#b3261e;--warn:#fdecea"
)
DARK = (
    "--bg:#0d1117;--panel:#161b22;--ink:#e6edf3;--soft:#9aa5b1;--line:#30363d;"
    "--alive:#58a6ff;--dead:#ff7b6b;--pale:#3b1a18;--promise:#c79bf2;"
    "--good:#56d364;--bad:#ff8f85;--warn:#3a1a1a"
)

COLOURS = f":root{{{LIGHT}}}@media (prefers-color-scheme:dark){{:root{{{DARK}}}}}"
"""The variables. An image takes the viewer's scheme, whatever the page around it."""

PICTURE = (
    ".dp text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;"
    "fill:var(--ink)}"
    ".dp .t{font-size:17px;font-weight:600}"
    ".dp .h{font-size:13px;font-weight:600}"
    ".dp .s{fill:var(--soft);font-weight:400}"
    ".dp .b{fill:var(--bg)}"
    ".dp .g{fill:var(--panel)}"
    ".dp .x{fill:var(--warn)}"
    ".dp .l{stroke:var(--line);fill:none}"
    ".dp .c{stroke:var(--ink);stroke-width:1.5;fill:none}"
    ".dp .q{stroke:var(--promise);stroke-width:1.8;stroke-dasharray:5 3;fill:none}"
    ".dp .n{fill:var(--promise);font-weight:600}"
    ".dp .a{fill:var(--alive)}"
    ".dp .r,.dp .k{fill:var(--dead)}"
    ".dp .d{stroke:var(--dead);stroke-width:.8}"
    ".dp .e{fill:var(--pale)}"
    ".dp .o{fill:var(--bg);stroke:var(--alive);stroke-dasharray:2 2}"
    ".dp .p{fill:none;stroke:var(--ink);stroke-width:1.3}"
    ".dp .m{fill:var(--ink);stroke:var(--bg)}"
    ".dp .w{fill:var(--ink)}"
    ".dp .f{stroke:var(--bad);stroke-width:3;fill:none}"
    ".dp .z{paint-order:stroke;stroke:var(--panel);stroke-width:3px}"
    ".dp .v{fill:var(--bad);font-weight:600}"
)
"""What the classes of a picture look like; single letters, as there are many."""
