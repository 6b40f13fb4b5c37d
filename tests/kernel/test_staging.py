"""Files that appear whole or not at all, and where they are meant to."""

import pytest

from deadpeer.kernel.staging import NewFile


def test_a_link_that_somebody_put_in_place_meanwhile_is_not_followed(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"untouched")
    new = NewFile(target=tmp_path / "record", data=b"ours")
    create, write = new.stage()
    create.do()
    new.temporary.unlink()
    new.temporary.symlink_to(theirs)
    with pytest.raises(OSError, match="symbolic links"):
        write.do()
    assert theirs.read_bytes() == b"untouched"
