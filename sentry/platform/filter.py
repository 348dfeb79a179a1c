"""The guest's seccomp filter (seccomp(2)), compiled by libseccomp from the native list.

Default: notify the Sentry. Foreign architectures (x32, i386 by int 0x80) give ENOSYS. The compiled program is cached
by the hash of its rules, since loading libseccomp costs more than starting a guest should.
"""

from __future__ import annotations

import os
from _blake2 import blake2b  # `hashlib` loads OpenSSL, which takes as long as a third of all our modules
from collections.abc import Callable
from typing import Any

from sentry.abi.nr.x86_64 import NR
from sentry.platform.native import Native

ENOSYS = 38
FORMAT = 2  # of what `compile_filter` makes of the rules


def filter_for(rules: list[Native], cache_dir: str, traced: bool = False) -> bytes:
    """The BPF program for `rules`: an array of struct sock_filter, 8 bytes each. `traced`: what is not native stops the
    task for its tracer."""
    meaning = [(r.name, r.tests) for r in rules], FORMAT
    name = "traced-filter" if traced else "guest-filter"
    return kept(cache_dir, name, meaning, lambda: compile_filter(rules, traced))


def kept(cache_dir: str, name: str, meaning: object, make: Callable[[], bytes]) -> bytes:
    """The program that means `meaning`, from the cache or made now."""
    digest = blake2b(repr(meaning).encode(), digest_size=16).hexdigest()
    path = os.path.join(cache_dir, f"{name}-{digest}.bpf")
    program = _cached(path)
    if not program:
        program = make()
        _store(path, program)
    return program


def _cached(path: str) -> bytes:
    """The program stored at `path`; b"" if there is none."""
    try:
        with open(path, "rb") as f:
            program = f.read()
    except OSError:
        return b""
    return program if len(program) % 8 == 0 else b""


def compile_filter(rules: list[Native], traced: bool = False) -> bytes:
    import pyseccomp as seccomp

    operators = {"==": seccomp.EQ, "mask": seccomp.MASKED_EQ}
    program = seccomp.SyscallFilter(defaction=seccomp.TRACE(0) if traced else seccomp.NOTIFY)
    program.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.ERRNO(ENOSYS))
    for rule in rules:
        tests = [seccomp.Arg(test[0], operators[test[1]], *test[2:]) for test in rule.tests]
        program.add_rule(seccomp.ALLOW, NR[rule.name], *tests)
    return exported(program)


def exported(program: Any) -> bytes:
    """What libseccomp made, as bytes."""
    with os.fdopen(os.memfd_create("filter"), "r+b") as out:
        program.export_bpf(out)
        out.seek(0)
        return out.read()


def _store(path: str, program: bytes) -> None:
    """A read-only installation compiles anew each time; slower, not wrong."""
    fresh = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(fresh, "wb") as f:
            f.write(program)
        os.replace(fresh, path)
    except OSError:
        pass
