/* check.h: the few words that every guest test is written in.
 *
 * A test file is a row of TEST(name) { ... } bodies. Each runs in a forked child of its own, in an empty directory of its own and
 * in a process group of its own, so that one failure neither hides nor causes another. Usage of every program:
 *     prog [SIZE...]            run all cases; exit 0, 1 (a case failed) or 77 (all were skipped)
 *     prog -l                   list the cases
 *     prog -t NAME [SIZE...]    run one case in this very process (for strace and gdb)
 */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SKIPPED 77

struct test_case {
	const char *name;
	void (*run)(void);
};

#define TEST(fn)                                                                                                              \
	static void fn(void);                                                                                                  \
	static const struct test_case case_##fn = {#fn, fn};                                                                   \
	static const struct test_case *const slot_##fn __attribute__((used, section("test_cases"))) = &case_##fn;              \
	static void fn(void)

extern const struct test_case *const __start_test_cases[], *const __stop_test_cases[];

static const char *check_name = "main";
static char self_path[PATH_MAX], self_dir[PATH_MAX];
static long sizes[8];
static int size_count;

static inline void check_failed(const char *file, int line, const char *what, const char *expected, const char *actual)
{
	const char *base = strrchr(file, '/');
	fprintf(stderr, "%s:%d: in %s: %s: expected %s, got %s\n", base ? base + 1 : file, line, check_name, what, expected, actual);
	fflush(stderr);
	_exit(1);
}

static inline const char *check_errno(int e)
{
	const char *name = strerrorname_np(e);
	static _Thread_local char buf[32];
	if (name)
		return name;
	snprintf(buf, sizeof buf, "errno %d", e);
	return buf;
}

static inline const char *check_result(long long r, int e)
{
	static _Thread_local char buf[64];
	if (r == -1)
		snprintf(buf, sizeof buf, "-1 (%s)", check_errno(e));
	else
		snprintf(buf, sizeof buf, "%lld", r);
	return buf;
}

