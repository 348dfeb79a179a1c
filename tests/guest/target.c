/* execve(2), getauxval(3): what a program finds when it starts. Built static, static-pie, PIE and non-PIE; run by exec.c. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(c)                                                                                          \
	do {                                                                                               \
		if (!(c)) {                                                                                \
			fprintf(stderr, "target.c:%d: %s (errno %d)\n", __LINE__, #c, errno);              \
			exit(1);                                                                           \
		}                                                                                          \
	} while (0)

extern char **environ;
extern char _start[];
extern const Elf64_Ehdr __ehdr_start __attribute__((weak));

/* auxv EXECFN: every entry that a libc or a sanitizer relies upon. */
static void auxv(const char *execfn)
{
	CHECK(!strcmp((char *)getauxval(AT_EXECFN), execfn));
	CHECK(getauxval(AT_PAGESZ) == 4096);
	CHECK(getauxval(AT_CLKTCK) == 100);
	CHECK(getauxval(AT_ENTRY) == (unsigned long)_start);
	CHECK(getauxval(AT_PHENT) == sizeof(Elf64_Phdr));
	CHECK(getauxval(AT_UID) == getuid());
	CHECK(getauxval(AT_EUID) == geteuid());
	CHECK(getauxval(AT_GID) == getgid());
	CHECK(getauxval(AT_EGID) == getegid());
	errno = 0;
	CHECK(getauxval(AT_SECURE) == 0 && errno == 0);
	CHECK(getauxval(AT_HWCAP) != 0);
	CHECK(!strcmp((char *)getauxval(AT_PLATFORM), "x86_64"));
	const unsigned char *r = (unsigned char *)getauxval(AT_RANDOM);
	CHECK(r);
	int any = 0;
	for (int i = 0; i < 16; i++)
		any |= r[i];
	CHECK(any);
	const Elf64_Phdr *ph = (void *)getauxval(AT_PHDR);
	size_t n = getauxval(AT_PHNUM);
	CHECK(ph && n >= 2 && n < 40);
	int loads = 0, interp = 0;
	uintptr_t base = 0;
	for (size_t i = 0; i < n; i++) {
		loads += ph[i].p_type == PT_LOAD;
		if (ph[i].p_type == PT_PHDR)
			base = (uintptr_t)ph - ph[i].p_vaddr;
		if (ph[i].p_type == PT_INTERP)
			interp = 1;
	}
	CHECK(loads >= 2);
	for (size_t i = 0; interp && i < n; i++)
		if (ph[i].p_type == PT_INTERP)
			CHECK(strstr((char *)(base + ph[i].p_vaddr), "ld-linux"));
	if (interp) {
		CHECK(getauxval(AT_BASE) && getauxval(AT_BASE) % 4096 == 0);
		CHECK(!memcmp((void *)getauxval(AT_BASE), ELFMAG, 4));
	}
	unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
	if (vdso)
		CHECK(!memcmp((void *)vdso, ELFMAG, 4));
}

static void memory(void)
{
	char *before = sbrk(0);
	CHECK(before != (void *)-1);
	char *p = sbrk(1 << 20);
	CHECK(p == before);
	memset(p, 7, 1 << 20);
	CHECK(sbrk(0) == before + (1 << 20));
	CHECK(sbrk(-(1 << 20)) == before + (1 << 20));
	CHECK(sbrk(0) == before);
	p = malloc(10000);
	CHECK(p);
	memset(p, 1, 10000);
	char *m = mmap(NULL, 1 << 22, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED);
	m[12345] = 1;
	volatile char stack[1 << 19]; /* the stack grows */
	for (size_t i = 0; i < sizeof stack; i += 4096)
		stack[i] = 1;
	static char zero[100000]; /* .bss is zero, also on the page shared with .data */
	for (size_t i = 0; i < sizeof zero; i++)
		CHECK(zero[i] == 0);
}

static size_t slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	CHECK(fd >= 0);
	size_t n = 0;
	for (ssize_t r; (r = read(fd, buf + n, size - n)) > 0;)
		n += r;
	close(fd);
	return n;
}

