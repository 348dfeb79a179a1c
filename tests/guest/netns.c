/* network_namespaces(7): unshare(2), setns(2), clone(2), /proc/PID/ns/net, what each namespace has for itself; mount namespaces, as
 * ip-netns(8) uses them. */
#include "netlink.h"
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/un.h>
#include <sys/vfs.h>

extern unsigned if_nametoindex(const char *);

#define NSFS 0x6e736673

static ino_t space_of(const char *path)
{
	struct stat st;
	OK(stat(path, &st));
	return st.st_ino;
}

static int lo_flags(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	int s = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	OK(ioctl(s, SIOCGIFFLAGS, &ifr));
	OK(close(s));
	return ifr.ifr_flags;
}

TEST(new_one)
{
	alone();
	EQ(lo_flags() & IFF_UP, 0);
	int s = OK(socket(AF_INET, SOCK_STREAM, 0));
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	ERR(connect(s, (struct sockaddr *)&in, sizeof in), ENETUNREACH);
	EQ(set_up(nl_open(NETLINK_ROUTE), 1, 1), 0);
	s = OK(socket(AF_INET, SOCK_STREAM, 0));
	ERR(connect(s, (struct sockaddr *)&in, sizeof in), ECONNREFUSED);
}

TEST(identity)
{
	NEED_ROOT();
	ino_t before = space_of("/proc/self/ns/net");
	int old = OK(open("/proc/self/ns/net", O_RDONLY));
	char text[64] = "", expected[64];
	CHECK(readlink("/proc/self/ns/net", text, sizeof text - 1) > 0);
	snprintf(expected, sizeof expected, "net:[%lu]", (unsigned long)before);
	STR(text, expected);
	struct statfs sf;
	OK(fstatfs(old, &sf));
	EQ(sf.f_type, NSFS);
	alone();
	ino_t after = space_of("/proc/self/ns/net");
	CHECK(after != before);
	EQ(space_of("/proc/thread-self/ns/net"), after);
	IN_CHILD EQ(space_of("/proc/self/ns/net"), after); /* inherited */
	OK(setns(old, CLONE_NEWNET));
	EQ(space_of("/proc/self/ns/net"), before);
	ERR(setns(old, CLONE_NEWUTS), EINVAL);
	OK(unshare(CLONE_NEWNET));
	CHECK(space_of("/proc/self/ns/net") != after);
	OK(setns(old, 0));
	EQ(space_of("/proc/self/ns/net"), before);
}

static int in_clone(void *arg)
{
	ino_t *before = arg;
	return space_of("/proc/self/ns/net") != *before && !(lo_flags() & IFF_UP) ? 0 : 1;
}

TEST(cloned)
{
	NEED_ROOT();
	static char stack[65536] __attribute__((aligned(16)));
	ino_t before = space_of("/proc/self/ns/net");
	pid_t pid = clone(in_clone, stack + sizeof stack, CLONE_NEWNET | SIGCHLD, &before);
	if (pid == -1)
		SKIP("no network namespaces");
	REAP_OK(pid);
	pid = OK(clone(in_clone, stack + sizeof stack, CLONE_NEWNET | CLONE_NEWNS | SIGCHLD, &before));
	REAP_OK(pid);
	EQ(space_of("/proc/self/ns/net"), before);
	struct clone_args args = {.flags = CLONE_NEWNET, .exit_signal = SIGCHLD};
	pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		_exit(in_clone(&before));
	CHECK(pid > 0);
	REAP_OK(pid);
	ERR(clone(in_clone, stack + sizeof stack, CLONE_NEWNS | CLONE_FS | SIGCHLD, &before), EINVAL);
}

TEST(rights)
{
	NEED_ROOT();
	int fd = OK(open("/proc/self/ns/net", O_RDONLY));
	IN_CHILD
	{
		static char stack[65536] __attribute__((aligned(16)));
		ino_t before = 0;
		OK(setgid(12345));
		OK(setuid(12345));
		ERR(unshare(CLONE_NEWNET), EPERM);
		ERR(unshare(CLONE_NEWNS), EPERM);
		ERR(setns(fd, CLONE_NEWNET), EPERM);
		ERR(clone(in_clone, stack + sizeof stack, CLONE_NEWNET | SIGCHLD, &before), EPERM);
	}
}

