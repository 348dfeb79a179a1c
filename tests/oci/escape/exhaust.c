/* Files in numbers: descriptors, memory of pipes and sockets, names, watches, locks. */
#include "exhaust.h"

CASE(descriptors)
{
	int n = 0;
	most_files();
	while (open("/tmp/ok", O_RDONLY) >= 0)
		n++;
	BREACH_IF(errno != EMFILE && errno != ENFILE);
	BREACH_IF(n < 500);
	closefrom(3);
	healthy();
}

CASE(descriptors_of_many_processes)
{
	pid_t pids[8];
	for (int i = 0; i < 8; i++)
		if (!(pids[i] = fork())) {
			most_files();
			for (int n = 0; n < 4000 && open("/tmp/ok", O_RDWR) >= 0; n++)
				;
			for (int n = 0; n < 2000 && memfd_create("x", 0) >= 0; n++)
				;
			sleep(1);
			_exit(0);
		}
	for (int i = 0; i < 8; i++)
		waitpid(pids[i], NULL, 0);
	healthy();
}

CASE(memory_of_pipes)
{
	long total = 0;
	most_files();
	for (int i = 0; i < 2000; i++) {
		int p[2];
		ssize_t n;
		if (pipe2(p, O_NONBLOCK))
			break;
		fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
		while ((n = write(p[1], block, sizeof block)) > 0)
			total += n;
	}
	dprintf(1, "  %ld MiB in pipes\n", total >> 20);
	closefrom(3);
	healthy();
}

CASE(memory_of_sockets)
{
	long total = 0;
	most_files();
	for (int i = 0; i < 1000; i++) {
		int p[2], big = 1 << 30;
		ssize_t n;
		if (socketpair(AF_UNIX, (i & 1 ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0, p))
			break;
		setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
		setsockopt(p[1], SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
		for (int k = 0; k < 300 && (n = send(p[0], block, i & 1 ? sizeof block : 60000, 0)) > 0; k++)
			total += n;
	}
	dprintf(1, "  %ld MiB in sockets\n", total >> 20);
	closefrom(3);
	healthy();
}

CASE(descriptors_in_flight)
{
	int p[2], sent = 0;
	char byte = 0, control[CMSG_SPACE(250 * sizeof(int))];
	struct iovec iov = {&byte, 1};
	NEEDED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p));
	for (int i = 0; i < 3000; i++) {
		struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){CMSG_LEN(250 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		for (int k = 0; k < 250; k++)
			((int *)CMSG_DATA(c))[k] = p[k & 1]; /* the sockets themselves: a cycle */
		if (sendmsg(p[0], &m, 0) < 0)
			break;
		sent += 250;
	}
	dprintf(1, "  %d descriptors in flight\n", sent);
	BREACH_IF(sent > 200000);
	closefrom(3);
	healthy();
}

CASE(sockets_sent_through_each_other)
{
	int last[2] = {-1, -1};
	char byte = 0, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	for (int i = 0; i < 3000; i++) {
		int p[2];
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p))
			break;
		if (last[0] >= 0) {
			struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
			struct cmsghdr *c = CMSG_FIRSTHDR(&m);
			*c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
			*(int *)CMSG_DATA(c) = last[1];
			sendmsg(p[0], &m, 0);
			close(last[0]), close(last[1]);
		}
		memcpy(last, p, sizeof last);
	}
	closefrom(3); /* a chain of 3000 is let go at once */
	healthy();
}

CASE(epoll_in_epoll)
{
	int top = NEEDED(epoll_create1(0)), last = top, made = 0;
	struct epoll_event e = {.events = EPOLLIN};
	most_files();
	for (int i = 0; i < 2000; i++) {
		int next = epoll_create1(0);
		if (next < 0)
			break;
		if (epoll_ctl(last, EPOLL_CTL_ADD, next, &e))
			break;
		last = next, made++;
	}
	struct epoll_event out[8];
	epoll_wait(top, out, 8, 0);
	BREACH_IF(!epoll_ctl(last, EPOLL_CTL_ADD, top, &e)); /* a loop */
	BREACH_IF(made > 100);
	closefrom(3);
	healthy();
}

CASE(wide_epoll)
{
	int ep[6];
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT};
	most_files();
	for (int i = 0; i < 6; i++)
		ep[i] = NEEDED(epoll_create1(0));
	for (int i = 0; i < 500; i++) {
		int fd = eventfd(1, 0);
		for (int k = 0; k < 6 && fd >= 0; k++)
			epoll_ctl(ep[k], EPOLL_CTL_ADD, fd, &e);
	}
	for (int i = 0; i < 5; i++)
		epoll_ctl(ep[i], EPOLL_CTL_ADD, ep[i + 1], &e);
	struct epoll_event out[64];
	for (int i = 0; i < 200; i++)
		epoll_wait(ep[0], out, 64, 0);
	BREACH_IF(epoll_wait(ep[0], (void *)8, 0x7fffffff, 0) >= 0);
	healthy();
}

