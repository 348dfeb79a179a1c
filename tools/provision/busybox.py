"""A busybox image for podman, made from Debian's busybox-static: no registry is needed; podman-import(1)."""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from .progress import StepFailed, run, say
from .stamp import digest, is_fresh, mark

IMAGE = "localhost/runsc-py/busybox:latest"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUP = b"root:x:0:\nnogroup:x:65534:\n"
DIRECTORIES = {"bin": 0o755, "dev": 0o755, "etc": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "sys": 0o755,
               "tmp": 0o1777, "var": 0o755}
CHANGES = ['CMD ["/bin/sh"]', "ENV PATH=/bin:/usr/bin"]


def binary() -> Path:
    found = shutil.which("busybox", path="/bin:/usr/bin")
    if found is None:
        raise StepFailed("no busybox: install busybox-static")
    return Path(found)


def ensure() -> str:
    """Import the image unless podman has it already; its name."""
    source = binary()
    key = digest([source, PASSWD, GROUP, repr(DIRECTORIES), *CHANGES])
    if is_fresh("busybox-image", key) and _exists():
        return IMAGE
    say(f"making the image {IMAGE} from {source}")
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        write_tar(source, Path(archive.name))
        run(["podman", "import", "--quiet", *(f"--change={change}" for change in CHANGES), archive.name, IMAGE])
    mark("busybox-image", key)
    return IMAGE


def _exists() -> bool:
    return subprocess.run(["podman", "image", "exists", IMAGE], stderr=subprocess.DEVNULL, check=False).returncode == 0


def applets(source: Path) -> list[str]:
    names = subprocess.run([source, "--list"], capture_output=True, text=True, check=True).stdout.split()
    return [name for name in names if name != "busybox" and "/" not in name]


def write_tar(source: Path, target: Path) -> None:
    """The root file system: busybox, a link for each applet, and the files that every program expects."""
    with tarfile.open(target, "w") as tar:
        for name, mode in DIRECTORIES.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        _add(tar, "bin/busybox", source.read_bytes(), 0o755)
        _add(tar, "etc/passwd", PASSWD, 0o644)
        _add(tar, "etc/group", GROUP, 0o644)
        for name in applets(source):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, "busybox", 0o777
            tar.addfile(entry)


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), mode, int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    tar.addfile(entry, io.BytesIO(data))
