"""/proc/PID: numbers of the guest, rights to look, links, descriptors, threads, zombies."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sentry.abi.const.rights import CAP_SYS_PTRACE
from sentry.abi.const.tasks import CLONE_NEWNET
from sentry.abi.errno import EACCES, EINVAL, EIO, ENOENT, EPERM, ESRCH
from tests.unit.vfs.proc.box import Box
from vfs.anon.pipe import make_pipe
from vfs.core.locks import TO_END, LockTable
from vfs.core.mount import Mount
from vfs.fs.hostfs import HostFs
from vfs.proc import maps
from vfs.proc.status import host_fields

USER = {"ruid": 1000, "euid": 1000, "suid": 1000, "fsuid": 1000, "permitted": 0, "effective": 0}


def test_listing(box: Box, t: Any) -> None:
    box.process(7, t)
    names = box.list(t, b"/")
    assert names[:2] == [b".", b".."]
    assert [name for name in names if name.isdigit()] == [b"1", b"7"]
    for name in (b"self", b"meminfo", b"sys", b"uptime"):
        assert name in names
    for name in (b"3", b"007", b"0", b"99999999999", b"-1", b"%d" % os.getpid()):
        with pytest.raises(ENOENT):
            box.place(t, b"/" + name)
    assert box.link(t, b"/self") == b"1"
    assert box.link(t, b"/thread-self") == b"1/task/1"


def test_every_entry_can_be_looked_up(box: Box, t: Any) -> None:
    """What a directory lists is there, has the number that was listed, and can be read."""
    for directory in (b"/self/", b"/self/task/1/", b"/", b"/sys/kernel/", b"/self/net/", b"/self/ns/"):
        for entry in box.open(t, directory).entries(t):
            if entry.name in (b".", b".."):
                continue
            inode = box.fs.root.inode
            for name in (directory + entry.name).strip(b"/").split(b"/"):
                inode = inode.lookup(
                    b"1" if name == b"self" and inode is box.fs.root.inode and directory != b"/" else name, t
                )
            assert inode.kind == entry.kind, entry.name
            if inode.is_reg and inode.mode & 0o400:
                file = box.open(t, directory + entry.name)
                if entry.name == b"mem":
                    with pytest.raises(EIO):
                        file.peek(10)
                else:
                    file.peek(100)


def test_stat(box: Box, t: Any) -> None:
    child = box.process(7, t)
    line = box.read(t, b"/7/stat")
    with open(f"/proc/{child.host_tid}/stat", "rb") as f:
        host = f.read().split()
    fields = line.split()
    assert line.startswith(b"7 (python")
    assert line.endswith(b"\n")
    assert fields[2] == b"S"
    assert fields[3:8] == [b"1", b"7", b"7", b"0", b"-1"]
    assert fields[21:24] == host[21:24]  # start time, virtual and resident size
    assert len(fields) == len(host)
    assert b" %d " % child.host_tid not in line
    assert box.read(t, b"/1/stat").split()[2:4] == [b"R", b"0"]  # who asks runs


def test_addresses_are_private(box: Box, t: Any) -> None:
    child = box.process(7, t)
    other = box.process(8, t)
    other.creds = other.creds._replace(**USER)
    assert box.read(child, b"/7/stat").split()[27] != b"0"
    assert box.read(other, b"/7/stat").split()[25:30] == [b"0"] * 5


def test_status(box: Box, t: Any) -> None:
    child = box.process(7, t)
    child.creds = child.creds._replace(ruid=5, euid=6, suid=7, fsuid=8, groups=(4, 24), effective=0x400)
    child.fs.umask = 0o27
    text = box.read(t, b"/7/status")
    fields = host_fields(text)
    assert fields[b"Pid"] == fields[b"Tgid"] == fields[b"NSpid"] == fields[b"NSsid"] == b"7"
    assert fields[b"PPid"] == b"1"
    assert fields[b"State"] == b"S (sleeping)"
    assert fields[b"Uid"] == b"5\t6\t7\t8"
    assert text.count(b"\nGroups:\t4 24 \n") == 1
    assert fields[b"Umask"] == b"0027"
    assert fields[b"CapEff"] == b"0000000000000400"
    assert fields[b"Threads"] == b"2"
    assert fields[b"FDSize"] == b"64"
    assert fields[b"Seccomp"] == b"0"
    assert b"%d" % child.host_tid not in text.split()
    with open(f"/proc/{child.host_tid}/status", "rb") as f:
        host = host_fields(f.read())
    assert fields[b"VmSize"] == host[b"VmSize"]
    assert list(fields) == [key for key in host if key in fields]  # in the host's order
    assert {b"VmRSS", b"SigCgt", b"Cpus_allowed_list", b"voluntary_ctxt_switches"} <= fields.keys()


def test_arguments(box: Box, t: Any) -> None:
    assert box.read(t, b"/self/cmdline").endswith(b"\0argument\0")
    assert b"PATH=" in box.read(t, b"/self/environ")
    assert box.read(t, b"/self/comm").startswith(b"python")
    assert len(box.read(t, b"/self/auxv")) % 16 == 0
    with pytest.raises(EINVAL):
        box.write(t, b"/self/comm", b"other")


def test_rights(box: Box, t: Any) -> None:
    """PTRACE_MODE_READ: the same ids, or the capability; a process that is not dumpable is root's alone."""
    mine, other = box.process(7, t), box.process(8, t)
    mine.creds = mine.creds._replace(**USER, rgid=10, egid=10, sgid=10, fsgid=10)
    other.creds = other.creds._replace(**{**USER, "fsuid": 1001, "euid": 1001, "ruid": 1001, "suid": 1001})
    for name in (b"maps", b"environ", b"io", b"auxv", b"smaps", b"mem", b"fd/0", b"fdinfo"):
        with pytest.raises(EACCES):
            box.open(other, b"/7/" + name)
        box.open(t, b"/8/" + name.replace(b"fd/0", b"fd"))
    for name in (b"exe", b"cwd", b"root"):
        with pytest.raises(EACCES):
            box.link(other, b"/7/" + name)
        with pytest.raises(EACCES):
            box.place(other, b"/7/" + name)
    for name in (b"stat", b"status", b"cmdline", b"limits", b"mounts"):
        box.read(other, b"/7/" + name)
    same = box.process(9, t)
    same.creds = mine.creds
    box.open(same, b"/7/maps")
    assert box.place(t, b"/7/maps").inode.uid == 1000
    mine.group.dumpable = 0
    with pytest.raises(EACCES):
        box.open(same, b"/7/maps")
    assert box.place(t, b"/7/maps").inode.uid == 0
    same.creds = same.creds._replace(effective=1 << CAP_SYS_PTRACE)
    box.open(same, b"/7/maps")


