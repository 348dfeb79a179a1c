/* Arguments that another thread changes while the Sentry reads them: path_resolution(7), readv(2), unix(7), sendmsg(2),
 * poll(2), execve(2), openat2(2). Each case makes a number of calls under the flipping thread; full=1 makes ten times as
 * many. Nothing outside may be reached, and what arrives must be one of the two things that stood there. */
#include "escape.h"
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/uio.h>

static volatile int stop;

static int times(int n) { return given("full") ? n * 10 : n; }

static struct {
	volatile char *at;
	const char *one, *other;
	size_t size;
} flip;

/* Byte by byte, so that mixtures are seen as well. */
static void *flipper(void *unused)
{
	(void)unused;
	while (!stop) {
		for (size_t i = 0; i < flip.size; i++)
			flip.at[i] = flip.one[i];
		for (size_t i = 0; i < flip.size; i++)
			flip.at[i] = flip.other[i];
	}
	return NULL;
}

static void start(void *at, const void *one, const void *other, size_t size)
{
	pthread_t thread;
	flip.at = at, flip.one = one, flip.other = other, flip.size = size;
	memcpy(at, one, size);
	NEEDED(-pthread_create(&thread, NULL, flipper, NULL));
}

static void check_opened(int fd)
{
	char data[64];
	ssize_t n;
	if (fd < 0)
		return;
	n = read(fd, data, sizeof data);
	if (n > 0)
		check_bytes("raced file", data, n);
	close(fd);
}

CASE(path_of_open)
{
	static char path[PATH_MAX], one[PATH_MAX], other[PATH_MAX];
	snprintf(one, sizeof one, "/tmp/ok/../../../../../../../../../../../../../../../../../../../../../../..");
	memset(one + strlen(one) + 1, 'x', 10);
	snprintf(other, sizeof other, "%s", given("path"));
	start(path, one, other, 120);
	for (int i = 0; i < times(30000); i++)
		check_opened(open(path, O_RDONLY | O_NONBLOCK));
	stop = 1;
}

CASE(path_with_links)
{
	static char path[64];
	start(path, "/tmp/ok\0\0\0\0\0\0\0\0\0\0\0\0", "/tmp/hostroot/secret", 21);
	for (int i = 0; i < times(20000); i++) {
		check_opened(open(path, O_RDONLY | O_NONBLOCK));
		struct stat st;
		if (!stat(path, &st))
			BREACH_IF(S_ISREG(st.st_mode) && st.st_size > 64);
	}
	stop = 1;
}

CASE(path_without_an_end)
{
	/* the end of the name comes and goes at the end of a page, behind which is nothing */
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static char one[64], other[64];
	memset(pages, '/', 8192);
	NEEDED(munmap(pages + 4096, 4096));
	memset(one, 0, 64), memset(other, 'a', 64);
	start(pages + 4096 - 64, one, other, 64);
	for (int i = 0; i < times(10000); i++) {
		check_opened(open(pages + 4000, O_RDONLY));
		mkdir(pages + 4000, 0755);
	}
	stop = 1;
}

CASE(how_of_openat2)
{
	static struct open_how how, one = {O_RDONLY, 0, RESOLVE_IN_ROOT}, other = {O_RDONLY, 0, 0};
	int dir = NEEDED(open("/tmp", O_PATH));
	start(&how, &one, &other, sizeof how);
	for (int i = 0; i < times(10000); i++) {
		check_opened(syscall(SYS_openat2, dir, "../../../secret", &how, sizeof how));
		check_opened(syscall(SYS_openat2, dir, "abs", &how, sizeof how));
	}
	stop = 1;
}

CASE(iovec_of_writev)
{
	static char good[64] = "good good good good good good good good good good good good";
	static struct iovec v[2], one[2], other[2];
	int p[2];
	char got[256];
	one[0] = one[1] = (struct iovec){good, 16};
	other[0] = (struct iovec){(void *)-4096L, ~0UL >> 1};
	other[1] = (struct iovec){NULL, 1UL << 40};
	NEEDED(pipe2(p, O_NONBLOCK));
	start(v, one, other, sizeof v);
	for (int i = 0; i < times(15000); i++) {
		ssize_t n = writev(p[1], v, 2);
		BREACH_IF(n > 0x7ffff000);
		n = read(p[0], got, sizeof got);
		for (ssize_t k = 0; k + 4 < n && n == 16; k++)
			BREACH_IF(!memchr("god ", got[k], 4));
	}
	stop = 1;
}

