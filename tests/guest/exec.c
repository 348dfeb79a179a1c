/* execve(2), execveat(2), fexecve(3): all kinds of programs, and what survives the call. Needs the target-* programs beside it. */
#include "check.h"
#include <sys/mman.h>
#include <sys/time.h>

extern char **environ;

static const char *const kinds[] = {"target-static", "target-static-pie", "target-pie", "target-nopie"};
#define KINDS 4

static const char *target(int kind)
{
	static char path[PATH_MAX + 64];
	snprintf(path, sizeof path, "%s/%s", self_dir, kinds[kind]);
	return path;
}

/* Run a program in a child; the wait status. */
static int run(const char *path, char *const argv[], char *const envp[])
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		execve(path, argv, envp ? envp : environ);
		fprintf(stderr, "execve %s: %s\n", path, check_errno(errno));
		_exit(126);
	}
	return reap(pid);
}

#define RUN(path, ...) run(path, (char *[]){__VA_ARGS__, NULL}, NULL)

/* Run a program and give back what it prints. */
static const char *output(const char *path, char *const argv[], char *const envp[])
{
	static char buf[65536];
	int p[2];
	size_t n = 0;
	OK(pipe2(p, O_CLOEXEC));
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(dup2(p[1], 1));
		execve(path, argv, envp);
		_exit(126);
	}
	OK(close(p[1]));
	for (ssize_t r; (r = read(p[0], buf + n, sizeof buf - 1 - n)) > 0;)
		n += r;
	buf[n] = 0;
	OK(close(p[0]));
	REAP_OK(pid);
	return buf;
}

TEST(every_kind_runs)
{
	for (int k = 0; k < KINDS; k++) {
		check_name = kinds[k];
		EQ(RUN(target(k), "t", "exit", "0"), 0);
		EQ(RUN(target(k), "t", "exit", "41"), 41 << 8);
		EQ(RUN(target(k), "t"), 2 << 8);
	}
}

TEST(auxiliary_vector)
{
	for (int k = 0; k < KINDS; k++) {
		check_name = kinds[k];
		EQ(RUN(target(k), "t", "auxv", (char *)target(k)), 0);
	}
}

TEST(memory_of_a_new_program)
{
	for (int k = 0; k < KINDS; k++)
		for (int i = 0; i < 5; i++) { /* addresses are random */
			check_name = kinds[k];
			EQ(RUN(target(k), "t", "memory"), 0);
		}
}

TEST(proc_self)
{
	for (int k = 0; k < KINDS; k++) {
		char comm[16] = {0}, link[64];
		check_name = kinds[k];
		strncpy(comm, kinds[k], 15);
		EQ(RUN(target(k), "other name", "proc", (char *)target(k), comm), 0);
		snprintf(link, sizeof link, "a-link-to-%d", k);
		OK(symlink(target(k), link));
		memset(comm, 0, sizeof comm);
		strncpy(comm, link, 15);
		EQ(RUN(link, "x", "proc", (char *)target(k), comm), 0);
		EQ(RUN(link, "x", "auxv", link), 0);
	}
}

TEST(arguments_and_environment)
{
	char *argv[] = {"zero", "echo", "", "a b", "\"'\\", NULL};
	char *envp[] = {"A=1", "", "noequals", "A=2", "LONG=x y z", NULL};
	for (int k = 0; k < KINDS; k++)
		STR(output(target(k), argv, envp), "zero\necho\n\na b\n\"'\\\nA=1\n\nnoequals\nA=2\nLONG=x y z\n");
	STR(output(target(0), argv, (char *[]){NULL}), "zero\necho\n\na b\n\"'\\\n");
	STR(output(target(0), argv, NULL), "zero\necho\n\na b\n\"'\\\n");
	EQ(run(target(0), (char *[]){NULL}, (char *[]){NULL}), 2 << 8); /* argc is 1 since 5.18: an empty name */
}

TEST(many_arguments)
{
	int count = 1500;
	char **argv = calloc(count + 4, sizeof *argv), number[16];
	snprintf(number, sizeof number, "%d", count);
	argv[0] = "t", argv[1] = "many", argv[2] = number;
	for (int i = 0; i < count; i++) {
		size_t size = (i * 37) % 200;
		argv[i + 3] = calloc(1, size + 1);
		for (size_t k = 0; k < size; k++)
			argv[i + 3][k] = 'a' + (i + k) % 26;
	}
	for (int k = 0; k < KINDS; k++)
		EQ(run(target(k), argv, NULL), 0);
}

static void script(const char *name, const char *text)
{
	make_file(name, text);
	OK(chmod(name, 0755));
}

static char **env1(void)
{
	static char *e[] = {"E=1", NULL};
	return e;
}