/* CHECK: the condition holds. */
#define CHECK(cond)                                                                                                           \
	do {                                                                                                                   \
		if (!(cond))                                                                                                   \
			check_failed(__FILE__, __LINE__, #cond, "true", "false");                                              \
	} while (0)

/* EQ: two integers are equal. */
#define EQ(actual, expected)                                                                                                  \
	do {                                                                                                                   \
		long long eq_a = (long long)(actual), eq_e = (long long)(expected);                                            \
		char eq_x[32], eq_y[64];                                                                                       \
		if (eq_a != eq_e) {                                                                                            \
			snprintf(eq_y, sizeof eq_y, "%s", check_result(eq_a, errno));                                          \
			snprintf(eq_x, sizeof eq_x, "%lld", eq_e);                                                             \
			check_failed(__FILE__, __LINE__, #actual, eq_x, eq_y);                                                 \
		}                                                                                                              \
	} while (0)

/* OK: the call does not return -1; its value is the call's. */
#define OK(call)                                                                                                              \
	({                                                                                                                     \
		__typeof__(call) ok_r = (call);                                                                                \
		if (ok_r == (__typeof__(call))-1)                                                                              \
			check_failed(__FILE__, __LINE__, #call, "success", check_result(-1, errno));                           \
		ok_r;                                                                                                          \
	})

/* ERR: the call returns -1 with this errno. */
#define ERR(call, e)                                                                                                          \
	do {                                                                                                                   \
		errno = 0;                                                                                                     \
		long long err_r = (long long)(call);                                                                           \
		int err_e = errno;                                                                                             \
		if (err_r != -1 || err_e != (e))                                                                               \
			check_failed(__FILE__, __LINE__, #call, check_errno(e), check_result(err_r, err_e));                   \
	} while (0)

/* STR: two strings are equal. */
#define STR(actual, expected)                                                                                                 \
	do {                                                                                                                   \
		const char *str_a = (actual), *str_e = (expected);                                                             \
		if (strcmp(str_a, str_e))                                                                                      \
			check_failed(__FILE__, __LINE__, #actual, str_e, str_a);                                               \
	} while (0)

#define SKIP(why)                                                                                                             \
	do {                                                                                                                   \
		fprintf(stderr, "skip %s: %s\n", check_name, why);                                                             \
		_exit(SKIPPED);                                                                                                \
	} while (0)

#define NEED_ROOT()                                                                                                           \
	do {                                                                                                                   \
		if (geteuid() != 0)                                                                                            \
			SKIP("needs root");                                                                                    \
	} while (0)

/* A pointer that no call can use, and one to the last byte before an unmapped page. */
#define BAD ((void *)-4096L)

static inline long size_arg(int i, long otherwise)
{
	return i < size_count ? sizes[i] : otherwise;
}

static inline int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
	while (nanosleep(&ts, &ts) == -1 && errno == EINTR)
		;
}

/* Wait for a child through any number of EINTR; the status is the wait status. */
static inline int reap(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			check_failed(__FILE__, __LINE__, "waitpid", "the child", check_errno(errno));
	return status;
}

#define REAP_OK(pid) EQ(reap(pid), 0)
#define REAP_EXIT(pid, code) EQ(reap(pid), (code) << 8)
#define REAP_SIGNAL(pid, sig) EQ(reap(pid) & 0x7f, sig)

/* IN_CHILD { ... }: run the block in a child, which must reach its end. */
#define IN_CHILD                                                                                                              \
	for (pid_t in_child = OK(fork()), in_once = 1; in_once; in_once = 0, in_child ? (void)check_child(in_child, __LINE__) : _exit(0)) \
		if (in_child == 0)

static inline void check_child(pid_t pid, int line)
{
	int status = reap(pid);
	char text[64];
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
		_exit(SKIPPED);
	snprintf(text, sizeof text, "status %#x", status);
	if (status)
		check_failed("child", line, check_name, "a child that ends well", text);
}

static inline void handle(int sig, void (*fn)(int), int flags)
{
	struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};
	OK(sigaction(sig, &sa, NULL));
}

static inline void handle_info(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = {.sa_sigaction = fn, .sa_flags = flags | SA_SIGINFO};
	OK(sigaction(sig, &sa, NULL));
}

static inline sigset_t set_of(int sig)
{
	sigset_t s;
	sigemptyset(&s);
	if (sig)
		sigaddset(&s, sig);
	return s;
}

/* A state letter of /proc/PID/stat, or 0; used to wait until a task sleeps, is stopped or is a zombie. */
static inline char state_of(pid_t pid)
{
	char path[64], buf[512];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, buf, sizeof buf - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = 0;
	char *p = strrchr(buf, ')');
	return p ? p[2] : 0;
}

static inline void make_file(const char *path, const char *text)
{
	int fd = OK(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
	EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	OK(close(fd));
}

/* A page between two unmapped ones; end - n is a buffer whose byte n is a fault. */
static inline char *page_end(void)
{
	extern void *mmap(void *, size_t, int, int, int, off_t);
	extern int munmap(void *, size_t);
	char *p = mmap(NULL, 3 * 4096, 3, 0x22, -1, 0);
	if (p == (void *)-1 || munmap(p, 4096) || munmap(p + 8192, 4096))
		check_failed(__FILE__, __LINE__, "mmap", "a page", "none");
	return p + 8192;
}

/* ---- the runner ---- */
static volatile sig_atomic_t check_late;
static void check_alarm(int sig)
{
	(void)sig;
	check_late = 1;
}

static int check_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path) ? 0 : 0;
}

static int check_run(const struct test_case *c, const char *top)
{
	char dir[PATH_MAX + 128];
	snprintf(dir, sizeof dir, "%s/%.100s", top, c->name);
	check_name = c->name;
	pid_t pid = fork();
	if (pid == -1) {
		perror("fork");
		return 1;
	}
	if (pid == 0) {
		signal(SIGALRM, SIG_DFL);
		if (setpgid(0, 0) || mkdir(dir, 0755) || chdir(dir)) {
			perror(dir);
			_exit(1);
		}
		c->run();
		fflush(stdout);
		_exit(0);
	}
	setpgid(pid, pid);
	const char *limit = getenv("GUEST_CASE_TIMEOUT");
	int status = -1;
	check_late = 0;
	alarm(limit ? atoi(limit) : 120);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		if (check_late) {
			fprintf(stderr, "%s: timed out\n", c->name);
			kill(-pid, SIGKILL);
			check_late = 0;
			alarm(10);
		}
	alarm(0);
	kill(-pid, SIGKILL); /* what a failed case left behind */
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "%s: ended with status %#x\n", c->name, status);
	return 1;
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	int failed = 0, skipped = 0, ran = 0, i = 1;
	ssize_t n = readlink("/proc/self/exe", self_path, sizeof self_path - 1);
	if (n > 0)
		self_path[n] = 0;
	else
		snprintf(self_path, sizeof self_path, "%s", argv[0]);
	strcpy(self_dir, self_path);
	if (strrchr(self_dir, '/'))
		*strrchr(self_dir, '/') = 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (i < argc && !strcmp(argv[i], "-l")) {
		for (const struct test_case *const *c = __start_test_cases; c < __stop_test_cases; c++)
			puts((*c)->name);
		return 0;
	}
	if (i + 1 < argc && !strcmp(argv[i], "-t")) {
		only = argv[i + 1];
		i += 2;
	}
	for (; i < argc && size_count < 8; i++)
		sizes[size_count++] = atol(argv[i]);
	umask(022);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL); /* what the caller blocks and ignores is none of ours */
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	for (int fd = 3; fd < 1024; fd++)
		close(fd); /* what the caller left open would change the numbers */
	char top[PATH_MAX];
	snprintf(top, sizeof top, "%s/guest-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(top)) {
		perror(top);
		return 1;
	}
	if (chmod(top, 0755))
		perror(top);
	struct sigaction sa = {.sa_handler = check_alarm};
	sigaction(SIGALRM, &sa, NULL);
	for (const struct test_case *const *c = __start_test_cases; c < __stop_test_cases; c++) {
		if (only && strcmp(only, (*c)->name))
			continue;
		ran++;
		if (only) {
			signal(SIGALRM, SIG_DFL);
			check_name = only;
			if (chdir(top))
				perror(top);
			(*c)->run();
			continue;
		}
		int r = check_run(*c, top);
		if (r == SKIPPED)
			skipped++;
		else if (r)
			failed++, fprintf(stderr, "FAILED %s\n", (*c)->name);
	}
	if (chdir("/") == 0)
		nftw(top, check_remove, 16, FTW_DEPTH | FTW_PHYS);
	if (!ran) {
		fprintf(stderr, "no such case\n");
		return 1;
	}
	printf("%d cases, %d failed, %d skipped\n", ran, failed, skipped);
	return failed ? 1 : skipped == ran ? SKIPPED : 0;
}
#endif
