/* execve(2), ERRORS: each leaves the caller as it was: registers, files, handlers, threads. */
#include "check.h"
#include <elf.h>
#include <sys/mman.h>
#include <sys/resource.h>

extern char **environ;
static char *plain_argv[] = {"x", NULL};

/* execve by hand: every register but rax, rcx and r11 must come back unchanged. */
static long raw_execve(const char *path, char *const *argv, char *const *envp)
{
	uint64_t after[11];
	long ret;
	__asm__ volatile("push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15; push %[out]\n"
			 "mov $0x1111, %%rbx; mov $0x2222, %%rbp; mov $0x3333, %%r12; mov $0x4444, %%r13\n"
			 "mov $0x5555, %%r14; mov $0x6666, %%r15; mov $0x7777, %%r8; mov $0x8888, %%r9; mov $0x9999, %%r10\n"
			 "mov $59, %%eax; syscall\n"
			 "pop %%rcx\n"
			 "mov %%rbx, (%%rcx); mov %%rbp, 8(%%rcx); mov %%r12, 16(%%rcx); mov %%r13, 24(%%rcx); mov %%r14, 32(%%rcx)\n"
			 "mov %%r15, 40(%%rcx); mov %%r8, 48(%%rcx); mov %%r9, 56(%%rcx); mov %%r10, 64(%%rcx)\n"
			 "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx\n"
			 : "=a"(ret), "+D"(path), "+S"(argv), "+d"(envp)
			 : [out] "c"(after)
			 : "r8", "r9", "r10", "r11", "memory", "cc");
	for (int i = 0; i < 9; i++)
		EQ(after[i], 0x1111ull * (i + 1));
	return ret;
}

static volatile sig_atomic_t handled;
static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

/* The whole proof: in this process, in a forked child and in a vforked one. */
static void fails_as(int line, const char *path, char *const *argv, char *const *envp, int err)
{
	char want[32], got[32];
	handle(SIGUSR1, on_signal, 0);
	OK(dup3(0, 30, O_CLOEXEC));
	void *brk_before = sbrk(0);
	long r = raw_execve(path, argv, envp);
	snprintf(want, sizeof want, "%s", check_errno(err));
	snprintf(got, sizeof got, "%s", check_errno(-r));
	if (r != -err)
		check_failed(__FILE__, line, "execve", want, got);
	EQ(fcntl(30, F_GETFD), FD_CLOEXEC);
	CHECK(sbrk(0) == brk_before);
	handled = 0;
	OK(raise(SIGUSR1));
	EQ(handled, 1);
	pid_t pid = OK(fork());
	if (pid == 0)
		_exit(raw_execve(path, argv, envp) == -err ? 0 : 1);
	REAP_OK(pid);
	volatile long told = 0;
	pid = vfork();
	if (pid == 0) {
		long v = syscall(SYS_execve, path, argv, envp);
		told = v == -1 ? errno : 0;
		_exit(9);
	}
	EQ(told, err);
	REAP_EXIT(pid, 9);
}

#define FAILS(path, err) fails_as(__LINE__, path, plain_argv, environ, err)

static void executable(const char *name, const void *data, size_t size)
{
	int fd = OK(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755));
	EQ(write(fd, data, size), (ssize_t)size);
	OK(close(fd));
}

TEST(enoent)
{
	FAILS("missing", ENOENT);
	FAILS("missing/dir", ENOENT);
	FAILS("", ENOENT);
	OK(symlink("nowhere", "dangling"));
	FAILS("dangling", ENOENT);
	executable("script", "#!/no/such/interpreter\n", 23);
	FAILS("script", ENOENT);
}

TEST(eacces)
{
	make_file("plain", "#!/bin/sh\n");
	FAILS("plain", EACCES); /* root needs an x bit as well */
	FAILS(".", EACCES);
	FAILS("/dev/null", EACCES);
	OK(mkfifo("fifo", 0777));
	FAILS("fifo", EACCES);
	executable("script", "#!./plain\n", 10);
	FAILS("script", EACCES);
	executable("dirscript", "#!/tmp\n", 7);
	FAILS("dirscript", EACCES);
	if (geteuid() == 0) {
		OK(mkdir("closed", 0700));
		executable("closed/x", "#!/bin/true\n", 12);
		executable("rootonly", "#!/bin/true\n", 12);
		OK(chmod("rootonly", 0700));
		IN_CHILD {
			OK(setgid(12345));
			OK(setuid(12345));
			EQ(syscall(SYS_execve, "closed/x", plain_argv, environ), -1);
			EQ(errno, EACCES);
			ERR(execve("rootonly", plain_argv, environ), EACCES);
		}
	}
}

