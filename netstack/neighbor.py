"""Neighbours."""

from __future__ import annotations


class Neighbor:
    def confirm(self) -> None: ...
