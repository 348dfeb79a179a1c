/* sigaction(2), "The siginfo_t argument": who sent a signal and why. */
#include "check.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/time.h>

static volatile siginfo_t got;
static volatile sig_atomic_t count;
static sigjmp_buf jump, *out;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_signo != sig)
		_exit(5);
	got = *info;
	count++;
	if (out)
		siglongjmp(jump, 1);
}

static void catch(int sig)
{
	handle_info(sig, on_signal, 0);
}

/* Until the handler has run once more than before. */
static void await(int before)
{
	int64_t end = now_ns() + 20000000000LL;
	while (count == before && now_ns() < end)
		sleep_ms(1);
	CHECK(count > before);
}

TEST(kill_self)
{
	catch(SIGUSR1);
	OK(kill(getpid(), SIGUSR1));
	EQ(count, 1);
	EQ(got.si_code, SI_USER);
	EQ(got.si_pid, getpid());
	EQ(got.si_uid, getuid());
	EQ(got.si_errno, 0);
}

TEST(kill_from_child)
{
	catch(SIGUSR1);
	pid_t self = getpid(), pid = OK(fork());
	if (pid == 0) {
		OK(kill(self, SIGUSR1));
		_exit(0);
	}
	REAP_OK(pid);
	await(0);
	EQ(got.si_code, SI_USER);
	EQ(got.si_pid, pid);
	EQ(got.si_uid, getuid());
}

static pid_t sender;
static volatile sig_atomic_t forks, wrong, refused;

/* As a server's main process does: the handler holds all other signals back and makes a process. */
static void on_signal_fork(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	int saved = errno;
	if (info->si_code != SI_USER || info->si_pid != sender || info->si_uid != getuid())
		wrong++;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid < 0)
		refused = errno;
	else
		waitpid(pid, NULL, 0);
	forks++;
	errno = saved;
}

TEST(fork_in_handler_while_more_come)
{
	int p[2];
	struct sigaction a = {.sa_sigaction = on_signal_fork, .sa_flags = SA_SIGINFO};
	sigset_t usr1, old;
	char c;
	OK(pipe(p));
	sigfillset(&a.sa_mask);
	OK(sigaction(SIGUSR1, &a, NULL));
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	OK(sigprocmask(SIG_BLOCK, &usr1, &old));
	pid_t self = getpid();
	sender = OK(fork());
	if (sender == 0) {
		for (int i = 0; i < 60; i++) {
			OK(kill(self, SIGUSR1));
			OK(kill(self, SIGUSR1));
			sleep_ms(1);
		}
		OK(kill(self, SIGUSR1));
		_exit(0);
	}
	OK(sigprocmask(SIG_SETMASK, &old, NULL));
	close(p[1]);
	while (waitpid(sender, NULL, WNOHANG) == 0) {
		struct timeval tv = {.tv_usec = 2000};
		select(0, NULL, NULL, NULL, &tv);
	}
	EQ(read(p[0], &c, 1), 0);
	CHECK(forks > 0);
	EQ(refused, 0);
	EQ(wrong, 0);
}

TEST(kill_while_waiting)
{
	int p[2];
	char c;
	OK(pipe(p));
	catch(SIGUSR1);
	pid_t self = getpid(), pid = OK(fork());
	if (pid == 0) {
		sleep_ms(50);
		OK(kill(self, SIGUSR1));
		_exit(0);
	}
	ERR(read(p[0], &c, 1), EINTR);
	EQ(count, 1);
	EQ(got.si_code, SI_USER);
	EQ(got.si_pid, pid);
	REAP_OK(pid);
}

TEST(tgkill_code)
{
	catch(SIGUSR1);
	OK(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
	EQ(count, 1);
	EQ(got.si_code, SI_TKILL);
	EQ(got.si_pid, getpid());
	EQ(got.si_uid, getuid());
	OK(raise(SIGUSR1));
	EQ(got.si_code, SI_TKILL);
	OK(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1));
	EQ(got.si_code, SI_TKILL);
	EQ(count, 3);
}

TEST(sigqueue_value)
{
	catch(SIGRTMIN);
	union sigval v = {.sival_ptr = (void *)0x123456789abcL};
	pid_t self = getpid();
	OK(sigqueue(self, SIGRTMIN, v));
	EQ(count, 1);
	EQ(got.si_code, SI_QUEUE);
	EQ(got.si_pid, self);
	EQ(got.si_uid, getuid());
	CHECK((void *)got.si_value.sival_ptr == v.sival_ptr);
	pid_t pid = OK(fork());
	if (pid == 0) {
		v.sival_ptr = NULL;
		v.sival_int = 77;
		OK(sigqueue(self, SIGRTMIN, v));
		_exit(0);
	}
	REAP_OK(pid);
	await(1);
	EQ(got.si_pid, pid);
	EQ(got.si_value.sival_int, 77);
}

