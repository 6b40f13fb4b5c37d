"""Records that undo would act on: damaged, forged, of another version."""

import json
import random
import tempfile
from pathlib import Path

from target import mangled, run

from deadpeer.kernel.sysctl.files import file_text
from deadpeer.kernel.sysctl.record import OWN_FILE, FileChange, LiveChange, Record, load

KEY = "net.ipv4.tcp_keepalive_time"
WHOLE = Record(
    made_at="2026-01-01T00:00:00+00:00",
    boot_id="0b00d1d0-0000-4000-8000-000000000000",
    namespace=4026531840,
    made=1,
    live=(LiveChange(key=KEY, old="7200", new=60),),
    file=FileChange(path=OWN_FILE, new=file_text({KEY: 60}), made=0, old=None),
).as_text()
ODD: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**400,
    "",
    "../../etc/passwd",
    [],
    {},
    [[]],
    "net.x",
)

FOLDER = tempfile.TemporaryDirectory(prefix="deadpeer-fuzz-")


def check(rng: random.Random) -> None:
    path = Path(FOLDER.name, "set-0001.json")
    text = mangled(rng, (WHOLE,)) if rng.random() < 0.5 else forged(rng)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    record = load(path)
    # Whatever is accepted can make undo write only what set may have written.
    assert all(change.key.startswith("net.ipv4.tcp_") for change in record.live)
    assert record.file is None or record.file.path == OWN_FILE


def forged(rng: random.Random) -> str:
    """Return a record in which one value is another."""
    whole = json.loads(WHOLE)
    within = rng.choice([whole, whole["live"][0], whole["file"]])
    within[rng.choice(sorted(within))] = rng.choice(ODD)
    return json.dumps(whole)


if __name__ == "__main__":
    with FOLDER:
        run(check)
