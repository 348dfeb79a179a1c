/* What the programs of this directory share. A program is pid 1 of a container; each CASE runs in a process of its own and
 * calls BREACH when something of the host was reached. One line a case: "case NAME contained|BREACH|HANG ...".
 * Standard input has lines KEY=VALUE: what the host has and a guest must not find. */
#ifndef ESCAPE_H
#define ESCAPE_H

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BREACHED = 3, MAX_CASES = 256, CASE_SECONDS = 60 };

struct escape_case {
	const char *name;
	void (*run)(void);
};

static struct escape_case cases[MAX_CASES];
static int case_count, given_count;
static char **given_words;

#define CASE(name)                                                                       \
	static void name(void);                                                          \
	__attribute__((constructor)) static void enter_##name(void)                      \
	{                                                                                \
		cases[case_count++] = (struct escape_case){#name, name};                 \
	}                                                                                \
	static void name(void)

/* The value of KEY=VALUE, or NULL. */
__attribute__((unused)) static const char *given(const char *key)
{
	size_t n = strlen(key);
	for (int i = 0; i < given_count; i++)
		if (!strncmp(given_words[i], key, n) && given_words[i][n] == '=')
			return given_words[i] + n + 1;
	return NULL;
}

__attribute__((format(printf, 1, 2), unused)) static void breach(const char *format, ...)
{
	char text[400];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	dprintf(1, "  BREACH %s (errno %d)\n", text, errno);
	_exit(BREACHED);
}

#define BREACH(...) breach(__VA_ARGS__)
#define BREACH_IF(condition)                                                             \
	do {                                                                             \
		if (condition)                                                           \
			breach("line %d: %s", __LINE__, #condition);                     \
	} while (0)
/* The test itself went wrong: that is no containment either. */
#define NEEDED(expression)                                                               \
	({                                                                               \
		__typeof__(expression) needed_ = (expression);                           \
		if (needed_ == (__typeof__(expression))-1)                               \
			breach("line %d: needed: %s", __LINE__, #expression);            \
		needed_;                                                                 \
	})

/* Does one of the host's secrets stand in these bytes? */
__attribute__((unused)) static const char *secret_in(const void *data, size_t size)
{
	for (int i = 0; i < given_count; i++) {
		if (strncmp(given_words[i], "secret", 6))
			continue;
		const char *word = strchr(given_words[i], '=') + 1;
		if (*word && memmem(data, size, word, strlen(word)))
			return word;
	}
	return NULL;
}

__attribute__((unused)) static void check_bytes(const char *where, const void *data, size_t size)
{
	const char *found = secret_in(data, size);
	if (found)
		BREACH("%s holds %s", where, found);
}

/* Whatever can be read there, up to a limit, must not be a secret. */
__attribute__((unused)) static void check_fd(const char *where, int fd)
{
	static char data[1 << 18];
	ssize_t n;
	size_t have = 0;
	while (have < sizeof data && (n = read(fd, data + have, sizeof data - have)) > 0)
		have += n;
	check_bytes(where, data, have);
}

__attribute__((unused)) static void check_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return;
	check_fd(path, fd);
	close(fd);
}

__attribute__((unused)) static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static const char *run_case(const struct escape_case *one, char *why)
{
	int64_t end = now_ms() + CASE_SECONDS * 1000;
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		one->run();
		_exit(0);
	}
	if (pid < 0) {
		sprintf(why, "fork: %s", strerror(errno));
		return "BREACH";
	}
	setpgid(pid, pid);
	for (;;) {
		int status;
		pid_t got = waitpid(-1, &status, WNOHANG | __WALL);
		if (got == pid) {
			kill(-pid, SIGKILL); /* what it left running */
			if (WIFEXITED(status) && WEXITSTATUS(status) == BREACHED)
				return "BREACH";
			if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
				return "contained";
			sprintf(why, WIFSIGNALED(status) ? "ended by signal %d " : "ended with %d ",
				WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			return WIFSIGNALED(status) ? "contained" : "BREACH";
		}
		if (got > 0)
			continue;
		if (now_ms() > end) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			waitpid(pid, &status, __WALL);
			return "HANG";
		}
		struct timespec ts = {0, 1000000};
		nanosleep(&ts, NULL);
	}
}

int main(void)
{
	static char *words[64];
	int bad = 0;
	size_t room;
	setvbuf(stdout, NULL, _IONBF, 0);
	given_words = words;
	while (given_count < 64 && (room = 0, getline(&words[given_count], &room, stdin)) >= 0) {
		char *end = strchr(words[given_count++], '\n');
		if (end)
			*end = 0;
	}
	for (int i = 0; i < case_count; i++) {
		int64_t began = now_ms();
		char why[200] = "";
		const char *only = given("only");
		if (only && *only && strcmp(only, cases[i].name))
			continue;
		const char *verdict = run_case(&cases[i], why);
		printf("case %s %s %s(%lld ms)\n", cases[i].name, verdict, why, (long long)(now_ms() - began));
		bad += strcmp(verdict, "contained") != 0;
		for (int status; waitpid(-1, &status, WNOHANG | __WALL) > 0;)
			;
	}
	printf("%d cases, %d bad\n", case_count, bad);
	return bad != 0;
}

#endif
