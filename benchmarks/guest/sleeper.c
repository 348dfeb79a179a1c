/* Says that it runs, then does nothing: what an idle sandbox costs. */
#include <stdio.h>
#include <unistd.h>
int main(void)
{
	puts("up");
	fflush(stdout);
	for (;;)
		pause();
}