def test_opened_before_the_right_was_lost(box: Box, t: Any) -> None:
    """A private file is checked again when it is read: a set-id exec in between must not be seen."""
    mine, same = box.process(7, t), box.process(9, t)
    mine.creds = same.creds = mine.creds._replace(**USER)
    file = box.open(same, b"/7/environ")
    mine.group.dumpable = 0
    with pytest.raises(EACCES):
        file.peek(10)


def test_links(box: Box, t: Any) -> None:
    t.fs.cwd = box.place(t, b"/sys/kernel")
    assert box.link(t, b"/self/cwd") == b"/sys/kernel"
    assert box.link(t, b"/self/root") == b"/"
    assert box.place(t, b"/self/cwd").same(t.fs.cwd)
    with pytest.raises(ENOENT):
        box.link(t, b"/self/exe")
    t.group.exe = box.place(t, b"/version")
    assert box.link(t, b"/self/exe") == b"/version"
    assert box.read(t, b"/self/exe").startswith(b"Linux version ")
    assert box.link(t, b"/self/ns/net") == b"net:[4026531840]"
    assert box.place(t, b"/self/ns/net").inode.stat().ino == 4026531840
    box.open(t, b"/self/ns/net")


def test_descriptors(box: Box, t: Any) -> None:
    reader, writer = make_pipe(0, 0, 0, 0)
    for file in (reader, writer, box.open(t, b"/version")):
        t.fds.install(file, cloexec=True)
    assert box.list(t, b"/self/fd") == [b".", b"..", b"0", b"1", b"2"]
    assert box.link(t, b"/self/fd/0").startswith(b"pipe:[")
    assert box.link(t, b"/self/fd/0") == box.link(t, b"/self/fd/1")
    assert box.link(t, b"/self/fd/2") == b"/version"
    modes = [box.fs.root.inode.lookup(b"1", t).lookup(b"fd", t).lookup(b"%d" % n, t).mode & 0o777 for n in range(3)]
    assert modes == [0o500, 0o300, 0o500]
    assert box.read(t, b"/self/fd/2").startswith(b"Linux version ")
    info = box.read(t, b"/self/fdinfo/2")
    assert info.startswith(b"pos:\t0\nflags:\t02000000\nmnt_id:\t")
    for name in (b"3", b"00", b"x", b"-1", b"9" * 30):
        with pytest.raises(ENOENT):
            box.place(t, b"/self/fd/" + name)
    assert box.place(t, b"/self/fd").inode.mode & 0o777 == 0o500