CASE(iovec_of_readv)
{
	static char target[4096], guard[4096];
	static struct iovec v[3], one[3], other[3];
	int p[2];
	for (int i = 0; i < 3; i++) {
		one[i] = (struct iovec){target + i * 64, 32};
		other[i] = (struct iovec){(void *)(i == 1 ? 8L : -1L), 1UL << (20 + 20 * i)};
	}
	NEEDED(pipe2(p, O_NONBLOCK));
	start(v, one, other, sizeof v);
	for (int i = 0; i < times(15000); i++) {
		NEEDED(write(p[1], "0123456789012345678901234567890123456789", 40));
		while (readv(p[0], v, 3) > 0)
			;
		char rest[100];
		while (read(p[0], rest, sizeof rest) > 0)
			;
	}
	for (unsigned i = 0; i < sizeof guard; i++)
		BREACH_IF(guard[i]);
	stop = 1;
}

CASE(address_of_connect)
{
	static struct sockaddr_un a, one = {AF_UNIX, "/tmp/host.sock"}, other = {AF_UNIX, ""};
	snprintf(other.sun_path + 1, 90, "%s", given("abstract"));
	start(&a, &one, &other, sizeof a);
	for (int i = 0; i < times(12000); i++) {
		int s = NEEDED(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
		BREACH_IF(!connect(s, (struct sockaddr *)&a, i % 2 ? sizeof a : offsetof(struct sockaddr_un, sun_path) + 1 + strlen(given("abstract"))));
		close(s);
	}
	stop = 1;
}

CASE(address_of_bind)
{
	static struct sockaddr_un a, one = {AF_UNIX, "/tmp/raced-socket"}, other = {AF_UNIX, "/../../../../above-socket"};
	mkdir("/tmp/raced", 0755);
	start(&a, &one, &other, 40);
	for (int i = 0; i < times(6000); i++) {
		int s = NEEDED(socket(AF_UNIX, SOCK_STREAM, 0));
		bind(s, (struct sockaddr *)&a, sizeof a);
		close(s);
		unlink("/tmp/raced-socket"), unlink("/above-socket");
	}
	stop = 1;
}

CASE(message_of_sendmsg)
{
	static struct msghdr m, one, other;
	static char control[64], byte = 'b';
	static struct iovec iov = {&byte, 1};
	int pair[2];
	struct cmsghdr *c = (struct cmsghdr *)control;
	*c = (struct cmsghdr){CMSG_LEN(8), SOL_SOCKET, SCM_RIGHTS};
	((int *)CMSG_DATA(c))[0] = 1, ((int *)CMSG_DATA(c))[1] = 0;
	one = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(8)};
	other = (struct msghdr){.msg_name = (void *)-1L, .msg_namelen = 0x7fffffff, .msg_iov = (void *)8, .msg_iovlen = 1UL << 50,
				.msg_control = (void *)-8L, .msg_controllen = ~0UL};
	NEEDED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	start(&m, &one, &other, sizeof m);
	for (int i = 0; i < times(8000); i++) {
		struct msghdr in = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = (char[128]){0}, .msg_controllen = 128};
		sendmsg(pair[0], &m, 0);
		while (recvmsg(pair[1], &in, 0) > 0) {
			for (struct cmsghdr *k = CMSG_FIRSTHDR(&in); k && k->cmsg_type == SCM_RIGHTS; k = NULL)
				for (size_t n = 0; n < (k->cmsg_len - CMSG_LEN(0)) / sizeof(int); n++)
					close(((int *)CMSG_DATA(k))[n]);
			in.msg_controllen = 128;
		}
	}
	stop = 1;
}

CASE(control_data_of_sendmsg)
{
	static char control[128], one[128], other[128], byte = 'b';
	struct iovec iov = {&byte, 1};
	int pair[2];
	*(struct cmsghdr *)one = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS};
	*(int *)CMSG_DATA((struct cmsghdr *)one) = 1;
	*(struct cmsghdr *)other = (struct cmsghdr){~0UL - 3, SOL_SOCKET, SCM_RIGHTS};
	memset(other + sizeof(struct cmsghdr), 0x41, 64);
	NEEDED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	start(control, one, other, sizeof control);
	for (int i = 0; i < times(8000); i++) {
		struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
		char data[64];
		sendmsg(pair[0], &m, 0);
		while (recv(pair[1], data, sizeof data, 0) > 0)
			;
	}
	stop = 1;
}

