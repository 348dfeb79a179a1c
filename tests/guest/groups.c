/* setpgid(2), setsid(2), credentials(7): process groups, sessions, orphaned groups. */
#include "check.h"

static volatile sig_atomic_t hup, cont;
static void on_signal(int sig)
{
	if (sig == SIGHUP)
		hup++;
	if (sig == SIGCONT)
		cont++;
}

static void idle(void)
{
	for (;;)
		pause();
}

TEST(setpgid_rules)
{
	int p[2];
	char c;
	OK(pipe(p));
	EQ(getpgrp(), getpid()); /* the runner made a group of this case */
	EQ(getpgid(0), getpgrp());
	pid_t pid = OK(fork());
	if (pid == 0) {
		EQ(getpgrp(), getppid());
		EQ(read(p[0], &c, 1), 1);
		EQ(getpgrp(), getpid());
		idle();
	}
	OK(setpgid(pid, 0));
	EQ(getpgid(pid), pid);
	EQ(write(p[1], "x", 1), 1);
	OK(setpgid(pid, pid)); /* again: no change, no error */
	OK(setpgid(pid, getpgrp()));
	EQ(getpgid(pid), getpgrp());
	ERR(setpgid(pid, 0x3fffffff), EPERM);
	ERR(setpgid(pid, -1), EINVAL);
	ERR(setpgid(0x3fffffff, 0), ESRCH);
	ERR(getpgid(0x3fffffff), ESRCH);
	ERR(getsid(0x3fffffff), ESRCH);
	ERR(setpgid(getppid(), 0), ESRCH); /* not a child of ours */
	OK(kill(pid, SIGKILL));
	reap(pid);
}

TEST(setsid_rules)
{
	pid_t sid = getsid(0);
	ERR(setsid(), EPERM); /* a group leader */
	pid_t pid = OK(fork());
	if (pid == 0) {
		EQ(getsid(0), sid);
		EQ(setsid(), getpid());
		EQ(getsid(0), getpid());
		EQ(getpgrp(), getpid());
		ERR(setsid(), EPERM);
		ERR(setpgid(0, 0), EPERM); /* a session leader */
		ERR(setpgid(0, getppid()), EPERM);
		pid_t grand = OK(fork());
		if (grand == 0) {
			EQ(getsid(0), getppid());
			OK(setpgid(0, 0));
			_exit(0);
		}
		REAP_OK(grand);
		ERR(open("/dev/tty", O_RDWR), ENXIO);
		_exit(0);
	}
	REAP_OK(pid);
}

TEST(setpgid_of_child_in_other_session)
{
	int p[2];
	char c;
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(setsid());
		EQ(write(p[1], "x", 1), 1);
		idle();
	}
	EQ(read(p[0], &c, 1), 1);
	ERR(setpgid(pid, 0), EPERM);
	EQ(getsid(pid), pid);
	OK(kill(pid, SIGKILL));
	reap(pid);
}

TEST(setpgid_after_exec)
{
	int p[2];
	char c;
	OK(pipe2(p, O_CLOEXEC));
	pid_t pid = OK(fork());
	if (pid == 0) {
		execl("/bin/sleep", "sleep", "20", NULL);
		_exit(1);
	}
	OK(close(p[1]));
	EQ(read(p[0], &c, 1), 0); /* the exec has happened */
	ERR(setpgid(pid, pid), EACCES);
	OK(kill(pid, SIGKILL));
	reap(pid);
}

TEST(kill_group)
{
	pid_t lead = 0, kids[3];
	for (int i = 0; i < 3; i++) {
		kids[i] = OK(fork());
		if (kids[i] == 0)
			idle();
		OK(setpgid(kids[i], lead));
		if (!lead)
			lead = kids[0];
	}
	OK(kill(-lead, SIGSTOP));
	for (int i = 0; i < 3; i++) {
		int status;
		EQ(waitpid(kids[i], &status, WUNTRACED), kids[i]);
		CHECK(WIFSTOPPED(status));
	}
	OK(killpg(lead, SIGCONT));
	OK(killpg(lead, SIGTERM));
	for (int i = 0; i < 3; i++)
		REAP_SIGNAL(kids[i], SIGTERM);
	ERR(kill(-lead, 0), ESRCH);
}