def test_own_descriptors_of_a_set_id_program(box: Box, t: Any) -> None:
    program = box.process(7, t)
    program.creds = program.creds._replace(**USER)
    program.fds.install(box.open(t, b"/version"))
    program.group.dumpable = 0
    assert box.read(program, b"/self/fd/0").startswith(b"Linux version ")
    with pytest.raises(EACCES):
        box.open(program, b"/1/fd")


def test_locks(box: Box, t: Any) -> None:
    file = box.open(t, b"/version")
    t.fds.install(file)
    table = LockTable()
    box.place(t, b"/version").inode.locks = table
    table.lock(t.fds, 10, 19, 1, 1)
    table.lock(file, 20, TO_END, 0, -1)
    table.whole[file] = 0
    lines = box.read(t, b"/locks").splitlines()
    stat = file.stat()
    where = b"%02x:%02x:%d" % (os.major(stat.dev), os.minor(stat.dev), stat.ino)
    assert lines == [
        b"1: POSIX  ADVISORY  WRITE 1 %s 10 19" % where,
        b"2: OFDLCK ADVISORY  READ  -1 %s 20 EOF" % where,
        b"3: FLOCK  ADVISORY  READ  1 %s 0 EOF" % where,
    ]


def test_threads(box: Box, t: Any) -> None:
    child = box.process(7, t)
    assert box.list(t, b"/7/task") == [b".", b"..", b"7", b"8"]
    assert box.place(t, b"/7/task").inode.stat().nlink == 4
    assert box.read(t, b"/7/task/8/stat").startswith(b"8 (")
    assert host_fields(box.read(t, b"/7/task/8/status"))[b"Tgid"] == b"7"
    assert box.read(t, b"/7/task/8/children") == b""
    assert box.read(t, b"/1/task/1/children") == b"7 "
    assert box.read(t, b"/8/status").split(b"Pid:\t")[1].startswith(b"7")  # the thread's number leads to its process
    with pytest.raises(ENOENT):
        box.place(t, b"/1/task/7")
    status = box.open(t, b"/7/task/8/status")
    del child.group.tasks[next(tid for tid, task in child.group.tasks.items() if task.tid == 8)]
    with pytest.raises(ESRCH):
        status.peek(10)


def test_zombie(box: Box, t: Any) -> None:
    child = box.process(7, t)
    box.kill(child, reap=False)
    assert box.read(t, b"/7/stat").split()[2] == b"Z"
    fields = host_fields(box.read(t, b"/7/status"))
    assert fields[b"State"] == b"Z (zombie)"
    assert b"VmSize" not in fields
    assert box.read(t, b"/7/cmdline") == box.read(t, b"/7/maps") == b""
    assert box.read(t, b"/7/comm").startswith(b"python")
    assert box.list(t, b"/7/fd") == [b".", b".."]
    with pytest.raises(ENOENT):
        box.link(t, b"/7/cwd")


def test_gone(box: Box, t: Any) -> None:
    child = box.process(7, t)
    status, directory_inode = box.open(t, b"/7/status"), box.place(t, b"/7").inode
    box.kill(child)
    with pytest.raises(ESRCH):
        status.peek(10)
    with pytest.raises(ENOENT):
        box.place(t, b"/7")
    with pytest.raises(ENOENT):
        directory_inode.lookup(b"stat", t)
    assert b"7" not in box.list(t, b"/")


