# Write, compile and run six small C programs.
set -e
rm -rf /tmp/cc && mkdir /tmp/cc && cd /tmp/cc
for i in 1 2 3 4 5 6; do
	cat > p$i.c <<-EOF
	#include <stdio.h>
	#include <stdlib.h>
	#include <string.h>
	int main(void) { char s[32]; snprintf(s, sizeof s, "%d", $i); return strcmp(s, "$i") ? EXIT_FAILURE : puts(s) < 0; }
	EOF
	gcc -O1 -o p$i p$i.c
	[ "$(./p$i)" = $i ]
done
