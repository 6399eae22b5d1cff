"""``python -m cryomamba`` is ``cryomamba``."""

from importlib import import_module

if __name__ == "__main__":
    import_module("cryomamba_cli").main()