/* Real-time signals queue in order; standard ones collapse into the first. */
TEST(queueing)
{
	sigset_t s = set_of(SIGRTMIN + 1);
	sigaddset(&s, SIGUSR1);
	sigaddset(&s, SIGRTMIN);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	for (int i = 0; i < 10; i++) {
		OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}));
		OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 100 + i}));
		OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 200 + i}));
	}
	siginfo_t info;
	struct timespec zero = {0, 0};
	EQ(sigtimedwait(&s, &info, &zero), SIGUSR1);
	EQ(info.si_value.sival_int, 200);
	for (int i = 0; i < 10; i++) {
		EQ(sigtimedwait(&s, &info, &zero), SIGRTMIN);
		EQ(info.si_value.sival_int, 100 + i);
	}
	for (int i = 0; i < 10; i++) {
		EQ(sigwaitinfo(&s, &info), SIGRTMIN + 1);
		EQ(info.si_value.sival_int, i);
		EQ(info.si_code, SI_QUEUE);
	}
	ERR(sigtimedwait(&s, &info, &zero), EAGAIN);
}

TEST(rt_sigqueueinfo_rules)
{
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER};
	pid_t pid = OK(fork());
	if (pid == 0) {
		sleep_ms(10000);
		_exit(0);
	}
	ERR(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), EPERM); /* nobody may feign kill */
	info.si_code = SI_TKILL;
	ERR(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), EPERM);
	info.si_code = SI_QUEUE;
	ERR(syscall(SYS_rt_sigqueueinfo, pid, 65, &info), EINVAL);
	ERR(syscall(SYS_rt_sigqueueinfo, 0x3fffffff, SIGUSR1, &info), ESRCH);
	ERR(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, BAD), EFAULT);
	OK(syscall(SYS_rt_sigqueueinfo, pid, SIGKILL, &info));
	REAP_SIGNAL(pid, SIGKILL);
	catch(SIGUSR2);
	info.si_value.sival_int = 5;
	info.si_pid = 4321;
	OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR2, &info));
	EQ(count, 1);
	EQ(got.si_value.sival_int, 5);
	EQ(got.si_pid, 4321); /* to itself a process may say anything */
}

TEST(timer_create_info)
{
	timer_t t;
	struct itimerspec it = {{0, 0}, {0, 1000000}};
	catch(SIGRTMIN + 3);
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_ptr = &it};
	OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	OK(timer_settime(t, 0, &it, NULL));
	await(0);
	EQ(got.si_code, SI_TIMER);
	CHECK(got.si_value.sival_ptr == &it);
	EQ(got.si_overrun, 0);
	EQ(got.si_timerid, (long)t);
	EQ(count, 1);
}

TEST(setitimer_and_alarm_info)
{
	struct itimerval it = {{0, 0}, {0, 1000}};
	catch(SIGALRM);
	OK(setitimer(ITIMER_REAL, &it, NULL));
	await(0);
	EQ(got.si_code, SI_KERNEL);
	EQ(got.si_pid, 0);
	EQ(got.si_uid, 0);
	EQ(alarm(1), 0);
	await(1);
	EQ(got.si_code, SI_KERNEL);
	EQ(got.si_pid, 0);
}

TEST(cpu_itimers)
{
	struct itimerval it = {{0, 0}, {0, 10000}};
	catch(SIGVTALRM);
	catch(SIGPROF);
	OK(setitimer(ITIMER_VIRTUAL, &it, NULL));
	for (int64_t end = now_ns() + 20000000000LL; !count && now_ns() < end;)
		;
	EQ(count, 1);
	EQ(got.si_signo, SIGVTALRM);
	OK(setitimer(ITIMER_PROF, &it, NULL));
	for (int64_t end = now_ns() + 20000000000LL; count == 1 && now_ns() < end;)
		;
	EQ(count, 2);
	EQ(got.si_signo, SIGPROF);
	EQ(got.si_code, SI_KERNEL);
}

TEST(sigchld_exited)
{
	catch(SIGCHLD);
	pid_t pid = OK(fork());
	if (pid == 0)
		_exit(42);
	await(0);
	EQ(got.si_code, CLD_EXITED);
	EQ(got.si_pid, pid);
	EQ(got.si_uid, getuid());
	EQ(got.si_status, 42);
	REAP_EXIT(pid, 42);
}

TEST(sigchld_killed)
{
	catch(SIGCHLD);
	pid_t pid = OK(fork());
	if (pid == 0) {
		raise(SIGTERM);
		_exit(1);
	}
	await(0);
	EQ(got.si_code, CLD_KILLED);
	EQ(got.si_pid, pid);
	EQ(got.si_status, SIGTERM);
	REAP_SIGNAL(pid, SIGTERM);
	pid = OK(fork());
	if (pid == 0)
		abort();
	await(1);
	CHECK(got.si_code == CLD_KILLED || got.si_code == CLD_DUMPED);
	EQ(got.si_status, SIGABRT);
	REAP_SIGNAL(pid, SIGABRT);
}

