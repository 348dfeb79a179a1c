"""`process` of config.json (OCI runtime-spec config.md, "Process"), also the file of `exec --process`."""

from __future__ import annotations

import resource

from .reader import BadConfig, Reader

MAX_ID = (1 << 32) - 2  # (uid_t)-1 is no user

CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
CAP_BITS = {f"CAP_{name}": 1 << bit for bit, name in enumerate(CAPABILITIES)}
ALL_CAPS = (1 << len(CAPABILITIES)) - 1

# RLIMIT_SIGPENDING has no name in the `resource` module
RLIMITS = {name: number for name, number in vars(resource).items() if name.startswith("RLIMIT_")}
RLIMITS.setdefault("RLIMIT_LOCKS", 10)
RLIMITS.setdefault("RLIMIT_SIGPENDING", 11)

Caps = tuple[int, int, int, int, int]


class Process:
    """What to run and as whom."""

    def __init__(self, args: list[str], env: list[str], cwd: str = "/") -> None:
        self.args = args
        self.env = env
        self.cwd = cwd
        self.uid = 0
        self.gid = 0
        self.additional_gids: list[int] = []
        self.umask = 0o22
        self.caps: Caps = (0, 0, 0, 0, 0)
        self.rlimits: dict[int, tuple[int, int]] = {}
        self.no_new_privs = False
        self.terminal = False
        self.oom_score_adj = 0
        self.console_size: tuple[int, int] | None = None

    @classmethod
    def read(cls, node: Reader) -> Process:
        args = node.texts("args")
        if not args:
            raise BadConfig(f"{node.path}.args: required (array of strings)")
        cwd = node.text("cwd")
        if not cwd.startswith("/"):
            raise BadConfig(f"{node.path}.cwd: {cwd!r} is not absolute")
        process = cls(args, node.texts("env"), cwd)
        user = node.child("user")
        process.uid = user.number("uid", 0, high=MAX_ID)
        process.gid = user.number("gid", 0, high=MAX_ID)
        process.additional_gids = user.numbers("additionalGids", MAX_ID)
        process.umask = user.number("umask", 0o22) & 0o777
        process.caps = read_caps(node.child("capabilities"))
        process.rlimits = read_rlimits(node)
        process.no_new_privs = node.flag("noNewPrivileges")
        process.terminal = node.flag("terminal")
        process.oom_score_adj = node.number("oomScoreAdj", 0, low=-1000, high=1000)
        if node.has("consoleSize"):
            size = node.child("consoleSize")
            process.console_size = size.number("height", high=65535), size.number("width", high=65535)
        return process


def read_caps(node: Reader) -> Caps:
    """Bit sets of the five; a name that this kernel does not know is left out, as runc does."""
    bounding, effective, inheritable, permitted, ambient = (
        sum({CAP_BITS.get(name.upper(), 0) for name in node.texts(kind)})
        for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
    )
    return bounding, effective, inheritable, permitted, ambient


def read_rlimits(node: Reader) -> dict[int, tuple[int, int]]:
    limits: dict[int, tuple[int, int]] = {}
    for limit in node.objects("rlimits"):
        name = limit.text("type")
        if name not in RLIMITS:
            raise BadConfig(f"{limit.path}.type: unknown limit {name!r}")
        if RLIMITS[name] in limits:
            raise BadConfig(f"{limit.path}.type: {name} is given twice")
        soft, hard = limit.number("soft"), limit.number("hard")
        if soft > hard:
            raise BadConfig(f"{limit.path}: Invalid argument (soft limit {soft} above hard limit {hard})")
        limits[RLIMITS[name]] = soft, hard
    return limits