def test_limits(box: Box, t: Any) -> None:
    lines = box.read(t, b"/self/limits").splitlines()
    with open("/proc/self/limits", "rb") as f:
        host = f.read().splitlines()
    assert [line[:26] for line in lines] == [line[:26] for line in host]
    assert {len(line) for line in lines} == {len(line) for line in host}
    assert lines[8].split() == [b"Max", b"open", b"files", b"1024", b"16384", b"files"]


def test_oom_score_adj(box: Box, t: Any) -> None:
    t.creds = t.creds._replace(effective=0)
    assert box.write(t, b"/self/oom_score_adj", b"500\n") == 4
    assert box.read(t, b"/self/oom_score_adj") == b"500\n"
    with pytest.raises(EACCES):
        box.write(t, b"/self/oom_score_adj", b"499\n")
    for bad in (b"1001", b"x", b"", b"5 5", b"-1001"):
        with pytest.raises(EINVAL):
            box.write(t, b"/self/oom_score_adj", bad)


def test_mounts(box: Box, t: Any) -> None:
    assert box.read(t, b"/mounts") == box.read(t, b"/self/mounts") == b"proc / proc rw 0 0\n"
    assert box.read(t, b"/self/mountstats") == b"device proc mounted on / with fstype proc\n"
    assert b" - proc proc rw" in box.read(t, b"/self/mountinfo")


def test_memory(box: Box, t: Any) -> None:
    file = box.open(t, b"/self/mem", 2)
    assert file.pread(4, 8192) == b"mmmm"
    assert file.pwrite(b"abc", 8192) == 3
    for offset in (0, 100):
        with pytest.raises(EIO):
            file.pread(4, offset)
    t.mem = object()  # an exec
    assert file.pread(4, 8192) == b""


def test_maps(box: Box, t: Any) -> None:
    """Files are shown by the guest's names or not at all; the loader is hidden; the rest is as on the host."""
    with open(f"/proc/{t.host_tid}/maps", "rb") as f:
        host = f.read().splitlines()
    parsed = [maps.parse(line) for line in host]
    files = [m for m in parsed if m is not None and m.ino]
    exe = next(m for m in files if b"python" in m.name)
    libc = next(m for m in files if b"libc" in m.name)
    hidden = next(m for m in files if b"ld-linux" in m.name or b"/ld-" in m.name)
    root = HostFs(os.open("/", os.O_PATH | os.O_DIRECTORY))
    exe_name = os.path.realpath(exe.name)
    mount = Mount(root, root.root)
    box.kernel.mounts.attach(mount, box.place(t, b"/fs"))
    shown_name = b"/fs" + exe_name
    box.place(t, shown_name)  # now it is among the cached names
    t.group.loader_range = (hidden.start, hidden.end)
    shown = {line.split()[0]: line for line in box.read(t, b"/self/maps").splitlines()}
    first = shown[b"%08x-%08x" % exe[:2]]
    assert first[73:] == shown_name
    dev = b"%02x:%02x" % (os.major(root.dev), os.minor(root.dev))
    assert first.split()[1:5] == [exe.perms, b"%08x" % exe.offset, dev, b"%d" % exe.ino]
    anonymous = shown[b"%08x-%08x" % libc[:2]]
    assert anonymous.split()[1:] == [libc.perms, b"00000000", b"00:00", b"0"]
    assert b"%08x-%08x" % hidden[:2] not in shown
    stack = next(line for line in host if line.endswith(b"[stack]"))
    assert stack in shown.values()
    text = box.read(t, b"/self/maps") + box.read(t, b"/self/smaps")
    assert b"libc" not in text
    assert box.read(t, b"/self/smaps").count(b"\nRss:") == len(shown)
    assert box.read(t, b"/self/smaps_rollup").count(b"[rollup]") == 1


def test_namespace_requests(box: Box, t: Any) -> None:
    file = box.open(t, b"/self/ns/net")
    owner = t.fds.get(file.ioctl(t, 0xB701, 0))
    assert owner.stat().ino == box.place(t, b"/self/ns/user").inode.stat().ino
    assert file.ioctl(t, 0xB703, 0) == CLONE_NEWNET
    for refused, which, request in ((EPERM, owner, 0xB701), (EINVAL, file, 0xB702), (EPERM, owner, 0xB702)):
        with pytest.raises(refused):
            which.ioctl(t, request, 0)
