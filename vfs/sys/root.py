"""sysfs (sysfs(5)): CPUs, memory policy, network devices (net.py), and directories that are there but empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.mounts import SYSFS_MAGIC
from vfs.core.node import FileSystem, Inode
from vfs.core.synth import SynthDir, SynthFile, SynthFs
from vfs.proc.system import meminfo
from vfs.sys import net

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task


CPU_LIMIT = 8192
EMPTY = (
    b"block", b"bus", b"dev/block", b"dev/char", b"devices/virtual/block", b"firmware", b"fs/bpf", b"hypervisor",
    b"module", b"power", b"class/block", b"class/tty", b"fs/cgroup", b"kernel/debug", b"kernel/security",
)  # fmt: skip


def make(kernel: Kernel, options: bytes = b"") -> FileSystem:
    """A new instance. The CPUs are those on which the container may run."""
    fs = SynthFs(b"sysfs", SYSFS_MAGIC)
    top = SynthDir(fs, mode=0o555, ino=1)
    for path in EMPTY:
        directory(fs, top, path)
    _add_cpus(fs, top, sorted(kernel.cpus)[:CPU_LIMIT])
    _add_memory(fs, top)
    net.add(fs, directory(fs, top, b"devices/virtual"), directory(fs, top, b"class"))
    fs.set_root(top)
    return fs


def directory(fs: FileSystem, top: SynthDir, path: bytes) -> SynthDir:
    """The directory at `path`, made with all above it if need be."""
    at = top
    for name in path.split(b"/"):
        known = at.entries.get(name)
        if not isinstance(known, SynthDir):
            known = SynthDir(fs, mode=0o755)
            at.add(name, known)
        at = known
    return at


def text_file(fs: FileSystem, text: bytes) -> Inode:
    return SynthFile(fs, lambda t: text, mode=0o444, shown_size=4096)


def number_list(numbers: list[int]) -> bytes:
    """As CPU lists are written: 0-3,6."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return b",".join(b"%d" % a if a == b else b"%d-%d" % (a, b) for a, b in runs)


def number_mask(numbers: list[int]) -> bytes:
    """As CPU masks are written: hexadecimal words of 32 bits, highest first."""
    value = sum(1 << number for number in numbers)
    words: list[bytes] = []
    while value or not words:
        words.append(b"%08x" % (value & 0xFFFFFFFF))
        value >>= 32
    return b",".join(reversed(words))


def _add_cpus(fs: FileSystem, top: SynthDir, cpus: list[int]) -> None:
    listed = number_list(cpus) + b"\n"
    mask = number_mask(cpus) + b"\n"
    cpu_dir = directory(fs, top, b"devices/system/cpu")
    for name in (b"online", b"possible", b"present"):
        cpu_dir.add(name, text_file(fs, listed))
    cpu_dir.add(b"offline", text_file(fs, b"\n"))
    cpu_dir.add(b"isolated", text_file(fs, b"\n"))
    cpu_dir.add(b"kernel_max", text_file(fs, b"%d\n" % (CPU_LIMIT - 1)))
    directory(fs, cpu_dir, b"cpufreq")
    directory(fs, cpu_dir, b"cpuidle")
    for cpu in cpus:
        _add_cpu(fs, directory(fs, cpu_dir, b"cpu%d" % cpu), cpu, cpus)
    node = directory(fs, top, b"devices/system/node")
    for name in (b"online", b"possible", b"has_cpu", b"has_memory", b"has_normal_memory"):
        node.add(name, text_file(fs, b"0\n"))
    first = directory(fs, node, b"node0")
    first.add(b"cpulist", text_file(fs, listed))
    first.add(b"cpumap", text_file(fs, mask))
    first.add(b"distance", text_file(fs, b"10\n"))
    first.add(b"meminfo", SynthFile(fs, _node_meminfo))


def _add_cpu(fs: FileSystem, at: SynthDir, cpu: int, cpus: list[int]) -> None:
    """One core of one package: the guest is told of no caches and no siblings but itself."""
    if cpu:
        at.add(b"online", text_file(fs, b"1\n"))
    topology = directory(fs, at, b"topology")
    single, mask = b"%d\n" % cpu, number_mask([cpu]) + b"\n"
    for name in (b"core_cpus_list", b"thread_siblings_list"):
        topology.add(name, text_file(fs, single))
    for name in (b"core_cpus", b"thread_siblings"):
        topology.add(name, text_file(fs, mask))
    for name in (b"core_siblings_list", b"package_cpus_list"):
        topology.add(name, text_file(fs, number_list(cpus) + b"\n"))
    for name in (b"core_siblings", b"package_cpus"):
        topology.add(name, text_file(fs, number_mask(cpus) + b"\n"))
    topology.add(b"core_id", text_file(fs, single))
    topology.add(b"physical_package_id", text_file(fs, b"0\n"))


def _node_meminfo(t: Task) -> bytes:
    return b"".join(b"Node 0 " + line + b"\n" for line in meminfo(t).splitlines() if line.startswith((b"Mem", b"Act")))


def _add_memory(fs: FileSystem, top: SynthDir) -> None:
    huge = directory(fs, top, b"kernel/mm/transparent_hugepage")
    huge.add(b"enabled", SynthFile(fs, lambda t: host_choice("enabled"), mode=0o444))
    huge.add(b"defrag", SynthFile(fs, lambda t: host_choice("defrag"), mode=0o444))
    huge.add(b"shmem_enabled", SynthFile(fs, lambda t: host_choice("shmem_enabled"), mode=0o444))
    huge.add(b"hpage_pmd_size", text_file(fs, b"2097152\n"))
    huge.add(b"use_zero_page", text_file(fs, b"1\n"))
    directory(fs, top, b"kernel/mm/hugepages")
    directory(fs, top, b"kernel/iommu_groups")
    kernel = directory(fs, top, b"kernel")
    kernel.add(b"fscaps", text_file(fs, b"1\n"))
    kernel.add(b"profiling", text_file(fs, b"0\n"))
    kernel.add(b"uevent_seqnum", text_file(fs, b"0\n"))
    memory = directory(fs, top, b"devices/system/memory")
    memory.add(b"block_size_bytes", text_file(fs, b"8000000\n"))
    clock = directory(fs, top, b"devices/system/clocksource/clocksource0")
    clock.add(b"available_clocksource", text_file(fs, b"tsc\n"))
    clock.add(b"current_clocksource", text_file(fs, b"tsc\n"))


def host_choice(name: str) -> bytes:
    """A choice that the host has made for anonymous memory, which is the guest's too: `always [madvise] never`."""
    try:
        with open(f"/sys/kernel/mm/transparent_hugepage/{name}", "rb") as f:
            return f.read(256)
    except OSError:
        return b"always [madvise] never\n"