CASE(sets_of_poll_and_select)
{
	struct pollfd *many = mmap(NULL, 1 << 24, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	BREACH_IF(many == MAP_FAILED);
	most_files();
	for (long n = 1; n < 1 << 21; n *= 4)
		poll(many, n, 0);
	BREACH_IF(poll(many, -1, 0) >= 0);
	struct timeval now = {0, 0};
	select(0x7fffffff, (fd_set *)many, (fd_set *)(many + 1000), NULL, &now);
	select(1 << 20, (fd_set *)many, NULL, NULL, &now);
	healthy();
}

CASE(huge_vectors)
{
	static struct iovec v[1024];
	int fd = NEEDED(open("/tmp/huge", O_RDWR | O_CREAT | O_TRUNC, 0644)), null = NEEDED(open("/dev/null", O_WRONLY)),
	    zero = NEEDED(open("/dev/zero", O_RDONLY));
	for (int i = 0; i < 1024; i++)
		v[i] = (struct iovec){block, sizeof block};
	writev(null, v, 1024);
	readv(zero, v, 1024);
	BREACH_IF(writev(null, v, 1025) >= 0 || writev(null, v, -1) >= 0);
	char *big = mmap(NULL, 1UL << 31, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (big != MAP_FAILED) {
		write(null, big, 1UL << 31);
		read(zero, big, 1UL << 28);
		munmap(big, 1UL << 31);
	}
	struct rlimit r = {1 << 22, 1 << 22};
	NEEDED(setrlimit(RLIMIT_FSIZE, &r));
	signal(SIGXFSZ, SIG_IGN);
	pwritev(fd, v, 16, 0);
	unlink("/tmp/huge");
	healthy();
}

CASE(huge_random)
{
	char *big = mmap(NULL, 1UL << 28, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int fd = NEEDED(open("/dev/urandom", O_RDONLY));
	BREACH_IF(big == MAP_FAILED);
	read(fd, big, 1UL << 28);
	healthy();
}

CASE(long_arguments)
{
	static char *argv[200002], *env[] = {NULL};
	char *text = malloc(140000);
	memset(text, 'a', 140000);
	text[139999] = 0;
	for (int i = 0; i < 200000; i++)
		argv[i] = "argument";
	for (int round = 0; round < 4; round++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (round == 1)
				argv[1] = text; /* longer than MAX_ARG_STRLEN */
			if (round == 2)
				for (int i = 0; i < 200000; i++)
					argv[i] = text + 30000;
			if (round == 3)
				for (int i = 1; i < 200000; i++)
					argv[i] = "";
			argv[0] = "true";
			execve("/bin/busybox", argv, env);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	healthy();
}

CASE(deep_directories)
{
	char name[201];
	int depth = 0;
	memset(name, 'd', 200);
	name[200] = 0;
	NEEDED(mkdir("/tmp/deep", 0755));
	NEEDED(chdir("/tmp/deep"));
	while (depth < 700 && !mkdir(name, 0755) && !chdir(name))
		depth++;
	static char where[1 << 18];
	syscall(SYS_getcwd, where, sizeof where);
	struct stat st;
	stat("..", &st);
	open("/proc/self/cwd", O_PATH);
	readlink("/proc/self/cwd", where, sizeof where);
	while (depth-- > 0 && !chdir(".."))
		rmdir(name);
	NEEDED(chdir("/tmp"));
	healthy();
}

CASE(many_names)
{
	int n = 0;
	NEEDED(mkdir("/tmp/many", 0755));
	for (; n < 4000; n++) {
		char name[64];
		snprintf(name, sizeof name, "/tmp/many/%d", n);
		int fd = open(name, O_WRONLY | O_CREAT, 0644);
		if (fd < 0)
			break;
		close(fd);
	}
	DIR *dir = opendir("/tmp/many");
	int seen = 0;
	while (dir && readdir(dir))
		seen++;
	BREACH_IF(seen < n);
	for (int i = 0; i < n; i++) {
		char name[64];
		snprintf(name, sizeof name, "/tmp/many/%d", i);
		unlink(name);
	}
	healthy();
}

CASE(long_link_targets)
{
	static char target[4096];
	memset(target, 'l', 4095);
	for (int i = 0; i < 300; i++) {
		char name[64];
		snprintf(name, sizeof name, "/tmp/long%d", i);
		symlink(target, name);
		open(name, O_RDONLY);
		unlink(name);
	}
	healthy();
}

CASE(attributes_without_end)
{
	close(NEEDED(open("/dev/shm/attributes", O_WRONLY | O_CREAT, 0644)));
	for (int i = 0; i < 3000; i++) {
		char name[64];
		snprintf(name, sizeof name, "user.%d", i);
		if (setxattr("/dev/shm/attributes", name, block, 60000, 0))
			break;
	}
	static char list[1 << 17];
	listxattr("/dev/shm/attributes", list, sizeof list);
	unlink("/dev/shm/attributes");
	healthy();
}

CASE(watches_and_their_events)
{
	int fd = NEEDED(inotify_init1(IN_NONBLOCK));
	most_files();
	for (int i = 0; i < 500 && inotify_init1(0) >= 0; i++)
		;
	inotify_add_watch(fd, "/tmp", IN_ALL_EVENTS);
	for (int i = 0; i < 20000; i++) {
		int f = open("/tmp/watched", O_WRONLY | O_CREAT, 0644);
		close(f);
	}
	ssize_t n;
	long total = 0;
	while ((n = read(fd, block, sizeof block)) > 0)
		total += n;
	dprintf(1, "  %ld KiB of events\n", total >> 10);
	closefrom(3);
	healthy();
}

CASE(many_locks)
{
	int fd = NEEDED(open("/tmp/locked", O_RDWR | O_CREAT, 0644));
	for (long i = 0; i < 6000; i++) {
		struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = i * 2, .l_len = 1};
		if (fcntl(fd, F_SETLK, &l))
			break;
	}
	healthy();
}
