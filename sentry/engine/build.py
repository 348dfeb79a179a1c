"""Builds the C parts in place: the cffi module `sentry.engine._engine`, the guest's loader, the spawner and the stub.

Run as `python -m sentry.engine.build`. The compiler is called directly, so that neither setuptools nor distutils is
needed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
CC = os.environ.get("CC", "gcc")
FREESTANDING = (
    "-O2 -std=gnu11 -Wall -Wextra -Werror -static-pie -fPIE -nostdlib -ffreestanding -fno-builtin -fno-stack-protector "
    "-fcf-protection=none -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -mgeneral-regs-only "
    "-Wl,-z,norelro -Wl,-z,noexecstack -Wl,--build-id=none -s"
).split()


def _cdef() -> str:
    return "".join(path.read_text() for path in sorted(HERE.glob("*.h")) if path.name in ("engine.h", "hostcalls.h"))


def build_module() -> Path:
    """`_engine.<abi>.so` from every C file that is not a program of its own."""
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(_cdef())
    headers = [name for name in ("engine.h", "hostcalls.h") if (HERE / name).exists()]
    includes = "".join(f'#include "{name}"\n' for name in headers)
    ffi.set_source("sentry.engine._engine", "#include <stdint.h>\n" + includes)
    generated = HERE / "_engine.c"
    ffi.emit_c_code(str(generated))
    sources = [p for p in sorted(HERE.glob("*.c")) if p.name not in ("loader.c", "spawner.c", "stub.c")]
    target = HERE / ("_engine" + str(sysconfig.get_config_var("EXT_SUFFIX")))
    include = sysconfig.get_paths()["include"]
    fresh = target.with_suffix(".tmp")
    _run([CC, "-O2", "-Wall", "-fPIC", "-shared", f"-I{include}", f"-I{HERE}", *map(str, sources), "-o", str(fresh)])
    fresh.replace(target)
    generated.unlink()
    return target


def build_loader() -> Path:
    target = HERE / "loader"
    script = HERE / "loader.ld"
    _run([CC, *FREESTANDING, f"-Wl,-T,{script}", "-o", str(target), str(HERE / "loader.c")])
    return target


def build_stub() -> Path:
    target = HERE / "stub"
    _run([CC, "-Os", "-Wall", "-Wextra", "-static", "-s", str(HERE / "stub.c"), "-o", str(target)])
    return target


def build_spawner() -> Path:
    target = HERE / "spawner"
    flags = [flag for flag in FREESTANDING if flag not in ("-static-pie", "-fPIE")]
    _run([CC, *flags, "-static", "-no-pie", "-fno-pie", "-o", str(target), str(HERE / "spawner.c")])
    return target


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(f"build: {command[0]} failed ({command[-1]}); see the messages above")


def main() -> None:
    print("building sentry.engine._engine", flush=True)
    build_module()
    for name, build in (("loader", build_loader), ("spawner", build_spawner), ("stub", build_stub)):
        if (HERE / f"{name}.c").exists():
            print(f"building {name}", flush=True)
            build()


if __name__ == "__main__":
    main()
