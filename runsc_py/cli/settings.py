"""Global options: those of runc(8) and crun(1), and gVisor's runsc command line where it says something to us."""

from __future__ import annotations

from runsc_py.errors import Failure
from runsc_py.sandbox.directory import DEFAULT_ROOT

from .options import SWITCH, VALUE, Options, parse

USED = {
    "root": VALUE,
    "log": VALUE,
    "log-format": VALUE,
    "debug": SWITCH,
    "debug-log": VALUE,
    "strace": SWITCH,
    "profile": SWITCH,
    "platform": VALUE,
    "network": VALUE,
    "pcap-log": VALUE,
    "ignore-cgroups": SWITCH,
    "systemd-cgroup": SWITCH,
    "cgroup-manager": VALUE,
    "overlay": SWITCH,
    "overlay2": VALUE,
    "oci-seccomp": SWITCH,
    "version": SWITCH,
    "help": SWITCH,
}
# Of runc, crun or runsc; tuning, or about parts that we have not: saying nothing about them changes no result.
HARMLESS = {
    **dict.fromkeys(("criu", "rootless", "log-level"), VALUE),
    **dict.fromkeys(
        "debug-log-format debug-command panic-log panic-log-fd coverage-report log-fd debug-log-fd strace-syscalls "
        "strace-log-size platform_device_path profile-block profile-cpu profile-heap profile-mutex trace "
        "file-access file-access-mounts qdisc watchdog-action panic-signal num-network-channels dcache host-fifo "
        "host-settings ref-leak-mode fdlimit metric-server pod-init-config final-metrics-log profiling-metrics "
        "sink-timeout controller-config".split(),
        VALUE,
    ),
    **dict.fromkeys(
        "debug-to-user-log alsologtostderr strace-event log-packets net-raw gso software-gso gvisor-gro "
        "tx-checksum-offload rx-checksum-offload overlayfs-stale-read vfs2 fuse lisafs cgroupfs directfs "
        "cpu-num-from-quota enable-core-tags buffer-pooling allow-flag-override iouring allow-suid "
        "reproduce-nat reproduce-nftables net-disconnect-ok systrap-disable-syscall-patching".split(),
        SWITCH,
    ),
}
REFUSED = {
    "nvproxy": "host GPUs are not passed on",
    "tpuproxy": "host TPUs are not passed on",
    "host-uds": "sockets of the host are not passed on",
    "fsgofer-host-uds": "sockets of the host are not passed on",
}
ALIASES = {"h": "help", "v": "version"}
PLATFORMS = {**dict.fromkeys(("", "auto", "notify", "systrap", "kvm"), "notify"), "ptrace": "ptrace"}
NETWORKS = ("sandbox", "none")


class Settings:
    """What the global options mean. `rest` is the command and its arguments."""

    def __init__(self) -> None:
        self.root = DEFAULT_ROOT
        self.log = ""
        self.log_format = "text"
        self.debug = False
        self.debug_log = ""
        self.strace = False
        self.profile = False
        self.platform = "notify"
        self.network = "sandbox"
        self.pcap_log = ""
        self.use_cgroups = True
        self.overlay = False
        self.oci_seccomp = False
        self.wants_version = False
        self.wants_help = False
        self.rest: list[str] = []

    def take(self, arguments: list[str]) -> None:
        """Fills in what it finds as it goes, so that a later error is reported in the log that was named before it."""
        known = {**USED, **HARMLESS, **dict.fromkeys(REFUSED, VALUE)}
        found = parse(arguments, known, ALIASES, "runsc-py", stop_at_first=True)
        self.rest = found.rest
        self.log = found.text("log")
        self.log_format = found.text("log-format", "text")
        self.debug = found.on("debug")
        for name, reason in REFUSED.items():
            if found.text(name, "false") not in ("false", "none", "0"):
                raise Failure(f"--{name}", reason, "leave the option out")
        if self.log_format not in ("text", "json"):
            raise Failure("--log-format", f"{self.log_format!r} is neither text nor json")
        self.root = found.text("root") or DEFAULT_ROOT
        if not self.root.startswith("/"):
            import os

            self.root = os.path.abspath(self.root)
        self.debug_log = found.text("debug-log")
        self.pcap_log = found.text("pcap-log")
        self.strace = found.on("strace")
        self.profile = found.on("profile")
        self.use_cgroups = not found.on("ignore-cgroups") and found.text("cgroup-manager") != "disabled"
        self.oci_seccomp = found.on("oci-seccomp")
        self.wants_version = found.on("version")
        self.wants_help = found.on("help")
        self._choose(found)

    def _choose(self, found: Options) -> None:
        platform = found.text("platform")
        if platform not in PLATFORMS:
            raise Failure("--platform", f"unknown platform {platform!r}", "use notify or ptrace")
        self.platform = PLATFORMS[platform]
        self.network = found.text("network", "sandbox")
        if self.network == "host":
            raise Failure("--network=host", "sockets of the host are not passed on", "use sandbox or none")
        if self.network not in NETWORKS:
            raise Failure("--network", f"{self.network!r} is none of {', '.join(NETWORKS)}")
        overlay2 = found.text("overlay2", "none")
        self.overlay = found.on("overlay") or overlay2.startswith(("root:", "all:"))
        if overlay2 != "none" and not self.overlay:
            raise Failure("--overlay2", f"{overlay2!r} is not none, root:MEDIUM or all:MEDIUM")
