/* The stub: the process whose pid a container engine knows (credentials(7), signalfd(2), unix(7)).
 *
 * It runs nothing of the guest. File descriptor 3 is its end of a SOCK_SEQPACKET pair with the Sentry; a message is two
 * 32-bit words in the host's byte order:
 *   to the Sentry    {SIGNAL, number}        a signal that somebody sent to this process
 *   from the Sentry  {EXIT, wait status}     end the way the container's first process ended
 * End of file means that the Sentry is gone: the stub kills itself, so that its parent sees 137.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SENTRY = 3, SIGNAL = 1, EXIT = 2 };

static void die_by(int signo)
{
    struct rlimit none = {0, 0};
    sigset_t only;
    setrlimit(RLIMIT_CORE, &none); /* a core dump of the stub would say nothing, and core_pattern may be a program */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    signal(signo, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, signo);
    kill(getpid(), signo);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    _exit(128 + signo); /* a signal whose default is not death */
}

static void finish(uint32_t status)
{
    if (WIFSIGNALED((int)status))
        die_by(WTERMSIG((int)status));
    _exit(WEXITSTATUS((int)status));
}

/* The kernel's own signals come from the controlling terminal, which the Sentry watches itself; only the size is news to it. */
static int worth_telling(const struct signalfd_siginfo *info)
{
    if (info->ssi_signo == SIGCHLD)
        return 0;
    return info->ssi_code != SI_KERNEL || info->ssi_signo == SIGWINCH;
}

int main(void)
{
    sigset_t all;
    struct pollfd watched[2] = {{SENTRY, POLLIN, 0}, {-1, POLLIN, 0}};

    syscall(SYS_close_range, SENTRY + 1, ~0U, 0);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    watched[1].fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (watched[1].fd < 0)
        die_by(SIGKILL);
    for (;;) {
        if (poll(watched, 2, -1) < 0 && errno != EINTR)
            die_by(SIGKILL);
        if (watched[0].revents) {
            uint32_t message[2];
            ssize_t got = recv(SENTRY, message, sizeof message, MSG_DONTWAIT);
            if (got == (ssize_t)sizeof message && message[0] == EXIT)
                finish(message[1]);
            if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
                die_by(SIGKILL);
        }
        if (watched[1].revents) {
            struct signalfd_siginfo info;
            while (read(watched[1].fd, &info, sizeof info) == (ssize_t)sizeof info) {
                uint32_t message[2] = {SIGNAL, info.ssi_signo};
                if (worth_telling(&info))
                    send(SENTRY, message, sizeof message, MSG_NOSIGNAL); /* blocks when the Sentry is behind: signals wait, merged */
            }
        }
    }
}