TEST(scripts)
{
	char text[PATH_MAX + 128], want[2 * PATH_MAX];
	char *argv[] = {"ignored", "one", "two words", NULL};
	snprintf(text, sizeof text, "#!%s echo\n", target(0));
	script("s1", text);
	snprintf(want, sizeof want, "%s\necho\n./s1\none\ntwo words\nE=1\n", target(0));
	STR(output("./s1", argv, env1()), want);
	/* one argument with spaces stays one; blanks around are dropped */
	snprintf(text, sizeof text, "#! \t %s \t echo  a b \t \nmore\n", target(0));
	script("s2", text);
	pid_t pid = OK(fork());
	if (pid == 0) {
		execve("./s2", argv, env1());
		_exit(126);
	}
	REAP_EXIT(pid, 3); /* the mode is "echo  a b" */
	script("s3", "#!/bin/sh\necho \"$0,$1,$2\"\nexit 0\n");
	STR(output("./s3", argv, env1()), "./s3,one,two words\n");
	script("s4", "#!/bin/sh -e\nfalse\nexit 0\n");
	EQ(RUN("./s4", "x"), 1 << 8);
	script("s5", "#!/bin/sh"); /* no newline */
	EQ(RUN("./s5", "x"), 0);
	/* a relative interpreter, by the current directory */
	OK(symlink(target(2), "rel"));
	script("s6", "#!rel echo\n");
	STR(output("./s6", argv, env1()), "rel\necho\n./s6\none\ntwo words\nE=1\n");
	/* a path with a slash is handed on as given */
	OK(mkdir("dir", 0755));
	OK(rename("s3", "dir/s3"));
	STR(output("dir/../dir/s3", argv, env1()), "dir/../dir/s3,one,two words\n");
}

TEST(nested_scripts)
{
	char text[PATH_MAX + 64], want[PATH_MAX + 256];
	char *argv[] = {"x", "arg", NULL};
	snprintf(text, sizeof text, "#!%s echo\n", target(0));
	script("n0", text);
	script("n1", "#!./n0 first\n");
	script("n2", "#!./n1 second\n");
	snprintf(want, sizeof want, "%s\necho\n./n0\nfirst\n./n1\nsecond\n./n2\narg\nE=1\n", target(0));
	STR(output("./n2", argv, env1()), want);
	script("n3", "#!./n2\n");
	script("n4", "#!./n3\n");
	snprintf(want, sizeof want, "%s\necho\n./n0\nfirst\n./n1\nsecond\n./n2\n./n3\n./n4\narg\nE=1\n", target(0));
	STR(output("./n4", argv, env1()), want); /* five levels */
	script("n5", "#!./n4\n");
	ERR(execve("./n5", argv, env1()), ELOOP);
	script("self", "#!./self\n");
	ERR(execve("./self", argv, env1()), ELOOP);
}

static char altstack[16384];
static void on_signal(int sig)
{
	(void)sig;
}

TEST(signals_over_exec)
{
	sigset_t s = set_of(SIGUSR1);
	stack_t ss = {.ss_sp = altstack, .ss_size = sizeof altstack};
	char b[4][8];
	const int n[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGUSR1};
	for (int i = 0; i < 4; i++)
		snprintf(b[i], 8, "%d", n[i]);
	OK(sigaltstack(&ss, NULL));
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	signal(SIGUSR2, SIG_IGN);
	handle(SIGHUP, on_signal, SA_RESTART | SA_ONSTACK);
	handle(SIGUSR1, on_signal, 0);
	OK(raise(SIGUSR1));
	for (int k = 0; k < KINDS; k++) {
		pid_t pid = OK(fork());
		if (pid == 0) {
			OK(raise(SIGUSR1));
			execl(target(k), "t", "signals", b[0], b[1], b[2], b[3], NULL);
			_exit(126);
		}
		REAP_OK(pid);
	}
}

TEST(files_over_exec)
{
	OK(dup2(0, 20));
	OK(dup3(0, 21, O_CLOEXEC));
	int far = OK(fcntl(0, F_DUPFD_CLOEXEC, 900));
	char number[16];
	snprintf(number, sizeof number, "%d", far);
	EQ(RUN(target(1), "t", "fds", "20", "21"), 0);
	EQ(RUN(target(2), "t", "fds", "20", number), 0);
	OK(fcntl(21, F_SETFD, 0));
	OK(fcntl(20, F_SETFD, FD_CLOEXEC));
	EQ(RUN(target(3), "t", "fds", "21", "20"), 0);
	CHECK(fcntl(far, F_GETFD) == FD_CLOEXEC); /* only the child's were closed */
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void *execs(void *arg)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", getpid());
	CHECK(syscall(SYS_gettid) != getpid());
	execl(arg, "t", "ids", pid, NULL);
	_exit(126);
}

/* The other threads end, and the caller takes over the number of the process. */
TEST(exec_from_a_thread)
{
	for (int k = 0; k < KINDS; k++)
		for (int i = 0; i < 5; i++) {
			pid_t pid = OK(fork());
			if (pid == 0) {
				pthread_t th;
				for (int n = 0; n < 4; n++)
					EQ(pthread_create(&th, NULL, idle, NULL), 0);
				EQ(pthread_create(&th, NULL, execs, (void *)target(k)), 0);
				for (;;)
					pause();
			}
			REAP_OK(pid);
		}
}

/* As above, but the leader has ended before, or sleeps in a call whose end must not reach the new program. */
static void *execs_late(void *arg)
{
	while (state_of(getpid()) == 'R')
		usleep(1000);
	usleep(2000);
	return execs(arg);
}

