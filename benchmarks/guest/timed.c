/* Runs a command some times and prints how long each run took, as one JSON line: {"ms": [..], "status": 0}.
 *
 * usage: timed ROUNDS COMMAND [ARGUMENT...]      The command's standard output is dropped, its errors are not.
 * It stands inside the sandbox, so that a job is measured without the sandbox's start.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[1]) : 0, status = 0;
	if (rounds < 1 || rounds > 100) {
		fprintf(stderr, "usage: timed ROUNDS COMMAND...\n");
		return 2;
	}
	printf("{\"ms\": [");
	for (int i = 0; i < rounds && status == 0; i++) {
		fflush(stdout);
		double began = now_ms();
		pid_t pid = fork();
		if (pid == 0) {
			int sink = open("/dev/null", O_WRONLY);
			if (sink < 0 || dup2(sink, 1) < 0)
				_exit(126);
			execvp(argv[2], argv + 2);
			perror(argv[2]);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid) {
			perror("fork or waitpid");
			return 1;
		}
		printf("%s%.3f", i ? ", " : "", now_ms() - began);
	}
	printf("], \"status\": %d}\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}
