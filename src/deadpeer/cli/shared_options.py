"""Options that several verbs have, each in the same words."""

import click

from deadpeer.cli.durations import SECONDS

__all__ = ["ALLOW_STALLED_READER", "JSON", "RTT", "YES"]

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
YES = click.option("--yes", is_flag=True, help="Do it. Without, it is only shown.")
RTT = click.option(
    "--rtt",
    type=SECONDS,
    metavar="SECONDS",
    help="The longest round trip to reckon with.",
)
ALLOW_STALLED_READER = click.option(
    "--allow-stalled-reader",
    is_flag=True,
    help="Plan so that a live peer is never ended for not reading (Linux 6.15).",
)
