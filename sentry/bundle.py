"""The Sentry's modules in one file: its start reads one instead of four hundred.

A cache like the interpreter's own .pyc files, and trusted like them: code as marshal writes it, beside the compiled
filters. It is used only while every source has the size and time that it was made from, made anew when it has not, and
done without where it cannot be written.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

PATH = os.path.join(os.path.dirname(__file__), "engine", "cache", f"modules-{sys.implementation.cache_tag}.bin")
PACKAGES = ("sentry", "syscalls", "vfs", "netstack")
Entry = tuple[bool, str, int, int, bytes]  # is a package, path of its source, time in ns, size, code


class Bundle:
    """Finder and loader of the modules in `entries`, as long as it stands in sys.meta_path."""

    def __init__(self, path: str = PATH) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.stale = True

    def use(self) -> None:
        """Modules come from the file from now on, if it is fresh."""
        try:
            with open(self.path, "rb") as file:
                entries: dict[str, Entry] = marshal.loads(file.read())
            for _, source, mtime_ns, size, _ in entries.values():
                st = os.stat(source)
                if st.st_mtime_ns != mtime_ns or st.st_size != size:
                    return
        except (OSError, ValueError, EOFError, TypeError, AttributeError):
            return
        self.entries = entries
        self.stale = False
        sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Everything is imported: the memory is given back, a stale file is made anew."""
        if self.stale:
            self._write()
        elif self in sys.meta_path:
            sys.meta_path.remove(self)
        self.entries = {}

    def _write(self) -> None:
        new = f"{self.path}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(new), exist_ok=True)
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError:
            return  # before anything is read for it
        try:
            with open(fd, "wb") as file:
                file.write(marshal.dumps(self._gathered()))
            os.replace(new, self.path)
        except (OSError, ImportError, ValueError):
            os.unlink(new)

    def _gathered(self) -> dict[str, Entry]:
        """What was imported of our packages. OSError and ImportError for what is gone meanwhile."""
        entries: dict[str, Entry] = {}
        for name, module in sorted(sys.modules.items()):
            spec = module.__spec__ if name.partition(".")[0] in PACKAGES else None
            if spec is None or spec.origin is None or spec.loader is None or not spec.origin.endswith(".py"):
                continue
            source = spec.origin
            st = os.stat(source)
            code = spec.loader.get_code(name)  # type: ignore[attr-defined]
            is_package = spec.submodule_search_locations is not None
            entries[name] = (is_package, source, st.st_mtime_ns, st.st_size, marshal.dumps(code))
        return entries

    # the import system's side (importlib.abc) -----------------------------------------------------------------------
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        entry = self.entries.get(name)
        if entry is None:
            return None
        is_package, source, _, _, _ = entry
        spec = ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(source)]
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        code: CodeType = marshal.loads(self.entries[module.__name__][4])
        exec(code, module.__dict__)
