"""Puts a container together: state directory, descriptors, namespaces, terminal; then the processes (launch.py)."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from runsc_py import SPEC_VERSION
from runsc_py.errors import Failure, failure_of
from runsc_py.host import cgroups, network

from . import process
from .config import boot_config
from .directory import Directory, Record
from .launch import Launch, guest_stdio

if TYPE_CHECKING:
    from runsc_py.cli.settings import Settings
    from runsc_py.host.protocol import Host
    from runsc_py.oci.spec import Spec


def assemble(
    settings: Settings,
    container_id: str,
    spec: Spec,
    bundle: str,
    *,
    preserved: int = 0,
    console_socket: str = "",
    overlay: bool = False,
    tty_fd: int = -1,
    mixed_stdio: bool = False,
) -> Launch:
    """`tty_fd` is the caller's own terminal, for `run` and `do`; with `mixed_stdio` only those of 0, 1 and 2 that are
    terminals become the guest's console."""
    from runsc_py.host.linux import LinuxHost

    host = LinuxHost()
    directory = Directory.create(settings.root, container_id)
    try:
        record: Record = {
            "ociVersion": SPEC_VERSION,
            "id": container_id,
            "bundle": bundle,
            "rootfs": spec.root,
            "owner": os.getuid(),
            "annotations": spec.annotations,
            "netns": spec.namespaces.get("network", ""),
            "network": settings.network if "network" in spec.namespaces else "none",
            "creatorPid": os.getpid(),
            "creatorStart": process.start_time(os.getpid()),
        }
        directory.write(record)
        launch = _launch(host, settings, directory, spec, record, overlay)
        config = launch.config
        if tty_fd >= 0:
            config.console = fcntl.fcntl(tty_fd, fcntl.F_DUPFD_CLOEXEC, 3)
        elif spec.process.terminal:
            config.console = launch.terminal_fd = _new_console(spec, console_socket)
        config.stdio = guest_stdio(config.console >= 0, mixed_stdio)
        config.preserved = {number: number for number in range(3, 3 + preserved)}
        launch.create()
    except BaseException:
        directory.remove()
        raise
    return launch


def _launch(host: Host, settings: Settings, directory: Directory, spec: Spec, record: Record, overlay: bool) -> Launch:
    config = boot_config(host, directory.id, spec, settings, overlay)
    launch = Launch(host, directory, spec, config, record)
    if settings.use_cgroups and (spec.cgroups_path or _has_limits(spec)):
        try:
            launch.cgroups = cgroups.Cgroups(spec.cgroups_path or f"runsc-py/{directory.id}")
        except ValueError as err:
            raise Failure("linux.cgroupsPath", str(err))
    if "network" in spec.namespaces:
        path = spec.namespaces["network"]
        try:
            launch.netns_fd = network.open_namespace(path) if path else network.new_namespace(host)
        except OSError as err:
            raise failure_of(err, "network namespace")
    if settings.debug or settings.strace or settings.debug_log:
        config.log_fd = _open_log(settings, directory.id)
    if settings.pcap_log:
        path = settings.pcap_log.replace("%ID%", directory.id)
        try:
            config.pcap_fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
        except OSError as err:
            raise failure_of(err, "--pcap-log")
    return launch


def _has_limits(spec: Spec) -> bool:
    wanted = spec.resources
    return any(value not in (None, "") for value in vars(wanted).values())


def _open_log(settings: Settings, container_id: str) -> int:
    """runsc's --debug-log: a file, or DIRECTORY/; %ID% is the container's. Without one, stderr."""
    path = settings.debug_log
    if not path:
        return fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)
    if path.endswith("/"):
        os.makedirs(path, exist_ok=True)
        path += f"runsc-py.{container_id}.log"
    path = path.replace("%ID%", container_id)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _new_console(spec: Spec, console_socket: str) -> int:
    from runsc_py.host import tty

    try:
        master, slave = tty.new_pty(spec.process.console_size)
        tty.send_master(console_socket, master)
    except OSError as err:
        raise failure_of(err, f"--console-socket {console_socket}")
    os.close(master)
    return slave
