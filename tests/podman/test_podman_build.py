"""podman-build(1), -commit, -diff: images that are made of what containers wrote. All without a network."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.podman.conftest import IMAGE, Podman

pytestmark = pytest.mark.timeout(180)
CONTAINERFILE = f"""\
FROM {IMAGE}
ENV A=from-env
WORKDIR /made
COPY file /made/copied
COPY --chown=7:8 --chmod=600 file /made/owned
RUN echo "built $A" >/made/built && chmod 4640 /made/built && ln -s built link && ln built hard && rm /etc/group
RUN ["/bin/mkdir", "-p", "/made/d/e"]
RUN grep -q runsc-py /proc/version
USER 1000:1000
RUN echo "$(id -u):$(id -g)" >/tmp/mine
USER 0
CMD ["sh", "-c", "cat /made/built /made/copied /made/link /tmp/mine; echo $A; pwd"]
"""


def build(podman: Podman, at: Path, text: str, *options: str) -> tuple[int, str, str]:
    (at / "Containerfile").write_text(text)
    (at / "file").write_text("of the context\n")
    done = podman("build", "--network=none", *options, str(at), timeout_s=120)
    return done.returncode, done.stdout, done.stderr


def test_build(podman: Podman, tmp_path: Path) -> None:
    image = f"localhost/built-{os.getpid()}:latest"
    code, _, errors = build(podman, tmp_path, CONTAINERFILE, "-t", image)
    assert code == 0, errors
    try:
        done = podman.run(image)
        assert done.stdout == "built from-env\nof the context\nbuilt from-env\n1000:1000\nfrom-env\n/made\n"
        done = podman.run(image, "stat", "-c", "%a %u:%g %h %F", "built", "link", "copied", "owned", "d/e", "/tmp/mine")
        assert done.stdout.splitlines() == [
            "4640 0:0 2 regular file", "777 0:0 1 symbolic link", "644 0:0 1 regular file", "600 7:8 1 regular file",
            "755 0:0 2 directory", "644 1000:1000 1 regular file"]
        again, shown, errors = build(podman, tmp_path, CONTAINERFILE, "-t", image)
        assert again == 0 and shown.count("Using cache") >= 8, (shown, errors)
    finally:
        podman("rmi", "--force", image)


@pytest.mark.parametrize(("step", "code"), [
    ("exit 7", 7), ("sh -c 'kill -9 $$'; exit $?", 137), ("no-such-command", 127)])
def test_a_step_that_fails(podman: Podman, tmp_path: Path, step: str, code: int) -> None:
    got, _, errors = build(podman, tmp_path, f"FROM {IMAGE}\nRUN {step}\n")
    assert got != 0 and f"exit status {code}" in errors, errors


def test_output_and_long_steps(podman: Podman, tmp_path: Path) -> None:
    script = "for i in $(seq 2000); do echo line $i; done; echo to stderr >&2; sleep 0.5; echo end"
    code, shown, errors = build(podman, tmp_path, f"FROM {IMAGE}\nRUN {script}\n", "--no-cache")
    assert code == 0, errors
    assert [line for line in shown.splitlines() if line.startswith("line ")] == [f"line {i}" for i in range(1, 2001)]
    assert "to stderr" in errors and "\nend\n" in shown


def test_commit_and_diff(podman: Podman, name: str) -> None:
    """Added, changed, deleted; times, modes, owners, links and holes arrive in the image."""
    podman.ok("run", "--network=none", "--name", name, IMAGE, "sh", "-c", """
        mkdir -p /a/b; echo x >/a/b/f; chown 5:6 /a/b/f; chmod 2750 /a/b; ln -s ../x /a/s; ln /a/b/f /a/hard
        echo more >>/etc/passwd; rm /etc/group; mv /home /moved; mkdir /gone; rm -r /gone
        dd if=/dev/zero of=/sparse bs=1 count=1 seek=1000000 2>/dev/null; touch -d '2001-02-03 04:05:06' /old""")
    changes = set(podman.ok("diff", name).splitlines())
    assert {"A /a", "A /a/b", "A /a/b/f", "A /a/s", "A /a/hard", "C /etc", "C /etc/passwd", "D /etc/group", "D /home",
            "A /moved", "A /sparse", "A /old"} <= changes
    assert not any(change.endswith("/gone") for change in changes)
    assert not {change for change in changes if change.split()[1].startswith(("/proc/", "/sys/", "/dev/"))}
    image = f"localhost/{name}:latest"
    podman.ok("commit", "-q", "--change", "CMD [\"cat\", \"/a/b/f\"]", "--change", "ENV B=c", name, image)
    try:
        assert podman.run(image).stdout == "x\n"
        look = ("stat -c '%a %u:%g %h %s' /a/b/f /a/b; readlink /a/s; stat -c %s /sparse; stat -c %Y /old; "
                "tail -1 /etc/passwd; echo $B; test -e /etc/group || echo no group")
        shown = podman.run(image, "sh", "-c", look).stdout
        assert shown.splitlines() == ["644 5:6 2 2", "2750 0:0 2 4096", "../x", "1000001", "981173106", "more", "c",
                                      "no group"]
        history = json.loads(podman.ok("inspect", image))[0]
        assert history["Config"]["Cmd"] == ["cat", "/a/b/f"]
    finally:
        podman("rmi", "--force", image)


def test_commit_of_a_running_container(podman: Podman, name: str) -> None:
    """podman pauses it meanwhile and lets it go on."""
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE, "sh", "-c",
              "echo kept >/kept; i=0; while :; do i=$((i+1)); echo $i >/new; mv /new /count; sleep 0.01; done")
    image = f"localhost/{name}:latest"
    try:
        podman.ok("exec", name, "sh", "-c", "while ! test -s /count; do sleep 0.05; done")
        podman.ok("commit", "-q", "--pause", name, image)
        assert podman.ok("inspect", "-f", "{{.State.Status}}", name) == "running"
        first = int(podman.ok("exec", name, "cat", "/count") or 0)
        podman.ok("exec", name, "sleep", "0.3")
        assert int(podman.ok("exec", name, "cat", "/count") or 0) > first
        shown = podman.run(image, "cat", "/kept", "/count").stdout.split()
        assert shown[0] == "kept" and int(shown[1]) > 0
    finally:
        podman("rmi", "--force", image)
