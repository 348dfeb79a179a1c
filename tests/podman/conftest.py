"""podman(1) with a store, a configuration and an image of its own; nothing of the user's podman is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import runtime
from tests.oci.container import BUSYBOX, make_root

Done = subprocess.CompletedProcess[str]
IMAGE = "localhost/runsc-py-test:latest"
STORAGE = '''[storage]
driver = "overlay"
graphroot = "{top}/graph"
runroot = "{top}/run"
'''
CONFIG = '''[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{top}/tmp"
volume_path = "{top}/volumes"
runtime_supports_json = ["crun", "runc", "runsc-py"]
runtime_supports_nocgroup = ["crun", "runsc-py"]
[network]
network_config_dir = "{top}/networks"
'''


class Podman:
    """The podman command on the isolated store, with our runtime."""

    def __init__(self, top: Path) -> None:
        self.top = top
        (top / "storage.conf").write_text(STORAGE.format(top=top))
        (top / "containers.conf").write_text(CONFIG.format(top=top))
        self.env = {**os.environ, "CONTAINERS_STORAGE_CONF": str(top / "storage.conf"),
                    "CONTAINERS_CONF": str(top / "containers.conf"), "TMPDIR": str(top),
                    "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}  # of the machine, before every answer

    def argv(self, *args: str) -> list[str]:
        # a launcher named runsc-py: podman's lists of features go by that name
        return ["podman", "--runtime", str(self.top / "runsc-py"), *args]

    def __call__(self, *args: str, timeout_s: float = 60, input: bytes | None = None) -> Done:
        done = subprocess.run(self.argv(*args), input=input, capture_output=True, timeout=timeout_s, env=self.env,
                              check=False)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(errors="replace"),
                                           done.stderr.decode(errors="replace"))

    def run(self, *args: str, timeout_s: float = 60, input: bytes | None = None) -> Done:
        """run --rm without a network, which these tests do not need."""
        return self("run", "--rm", "--network=none", *args, timeout_s=timeout_s, input=input)

    def ok(self, *args: str, timeout_s: float = 60) -> str:
        done = self(*args, timeout_s=timeout_s)
        assert done.returncode == 0, f"podman {' '.join(args)}: {done.returncode}\n{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in ("podman", "conmon"):
        if not shutil.which(tool):
            pytest.skip(f"not installed: {tool}")
    if not BUSYBOX.exists():
        pytest.skip("not installed: busybox-static")
    top = Path(tempfile.mkdtemp(prefix="runsc-py-podman-"))
    try:
        p = Podman(top)
        launcher = top / "runsc-py"
        launcher.write_text("#!/bin/sh\nexec " + " ".join(runtime()) + ' "$@"\n')
        launcher.chmod(0o755)
        make_root(top / "root")
        with tarfile.open(top / "root.tar", "w") as tar:
            tar.add(top / "root", arcname=".")
        p.ok("import", "-c", 'CMD ["/bin/sh"]', "-c", "ENV PATH=/bin", str(top / "root.tar"), IMAGE)
        yield p
    finally:
        clean(Podman(top))


def clean(p: Podman) -> None:
    p("rm", "--all", "--force", "--time=0")
    p("rmi", "--all", "--force")
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(str(p.top))), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(p.top, ignore_errors=True)


@pytest.fixture
def name(podman: Podman, request: pytest.FixtureRequest) -> Iterator[str]:
    """A container's name; whatever has it afterwards is removed."""
    own = f"t-{os.getpid()}-{abs(hash(request.node.nodeid)) % 100000}"
    yield own
    podman("rm", "--force", "--time=0", "--ignore", own)
