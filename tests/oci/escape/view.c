/* What a container can see: no number, name, file, message, socket or key of the host. */
#include "escape.h"
#include <arpa/inet.h>
#include <elf.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/klog.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

extern char **environ;

static int files_read, links_read;

static int is_number(const char *s) { return s[strspn(s, "0123456789")] == 0; }

/* Everything below `path`: contents of files, targets of links, names. */
static void scan(const char *path, int depth)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	if (!dir)
		return;
	while ((e = readdir(dir))) {
		char name[PATH_MAX], target[PATH_MAX];
		struct stat st;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(name, sizeof name, "%s/%s", path, e->d_name);
		check_bytes(name, e->d_name, strlen(e->d_name));
		if (lstat(name, &st))
			continue;
		if (S_ISLNK(st.st_mode)) {
			ssize_t n = readlink(name, target, sizeof target);
			if (n > 0)
				check_bytes(name, target, n);
			links_read++;
		} else if (S_ISDIR(st.st_mode)) {
			if (depth > 0)
				scan(name, depth - 1);
		} else if (S_ISREG(st.st_mode) && strcmp(e->d_name, "kmsg") && strcmp(e->d_name, "mem")) {
			check_path(name);
			files_read++;
		}
	}
	closedir(dir);
}

CASE(everything_in_proc)
{
	scan("/proc", 5);
	BREACH_IF(files_read < 50 || links_read < 5); /* that much is there, or the scan is broken */
}

CASE(everything_in_sys) { scan("/sys", 8); }

CASE(everything_in_dev) { scan("/dev", 3); }

CASE(everything_in_etc) { scan("/etc", 3); }

CASE(environment)
{
	int n = 0;
	for (char **e = environ; *e; e++, n++)
		check_bytes("environment", *e, strlen(*e));
	BREACH_IF(n > 4);
}

CASE(host_name)
{
	struct utsname u;
	NEEDED(uname(&u));
	check_bytes("uname", &u, sizeof u);
	BREACH_IF(strcmp(u.nodename, "inside"));
	BREACH_IF(given("version") && !strcmp(u.version, given("version")));
}

CASE(own_numbers)
{
	BREACH_IF(getpid() > 500 || getppid() != 1);
	BREACH_IF(getsid(0) > 500 || getpgid(0) > 500);
	BREACH_IF(syscall(SYS_gettid) > 500);
}

CASE(processes_in_proc)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int n = 0;
	BREACH_IF(!dir);
	while ((e = readdir(dir))) {
		char path[300], text[300] = "";
		if (!is_number(e->d_name))
			continue;
		n++;
		BREACH_IF(atoi(e->d_name) > 500);
		snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
		int fd = open(path, O_RDONLY);
		if (fd >= 0 && read(fd, text, sizeof text - 1) > 0)
			BREACH_IF(strstr(text, "runsc") || strstr(text, "conmon") || strstr(text, "python"));
		close(fd);
	}
	BREACH_IF(n > 5 || n < 2);
}

CASE(host_numbers_in_proc)
{
	const char *pids = given("pids");
	for (char *p = strdup(pids), *word; (word = strsep(&p, ","));) {
		char path[64];
		struct stat st;
		snprintf(path, sizeof path, "/proc/%s", word);
		BREACH_IF(!stat(path, &st));
		snprintf(path, sizeof path, "/proc/self/task/%s", word);
		BREACH_IF(!stat(path, &st));
	}
}

CASE(user_maps)
{
	char text[400] = "";
	int fd = NEEDED(open("/proc/self/uid_map", O_RDONLY));
	read(fd, text, sizeof text - 1);
	unsigned long a, b, c;
	BREACH_IF(sscanf(text, "%lu %lu %lu", &a, &b, &c) != 3 || a != 0 || b != 0);
	BREACH_IF(strstr(text, "65534"));
	close(fd);
	struct stat st;
	NEEDED(stat("/proc/self", &st));
	BREACH_IF(st.st_uid != 0 || getuid() != 0);
	uid_t r, e, s;
	NEEDED(getresuid(&r, &e, &s));
	BREACH_IF(r || e || s);
}

CASE(mounts)
{
	check_path("/proc/self/mountinfo");
	check_path("/proc/self/mounts");
	check_path("/proc/self/mountstats");
	char line[1024];
	FILE *f = fopen("/proc/self/mountinfo", "r");
	BREACH_IF(!f);
	while (fgets(line, sizeof line, f)) {
		int id, parent;
		char dev[32], root[256], at[256];
		BREACH_IF(sscanf(line, "%d %d %31s %255s %255s", &id, &parent, dev, root, at) != 5);
		BREACH_IF(id > 1000 || strncmp(root, "/", 1));
	}
}

CASE(memory_map)
{
	char line[1024];
	FILE *f = fopen("/proc/self/maps", "r");
	BREACH_IF(!f);
	while (fgets(line, sizeof line, f)) {
		char *name = strchr(line, '/');
		struct stat st;
		check_bytes("maps", line, strlen(line));
		if (!name)
			continue;
		*strchr(name, '\n') = 0;
		BREACH_IF(strstr(name, "loader") || stat(name, &st));
	}
}

