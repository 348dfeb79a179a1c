/* epoll(7): level and edge triggered, one shot, nested, duplicates, closing. */
#include "check.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

static int ep;
static struct epoll_event out[64];

static int ctl(int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};
	return epoll_ctl(ep, op, fd, &ev);
}

static int ready(void)
{
	return OK(epoll_wait(ep, out, 64, 0));
}

static void start(int p[2])
{
	ep = OK(epoll_create1(EPOLL_CLOEXEC));
	OK(pipe2(p, O_NONBLOCK));
}

TEST(create)
{
	ep = OK(epoll_create1(EPOLL_CLOEXEC));
	EQ(fcntl(ep, F_GETFD), FD_CLOEXEC);
	ep = OK(epoll_create(1));
	EQ(fcntl(ep, F_GETFD), 0);
	ERR(epoll_create(0), EINVAL);
	ERR(epoll_create(-1), EINVAL);
	ERR(epoll_create1(1), EINVAL);
	char c;
	ERR(read(ep, &c, 1), EINVAL);
}

TEST(level_triggered)
{
	int p[2];
	char c;
	start(p);
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 0x1122334455667788));
	EQ(ready(), 0);
	EQ(write(p[1], "ab", 2), 2);
	for (int i = 0; i < 3; i++) {
		EQ(ready(), 1);
		EQ(out[0].events, EPOLLIN);
		EQ(out[0].data.u64, 0x1122334455667788);
	}
	EQ(read(p[0], &c, 1), 1);
	EQ(ready(), 1);
	EQ(read(p[0], &c, 1), 1);
	EQ(ready(), 0);
	OK(close(p[1]));
	EQ(ready(), 1);
	EQ(out[0].events, EPOLLHUP);
}

TEST(edge_triggered)
{
	int p[2];
	char c;
	start(p);
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET, 0));
	EQ(write(p[1], "ab", 2), 2);
	EQ(ready(), 1);
	EQ(ready(), 0);
	EQ(read(p[0], &c, 1), 1);
	EQ(ready(), 0); /* reading is no edge */
	EQ(write(p[1], "c", 1), 1);
	EQ(ready(), 1); /* more data is */
	EQ(ready(), 0);
	OK(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET, 0));
	EQ(ready(), 1); /* and so is a change of the entry while ready */
	EQ(ready(), 0);
	/* ready when added */
	OK(ctl(EPOLL_CTL_DEL, p[0], 0, 0));
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET, 0));
	EQ(ready(), 1);
	EQ(ready(), 0);
}

TEST(edge_triggered_output)
{
	int p[2];
	static char buf[65536];
	start(p);
	OK(ctl(EPOLL_CTL_ADD, p[1], EPOLLOUT | EPOLLET, 0));
	EQ(ready(), 1);
	EQ(ready(), 0);
	while (write(p[1], buf, sizeof buf) > 0)
		;
	EQ(ready(), 0);
	EQ(read(p[0], buf, sizeof buf), 65536);
	EQ(ready(), 1);
	EQ(out[0].events, EPOLLOUT);
	EQ(ready(), 0);
}

TEST(one_shot)
{
	int p[2];
	start(p);
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLONESHOT, 5));
	EQ(write(p[1], "a", 1), 1);
	EQ(ready(), 1);
	EQ(ready(), 0);
	EQ(write(p[1], "b", 1), 1);
	EQ(ready(), 0);
	OK(close(p[1]));
	EQ(ready(), 0); /* not even a hang-up */
	OK(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 6));
	EQ(ready(), 1);
	EQ(out[0].data.u64, 6);
	EQ(out[0].events, EPOLLIN | EPOLLHUP);
	EQ(ready(), 0);
}

