"""Which methods an address takes, over all the routes that share it."""

from __future__ import annotations

from collections.abc import Iterable
from re import Pattern

from starlette.routing import compile_path


class AllowedMethods:
    """The whole of an ``Allow`` header; a router alone names the methods of one route.

    Parameters
    ----------
    routes : iterable of (str, iterable of str)
        Path templates and their methods.
    """

    def __init__(self, routes: Iterable[tuple[str, Iterable[str]]] = ()) -> None:
        self._routes: list[tuple[Pattern[str], frozenset[str]]] = []
        self._exact: dict[str, frozenset[str]] = {}
        for path, methods in routes:
            self.add(path, methods)

    def add(self, path: str, methods: Iterable[str]) -> None:
        """Take notice of a route."""
        taken = frozenset(method.upper() for method in methods)
        if "{" in path:
            self._routes.append((compile_path(path)[0], taken))
        else:
            self._exact[path] = self._exact.get(path, frozenset()) | taken

    def of(self, path: str) -> str:
        """Return the value of the header for an address; a route of just this path hides those with parameters."""
        if path in self._exact:
            return ", ".join(sorted(self._exact[path]))
        found: set[str] = set()
        for pattern, methods in self._routes:
            if pattern.match(path):
                found |= methods
        return ", ".join(sorted(found))