static void *part(void *arg)
{
	*(int *)arg = unshare(CLONE_NEWNET) ? -1 : lo_flags();
	return (void *)space_of("/proc/thread-self/ns/net");
}

TEST(threads)
{
	NEED_ROOT();
	ino_t before = space_of("/proc/self/ns/net");
	int flags = -1;
	pthread_t th;
	void *other;
	EQ(pthread_create(&th, NULL, part, &flags), 0);
	EQ(pthread_join(th, &other), 0);
	if (flags == -1)
		SKIP("no network namespaces");
	EQ(flags & IFF_UP, 0);
	CHECK((ino_t)other != before);
	EQ(space_of("/proc/self/ns/net"), before);
}

TEST(of_another_process)
{
	NEED_ROOT();
	int ready[2], end[2];
	char c;
	OK(pipe(ready));
	OK(pipe(end));
	pid_t pid = OK(fork());
	if (pid == 0) {
		close(end[1]);
		alone();
		OK(write(ready[1], "x", 1));
		OK(read(end[0], &c, 1));
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		SKIP("no network namespaces");
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
	ino_t theirs = space_of(path);
	int fd = OK(open(path, O_RDONLY)), pidfd = OK(syscall(SYS_pidfd_open, pid, 0));
	ino_t ours = space_of("/proc/self/ns/net");
	CHECK(theirs != ours);
	int own = OK(open("/proc/self/ns/net", O_RDONLY));
	OK(setns(fd, CLONE_NEWNET));
	EQ(space_of("/proc/self/ns/net"), theirs);
	OK(setns(own, 0));
	OK(setns(pidfd, CLONE_NEWNET));
	EQ(space_of("/proc/self/ns/net"), theirs);
	OK(setns(own, 0));
	OK(write(end[1], "x", 1));
	REAP_OK(pid);
	OK(setns(fd, 0)); /* the file keeps it */
	EQ(space_of("/proc/self/ns/net"), theirs);
}

TEST(kept_by_a_mount)
{
	NEED_ROOT();
	OK(unshare(CLONE_NEWNS)); /* nothing of this is to be seen outside */
	OK(mount("", "/", "none", MS_PRIVATE | MS_REC, NULL));
	int own = OK(open("/proc/self/ns/net", O_RDONLY));
	alone();
	ino_t made = space_of("/proc/self/ns/net");
	make_file("name", "");
	OK(mount("/proc/self/ns/net", "name", NULL, MS_BIND, NULL));
	struct statfs sf;
	OK(statfs("name", &sf));
	EQ(sf.f_type, NSFS);
	EQ(space_of("name"), made);
	OK(setns(own, CLONE_NEWNET));
	CHECK(space_of("/proc/self/ns/net") != made);
	int fd = OK(open("name", O_RDONLY | O_CLOEXEC));
	OK(setns(fd, CLONE_NEWNET));
	EQ(space_of("/proc/self/ns/net"), made);
	OK(close(fd));
	ERR(unlink("name"), EBUSY);
	OK(umount2("name", MNT_DETACH));
	CHECK(space_of("name") != made);
	OK(unlink("name"));
}

TEST(mounts)
{
	NEED_ROOT();
	OK(mkdir("here", 0755));
	ino_t before = space_of("/proc/self/ns/mnt");
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(unshare(CLONE_NEWNS));
		OK(mount("", "/", "none", MS_PRIVATE | MS_REC, NULL));
		CHECK(space_of("/proc/self/ns/mnt") != before);
		OK(mount("none", "here", "tmpfs", 0, NULL));
		make_file("here/inside", "x");
		OK(access("here/inside", F_OK));
		IN_CHILD OK(access("here/inside", F_OK));
		char cwd[PATH_MAX];
		CHECK(getcwd(cwd, sizeof cwd));
		_exit(0);
	}
	REAP_OK(pid);
	ERR(access("here/inside", F_OK), ENOENT);
	EQ(space_of("/proc/self/ns/mnt"), before);
	OK(rmdir("here"));
}