TEST(errors)
{
	int p[2];
	start(p);
	int f = OK(open("f", O_RDWR | O_CREAT, 0600));
	ERR(ctl(EPOLL_CTL_ADD, 999, EPOLLIN, 0), EBADF);
	ERR(ctl(EPOLL_CTL_ADD, f, EPOLLIN, 0), EPERM);
	ERR(ctl(EPOLL_CTL_ADD, ep, EPOLLIN, 0), EINVAL);
	ERR(ctl(EPOLL_CTL_MOD, p[0], EPOLLIN, 0), ENOENT);
	ERR(ctl(EPOLL_CTL_DEL, p[0], EPOLLIN, 0), ENOENT);
	ERR(ctl(99, p[0], EPOLLIN, 0), EINVAL);
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 0));
	ERR(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 0), EEXIST);
	ERR(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], BAD), EFAULT);
	EQ(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], BAD), 0);
	ERR(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], out), EINVAL);
	ERR(epoll_ctl(999, EPOLL_CTL_ADD, p[1], out), EBADF);
	ERR(epoll_wait(ep, out, 0, 0), EINVAL);
	ERR(epoll_wait(ep, out, -1, 0), EINVAL);
	ERR(epoll_wait(p[0], out, 1, 0), EINVAL);
	ERR(epoll_wait(999, out, 1, 0), EBADF);
	OK(ctl(EPOLL_CTL_ADD, p[1], EPOLLOUT, 0));
	ERR(epoll_wait(ep, BAD, 1, 0), EFAULT);
	EQ(ready(), 1);
}

/* An entry belongs to the open file, not to the number. */
TEST(duplicates_and_closing)
{
	int p[2];
	start(p);
	int d = OK(dup(p[0]));
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	OK(ctl(EPOLL_CTL_ADD, d, EPOLLIN, 2)); /* another number: another entry */
	EQ(write(p[1], "x", 1), 1);
	EQ(ready(), 2);
	OK(close(d));
	EQ(ready(), 2); /* the file is still open by the other number */
	OK(ctl(EPOLL_CTL_DEL, p[0], 0, 0));
	EQ(ready(), 1);
	EQ(out[0].data.u64, 2);
	OK(close(p[0]));
	EQ(ready(), 0);
	int q[2];
	OK(pipe(q));
	OK(ctl(EPOLL_CTL_ADD, q[0], EPOLLIN, 3)); /* a reused number is new */
	EQ(ready(), 0);
}

TEST(closing_while_forked)
{
	int p[2];
	start(p);
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	EQ(write(p[1], "x", 1), 1);
	int go[2];
	OK(pipe(go));
	pid_t pid = OK(fork());
	if (pid == 0) {
		char c;
		OK(close(go[1]));
		EQ(read(go[0], &c, 1), 0);
		_exit(0);
	}
	OK(close(p[0]));
	EQ(ready(), 1); /* the child has it open */
	OK(close(go[1]));
	REAP_OK(pid);
	EQ(ready(), 0);
}

TEST(nested)
{
	int p[2], outer = OK(epoll_create1(0));
	char c;
	start(p);
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 9};
	OK(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &ev));
	EQ(epoll_wait(outer, out, 1, 0), 0);
	EQ(write(p[1], "x", 1), 1);
	EQ(epoll_wait(outer, out, 1, 0), 1);
	EQ(out[0].data.u64, 9);
	EQ(ready(), 1);
	EQ(read(p[0], &c, 1), 1);
	EQ(epoll_wait(outer, out, 1, 0), 0);
	ERR(ctl(EPOLL_CTL_ADD, outer, EPOLLIN, 0), ELOOP);
}

