"""``python -m cryomamba_cli`` is the same as ``cryomamba``."""

from cryomamba_cli import main

if __name__ == "__main__":
    main()
