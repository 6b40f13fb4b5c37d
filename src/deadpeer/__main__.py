"""Make ``python -m deadpeer`` the same as ``deadpeer``."""

from deadpeer.cli import main

if __name__ == "__main__":
    main()