TEST(sigchld_stopped_continued)
{
	catch(SIGCHLD);
	pid_t pid = OK(fork());
	if (pid == 0) {
		for (;;)
			pause();
	}
	OK(kill(pid, SIGSTOP));
	await(0);
	EQ(got.si_code, CLD_STOPPED);
	EQ(got.si_pid, pid);
	EQ(got.si_status, SIGSTOP);
	OK(kill(pid, SIGCONT));
	await(1);
	EQ(got.si_code, CLD_CONTINUED);
	EQ(got.si_status, SIGCONT);
	OK(kill(pid, SIGKILL));
	await(2);
	EQ(got.si_code, CLD_KILLED);
	EQ(got.si_status, SIGKILL);
	REAP_SIGNAL(pid, SIGKILL);
}

TEST(sigchld_nocldstop)
{
	handle_info(SIGCHLD, on_signal, SA_NOCLDSTOP);
	pid_t pid = OK(fork());
	int status;
	if (pid == 0)
		for (;;)
			pause();
	OK(kill(pid, SIGSTOP));
	while (waitpid(pid, &status, WUNTRACED) != pid)
		EQ(errno, EINTR);
	CHECK(WIFSTOPPED(status));
	OK(kill(pid, SIGCONT));
	sleep_ms(20);
	EQ(count, 0);
	OK(kill(pid, SIGKILL));
	await(0);
	EQ(got.si_code, CLD_KILLED);
}

TEST(sigpipe)
{
	int p[2];
	OK(pipe(p));
	OK(close(p[0]));
	catch(SIGPIPE);
	ERR(write(p[1], "x", 1), EPIPE);
	EQ(count, 1);
	EQ(got.si_signo, SIGPIPE);
	EQ(got.si_code, SI_USER); /* Linux sends it as the writer itself */
	EQ(got.si_pid, getpid());
	signal(SIGPIPE, SIG_IGN);
	ERR(write(p[1], "x", 1), EPIPE);
	pid_t pid = OK(fork());
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		(void)!write(p[1], "x", 1);
		_exit(0);
	}
	REAP_SIGNAL(pid, SIGPIPE);
	sigset_t s = set_of(SIGPIPE), pending;
	catch(SIGPIPE);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	ERR(write(p[1], "x", 1), EPIPE);
	OK(sigpending(&pending));
	EQ(sigismember(&pending, SIGPIPE), 1);
}

static void fault(int sig, volatile char *where, int code)
{
	static sigjmp_buf unused;
	out = &unused;
	count = 0;
	catch(sig);
	if (!sigsetjmp(jump, 1))
		*where = 1;
	EQ(count, 1);
	EQ(got.si_code, code);
	CHECK(got.si_addr == (void *)where);
}

TEST(faults)
{
	char *m = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED);
	fault(SIGSEGV, m + 100, SEGV_ACCERR);
	OK(munmap(m, 8192));
	fault(SIGSEGV, m + 100, SEGV_MAPERR);
	make_file("f", "x");
	int fd = OK(open("f", O_RDWR));
	m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(m != MAP_FAILED);
	fault(SIGBUS, m + 4096, BUS_ADRERR);
}

TEST(fpe_and_ill)
{
	static sigjmp_buf unused;
	out = &unused;
	volatile int zero = 0;
	catch(SIGFPE);
	if (!sigsetjmp(jump, 1))
		zero = 1000 / zero;
	EQ(count, 1);
	EQ(got.si_code, FPE_INTDIV);
	catch(SIGILL);
	if (!sigsetjmp(jump, 1))
		__asm__ volatile("ud2");
	EQ(count, 2);
	EQ(got.si_code, ILL_ILLOPN);
	catch(SIGTRAP);
	out = NULL;
	__asm__ volatile("int3");
	EQ(count, 3);
	EQ(got.si_code, SI_KERNEL);
}

TEST(pdeath_signal_free_kill_errors)
{
	ERR(kill(0x3fffffff, 0), ESRCH);
	ERR(kill(getpid(), 65), EINVAL);
	ERR(kill(getpid(), -1), EINVAL);
	EQ(kill(getpid(), 0), 0);
	ERR(kill(-0x3fffffff, SIGTERM), ESRCH);
	ERR(syscall(SYS_tgkill, getpid(), 0, 0), EINVAL);
	ERR(syscall(SYS_tgkill, -1, 1, 0), EINVAL);
	ERR(syscall(SYS_tgkill, getpid(), 0x3fffffff, 0), ESRCH);
	ERR(syscall(SYS_tkill, 0, SIGUSR1), EINVAL);
	pid_t pid = OK(fork());
	if (pid == 0)
		_exit(0);
	while (state_of(pid) != 'Z')
		sleep_ms(1);
	EQ(kill(pid, SIGTERM), 0); /* a zombie can be signalled */
	REAP_OK(pid);
	ERR(kill(pid, 0), ESRCH);
}
