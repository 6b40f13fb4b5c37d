"""Code for a child process that gives up its privileges, after its imports."""

# As root another user does; the root of a user namespace may be its only user, so
# there the capabilities go. capset(2): version 3 of the header, two empty sets.
GIVE_UP = """
import ctypes, os
def give_up_privileges():
    try:
        os.seteuid(65534)
    except OSError:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
"""