TEST(rdhup_and_sockets)
{
	int s[2];
	ep = OK(epoll_create1(0));
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	OK(ctl(EPOLL_CTL_ADD, s[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 0));
	EQ(ready(), 1);
	EQ(out[0].events, EPOLLOUT);
	EQ(write(s[1], "x", 1), 1);
	EQ(ready(), 1);
	EQ(out[0].events, EPOLLIN | EPOLLOUT);
	OK(shutdown(s[1], SHUT_WR));
	EQ(ready(), 1);
	EQ(out[0].events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	OK(close(s[1]));
	EQ(ready(), 1);
	CHECK(out[0].events & EPOLLHUP);
}

TEST(maxevents_is_fair)
{
	int fds[10];
	unsigned seen = 0;
	ep = OK(epoll_create1(0));
	for (int i = 0; i < 10; i++) {
		fds[i] = OK(eventfd(1, 0));
		OK(ctl(EPOLL_CTL_ADD, fds[i], EPOLLIN, i));
	}
	for (int i = 0; i < 5; i++) {
		EQ(epoll_wait(ep, out, 2, 0), 2);
		seen |= 1 << out[0].data.u64 | 1 << out[1].data.u64;
	}
	EQ(seen, 0x3ff); /* nobody starves */
	EQ(ready(), 10);
}

TEST(waits_and_times_out)
{
	int p[2];
	start(p);
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	int64_t t = now_ns();
	EQ(epoll_wait(ep, out, 1, 40), 0);
	CHECK(now_ns() - t >= 40000000);
	for (int i = 0; i < 20; i++) {
		char c;
		pid_t pid = OK(fork());
		if (pid == 0) {
			if (i % 2)
				sleep_ms(5);
			EQ(write(p[1], "x", 1), 1);
			_exit(0);
		}
		EQ(epoll_wait(ep, out, 1, -1), 1);
		EQ(read(p[0], &c, 1), 1);
		REAP_OK(pid);
	}
}

static void *adder(void *arg)
{
	sleep_ms(30);
	OK(ctl(EPOLL_CTL_ADD, *(int *)arg, EPOLLIN, 3));
	return NULL;
}

TEST(added_while_waiting)
{
	int p[2];
	pthread_t th;
	start(p);
	EQ(write(p[1], "x", 1), 1);
	EQ(pthread_create(&th, NULL, adder, &p[0]), 0);
	EQ(epoll_wait(ep, out, 1, 30000), 1);
	EQ(out[0].data.u64, 3);
	EQ(pthread_join(th, NULL), 0);
}

/* One of several waiters gets an edge, and a shared epoll wakes for each event. */
static atomic_int woken;
static void *waiter(void *arg)
{
	struct epoll_event ev;
	(void)arg;
	if (epoll_wait(ep, &ev, 1, 1000) == 1)
		woken++;
	return NULL;
}

TEST(edge_wakes_one)
{
	int p[2];
	pthread_t th[4];
	start(p);
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET, 1));
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&th[i], NULL, waiter, NULL), 0);
	sleep_ms(100);
	EQ(write(p[1], "x", 1), 1);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(th[i], NULL), 0);
	EQ(woken, 1);
}

TEST(poll_of_epoll)
{
	int p[2];
	start(p);
	OK(ctl(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	struct { int fd; short events, revents; } v = {ep, 1, 0};
	EQ(syscall(SYS_poll, &v, 1, 0), 0);
	EQ(write(p[1], "x", 1), 1);
	EQ(syscall(SYS_poll, &v, 1, 0), 1);
	EQ(v.revents, 1);
}

TEST(many_events)
{
	enum { MANY = 6000 };
	static struct epoll_event got[MANY];
	struct rlimit r;
	OK(getrlimit(RLIMIT_NOFILE, &r));
	if (r.rlim_max < MANY + 100)
		SKIP("too few descriptors");
	r.rlim_cur = r.rlim_max;
	OK(setrlimit(RLIMIT_NOFILE, &r));
	ep = OK(epoll_create1(EPOLL_CLOEXEC));
	int fd = OK(eventfd(1, EFD_NONBLOCK));
	for (int i = 0; i < MANY; i++)
		OK(ctl(EPOLL_CTL_ADD, i ? OK(dup(fd)) : fd, EPOLLIN, i));
	EQ(epoll_wait(ep, got, MANY, 0), MANY);
	for (int i = 0; i < MANY; i++)
		EQ(got[i].data.u64, i);
}

TEST(edge_of_a_write_that_found_no_room)
{
	static char data[65536];
	int p[2], ep = OK(epoll_create1(0));
	OK(pipe2(p, O_NONBLOCK));
	EQ(write(p[1], data, sizeof data), (long)sizeof data);
	struct epoll_event e = {.events = EPOLLIN | EPOLLET};
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
	EQ(epoll_wait(ep, &e, 1, 0), 1);
	EQ(epoll_wait(ep, &e, 1, 0), 0);
	ERR(write(p[1], data, 1), EAGAIN);
	EQ(epoll_wait(ep, &e, 1, 0), 1); /* the attempt counts */
	EQ(e.events, EPOLLIN);
	EQ(epoll_wait(ep, &e, 1, 0), 0);
}
