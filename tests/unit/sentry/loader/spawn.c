/* vfork(2), execveat(2): starts a program N times, from a path or from the descriptor of the loader; prints ns each. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    int count = atoi(argv[1]), fd = atoi(argv[2]);          /* fd -1: natively */
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < count; i++) {
        int status;
        pid_t pid = vfork();
        if (pid == 0) {
            if (fd < 0)
                execve(argv[3], argv + 3, environ);
            else
                syscall(SYS_execveat, fd, "", argv + 3, environ, AT_EMPTY_PATH);
            _exit(127);
        }
        waitpid(pid, &status, 0);
        if (status)
            return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%ld\n", ((to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec) / count);
    return argc < 4;
}
