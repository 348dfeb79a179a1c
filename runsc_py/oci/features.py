"""What this runtime makes of a config.json (OCI runtime-spec features.md), from the tables that decide it."""

from __future__ import annotations

from runsc_py import VERSION

from .hooks import POINTS
from .mounts import FLAGS, NO_MEANING, PROPAGATION, RECURSIVE
from .process import CAPABILITIES

VERSION_MIN, VERSION_MAX = "1.0.0", "1.1.0"
NAMESPACES = ("cgroup", "ipc", "mount", "network", "pid", "user", "uts")


def features() -> dict[str, object]:
    """The structure of features.md. What is false is read in config.json and not acted on."""
    options = {*FLAGS, *PROPAGATION, *NO_MEANING, *RECURSIVE, "bind", "rbind", "tmpcopyup"}
    no: dict[str, object] = {"enabled": False}
    return {
        "ociVersionMin": VERSION_MIN,
        "ociVersionMax": VERSION_MAX,
        "hooks": list(POINTS),
        "mountOptions": sorted(options),
        "linux": {
            "namespaces": list(NAMESPACES),
            "capabilities": [f"CAP_{name}" for name in CAPABILITIES],
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": False},
            "seccomp": no,  # not unless asked for by --oci-seccomp
            "apparmor": no,
            "selinux": no,
            "intelRdt": no,
        },
        "annotations": {"runsc-py.version": VERSION},
    }