TEST(apart)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE), inner, outer = OK(open("/proc/self/ns/net", O_RDONLY));
	EQ(set_up(fd, 1, 1), 0);
	int s = OK(socket(AF_INET, SOCK_STREAM, 0));
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(4242), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	OK(bind(s, (struct sockaddr *)&in, sizeof in));
	OK(listen(s, 1));
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0only here"};
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + 10;
	int u = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(bind(u, (struct sockaddr *)&un, size));
	OK(listen(u, 1));
	OK(unshare(CLONE_NEWNET));
	inner = nl_open(NETLINK_ROUTE);
	EQ(set_up(inner, 1, 1), 0);
	int other = OK(socket(AF_INET, SOCK_STREAM, 0));
	ERR(connect(other, (struct sockaddr *)&in, sizeof in), ECONNREFUSED);
	other = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(bind(other, (struct sockaddr *)&in, sizeof in)); /* the port is free here */
	other = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	ERR(connect(other, (struct sockaddr *)&un, size), ECONNREFUSED);
	other = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(bind(other, (struct sockaddr *)&un, size));
	EQ(set_up(fd, 1, 0), 0); /* a socket stays where it was made */
	EQ(lo_flags() & IFF_UP, IFF_UP);
	OK(setns(outer, CLONE_NEWNET));
	EQ(lo_flags() & IFF_UP, 0);
}

static long read_number(const char *path)
{
	char buf[64] = "";
	int fd = OK(open(path, O_RDONLY));
	OK(read(fd, buf, sizeof buf - 1));
	OK(close(fd));
	return atol(buf);
}

static void write_number(const char *path, const char *text)
{
	int fd = OK(open(path, O_WRONLY));
	EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	OK(close(fd));
}

TEST(parameters)
{
	alone();
	int outer = OK(open("/proc/self/ns/net", O_RDONLY));
	write_number("/proc/sys/net/ipv4/ip_default_ttl", "77");
	write_number("/proc/sys/net/ipv4/ip_local_port_range", "50000 50003");
	EQ(read_number("/proc/sys/net/ipv4/ip_default_ttl"), 77);
	EQ(set_up(nl_open(NETLINK_ROUTE), 1, 1), 0);
	int ttl, sockets[4];
	for (int i = 0; i < 4; i++) {
		struct sockaddr_in in = {.sin_family = AF_INET};
		socklen_t size = sizeof in;
		sockets[i] = OK(socket(AF_INET, SOCK_DGRAM, 0));
		OK(bind(sockets[i], (struct sockaddr *)&in, sizeof in));
		OK(getsockname(sockets[i], (struct sockaddr *)&in, &size));
		CHECK(ntohs(in.sin_port) >= 50000 && ntohs(in.sin_port) <= 50003);
	}
	socklen_t size = sizeof ttl;
	OK(getsockopt(sockets[0], IPPROTO_IP, 2 /* IP_TTL */, &ttl, &size));
	EQ(ttl, 77);
	OK(unshare(CLONE_NEWNET));
	EQ(read_number("/proc/sys/net/ipv4/ip_default_ttl"), 64);
	OK(setns(outer, 0));
	EQ(read_number("/proc/sys/net/ipv4/ip_default_ttl"), 77);
	int fd = OK(open("/proc/sys/net/ipv4/ip_default_ttl", O_WRONLY));
	ERR(write(fd, "0", 1), EINVAL);
	ERR(write(fd, "256", 3), EINVAL);
	ERR(write(fd, "many", 4), EINVAL);
	fd = OK(open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY));
	ERR(write(fd, "50003 50000", 11), EINVAL);
	write_number("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1");
	int s = OK(socket(AF_INET6, SOCK_DGRAM, 0));
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	ERR(bind(s, (struct sockaddr *)&in6, sizeof in6), EADDRNOTAVAIL);
	write_number("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "0");
	OK(bind(s, (struct sockaddr *)&in6, sizeof in6));
}

static int lines_of(const char *path)
{
	char buf[16384] = "";
	int fd = OK(open(path, O_RDONLY)), lines = 0;
	ssize_t n = OK(read(fd, buf, sizeof buf - 1));
	OK(close(fd));
	for (ssize_t i = 0; i < n; i++)
		lines += buf[i] == '\n';
	return lines;
}