TEST(enoexec)
{
	executable("garbage", "exit 23\n", 8);
	executable("empty", "", 0);
	executable("short", "\177ELF", 4);
	executable("noname", "#!\n", 3);
	executable("blank", "#!   \n", 6);
	FAILS("garbage", ENOEXEC);
	FAILS("empty", ENOEXEC);
	FAILS("short", ENOEXEC);
	FAILS("noname", ENOEXEC);
	FAILS("blank", ENOEXEC);
	pid_t pid = OK(fork());
	if (pid == 0) {
		execlp("./garbage", "garbage", NULL); /* execvp hands to sh what execve refuses */
		_exit(1);
	}
	REAP_EXIT(pid, 23);
}

static void broken_elf(const char *name, int machine, int type, int phentsize, int phnum)
{
	Elf64_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, .e_type = type, .e_machine = machine,
			.e_version = 1, .e_phoff = sizeof h, .e_ehsize = sizeof h, .e_phentsize = phentsize, .e_phnum = phnum};
	char buf[4096] = {0};
	memcpy(buf, &h, sizeof h);
	executable(name, buf, sizeof buf);
}

TEST(broken_elf_files)
{
	broken_elf("arm", EM_AARCH64, ET_EXEC, 56, 1);
	broken_elf("object", EM_X86_64, ET_REL, 56, 1);
	broken_elf("entsize", EM_X86_64, ET_EXEC, 55, 1);
	broken_elf("nophdr", EM_X86_64, ET_EXEC, 56, 0);
	FAILS("arm", ENOEXEC);
	FAILS("object", ENOEXEC);
	FAILS("entsize", ENOEXEC);
	FAILS("nophdr", ENOEXEC);
}

/* A PT_INTERP that is missing fails with ENOENT, one that is no ELF file with ELIBBAD or ENOEXEC-like errors. */
TEST(missing_elf_interpreter)
{
	struct {
		Elf64_Ehdr h;
		Elf64_Phdr p;
		char name[64];
	} f = {.h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, .e_type = ET_DYN, .e_machine = EM_X86_64,
		     .e_version = 1, .e_phoff = sizeof f.h, .e_ehsize = sizeof f.h, .e_phentsize = 56, .e_phnum = 1},
	       .p = {.p_type = PT_INTERP, .p_offset = sizeof f.h + sizeof f.p, .p_filesz = 20, .p_memsz = 20}};
	strcpy(f.name, "/no/such/ld-linux.x");
	executable("prog", &f, sizeof f);
	FAILS("prog", ENOENT);
	strcpy(f.name, "/etc/passwd");
	f.p.p_filesz = f.p.p_memsz = 12;
	executable("prog2", &f, sizeof f);
	FAILS("prog2", EACCES);
	f.p.p_filesz = 1;
	executable("prog3", &f, sizeof f);
	FAILS("prog3", ENOEXEC);
}

TEST(e2big)
{
	char *huge = calloc(1, 200000);
	memset(huge, 'x', 131072);
	fails_as(__LINE__, "/bin/true", (char *[]){"x", huge, NULL}, environ, E2BIG); /* MAX_ARG_STRLEN with its NUL */
	fails_as(__LINE__, "/bin/true", plain_argv, (char *[]){huge, NULL}, E2BIG);
	huge[131071] = 0;
	char **argv = calloc(80, sizeof *argv);
	argv[0] = "x";
	for (int i = 1; i < 70; i++)
		argv[i] = huge; /* 9 MB, over a quarter of the stack limit and over 6 MB */
	fails_as(__LINE__, "/bin/true", argv, environ, E2BIG);
	argv[3] = NULL;
	pid_t pid = OK(fork());
	if (pid == 0) {
		execve("/bin/true", argv, environ);
		_exit(126);
	}
	REAP_OK(pid);
}

TEST(etxtbsy)
{
	executable("prog", "#!/bin/true\n", 12);
	int fd = OK(open("prog", O_WRONLY));
	FAILS("prog", ETXTBSY);
	OK(close(fd));
	pid_t pid = OK(fork());
	if (pid == 0) {
		execve("./prog", plain_argv, environ);
		_exit(126);
	}
	REAP_OK(pid);
	/* and the other way round: a program that runs cannot be opened for writing */
	OK(pid = fork());
	if (pid == 0) {
		execl("/bin/cp", "cp", "/bin/sleep", "running", NULL);
		_exit(126);
	}
	REAP_OK(pid);
	int p[2];
	char c;
	OK(pipe2(p, O_CLOEXEC));
	OK(pid = fork());
	if (pid == 0) {
		execl("./running", "sleep", "30", NULL);
		_exit(126);
	}
	OK(close(p[1]));
	EQ(read(p[0], &c, 1), 0);
	ERR(open("running", O_WRONLY), ETXTBSY);
	ERR(open("running", O_RDWR | O_TRUNC), ETXTBSY);
	ERR(truncate("running", 0), ETXTBSY);
	OK(kill(pid, SIGKILL));
	reap(pid);
	OK(close(OK(open("running", O_WRONLY))));
}