TEST(kill_own_group)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(setpgid(0, 0));
		pid_t a = OK(fork());
		if (a == 0)
			idle();
		signal(SIGTERM, SIG_IGN);
		OK(kill(0, SIGTERM));
		REAP_SIGNAL(a, SIGTERM);
		_exit(0);
	}
	REAP_OK(pid);
}

/* POSIX: a newly orphaned group with a stopped member gets SIGHUP, then SIGCONT; once each. */
TEST(orphaned_group_is_hung_up)
{
	int p[2], q[2];
	struct { pid_t pid; int hup, cont; } told = {0};
	OK(pipe(p));
	OK(pipe(q));
	pid_t leader = OK(fork());
	if (leader == 0) {
		OK(setsid());
		pid_t job = OK(fork());
		if (job == 0) {
			OK(setpgid(0, 0));
			handle(SIGHUP, on_signal, SA_RESTART);
			handle(SIGCONT, on_signal, SA_RESTART);
			told.pid = getpid();
			EQ(write(q[1], "r", 1), 1);
			for (int64_t end = now_ns() + 20000000000LL; (!hup || !cont) && now_ns() < end;)
				sleep_ms(1);
			sleep_ms(50);
			told.hup = hup;
			told.cont = cont;
			EQ(write(p[1], &told, sizeof told), sizeof told);
			_exit(0);
		}
		char c;
		int status;
		EQ(read(q[0], &c, 1), 1);
		OK(kill(job, SIGSTOP));
		EQ(waitpid(job, &status, WUNTRACED), job);
		_exit(0);
	}
	REAP_OK(leader);
	OK(close(p[1]));
	EQ(read(p[0], &told, sizeof told), sizeof told);
	EQ(told.hup, 1);
	EQ(told.cont, 1);
}

/* In an orphaned group SIGTSTP, TTIN and TTOU do not stop; SIGSTOP does. */
TEST(orphaned_group_does_not_stop)
{
	pid_t leader = OK(fork());
	if (leader == 0) {
		OK(setsid()); /* its group's only parent is in another session */
		signal(SIGTSTP, SIG_DFL);
		signal(SIGTTIN, SIG_DFL);
		OK(raise(SIGTSTP));
		OK(raise(SIGTTIN));
		OK(raise(SIGTTOU));
		OK(kill(getpid(), SIGTSTP));
		_exit(7);
	}
	int status;
	EQ(waitpid(leader, &status, WUNTRACED), leader);
	EQ(status, 7 << 8);
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(setsid());
		raise(SIGSTOP);
		_exit(8);
	}
	EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	OK(kill(pid, SIGCONT));
	REAP_EXIT(pid, 8);
}

TEST(stop_signal_in_a_group_with_a_parent)
{
	int status;
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(setpgid(0, 0));
		raise(SIGTSTP);
		_exit(3);
	}
	EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status));
	EQ(WSTOPSIG(status), SIGTSTP);
	OK(kill(pid, SIGCONT));
	REAP_EXIT(pid, 3);
}

/* SIGCONT throws away pending stops, a stop throws away a pending SIGCONT. */
TEST(stop_and_cont_cancel)
{
	sigset_t s = set_of(SIGTSTP), pend;
	sigaddset(&s, SIGCONT);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	handle(SIGCONT, on_signal, 0);
	handle(SIGTSTP, on_signal, 0);
	OK(raise(SIGTSTP));
	OK(raise(SIGCONT));
	OK(sigpending(&pend));
	EQ(sigismember(&pend, SIGTSTP), 0);
	EQ(sigismember(&pend, SIGCONT), 1);
	OK(raise(SIGTSTP));
	OK(sigpending(&pend));
	EQ(sigismember(&pend, SIGTSTP), 1);
	EQ(sigismember(&pend, SIGCONT), 0);
}
