/* prctl(2): what an unprivileged, not dumpable program can tell of its start without /proc. */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char _end[];

int main(void)
{
    char name[16];
    prctl(PR_GET_NAME, name);
    unsigned long distance = (char *)sbrk(0) - _end;
    printf("uid %d dumpable %d name %s brk %s %d\n", getuid(), prctl(PR_GET_DUMPABLE), name,
           distance < (2UL << 30) ? "near" : "far", sbrk(4096) != (void *)-1);
    return 0;
}
