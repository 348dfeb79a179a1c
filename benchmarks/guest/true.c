/* true(1), static: what a start costs without any work. */
int main(void) { return 0; }
