"""The config.json that `spec` writes (OCI runtime-spec config.md): a shell on ./rootfs, to be edited."""

from __future__ import annotations

from .features import VERSION_MAX

CAPS = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
ENV = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]
RESTRICTED = ["nosuid", "noexec", "nodev"]
MASKED = "acpi asound kcore keys latency_stats timer_list timer_stats sched_debug scsi".split()
READ_ONLY = "bus fs irq sys sysrq-trigger".split()
NOFILE = 1024

Document = dict[str, object]


def template(args: list[str], cwd: str = "/", netns: str = "", rootless: tuple[int, int] | None = None) -> Document:
    """`rootless` is (uid, gid) of who is to be user 0 inside: no network and no limits of its own then."""
    namespaces: list[Document] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    linux: Document = {"namespaces": namespaces}
    if rootless:
        namespaces.append({"type": "user"})
        linux["uidMappings"] = [{"containerID": 0, "hostID": rootless[0], "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": rootless[1], "size": 1}]
    else:
        namespaces.insert(1, {"type": "network", "path": netns} if netns else {"type": "network"})
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    linux["maskedPaths"] = [*(f"/proc/{name}" for name in MASKED), "/sys/firmware"]
    linux["readonlyPaths"] = [f"/proc/{name}" for name in READ_ONLY]
    return {
        "ociVersion": VERSION_MAX,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ENV,
            "cwd": cwd,
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPS),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": NOFILE, "soft": NOFILE}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "runsc-py",
        "mounts": mounts(with_groups=not rootless),
        "linux": linux,
    }


def mounts(with_groups: bool) -> list[Document]:
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *(["gid=5"] if with_groups else [])]
    listed: list[tuple[str, str, str, list[str]]] = [
        ("/proc", "proc", "proc", []),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", "devpts", pts),
        ("/dev/shm", "tmpfs", "shm", [*RESTRICTED, "mode=1777", "size=65536k"]),
        ("/dev/mqueue", "mqueue", "mqueue", RESTRICTED),
        ("/sys", "sysfs", "sysfs", [*RESTRICTED, "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", [*RESTRICTED, "relatime", "ro"]),
    ]
    return [
        {"destination": at, "type": kind, "source": source, **({"options": options} if options else {})}
        for at, kind, source, options in listed
    ]
