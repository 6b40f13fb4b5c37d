"""The tables of the HTML page."""

from collections.abc import Iterable

from deadpeer.lab.rendering.markup import Markup, element
from deadpeer.lab.rendering.report import Glance, Section
from deadpeer.lab.rendering.row import Row, story
from deadpeer.lab.rendering.words import (
    DONE,
    about,
    state_label,
    title_of,
)
from deadpeer.lab.scenario import Measurement, Setting
from deadpeer.lab.terms import Fault
from deadpeer.policy.heartbeat import Heartbeat

__all__ = [
    "failures_list",
    "glance_table",
    "heartbeats_table",
    "measurements_table",
    "settings_table",
]


def glance_table(compared: Glance, caption: str) -> Markup:
    """
    Return situations against settings, with what was measured.

    Args:
        compared: What to show.
        caption: What the table is.
    """
    body = []
    for situation in compared.situations:
        cells = [_header(state_label(situation), scope="row")]
        for setting in compared.settings:
            row = compared.rows.get((situation, setting.name))
            cells.append(element("td", "-") if row is None else _glance_cell(row))
        body.append(element("tr", *cells))
    heads = ["state", *(setting.name for setting in compared.settings)]
    return _table(caption, heads, body)


def _glance_cell(row: Row) -> Markup:
    if row.failures:
        return element("td", f"{row.verdict}: {row.measured}", class_="bad")
    if not row.is_noticed:
        return element("td", row.measured, class_="bad")
    return element("td", row.measured, class_="good" if row.is_kept else None)


def measurements_table(sections: Iterable[Section], caption: str) -> Markup:
    """
    Return predicted against measured, a group for each section.

    Args:
        sections: What to show.
        caption: What the table is.
    """
    body = []
    for section in sections:
        verdict = element("span", f" {section.verdict}")
        heading = element("th", section.title, verdict, colspan=5, scope="colgroup")
        body.append(element("tr", heading, class_="group"))
        body += map(_measurement_row, section.rows)
    return _table(caption, ["", "predicted", "measured", "ok", "decided by"], body)


def _measurement_row(row: Row) -> Markup:
    return element(
        "tr",
        _header(row.label, scope="row"),
        element("td", row.predicted),
        element("td", row.measured),
        element("td", row.verdict, class_="bad" if row.failures else "good"),
        element("td", row.why, class_="why"),
        class_="failed" if row.failures else None,
    )


def failures_list(failures: Iterable[Measurement]) -> Markup:
    """
    Return what lies outside its prediction, each in full.

    Args:
        failures: What to show.
    """
    items = (
        element("li", element("code", m.cell.id), f": {story(m)}") for m in failures
    )
    return element("ul", *items)


def settings_table(settings: Iterable[Setting], caption: str) -> Markup:
    """
    Return the settings with the values that are in force under each.

    Args:
        settings: What to show.
        caption: What the table is.
    """
    heads = [
        "name",
        "settings",
        "SO_KEEPALIVE",
        "TCP_KEEPIDLE",
        "TCP_KEEPINTVL",
        "TCP_KEEPCNT",
        "TCP_USER_TIMEOUT",
        "TCP_RTO_MAX_MS",
        "promise",
        "a reader may pause",
    ]
    return _table(caption, heads, [_settings_row(setting) for setting in settings])


def _settings_row(setting: Setting) -> Markup:
    asked, keepalive = setting.keepalive, setting.keepalive.over(setting.defaults)
    patient = bool(keepalive.user_timeout)
    probing = ["off", "-", "-", "-"]
    if keepalive.on:
        counts = "ignored" if patient else str(keepalive.probes)
        probing = ["on", about(keepalive.idle), about(keepalive.interval), counts]
    values = [
        title_of(setting),
        *probing,
        about(keepalive.user_timeout) if patient else "off",
        "-" if asked.rto_max is None else about(asked.rto_max),
        "none" if setting.promise is None else about(setting.promise),
        about(setting.longest_pause),
    ]
    cells = [element("td", value) for value in values]
    return element("tr", _header(setting.name, scope="row"), *cells)


def heartbeats_table(measurements: Iterable[Measurement], caption: str) -> Markup:
    """
    Return the heartbeats, each with what it was for.

    Args:
        measurements: Where they are found.
        caption: What the table is.
    """
    found: dict[Heartbeat, dict[Fault, None]] = {}
    for m in measurements:
        if m.cell.setting.heartbeat:
            found.setdefault(m.cell.setting.heartbeat, {})[m.cell.fault] = None
    rows = [
        element(
            "tr",
            element("td", about(round(heartbeat.interval, 2))),
            element("td", about(round(heartbeat.timeout, 2))),
            element("td", ", ".join(DONE[fault] for fault in faults)),
        )
        for heartbeat, faults in found.items()
    ]
    return _table(caption, ["interval", "timeout", "where"], rows)


def _table(caption: str, heads: Iterable[str], body: Iterable[Markup]) -> Markup:
    top = element("tr", *(_header(head, scope="col") for head in heads))
    table = element(
        "table",
        element("caption", caption),
        element("thead", top),
        element("tbody", *body),
    )
    # What scrolls must be reachable by keyboard.
    return element(
        "div", table, class_="scroll", role="region", aria_label=caption, tabindex=0
    )


def _header(text: str, *, scope: str) -> Markup:
    why = "why" if text == "decided by" else None
    return element("th", text, scope=scope, class_=why)