/* proc PATH COMM: what /proc/self says about us; PATH "-" for a program without a name. */
static void proc(int argc, char **argv)
{
	char buf[4096], want[4096], comm[32] = {0};
	size_t n = 0;
	ssize_t r = readlink("/proc/self/exe", buf, sizeof buf - 1);
	CHECK(r > 0);
	buf[r] = 0;
	if (strcmp(argv[2], "-"))
		CHECK(!strcmp(buf, argv[2]));
	for (int i = 0; i < argc; i++) {
		strcpy(want + n, argv[i]);
		n += strlen(argv[i]) + 1;
	}
	CHECK(slurp("/proc/self/cmdline", buf, sizeof buf) == n && !memcmp(buf, want, n));
	CHECK(prctl(PR_GET_NAME, comm) == 0);
	CHECK(!strcmp(comm, argv[3]));
	buf[slurp("/proc/self/comm", buf, sizeof buf)] = 0;
	CHECK(!strncmp(buf, comm, strlen(comm)) && buf[strlen(comm)] == '\n');
	n = slurp("/proc/self/environ", buf, sizeof buf);
	CHECK(n > 0 && n >= strlen(environ[0]) && !memcmp(buf, environ[0], strlen(environ[0])));
	n = slurp("/proc/self/maps", buf, sizeof buf - 1);
	buf[n] = 0;
	CHECK(n > 100 && strstr(buf, "r-xp"));
	if (strcmp(argv[2], "-"))
		CHECK(strstr(buf, argv[2]));
}

/* args COUNT SEED: COUNT arguments whose bytes follow from SEED. */
static void many(int argc, char **argv)
{
	int count = atoi(argv[2]);
	CHECK(argc == count + 3);
	for (int i = 0; i < count; i++) {
		const char *a = argv[i + 3];
		size_t size = (i * 37) % 200;
		CHECK(strlen(a) == size);
		for (size_t k = 0; k < size; k++)
			CHECK(a[k] == (char)('a' + (i + k) % 26));
	}
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	const char *mode = argv[1];
	if (!strcmp(mode, "exit"))
		return atoi(argv[2]);
	if (!strcmp(mode, "auxv"))
		auxv(argv[2]);
	else if (!strcmp(mode, "memory"))
		memory();
	else if (!strcmp(mode, "proc"))
		proc(argc, argv);
	else if (!strcmp(mode, "many"))
		many(argc, argv);
	else if (!strcmp(mode, "echo")) { /* all arguments and the environment, one a line */
		for (int i = 0; i < argc; i++)
			printf("%s\n", argv[i]);
		for (char **e = environ; *e; e++)
			printf("%s\n", *e);
	} else if (!strcmp(mode, "signals")) { /* signals BLOCKED IGNORED DEFAULT PENDING */
		struct sigaction sa;
		sigset_t s;
		CHECK(sigprocmask(SIG_SETMASK, NULL, &s) == 0 && sigismember(&s, atoi(argv[2])) == 1);
		CHECK(sigaction(atoi(argv[3]), NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
		CHECK(sigaction(atoi(argv[4]), NULL, &sa) == 0 && sa.sa_handler == SIG_DFL && sa.sa_flags == 0);
		CHECK(sigpending(&s) == 0 && sigismember(&s, atoi(argv[5])) == 1);
		stack_t ss;
		CHECK(sigaltstack(NULL, &ss) == 0 && ss.ss_flags == SS_DISABLE);
	} else if (!strcmp(mode, "fds")) { /* fds OPEN CLOSED */
		CHECK(fcntl(atoi(argv[2]), F_GETFD) == 0);
		CHECK(fcntl(atoi(argv[3]), F_GETFD) == -1 && errno == EBADF);
	} else if (!strcmp(mode, "ids")) { /* ids PID: pid, tid and a single thread */
		CHECK(getpid() == atoi(argv[2]));
		CHECK(syscall(SYS_gettid) == getpid());
		CHECK(syscall(SYS_set_tid_address, NULL) == getpid());
	} else if (!strcmp(mode, "creds")) { /* creds UID EUID SECURE */
		CHECK((int)getuid() == atoi(argv[2]));
		CHECK((int)geteuid() == atoi(argv[3]));
		CHECK((int)getauxval(AT_SECURE) == atoi(argv[4]));
		CHECK(getauxval(AT_EUID) == geteuid());
	} else
		return 3;
	return 0;
}
