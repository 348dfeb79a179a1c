"""config.json of a bundle (OCI runtime-spec config.md and config-linux.md), typed."""

from __future__ import annotations

import json
import posixpath

from .hooks import Hook, read_hooks
from .mounts import Mount
from .process import MAX_ID, Process
from .reader import BadConfig, Reader

TYPE_BITS = {"c": 0o020000, "u": 0o020000, "b": 0o060000, "p": 0o010000}
MAX_SIZE = 16 << 20


class Device:
    def __init__(self, node: Reader) -> None:
        self.path = node.text("path")
        kind = node.text("type")
        if kind not in TYPE_BITS:
            raise BadConfig(f"{node.path}.type: unknown device type {kind!r}")
        self.mode = TYPE_BITS[kind] | node.number("fileMode", 0o666) & 0o7777
        self.major = node.number("major", 0, high=(1 << 32) - 1)
        self.minor = node.number("minor", 0, high=(1 << 32) - 1)
        self.uid = node.number("uid", 0, high=MAX_ID)
        self.gid = node.number("gid", 0, high=MAX_ID)


class Resources:
    """Limits for the cgroup; -1 is "no limit", None is "not given"."""

    def __init__(self, node: Reader) -> None:
        memory, cpu, pids = node.child("memory"), node.child("cpu"), node.child("pids")
        self.memory = _limit(memory, "limit")
        self.swap = _limit(memory, "swap")
        self.reservation = _limit(memory, "reservation")
        self.pids = _limit(pids, "limit")
        self.shares = _limit(cpu, "shares")
        self.quota = _limit(cpu, "quota")
        self.period = _limit(cpu, "period")
        self.cpus = cpu.text("cpus", "")
        self.mems = cpu.text("mems", "")


def _limit(node: Reader, key: str) -> int | None:
    return node.number(key, low=-1, high=(1 << 63) - 1) if node.has(key) else None


class Spec:
    """A container as its bundle asks for it."""

    def __init__(self, process: Process, root: str) -> None:
        self.process = process
        self.root = root
        self.root_readonly = False
        self.hostname = ""
        self.domainname = ""
        self.mounts: list[Mount] = []
        self.hooks: dict[str, list[Hook]] = {}
        self.annotations: dict[str, str] = {}
        self.namespaces: dict[str, str] = {}  # kind: path, "" for a new one
        self.uid_maps: list[tuple[int, int, int]] = []
        self.gid_maps: list[tuple[int, int, int]] = []
        self.cgroups_path = ""
        self.resources = Resources(Reader({}))
        self.devices: list[Device] = []
        self.sysctl: dict[str, str] = {}
        self.masked_paths: list[str] = []
        self.readonly_paths: list[str] = []
        self.seccomp: object = None
        self.mortal_init = False  # not in config.json: `do` sets it

    @classmethod
    def read(cls, text: bytes, bundle: str) -> Spec:
        try:
            node = Reader(json.loads(text))
        except (ValueError, RecursionError) as err:
            raise BadConfig(f"$: not JSON ({err})")
        version = node.text("ociVersion")
        if not version.startswith("1."):
            raise BadConfig(f"$.ociVersion: {version!r} is not 1.x")
        root = node.child("root")
        spec = cls(Process.read(node.child("process")), posixpath.join(bundle, root.text("path")))
        spec.root_readonly = root.flag("readonly")
        spec.hostname = node.text("hostname", "")
        spec.domainname = node.text("domainname", "")
        spec.mounts = [Mount.read(entry, bundle) for entry in node.objects("mounts")]
        spec.hooks = read_hooks(node.child("hooks"))
        spec.annotations = node.text_map("annotations")
        spec._read_linux(node.child("linux"))
        return spec

    def _read_linux(self, linux: Reader) -> None:
        for namespace in linux.objects("namespaces"):
            self.namespaces[namespace.text("type")] = namespace.text("path", "")
        self.uid_maps = [_id_map(entry) for entry in linux.objects("uidMappings")]
        self.gid_maps = [_id_map(entry) for entry in linux.objects("gidMappings")]
        self.cgroups_path = linux.text("cgroupsPath", "")
        self.resources = Resources(linux.child("resources"))
        self.devices = [Device(entry) for entry in linux.objects("devices")]
        self.sysctl = linux.text_map("sysctl")
        self.masked_paths = linux.texts("maskedPaths")
        self.readonly_paths = linux.texts("readonlyPaths")
        self.seccomp = linux.raw("seccomp")


def _id_map(node: Reader) -> tuple[int, int, int]:
    size = 1 << 32
    return node.number("containerID", high=size), node.number("hostID", high=size), node.number("size", high=size)


def load(bundle: str) -> Spec:
    """The config.json of `bundle`. Raises OSError and BadConfig."""
    with open(posixpath.join(bundle, "config.json"), "rb") as file:
        text = file.read(MAX_SIZE + 1)
    if len(text) > MAX_SIZE:
        raise BadConfig(f"$: longer than {MAX_SIZE} bytes")
    return Spec.read(text, bundle)