TEST(exec_when_the_leader_has_ended)
{
	for (int k = 0; k < KINDS; k++) {
		pid_t pid = OK(fork());
		if (pid == 0) {
			pthread_t th;
			EQ(pthread_create(&th, NULL, execs_late, (void *)target(k)), 0);
			pthread_exit(NULL);
		}
		REAP_OK(pid);
	}
}

TEST(exec_when_the_leader_sleeps)
{
	int p[2];
	char byte;
	OK(pipe(p));
	for (int k = 0; k < KINDS; k++) {
		pid_t pid = OK(fork());
		if (pid == 0) {
			pthread_t th;
			EQ(pthread_create(&th, NULL, execs_late, (void *)target(k)), 0);
			(void)!read(p[0], &byte, 1);
			_exit(125);
		}
		REAP_OK(pid);
		EQ(write(p[1], "x", 1), 1); /* nobody reads it but us */
		EQ(read(p[0], &byte, 1), 1);
	}
}

TEST(exec_from_leader_with_threads)
{
	char pid_text[16];
	for (int k = 0; k < KINDS; k++) {
		pid_t pid = OK(fork());
		if (pid == 0) {
			pthread_t th;
			for (int n = 0; n < 4; n++)
				EQ(pthread_create(&th, NULL, idle, NULL), 0);
			snprintf(pid_text, sizeof pid_text, "%d", getpid());
			execl(target(k), "t", "ids", pid_text, NULL);
			_exit(126);
		}
		REAP_OK(pid);
	}
}

/* A file that has no name any more, or never had one. */
TEST(memfd_and_unlinked)
{
	char *argv[] = {"t", "exit", "12", NULL}, buf[65536];
	for (int k = 0; k < KINDS; k++) {
		int in = OK(open(target(k), O_RDONLY));
		int m = OK(syscall(SYS_memfd_create, "prog", 1 /* MFD_CLOEXEC */));
		int f = OK(open("copy", O_WRONLY | O_CREAT, 0755));
		for (ssize_t r; (r = read(in, buf, sizeof buf)) > 0;) {
			EQ(write(m, buf, r), r);
			EQ(write(f, buf, r), r);
		}
		OK(close(f));
		int u = OK(open("copy", O_RDONLY | O_CLOEXEC));
		OK(unlink("copy"));
		int fds[] = {m, u, in};
		for (int i = 0; i < 3; i++) {
			pid_t pid = OK(fork());
			if (pid == 0) {
				fexecve(fds[i], argv, environ);
				perror("fexecve");
				_exit(126);
			}
			REAP_EXIT(pid, 12);
			pid = OK(fork());
			if (pid == 0) {
				char path[64];
				snprintf(path, sizeof path, "/proc/self/fd/%d", fds[i]);
				execve(path, argv, environ);
				perror(path);
				_exit(126);
			}
			REAP_EXIT(pid, 12);
		}
		OK(close(m));
		OK(close(u));
		OK(close(in));
	}
}

TEST(execveat_forms)
{
	char *argv[] = {"t", "exit", "5", NULL};
	int dir = OK(open(self_dir, O_RDONLY | O_DIRECTORY)), path = OK(open(target(2), O_PATH));
	const struct { int fd; const char *name; int flags; } forms[] = {
		{dir, kinds[2], 0}, {path, "", AT_EMPTY_PATH}, {AT_FDCWD, target(2), 0}, {-1, target(2), AT_SYMLINK_NOFOLLOW}};
	for (int i = 0; i < 4; i++) {
		pid_t pid = OK(fork());
		if (pid == 0) {
			syscall(SYS_execveat, forms[i].fd, forms[i].name, argv, environ, forms[i].flags);
			perror(forms[i].name);
			_exit(126);
		}
		REAP_EXIT(pid, 5);
	}
}

/* An alarm goes on over exec (setitimer(2)), and the pid, cwd and umask stay. */
TEST(attributes_over_exec)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		struct itimerval it = {{0, 0}, {0, 100000}};
		OK(setitimer(ITIMER_REAL, &it, NULL));
		execl("/bin/sleep", "sleep", "30", NULL);
		_exit(126);
	}
	REAP_SIGNAL(pid, SIGALRM);
	OK(mkdir("here", 0755));
	OK(chdir("here"));
	umask(0135);
	STR(output("/bin/sh", (char *[]){"sh", "-c", "basename $(pwd); umask", NULL}, environ), "here\n0135\n");
}

TEST(exec_under_signals)
{
	pid_t self = getpid(), bomber;
	signal(SIGUSR1, SIG_IGN);
	handle(SIGUSR2, on_signal, 0);
	bomber = OK(fork());
	if (bomber == 0) {
		while (getppid() == self) {
			kill(0, SIGUSR1);
			kill(self, SIGUSR2);
			sleep_ms(1);
		}
		_exit(0);
	}
	for (int i = 0; i < 40; i++)
		EQ(RUN(target(i % KINDS), "t", "exit", "3"), 3 << 8);
	OK(kill(bomber, SIGKILL));
	reap(bomber);
}
