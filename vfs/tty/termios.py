"""termios(3), ioctl_tty(2): the settings of a terminal as a value, and the three layouts in which ioctls carry them."""

from __future__ import annotations

import struct

from sentry.abi.const import tty as c

TERMIOS = struct.Struct("<4IB19s")  # TCGETS, TCSETS*
TERMIOS2 = struct.Struct("<4IB19s2I")  # TCGETS2, TCSETS2*
TERMIO = struct.Struct("<4HB8sx")  # TCGETA, TCSETA*
WINSIZE = struct.Struct("<4H")

DISABLED = 0  # _POSIX_VDISABLE: a control character that is off
IBSHIFT = 16  # c_cflag keeps the input rate above the output rate

DEFAULT_CC = bytes((3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0))
DEFAULT_IFLAG = c.ICRNL | c.IXON
DEFAULT_OFLAG = c.OPOST | c.ONLCR
DEFAULT_CFLAG = c.B38400 | c.CS8 | c.CREAD
DEFAULT_LFLAG = c.ISIG | c.ICANON | c.ECHO | c.ECHOE | c.ECHOK | c.ECHOCTL | c.ECHOKE | c.IEXTEN

# c_cflag & CBAUD -> bits a second
SPEEDS = {
    c.B0: 0, c.B50: 50, c.B75: 75, c.B110: 110, c.B134: 134, c.B150: 150, c.B200: 200, c.B300: 300, c.B600: 600,
    c.B1200: 1200, c.B1800: 1800, c.B2400: 2400, c.B4800: 4800, c.B9600: 9600, c.B19200: 19200, c.B38400: 38400,
    c.B57600: 57600, c.B115200: 115200, c.B230400: 230400, c.B460800: 460800, c.B500000: 500000, c.B576000: 576000,
    c.B921600: 921600, c.B1000000: 1000000, c.B1152000: 1152000, c.B1500000: 1500000, c.B2000000: 2000000,
    c.B2500000: 2500000, c.B3000000: 3000000, c.B3500000: 3500000, c.B4000000: 4000000,
}  # fmt: skip


class Termios:
    """An immutable set of settings; `with_*` make the next one from what a guest wrote."""

    __slots__ = ("cc", "cflag", "iflag", "ispeed", "lflag", "line", "oflag", "ospeed")

    def __init__(
        self,
        iflag: int = DEFAULT_IFLAG,
        oflag: int = DEFAULT_OFLAG,
        cflag: int = DEFAULT_CFLAG,
        lflag: int = DEFAULT_LFLAG,
        line: int = 0,
        cc: bytes = DEFAULT_CC,
        ispeed: int = 38400,
        ospeed: int = 38400,
    ) -> None:
        self.iflag = iflag
        self.oflag = oflag
        self.cflag = cflag
        self.lflag = lflag
        self.line = line
        self.cc = cc
        self.ispeed = ispeed
        self.ospeed = ospeed

    def pack(self) -> bytes:
        return TERMIOS.pack(self.iflag, self.oflag, self.cflag, self.lflag, self.line, self.cc)

    def pack2(self) -> bytes:
        return TERMIOS2.pack(
            self.iflag, self.oflag, self.cflag, self.lflag, self.line, self.cc, self.ispeed, self.ospeed
        )

    def pack_termio(self) -> bytes:
        low = 0xFFFF
        return TERMIO.pack(
            self.iflag & low, self.oflag & low, self.cflag & low, self.lflag & low, self.line, self.cc[:8]
        )

    def with_termios(self, data: bytes) -> Termios:
        iflag, oflag, cflag, lflag, line, cc = TERMIOS.unpack(data)
        return _settled(Termios(iflag, oflag, cflag, lflag, line, cc, self.ispeed, self.ospeed))

    def with_termios2(self, data: bytes) -> Termios:
        return _settled(Termios(*TERMIOS2.unpack(data)))

    def with_termio(self, data: bytes) -> Termios:
        """struct termio carries only the low halves and eight characters; the rest stays."""
        iflag, oflag, cflag, lflag, line, cc = TERMIO.unpack(data)
        high = 0xFFFF0000
        return _settled(
            Termios(
                self.iflag & high | iflag,
                self.oflag & high | oflag,
                self.cflag & high | cflag,
                self.lflag & high | lflag,
                line,
                cc + self.cc[8:],
                self.ispeed,
                self.ospeed,
            )
        )


def _settled(new: Termios) -> Termios:
    """What a pseudo-terminal makes of a request: always eight bits without parity; B* rates win over plain numbers."""
    new.cflag = new.cflag & ~(c.CSIZE | c.PARENB) & 0xFFFFFFFF | c.CS8 | c.CREAD
    output = new.cflag & c.CBAUD
    given = (new.cflag >> IBSHIFT) & c.CBAUD
    ospeed, ispeed = new.ospeed, new.ispeed
    if output != c.BOTHER:
        ospeed = SPEEDS.get(output, 0)
    if given == c.B0:
        ispeed = ospeed
    elif given != c.BOTHER:
        ispeed = SPEEDS.get(given, 0)
    new.ospeed, new.ispeed = ospeed, ispeed
    return new
