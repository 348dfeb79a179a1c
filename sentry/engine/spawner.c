/* clone(2), seccomp(2): the spawner makes the guests that have no parent in the container: pid 1, and one for each `exec`.

   launch.c has put it into the guests' namespaces, without any right, and starts it with its link to the Sentry at 3 and
   the loader at 63. It sends 0 there, and gets the guests' filter (struct filter below); an error goes back as -errno. From then on the spawner is
   filtered as every guest is, by the same filter with the same listener, and all that it does is asked of the Sentry
   (sentry/kernel/spawner.py): close(2) of the listener and of the link; SPAWNER_MAGIC, which gives back the last child's
   number and waits for the next program; clone(2). Its own number is outside the guests' pid namespace, so they can
   neither see nor name it; its children are the Sentry's (CLONE_PARENT). It has no C library and one page of data. */

typedef unsigned long u64;
typedef long s64;
typedef unsigned int u32;

enum { LINK = 3, LOADER = 63, SPAWNER_MAGIC = 1001, ROOM = 4 << 20 };
enum { NR_close = 3, NR_madvise = 28, NR_sendto = 44, NR_recvfrom = 45, NR_clone = 56, NR_setsid = 112, NR_prctl = 157,
       NR_exit_group = 231, NR_seccomp = 317, NR_execveat = 322 };
enum { PR_SET_DUMPABLE = 4, PR_SET_NAME = 15, SECCOMP_SET_MODE_FILTER = 1, MADV_DONTNEED = 4, AT_EMPTY_PATH = 0x1000 };
enum { CLONE_PARENT = 0x8000, SIGCHLD = 17 };

struct filter { u64 flags, count; char program[]; };            /* flags of seccomp(2), number of instructions */
struct sock_fprog { unsigned short count; const void *program; };

static char room[ROOM] __attribute__((aligned(4096)));          /* the filter; later argv, envp and their strings */

static inline s64 call(s64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    register u64 r10 __asm__("r10") = d;
    register u64 r8 __asm__("r8") = e;
    register u64 r9 __asm__("r9") = f;
    s64 result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}

static void quit(s64 error)
{
    call(NR_sendto, LINK, (u64)&error, sizeof error, 0, 0, 0);
    call(NR_exit_group, 1, 0, 0, 0, 0, 0);
    __builtin_trap();
}

void __attribute__((noreturn)) _start(void)
{
    const struct filter *filter = (const struct filter *)room;
    const u64 *words = (const u64 *)room;                       /* addresses of argv and envp */
    struct sock_fprog program;
    s64 got, child = 0;

    call(NR_prctl, PR_SET_NAME, (u64)"runsc-spawner", 0, 0, 0, 0);
    call(NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0, 0);
    call(NR_sendto, LINK, (u64)&child, sizeof child, 0, 0, 0);  /* no descriptor is open any more but 3 and 63 */
    got = call(NR_recvfrom, LINK, (u64)room, ROOM, 0, 0, 0);
    if (got < (s64)sizeof *filter || got != (s64)(sizeof *filter + filter->count * 8))
        quit(got < 0 ? got : -22);
    program.count = (unsigned short)filter->count;
    program.program = filter->program;
    got = call(NR_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, (u64)&program, 0, 0, 0);
    if (got < 0)
        quit(got);
    call(NR_close, 0, 0, 0, 0, 0, 0);                           /* the listener, at the lowest free number */
    call(NR_close, LINK, 0, 0, 0, 0, 0);
    for (;;) {
        call(NR_madvise, (u64)room, ROOM, MADV_DONTNEED, 0, 0, 0);
        if (call(SPAWNER_MAGIC, (u64)room, ROOM, (u64)child, 0, 0, 0) < 16)
            call(NR_exit_group, 1, 0, 0, 0, 0, 0);
        child = call(NR_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0, 0);
        if (!child) {
            call(NR_setsid, 0, 0, 0, 0, 0, 0);                  /* otherwise a guest's kill(0) would reach the Sentry */
            call(NR_execveat, LOADER, (u64)"", words[0], words[1], AT_EMPTY_PATH, 0);
            call(NR_exit_group, 1, 0, 0, 0, 0, 0);
        }
    }
}
