"""What a device is to the stack. Frames that come in are handed to `stack.receive` by whoever owns the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from netstack.packet import Offload


class Link(Protocol):
    """A device.

    gso       it takes TCP segments of up to 64 KiB and cuts them itself (Offload.gso_size)
    checksum  it finishes checksums (Offload.csum_start); otherwise frames come complete
    """

    gso: bool
    checksum: bool

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        """Put a frame on the wire, all parts in a row, at once; False when there was no room and it was dropped.
        `parts` may be kept and sent later: nobody changes them afterwards."""
