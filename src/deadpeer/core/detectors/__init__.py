"""
Failure detectors: when does a peer that beats regularly count as gone?

One file each, with its paper. All of them answer with a deadline, so that
nobody has to ask again and again; ``base`` says what they have in common.
"""

from deadpeer.core.detectors.base import Detector
from deadpeer.core.detectors.bertier import Bertier
from deadpeer.core.detectors.chen import Chen
from deadpeer.core.detectors.fixed import Fixed
from deadpeer.core.detectors.phi_exponential import PhiExponential
from deadpeer.core.detectors.phi_normal import PhiNormal
from deadpeer.core.detectors.two_window import TwoWindow

__all__ = [
    "Bertier",
    "Chen",
    "Detector",
    "Fixed",
    "PhiExponential",
    "PhiNormal",
    "TwoWindow",
]