CASE(auxiliary_vector_and_stack)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	char line[512];
	BREACH_IF(!name || strcmp(name, "/bin/view"));
	FILE *f = fopen("/proc/self/maps", "r");
	BREACH_IF(!f);
	while (fgets(line, sizeof line, f)) {
		unsigned long low, high, from = (unsigned long)name;
		if (sscanf(line, "%lx-%lx", &low, &high) == 2 && low <= from && from < high && strstr(line, "[stack]")) {
			char *end = memrchr((char *)from, '=', high - from);
			BREACH_IF(memmem((char *)from, high - from, "/dev/fd/", 8));
			BREACH_IF(memmem((char *)from, high - from, "sentry", 6));
			(void)end;
		}
	}
}

CASE(kernel_log)
{
	static char text[1 << 16];
	int n = klogctl(3, text, sizeof text);
	if (n > 0) {
		check_bytes("dmesg", text, n);
		BREACH_IF(memmem(text, n, "Linux version", 13) || memmem(text, n, "audit", 5) || memmem(text, n, "BIOS", 4));
	}
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (fd >= 0 && (n = read(fd, text, sizeof text)) > 0)
		BREACH("kmsg says %.40s", text);
}

CASE(raw_memory_files)
{
	static const char *const names[] = {"/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore", "/proc/kpagecount",
		"/proc/kpageflags", "/proc/vmcore", "/dev/cpu/0/msr", "/dev/kvm", "/dev/fuse",
		"/dev/net/tun", "/dev/loop-control", "/dev/loop0", "/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/hpet",
		"/dev/watchdog", "/dev/vhost-net", "/dev/uinput", "/dev/rtc0", "/dev/btrfs-control", "/dev/userfaultfd"};
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (open(names[i], O_RDONLY | O_NONBLOCK) >= 0 || open(names[i], O_WRONLY | O_NONBLOCK) >= 0)
			BREACH("%s can be opened", names[i]);
}

CASE(kernel_addresses)
{
	char line[200];
	FILE *f = fopen("/proc/kallsyms", "r");
	while (f && fgets(line, sizeof line, f))
		BREACH_IF(strncmp(line, "0000000000000000", 16));
	f = fopen("/proc/modules", "r");
	while (f && fgets(line, sizeof line, f))
		BREACH("a module: %s", line);
}

CASE(devices)
{
	DIR *dir = opendir("/dev");
	struct dirent *e;
	BREACH_IF(!dir);
	while ((e = readdir(dir))) {
		struct stat st;
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		BREACH_IF(S_ISBLK(st.st_mode));
		if (S_ISCHR(st.st_mode) && major(st.st_rdev) != 1 && major(st.st_rdev) != 5 && major(st.st_rdev) != 136)
			BREACH("/dev/%s is %u:%u", e->d_name, major(st.st_rdev), minor(st.st_rdev));
		if (S_ISCHR(st.st_mode) && major(st.st_rdev) == 1)
			BREACH_IF(minor(st.st_rdev) < 3 || minor(st.st_rdev) == 4 || minor(st.st_rdev) > 9);
	}
}

CASE(descriptors_from_outside)
{
	for (int fd = 3; fd < 4096; fd++) {
		struct stat st;
		BREACH_IF(!fstat(fd, &st));
		BREACH_IF(fcntl(fd, F_GETFD) != -1);
	}
	for (int fd = 0; fd < 3; fd++) {
		char path[64], target[PATH_MAX];
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, target, sizeof target);
		if (n > 0)
			check_bytes(path, target, n);
	}
}

CASE(system_totals)
{
	struct sysinfo info;
	NEEDED(sysinfo(&info));
	BREACH_IF(info.procs > 20);
	char text[100] = "";
	int fd = NEEDED(open("/proc/loadavg", O_RDONLY));
	read(fd, text, sizeof text - 1);
	int running, all, last;
	BREACH_IF(sscanf(text, "%*f %*f %*f %d/%d %d", &running, &all, &last) != 3 || all > 20 || last > 500);
}

CASE(control_groups)
{
	char text[1000] = "";
	int fd = open("/proc/self/cgroup", O_RDONLY);
	if (fd >= 0) {
		read(fd, text, sizeof text - 1);
		BREACH_IF(strstr(text, "runsc") || strstr(text, "machine.slice") || strstr(text, "libpod"));
	}
}

CASE(abstract_sockets_of_the_host)
{
	struct sockaddr_un a = {AF_UNIX, ""};
	int s = NEEDED(socket(AF_UNIX, SOCK_STREAM, 0));
	size_t n = strlen(given("abstract"));
	memcpy(a.sun_path + 1, given("abstract"), n);
	BREACH_IF(!connect(s, (struct sockaddr *)&a, offsetof(struct sockaddr_un, sun_path) + 1 + n));
}

