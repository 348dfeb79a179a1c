from tests.unit.vfs.tty.fakes import kernel

__all__ = ["kernel"]
