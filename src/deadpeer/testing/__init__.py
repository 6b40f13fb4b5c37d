"""For your tests: virtual time for asyncio, and a link that is made of numbers."""

from deadpeer.testing.detectors import check_detector
from deadpeer.testing.drivers import Driver, Playback, check_driver
from deadpeer.testing.fake_link import FakeLink, fake_streams
from deadpeer.testing.fake_transport import FakeTransport
from deadpeer.testing.far_end import FarEnd, FarOnLink, Lines, Speech
from deadpeer.testing.known_scripts import SCRIPTS
from deadpeer.testing.link_model import LinkModel, Shape, Side
from deadpeer.testing.replay import QualityOfService, replay
from deadpeer.testing.scripted_peer import ScriptedPeer, SocketDriver
from deadpeer.testing.scripts import Act, Script, Step
from deadpeer.testing.simulated import simulate
from deadpeer.testing.traces import Passage, Trace, Weather, synthesize
from deadpeer.testing.virtual_loop import VirtualLoop, run

__all__ = [
    "SCRIPTS",
    "Act",
    "Driver",
    "FakeLink",
    "FakeTransport",
    "FarEnd",
    "FarOnLink",
    "Lines",
    "LinkModel",
    "Passage",
    "Playback",
    "QualityOfService",
    "Script",
    "ScriptedPeer",
    "Shape",
    "Side",
    "SocketDriver",
    "Speech",
    "Step",
    "Trace",
    "VirtualLoop",
    "Weather",
    "check_detector",
    "check_driver",
    "fake_streams",
    "replay",
    "run",
    "simulate",
    "synthesize",
]
