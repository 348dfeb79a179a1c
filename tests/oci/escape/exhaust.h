/* Everything that can be had in numbers, until it is refused. A guest may run out; the sandbox's kernel must go on
 * (test_escape.py looks at its memory). */
#pragma once
#include "escape.h"
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static char block[1 << 20];

/* Afterwards ordinary work goes on, in a process of its own. */
static void healthy(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		int p[2], fd;
		char c;
		closefrom(3);
		_exit(pipe(p) || write(p[1], "x", 1) != 1 || read(p[0], &c, 1) != 1 || (fd = open("/tmp/ok", O_RDONLY)) < 0 || read(fd, &c, 1) != 1);
	}
	int status = 0;
	NEEDED(pid);
	NEEDED(waitpid(pid, &status, 0));
	BREACH_IF(status);
}

static void most_files(void)
{
	struct rlimit r;
	NEEDED(getrlimit(RLIMIT_NOFILE, &r));
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	r = (struct rlimit){1 << 20, 1 << 20};
	setrlimit(RLIMIT_NOFILE, &r);
}
