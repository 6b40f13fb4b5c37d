"""The six detectors, and settings that make each of them differ from its neighbours."""

from deadpeer.core.detectors import (
    Bertier,
    Chen,
    Fixed,
    PhiExponential,
    PhiNormal,
    TwoWindow,
)

KINDS = (Bertier, Chen, Fixed, PhiExponential, PhiNormal, TwoWindow)

SETTINGS = [
    *((kind, {}) for kind in KINDS),
    *((kind, {"floor": 1e-3}) for kind in KINDS),
    (Fixed, {"margin": 0.0, "floor": 0.25}),
    (Chen, {"margin": 0.2, "window": 1, "floor": 0.1}),
    (Chen, {"margin": 0.0, "window": 8, "floor": 0.05}),
    (TwoWindow, {"margin": 0.3, "short": 2, "long": 5, "floor": 0.1}),
    (Bertier, {"window": 3, "beta": 2.0, "gamma": 0.9, "floor": 0.1}),
    (PhiNormal, {"threshold": 1.0, "window": 2, "floor": 0.1}),
    (PhiNormal, {"threshold": 1000.0, "window": 10, "floor": 0.1}),
    (PhiExponential, {"threshold": 0.1, "window": 1, "floor": 0.1}),
]


def title(setting) -> str:
    kind, given = setting
    return f"{kind.__name__}({', '.join(f'{k}={v}' for k, v in given.items())})"