TEST(path_errors)
{
	char name[5000];
	make_file("file", "");
	FAILS("file/x", ENOTDIR);
	OK(symlink("loop2", "loop1"));
	OK(symlink("loop1", "loop2"));
	FAILS("loop1", ELOOP);
	FAILS("loop1/x", ELOOP);
	memset(name, 'n', sizeof name);
	name[256] = 0;
	FAILS(name, ENAMETOOLONG);
	name[256] = 'n';
	for (int i = 0; i < 4999; i += 50)
		name[i] = '/';
	name[4999] = 0;
	FAILS(name, ENAMETOOLONG);
	char long_script[700] = "#!";
	memset(long_script + 2, '/', 600);
	strcpy(long_script + 500, "\n");
	executable("long", long_script, strlen(long_script));
	FAILS("long", ENOEXEC); /* no end of the interpreter's name in the first 256 bytes */
}

TEST(efault)
{
	char *end = page_end();
	char **argv = (char **)(end - 8);
	char *bad_element[] = {"x", (char *)BAD, NULL};
	argv[0] = "x";
	FAILS((char *)BAD, EFAULT);
	FAILS(NULL, EFAULT);
	fails_as(__LINE__, "/bin/true", BAD, environ, EFAULT);
	fails_as(__LINE__, "/bin/true", argv, environ, EFAULT); /* no NULL before the end of the page */
	fails_as(__LINE__, "/bin/true", plain_argv, BAD, EFAULT);
	fails_as(__LINE__, "/bin/true", bad_element, environ, EFAULT);
	fails_as(__LINE__, "/bin/true", plain_argv, bad_element, EFAULT);
	memcpy(end - 4, "/bin", 4);
	FAILS(end - 4, EFAULT); /* a path that runs into the hole */
}

TEST(execveat_errors)
{
	make_file("file", "");
	OK(symlink("/bin/true", "link"));
	int fd = OK(open("file", O_RDONLY)), dir = OK(open(".", O_RDONLY | O_CLOEXEC));
	ERR(syscall(SYS_execveat, 999, "x", plain_argv, environ, 0), EBADF);
	ERR(syscall(SYS_execveat, fd, "x", plain_argv, environ, 0), ENOTDIR);
	ERR(syscall(SYS_execveat, dir, "missing", plain_argv, environ, 0), ENOENT);
	ERR(syscall(SYS_execveat, dir, "link", plain_argv, environ, AT_SYMLINK_NOFOLLOW), ELOOP);
	ERR(syscall(SYS_execveat, dir, "file", plain_argv, environ, 0x40000), EINVAL);
	ERR(syscall(SYS_execveat, fd, "", plain_argv, environ, 0), ENOENT);
	ERR(syscall(SYS_execveat, fd, "", plain_argv, environ, AT_EMPTY_PATH), EACCES);
	executable("script", "#!/bin/true\n", 12);
	int s = OK(open("script", O_RDONLY | O_CLOEXEC));
	ERR(syscall(SYS_execveat, s, "", plain_argv, environ, AT_EMPTY_PATH), ENOENT); /* its name would be gone */
	OK(fcntl(s, F_SETFD, 0));
	IN_CHILD {
		syscall(SYS_execveat, s, "", plain_argv, environ, AT_EMPTY_PATH);
		_exit(1);
	}
}

/* Threads go on when exec fails, also in the thread that called it. */
static atomic_int beats;
static atomic_int stop;
static void *beat(void *arg)
{
	while (!stop) {
		beats++;
		sleep_ms(1);
	}
	return arg;
}

static void *fail_here(void *arg)
{
	for (int i = 0; i < 20; i++)
		FAILS("missing", ENOENT);
	return arg;
}

TEST(threads_survive)
{
	pthread_t a, b;
	EQ(pthread_create(&a, NULL, beat, NULL), 0);
	EQ(pthread_create(&b, NULL, fail_here, NULL), 0);
	EQ(pthread_join(b, NULL), 0);
	int before = beats;
	for (int64_t end = now_ns() + 10000000000LL; beats == before && now_ns() < end;)
		sleep_ms(1);
	CHECK(beats > before);
	stop = 1;
	EQ(pthread_join(a, NULL), 0);
}

TEST(many_failures)
{
	for (long i = 0; i < size_arg(0, 300); i++) {
		EQ(raw_execve("missing", plain_argv, environ), -ENOENT);
		pid_t pid = vfork();
		if (pid == 0) {
			syscall(SYS_execve, "missing", plain_argv, environ);
			syscall(SYS_execve, "/", plain_argv, environ);
			execve("/bin/true", plain_argv, environ);
			_exit(1);
		}
		REAP_OK(pid);
	}
}
