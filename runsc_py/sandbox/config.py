"""From config.json (runsc_py.oci.spec) to sentry.boot.BootConfig: a descriptor for every host path."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runsc_py.errors import Failure, failure_of
from runsc_py.host import trees
from runsc_py.host.flags import MS_RDONLY
from sentry.boot import BootConfig, BootDevice, BootMount

if TYPE_CHECKING:
    from runsc_py.cli.settings import Settings
    from runsc_py.host.protocol import Host
    from runsc_py.oci.mounts import Mount
    from runsc_py.oci.spec import Spec


def boot_config(host: Host, container_id: str, spec: Spec, settings: Settings, overlay: bool) -> BootConfig:
    """Everything but the links and stdio, which `launch` adds."""
    config = BootConfig(container_id)
    process = spec.process
    config.args = [os.fsencode(text) for text in process.args]
    config.env = [os.fsencode(text) for text in process.env]
    config.cwd = os.fsencode(process.cwd)
    config.uid, config.gid = process.uid, process.gid
    config.additional_gids = tuple(process.additional_gids)
    config.umask = process.umask
    config.caps = process.caps
    config.rlimits = process.rlimits
    config.no_new_privs = process.no_new_privs
    config.oom_score_adj = process.oom_score_adj
    config.terminal = process.terminal
    config.hostname = os.fsencode(spec.hostname)
    config.domainname = os.fsencode(spec.domainname)
    config.id_maps = tuple(spec.uid_maps), tuple(spec.gid_maps)
    config.root_readonly = spec.root_readonly
    config.overlay = overlay
    config.mortal_init = spec.mortal_init
    config.masked_paths = [os.fsencode(path) for path in spec.masked_paths]
    config.readonly_paths = [os.fsencode(path) for path in spec.readonly_paths]
    config.devices = [BootDevice(os.fsencode(d.path), d.mode, d.major, d.minor, d.uid, d.gid) for d in spec.devices]
    config.sysctl = {os.fsencode(name): os.fsencode(value) for name, value in spec.sysctl.items()}
    limits = (("memory", spec.resources.memory), ("pids", spec.resources.pids))
    config.cgroup_limits = {name: value for name, value in limits if value is not None}
    config.strace, config.debug, config.profile = settings.strace, settings.debug, settings.profile
    config.platform, config.network = settings.platform, settings.network
    config.oci_seccomp = spec.seccomp if settings.oci_seccomp else None
    config.root_fd = _root(host, spec, overlay)
    config.mounts = _mounts(host, spec.mounts, config)
    if spec.root_readonly:
        host.mount_setattr(config.root_fd, 0, trees.attributes(MS_RDONLY), 0, 0)
    return config


def _root(host: Host, spec: Spec, overlay: bool) -> int:
    try:
        fd = trees.clone(host, os.fsencode(spec.root), True, MS_RDONLY if overlay else 0)
    except OSError as err:
        raise failure_of(err, "root file system", "check root.path in config.json")
    if not trees.is_directory(fd):
        raise Failure("root file system", f"{spec.root}: Not a directory", "check root.path in config.json")
    return fd


def _mounts(host: Host, wanted: list[Mount], config: BootConfig) -> list[BootMount]:
    """Clones of bind sources, and mount points for all in the trees of the host that are written through."""
    mounts: list[BootMount] = []
    for mount in wanted:
        boot = BootMount(
            os.fsencode(mount.destination),
            mount.kind,
            source=b"none" if mount.kind == "bind" else os.fsencode(mount.source),  # the guest sees no path of the host
            flags=mount.flags,
            data=os.fsencode(",".join(mount.data)),
            copy_up=mount.copy_up,
        )
        directory = True
        if mount.kind == "bind":
            try:
                boot.source_fd = trees.clone(host, os.fsencode(mount.source), mount.recursive, mount.flags)
            except OSError as err:
                raise failure_of(err, f"mount {mount.destination}", "check its source")
            directory = trees.is_directory(boot.source_fd)
        if _mount_point(host, config, mounts, boot.destination, directory):
            boot.copy_up = False  # it has the mode that the mount asks for, not that of an empty directory of ours
        mounts.append(boot)
    return mounts


def _mount_point(host: Host, config: BootConfig, earlier: list[BootMount], destination: bytes, directory: bool) -> bool:
    """Below the last mount that covers it; the Sentry makes those in its own memory itself. True if it was made now."""
    below, tree = b"/", -1 if config.overlay else config.root_fd
    for mount in earlier:
        if destination.startswith(mount.destination.rstrip(b"/") + b"/") and len(mount.destination) >= len(below):
            below, tree = mount.destination, mount.source_fd
    if tree < 0:
        return False
    try:
        return trees.make_mount_point(host, tree, destination[len(below.rstrip(b"/")) :], directory)
    except OSError:
        return False  # a read-only source: the Sentry puts the mount point into memory, or says what is wrong
