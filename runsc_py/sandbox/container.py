"""A container as the commands see it: its record, who is alive, its status (OCI runtime-spec runtime.md, "State")."""

from __future__ import annotations

from runsc_py import SPEC_VERSION
from runsc_py.errors import Failure

from . import process
from .client import ask
from .directory import Directory, Record, check_id


class Container:
    """What state.json says, and what /proc and the Sentry say of it now."""

    def __init__(self, directory: Directory, record: Record) -> None:
        self.directory = directory
        self.record = record

    @classmethod
    def open(cls, root: str, container_id: str) -> Container:
        directory = Directory.find(root, check_id(container_id))
        if directory is None:
            raise Failure(f"container {container_id}", "does not exist", "`runsc-py list` shows those that do")
        return cls(directory, directory.read())

    def _number(self, key: str) -> int:
        value = self.record.get(key)
        return value if isinstance(value, int) else 0

    @property
    def stub(self) -> tuple[int, int]:
        return self._number("pid"), self._number("stubStart")

    @property
    def sentry(self) -> tuple[int, int]:
        return self._number("sentryPid"), self._number("sentryStart")

    @property
    def creator(self) -> tuple[int, int]:
        return self._number("creatorPid"), self._number("creatorStart")

    @property
    def cgroups(self) -> list[str]:
        return self._texts("cgroups")

    @property
    def cgroup_parents(self) -> list[str]:
        return self._texts("cgroupParents")

    def _texts(self, key: str) -> list[str]:
        value = self.record.get(key)
        return [path for path in value if isinstance(path, str)] if isinstance(value, list) else []

    def is_alive(self) -> bool:
        return process.is_alive(*self.stub) and process.is_alive(*self.sentry)

    def status(self) -> str:
        """creating, created, running, paused or stopped; a Sentry that is too busy to say is taken to run."""
        if not self._number("pid"):
            return "creating" if process.is_alive(*self.creator) else "stopped"
        if not self.is_alive():
            return "stopped"
        try:
            answer = ask(f"{self.directory.path}/control", {"op": "state"}, 2.0)
        except TimeoutError:
            return "running"
        except OSError:
            return "stopped"
        return str(answer.get("status", "running"))

    def state(self) -> Record:
        """The state document, with pid 0 once it has stopped."""
        status = self.status()
        pid = 0 if status == "stopped" else self._number("pid")
        document: Record = {"ociVersion": SPEC_VERSION, "id": self.directory.id, "pid": pid, "status": status}
        for key in ("bundle", "rootfs", "created", "owner", "annotations"):
            if key in self.record:
                document[key] = self.record[key]
        return document

    def ask(self, request: Record, timeout_s: float | None = 10.0, fds: list[int] | None = None) -> Record:
        """One request to the Sentry; its refusal is a Failure."""
        answer = ask(f"{self.directory.path}/control", request, timeout_s, fds)
        if "error" in answer:
            raise Failure(f"container {self.directory.id}", str(answer["error"]))
        return answer
