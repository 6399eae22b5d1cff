"""Show the roles of reStructuredText in docstrings, such as ``:class:`Name```, as code in the Python reference."""

from __future__ import annotations

import re
from typing import Any, Final

import griffe

_ROLE: Final = re.compile(r":(?:py:)?(?:class|func|meth|mod|attr|data|exc|obj|const):`(~?)([^`<]+?)(?: <[^`]*>)?`")


def plain(text: str) -> str:
    """Return a docstring with names in place of roles; a tilde leaves the last part of a name, as in Sphinx."""
    return _ROLE.sub(lambda role: f"`{role[2].rpartition('.')[2] if role[1] else role[2]}`", text)


class PlainRoles(griffe.Extension):
    """The extension of the reference."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:  # noqa: ANN401 (griffe's)
        """Change the docstring of an object that was read."""
        if obj.docstring is not None:
            obj.docstring.value = plain(obj.docstring.value)
