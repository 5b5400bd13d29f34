# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacing parts of moto: collected by module, applied once, inactive while no lab context is active."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from lab.api.context import active

Replacement = Callable[..., Any]


class PatchSet:
    """The patches of one module.

    A replacement is called as ``replacement(context, original, *args, **kwargs)``. Without an active context the
    original runs, so a process that imported the lab still has stock moto when it wants it.
    """

    def __init__(self) -> None:
        self._pending: list[Callable[[], None]] = []

    def function(self, owner: Any, name: str) -> Callable[[Replacement], Replacement]:
        """Replace the method (or module function) ``name`` of ``owner``."""
        return self._collect(owner, name, self._replace_function)

    def getter(self, owner: Any, name: str) -> Callable[[Replacement], Replacement]:
        """Replace what the property ``name`` of ``owner`` returns."""
        return self._collect(owner, name, self._replace_getter)

    def added_getter(self, owner: Any, name: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
        """Give ``owner`` a read-only property that moto does not have, from ``getter(self)``."""

        def decorate(getter: Callable[[Any], Any]) -> Callable[[Any], Any]:
            self._pending.append(lambda: setattr(owner, name, property(getter)))
            return getter

        return decorate

    def apply(self) -> None:
        """Apply what was collected; later calls find nothing left to do."""
        while self._pending:
            self._pending.pop(0)()

    def _collect(
        self, owner: Any, name: str, replace: Callable[[Any, str, Replacement], None]
    ) -> Callable[[Replacement], Replacement]:
        def decorate(replacement: Replacement) -> Replacement:
            if name not in vars(owner):
                raise AttributeError(f"moto's {owner.__name__} has no '{name}' to patch")
            self._pending.append(lambda: replace(owner, name, replacement))
            return replacement

        return decorate

    @staticmethod
    def _replace_function(owner: Any, name: str, replacement: Replacement) -> None:
        original = vars(owner)[name]

        @functools.wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:
            context = active()
            if context is None:
                return original(*args, **kwargs)
            return replacement(context, original, *args, **kwargs)

        setattr(owner, name, method)

    @staticmethod
    def _replace_getter(owner: Any, name: str, replacement: Replacement) -> None:
        original = vars(owner)[name].fget

        def getter(self: Any) -> Any:
            context = active()
            return original(self) if context is None else replacement(context, original, self)

        setattr(owner, name, property(getter))