TEST(files)
{
	alone();
	EQ(lines_of("/proc/net/dev"), 3);
	EQ(lines_of("/proc/net/tcp"), 1);
	CHECK(lines_of("/proc/net/route") <= 1);
	EQ(set_up(nl_open(NETLINK_ROUTE), 1, 1), 0);
	EQ(lines_of("/proc/net/if_inet6"), 1);
	int s = OK(socket(AF_INET, SOCK_STREAM, 0)), u = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(4242), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	OK(bind(s, (struct sockaddr *)&in, sizeof in));
	OK(listen(s, 1));
	OK(bind(u, (struct sockaddr *)&in, sizeof in));
	EQ(lines_of("/proc/net/tcp"), 2);
	EQ(lines_of("/proc/net/udp"), 2);
	char line[512] = "", expected[64];
	FILE *f = fopen("/proc/net/tcp", "r");
	CHECK(f && fgets(line, sizeof line, f) && fgets(line, sizeof line, f));
	fclose(f);
	snprintf(expected, sizeof expected, "   0: %08X:%04X 00000000:0000 0A ", htonl(INADDR_LOOPBACK), 4242);
	line[strlen(expected)] = 0;
	STR(line, expected);
	IN_CHILD
	{
		OK(unshare(CLONE_NEWNET));
		EQ(lines_of("/proc/net/tcp"), 1);
		char path[64];
		snprintf(path, sizeof path, "/proc/%d/net/tcp", getppid());
		EQ(lines_of(path), 2); /* the directory is that of its process */
	}
}

TEST(veth)
{
	alone();
	int near = OK(open("/proc/self/ns/net", O_RDONLY)), fd = nl_open(NETLINK_ROUTE), to[2];
	EQ(set_up(fd, 1, 1), 0);
	EQ(add_veth(fd, "near", "far"), 0);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, if_nametoindex("near"), "10.77.0.1", 24), 0);
	EQ(set_up(fd, if_nametoindex("near"), 1), 0);
	OK(pipe(to));
	pid_t pid = OK(fork());
	char c;
	if (pid == 0) {
		OK(unshare(CLONE_NEWNET));
		EQ(if_nametoindex("far"), 0);
		OK(write(to[1], "x", 1));
		while (!if_nametoindex("far"))
			sleep_ms(2);
		int own = nl_open(NETLINK_ROUTE), far = if_nametoindex("far");
		EQ(change_address(own, RTM_NEWADDR, NLM_F_CREATE, far, "10.77.0.2", 24), 0);
		EQ(set_up(own, far, 1), 0);
		int s = OK(socket(AF_INET, SOCK_STREAM, 0));
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
		OK(bind(s, (struct sockaddr *)&in, sizeof in));
		OK(listen(s, 1));
		int conn = OK(accept(s, NULL, NULL));
		long total = 0;
		char buf[4096];
		for (ssize_t n; (n = OK(read(conn, buf, sizeof buf)));)
			for (ssize_t i = 0; i < n; i++)
				CHECK(buf[i] == (char)(total++ * 7));
		EQ(total, 300000);
		OK(write(conn, "thanks", 6));
		_exit(0);
	}
	OK(read(to[0], &c, 1));
	struct request r;
	struct ifinfomsg *link = begin(&r, RTM_NEWLINK, 0, sizeof *link);
	link->ifi_index = if_nametoindex("far");
	put_u32(&r, IFLA_NET_NS_PID, pid);
	EQ(ask(fd, &r), 0);
	EQ(if_nametoindex("far"), 0);
	int s = -1;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
	inet_pton(AF_INET, "10.77.0.2", &in.sin_addr);
	for (int i = 0; i < 2000; i++) { /* until the other side listens */
		s = OK(socket(AF_INET, SOCK_STREAM, 0));
		if (connect(s, (struct sockaddr *)&in, sizeof in) == 0)
			break;
		close(s);
		s = -1;
		sleep_ms(5);
	}
	CHECK(s >= 0);
	static char data[300000], answer_to[16];
	for (int i = 0; i < (int)sizeof data; i++)
		data[i] = (char)(i * 7);
	for (size_t done = 0; done < sizeof data;)
		done += OK(write(s, data + done, sizeof data - done));
	OK(shutdown(s, SHUT_WR));
	EQ(OK(read(s, answer_to, sizeof answer_to)), 6);
	REAP_OK(pid);
	for (int i = 0; i < 1000 && if_nametoindex("near"); i++)
		sleep_ms(5);
	EQ(if_nametoindex("near"), 0); /* its other end has gone with its namespace */
	OK(setns(near, 0));
}
