"""``python -m cryomamba.cli`` is ``cryomamba``."""

from cryomamba.cli import main

if __name__ == "__main__":
    main()
