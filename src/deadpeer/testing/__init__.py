"""For your tests: virtual time for asyncio, and a link that is made of numbers."""

from deadpeer.testing.detectors import check_detector
from deadpeer.testing.fake_link import FakeLink, fake_streams
from deadpeer.testing.fake_transport import FakeTransport
from deadpeer.testing.link_model import LinkModel, Shape, Side
from deadpeer.testing.replay import QualityOfService, replay
from deadpeer.testing.traces import Passage, Trace, Weather, synthesize
from deadpeer.testing.virtual_loop import VirtualLoop, run

__all__ = [
    "FakeLink",
    "FakeTransport",
    "LinkModel",
    "Passage",
    "QualityOfService",
    "Shape",
    "Side",
    "Trace",
    "VirtualLoop",
    "Weather",
    "check_detector",
    "fake_streams",
    "replay",
    "run",
    "synthesize",
]