CASE(sets_of_poll)
{
	static struct pollfd set[64], one[64], other[64];
	for (int i = 0; i < 64; i++) {
		one[i] = (struct pollfd){i % 4, POLLIN | POLLOUT, 0};
		other[i] = (struct pollfd){0x7fffffff - i, -1, -1};
	}
	start(set, one, other, sizeof set);
	for (int i = 0; i < times(5000); i++) {
		int n = poll(set, 64, 0);
		BREACH_IF(n > 64);
	}
	stop = 1;
}

CASE(events_of_epoll)
{
	static struct epoll_event e, one = {EPOLLIN, {0}}, other = {~0U, {(void *)-1L}};
	int ep = NEEDED(epoll_create1(0)), p[2];
	NEEDED(pipe(p));
	start(&e, &one, &other, sizeof e);
	for (int i = 0; i < times(6000); i++) {
		struct epoll_event out[4];
		epoll_ctl(ep, i % 3 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, p[i & 1], &e);
		epoll_wait(ep, out, 4, 0);
		epoll_ctl(ep, EPOLL_CTL_DEL, p[i & 1], &e);
	}
	stop = 1;
}

CASE(arguments_of_execve)
{
	static char *argv[8], *one[8], *other[8];
	char *env[] = {NULL};
	one[0] = "true";
	for (int i = 0; i < 7; i++)
		other[i] = (char *)(i % 2 ? -1L : 16L);
	for (int i = 0; i < times(150); i++) {
		pid_t pid = fork();
		if (pid == 0) {
			start(argv, one, other, sizeof argv);
			execve("/bin/busybox", argv, env);
			_exit(0);
		}
		int status;
		waitpid(pid, &status, 0);
	}
}

CASE(path_of_execve)
{
	static char path[128], one[128], other[128];
	char *argv[] = {"true", NULL}, *env[] = {NULL};
	snprintf(one, sizeof one, "/bin/true");
	snprintf(other, sizeof other, "%.120s", given("program"));
	for (int i = 0; i < times(300); i++) {
		pid_t pid = fork();
		if (pid == 0) {
			start(path, one, other, 124);
			for (int k = 0; k < 10; k++)
				execve(path, argv, env);
			_exit(0);
		}
		int status;
		waitpid(pid, &status, 0); /* what the host's program prints would be a secret in the output */
	}
}

CASE(time_of_sleep_and_timers)
{
	static struct timespec t, one = {0, 1}, other = {0, -1}; /* no mixture is long */
	start(&t, &one, &other, sizeof t);
	for (int i = 0; i < times(2000); i++) {
		ppoll(NULL, 0, &t, NULL);
		nanosleep(&t, NULL);
	}
	stop = 1;
}

CASE(buffer_that_is_unmapped_while_it_is_read)
{
	static char *pages;
	pthread_t thread;
	void *unmapper(void *u)
	{
		(void)u;
		while (!stop) {
			mmap(pages, 1 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			mmap(pages, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		}
		return NULL;
	}
	pages = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEEDED(-pthread_create(&thread, NULL, unmapper, NULL));
	int fd = NEEDED(open("/tmp/unmapped", O_RDWR | O_CREAT, 0644)), p[2];
	NEEDED(pipe2(p, O_NONBLOCK));
	for (int i = 0; i < times(5000); i++) {
		char data[4096];
		pwrite(fd, pages, 1 << 16, 0);
		pread(fd, pages, 1 << 16, 0);
		write(p[1], pages, 4096);
		read(p[0], data, sizeof data);
	}
	stop = 1;
}

CASE(descriptors_changed_by_a_sibling)
{
	pthread_t thread;
	void *changer(void *u)
	{
		(void)u;
		while (!stop) {
			int f = open("/tmp/ok", O_RDONLY);
			dup2(f, 40);
			close(f);
			int p[2];
			if (!pipe(p)) {
				dup2(p[0], 40);
				close(p[0]), close(p[1]);
			}
			close(40);
		}
		return NULL;
	}
	NEEDED(-pthread_create(&thread, NULL, changer, NULL));
	for (int i = 0; i < times(5000); i++) {
		char c;
		void *m = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 40, 0);
		if (m != MAP_FAILED) {
			c = *(char *)m;
			BREACH_IF(c != 'i');
			munmap(m, 4096);
		}
		pread(40, &c, 1, 0);
		fchdir(40);
	}
	stop = 1;
}
