"""Layouts of x86_64 and aarch64 structures (<asm/*.h>, <linux/*.h>), as struct.Struct objects named after the C types.

Field order is written beside each one. Padding is explicit ("x"), so that nothing of the Sentry leaks into a guest.
"""

from struct import Struct

# -- stat(2), statx(2), statfs(2), getdents64(2) --
# dev ino nlink mode uid gid rdev size blksize blocks atime atime_ns mtime mtime_ns ctime ctime_ns
STAT = Struct("<QQQIII4xQqqqQQQQQQ24x")
# dev ino mode nlink uid gid rdev size blksize blocks atime atime_ns mtime mtime_ns ctime ctime_ns
STAT_AARCH64 = Struct("<QQIIIIQ8xqi4xqQQQQQQ8x")
# mask blksize attributes nlink uid gid mode ino size blocks attributes_mask, 4 x (sec ns) = atime btime ctime mtime,
# rdev_major rdev_minor dev_major dev_minor mnt_id dio_mem_align dio_offset_align subvol
STATX = Struct("<IIQIIIH2xQQQQ" + "qI4x" * 4 + "IIIIQIIQ88x")
# type bsize blocks bfree bavail files ffree fsid0 fsid1 namelen frsize flags
STATFS = Struct("<qqQQQQQiiqqq32x")
DIRENT64 = Struct("<QqHB")  # ino off reclen type, then the name
DIRENT = Struct("<QQH")  # ino off reclen, then the name, NUL, type in the last byte
FLOCK = Struct("<hh4xqqi4x")  # type whence start len pid
F_OWNER_EX = Struct("<ii")  # type pid
OPEN_HOW = Struct("<QQQ")  # flags mode resolve
FILE_HANDLE = Struct("<Ii")  # bytes type
FILE_CLONE_RANGE = Struct("<qQQQ")  # src_fd src_offset src_length dest_offset
FSXATTR = Struct("<IIIII8x")  # xflags extsize nextents projid cowextsize
UTIMBUF = Struct("<qq")  # actime modtime
UTIMES = Struct("<qqqq")  # atime mtime: timeval[2] or timespec[2]

# -- time --
TIMESPEC = Struct("<qq")  # sec nsec
TIMEVAL = Struct("<qq")  # sec usec
ITIMERSPEC = Struct("<qqqq")  # interval value
ITIMERVAL = Struct("<qqqq")  # interval value
TIMEZONE = Struct("<ii")  # minuteswest dsttime
TMS = Struct("<qqqq")  # utime stime cutime cstime
# modes offset freq maxerror esterror status constant precision tolerance time_sec time_usec tick ppsfreq jitter shift
# stabil jitcnt calcnt errcnt stbcnt tai
TIMEX = Struct("<I4xqqqqi4xqqqqqqqqi4xqqqqqi44x")

# -- polling --
POLLFD = Struct("<ihh")  # fd events revents
EPOLL_EVENT = Struct("<IQ")  # events data; packed on x86_64
EPOLL_EVENT_AARCH64 = Struct("<I4xQ")
EPOLL_PARAMS = Struct("<IHBx")  # busy_poll_usecs busy_poll_budget prefer_busy_poll
SIGSET_ARG = Struct("<QQ")  # pselect6's last argument: sigmask_addr size
INOTIFY_EVENT = Struct("<iIII")  # wd mask cookie len, then the name