CASE(a_socket_of_the_host_by_name)
{
	struct sockaddr_un a = {AF_UNIX, "/tmp/host.sock"};
	struct stat st;
	NEEDED(stat(a.sun_path, &st));
	for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) {
		int s = socket(AF_UNIX, type, 0);
		BREACH_IF(s >= 0 && !connect(s, (struct sockaddr *)&a, sizeof a));
	}
}

CASE(a_fifo_of_the_host)
{
	char text[100];
	int fd = NEEDED(open("/tmp/host.fifo", O_RDWR | O_NONBLOCK));
	ssize_t n = read(fd, text, sizeof text);
	BREACH_IF(n > 0);
}

CASE(loopback_of_the_host)
{
	struct sockaddr_in a = {AF_INET, htons(atoi(given("port"))), {htonl(INADDR_LOOPBACK)}, ""};
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (s >= 0)
		BREACH_IF(!connect(s, (struct sockaddr *)&a, sizeof a));
}

CASE(addresses_of_the_host)
{
	for (char *p = strdup(given("addresses")), *word; (word = strsep(&p, ","));) {
		struct sockaddr_in a = {AF_INET, htons(atoi(given("port"))), {0}, ""};
		int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (s < 0 || inet_pton(AF_INET, word, &a.sin_addr) != 1)
			continue;
		BREACH_IF(!connect(s, (struct sockaddr *)&a, sizeof a));
		a.sin_port = 0;
		s = socket(AF_INET, SOCK_STREAM, 0);
		BREACH_IF(strcmp(word, "127.0.0.1") && !bind(s, (struct sockaddr *)&a, sizeof a));
	}
}

CASE(network_interfaces)
{
	struct {
		struct nlmsghdr h;
		struct rtgenmsg g;
	} ask = {{sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_UNSPEC}};
	int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	static char answer[1 << 16];
	if (s < 0 || send(s, &ask, sizeof ask, 0) < 0)
		return;
	ssize_t n = recv(s, answer, sizeof answer, MSG_DONTWAIT);
	if (n > 0)
		for (char *p = strdup(given("interfaces")), *word; (word = strsep(&p, ","));)
			if (*word && strcmp(word, "lo") && memmem(answer, n, word, strlen(word) + 1))
				BREACH("interface %s is seen", word);
}

CASE(raw_packets)
{
	int s = socket(AF_PACKET, SOCK_RAW, htons(3));
	char frame[2048];
	if (s >= 0) {
		struct timespec ts = {0, 200000000};
		nanosleep(&ts, NULL);
		BREACH_IF(recv(s, frame, sizeof frame, MSG_DONTWAIT) > 0);
	}
}

CASE(shared_memory_of_the_host)
{
	int key = atoi(given("key"));
	BREACH_IF(shmget(key, 0, 0) >= 0);
	BREACH_IF(semget(key, 0, 0) >= 0);
	BREACH_IF(msgget(key, 0) >= 0);
	for (int id = 0; id < 300; id++)
		BREACH_IF(shmat(id, NULL, SHM_RDONLY) != (void *)-1);
}

CASE(message_queues_of_the_host) { BREACH_IF(mq_open(given("queue"), O_RDONLY | O_NONBLOCK) != (mqd_t)-1); }

CASE(posix_shared_memory_of_the_host) { BREACH_IF(shm_open(given("queue"), O_RDONLY, 0) >= 0); }

CASE(keys_of_the_host)
{
	static char text[4096];
	for (int ring = -5; ring < 0; ring++) {
		long n = syscall(SYS_keyctl, 11L, ring, text, sizeof text, 0); /* KEYCTL_READ */
		if (n > 0)
			check_bytes("keyring", text, n < (long)sizeof text ? n : (long)sizeof text);
	}
	BREACH_IF(syscall(SYS_request_key, "user", given("keyname"), NULL, -3) >= 0);
	BREACH_IF(syscall(SYS_keyctl, 10L, -3, "user", given("keyname"), 0) >= 0); /* KEYCTL_SEARCH */
}

CASE(terminals_of_the_host)
{
	for (int i = 0; i < 64; i++) {
		char path[64];
		snprintf(path, sizeof path, "/dev/pts/%d", i);
		BREACH_IF(open(path, O_RDWR | O_NOCTTY | O_NONBLOCK) >= 0);
	}
	BREACH_IF(open("/dev/tty", O_RDWR | O_NOCTTY) >= 0);
}

CASE(peers_of_standard_descriptors)
{
	for (int fd = 0; fd < 3; fd++) {
		struct ucred c = {0};
		socklen_t n = sizeof c;
		BREACH_IF(!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) && c.pid > 0);
	}
}

CASE(file_system_identity)
{
	struct statfs s;
	struct stat st;
	NEEDED(statfs("/", &s));
	NEEDED(stat("/", &st));
	BREACH_IF(given("rootdev") && (long)st.st_dev == atol(given("rootdev"))); /* numbers of host devices stay private */
}

CASE(descriptor_information)
{
	int fd = NEEDED(open("/", O_RDONLY | O_DIRECTORY));
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	check_path(path);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	check_path(path);
}