# -- tasks --
# utime stime maxrss ixrss idrss isrss minflt majflt nswap inblock oublock msgsnd msgrcv nsignals nvcsw nivcsw
RUSAGE = Struct("<qqqq14q")
# uptime load1 load5 load15 totalram freeram sharedram bufferram totalswap freeswap procs totalhigh freehigh mem_unit
SYSINFO = Struct("<qQQQQQQQQQH6xQQI4x")
UTSNAME = Struct("65s65s65s65s65s65s")  # sysname nodename release version machine domainname
RLIMIT = Struct("<QQ")  # cur max
RLIMIT64 = RLIMIT
SCHED_PARAM = Struct("<i")  # priority
# size policy flags nice priority runtime deadline period util_min util_max
SCHED_ATTR = Struct("<IIQiIQQQII")
SCHED_ATTR_SIZE_VER0 = 48
# flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup
CLONE_ARGS = Struct("<11Q")
CLONE_ARGS_SIZE_VER0 = 64
CLONE_ARGS_SIZE_VER1 = 80
CAP_HEADER = Struct("<Ii")  # version pid
CAP_DATA = Struct("<III")  # effective permitted inheritable, of 32 capabilities
ROBUST_LIST_HEAD = Struct("<QqQ")  # list futex_offset pending
FUTEX_WAITV = Struct("<QQII")  # val uaddr flags reserved
# start_code end_code start_data end_data start_brk brk start_stack arg_start arg_end env_start env_end auxv
# auxv_size exe_fd
PRCTL_MM_MAP = Struct("<12QII")

# -- signals --
SIGACTION = Struct("<QQQQ")  # handler flags restorer mask (the kernel's order)
SIGACTION_AARCH64 = SIGACTION
SIGSET = Struct("<Q")
STACK_T = Struct("<Qi4xQ")  # sp flags size
SIGEVENT = Struct("<QiiiI40x")  # value signo notify tid-or-pad pad
SIGINFO_SIZE = 128
SIGINFO_HEAD = Struct("<iii4x")  # signo errno code
SIGINFO_KILL = Struct("<iii4xiI104x")  # signo errno code pid uid
SIGINFO_QUEUE = Struct("<iii4xiIQ96x")  # signo errno code pid uid value
SIGINFO_TIMER = Struct("<iii4xiiQ96x")  # signo errno code timerid overrun value
SIGINFO_CHILD = Struct("<iii4xiIi4xqq80x")  # signo errno code pid uid status utime stime
SIGINFO_FAULT = Struct("<iii4xQ104x")  # signo errno code addr
SIGINFO_POLL = Struct("<iii4xqi100x")  # signo errno code band fd
SIGINFO_SYS = Struct("<iii4xQiI96x")  # signo errno code call_addr syscall arch
# signo errno code pid uid fd tid band overrun trapno status int ptr utime stime addr addr_lsb syscall call_addr arch
SIGNALFD_SIGINFO = Struct("<IiiIIiIIIIiiQQQQH2xiQI28x")

# -- memory vectors and sockets --
IOVEC = Struct("<QQ")  # base len
MSGHDR = Struct("<QI4xQQQQi4x")  # name namelen iov iovlen control controllen flags
MMSGHDR = Struct("<QI4xQQQQi4xI4x")  # a msghdr, then the length
CMSGHDR = Struct("<Qii")  # len level type; data aligned to 8
SA_FAMILY = Struct("<H")
SOCKADDR_UN = Struct("<H108s")  # family path
SOCKADDR_IN = Struct("!2s2x4s8x")  # port and address in network order; the family is written by SA_FAMILY
SOCKADDR_NL = Struct("<H2xII")  # family pid groups
UCRED = Struct("<iII")  # pid uid gid
LINGER = Struct("<ii")  # onoff linger

# -- terminals --
WINSIZE = Struct("<HHHH")  # rows columns xpixel ypixel
TERMIOS = Struct("<IIIIB19s")  # iflag oflag cflag lflag line cc
TERMIOS2 = Struct("<IIIIB19sII")  # ... ispeed ospeed
TERMIO = Struct("<HHHHB8sx")  # the old one

# -- System V and POSIX IPC --
IPC_PERM = Struct("<iIIIIIHH4x16x")  # key uid gid cuid cgid mode seq pad: 48 bytes
SHMID_DS_TAIL = Struct("<QqqqiiQ16x")  # segsz atime dtime ctime cpid lpid nattch
SEMBUF = Struct("<Hhh")  # num op flg
MQ_ATTR = Struct("<qqqq32x")  # flags maxmsg msgsize curmsgs

U16 = Struct("<H")
U32 = Struct("<I")
I32 = Struct("<i")
U64 = Struct("<Q")
I64 = Struct("<q")
