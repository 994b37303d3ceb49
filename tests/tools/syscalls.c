/* syscalls [OPTION...] NAME|NUMBER ARGUMENT...   makes exactly one raw system call
 * syscalls [OPTION...] burst COUNT PATH          opens and closes PATH COUNT times, as fast as it can
 * syscalls [OPTION...] exec PROGRAM ARGUMENT...  becomes another program
 *
 * A call's arguments: integers (decimal, 0octal, 0xhex), AT_FDCWD, self (the own pid), s:STRING or any
 * other word (a pointer to it), how:FLAGS:MODE:RESOLVE (a pointer to a struct open_how).
 * It prints `pid=PID result=RESULT` and, where an open returned a descriptor that /proc can name,
 * `link=PATH`. RESULT is what the kernel returned: -errno for a failure.
 *
 * Options prepare the process and are done in their order:
 *   --cwd DIR       change the working directory      --chroot DIR  change the root directory
 *   --open PATH:FD  open PATH for reading as FD       --rmdir DIR   remove a directory
 *   --uid ID        become user and group ID          --cgroup DIR  move into a cgroup
 *   --tty PATH      start a session on that terminal  --fork        go on in a child, wait for it
 *   --wait          go on when standard input has a byte or ends
 *   --stay          the same, after the call
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Newer than the headers of older distributions; the number is the same everywhere. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

#define ARGUMENTS 6
#define USAGE 2

static int stays;

struct how {
	uint64_t flags, mode, resolve;
};

static const struct {
	const char *name;
	long number;
} NAMES[] = {
#ifdef SYS_open
	{ "open", SYS_open },
	{ "creat", SYS_creat },
	{ "chmod", SYS_chmod },
	{ "chown", SYS_chown },
	{ "lchown", SYS_lchown },
	{ "pause", SYS_pause },
#endif
	{ "openat", SYS_openat },
	{ "openat2", SYS_openat2 },
	{ "truncate", SYS_truncate },
	{ "fchmod", SYS_fchmod },
	{ "fchmodat", SYS_fchmodat },
	{ "fchmodat2", SYS_fchmodat2 },
	{ "fchown", SYS_fchown },
	{ "fchownat", SYS_fchownat },
	{ "getpid", SYS_getpid },
	{ "kill", SYS_kill },
	{ "exit_group", SYS_exit_group },
};

static void fail(const char *what)
{
	fprintf(stderr, "syscalls: %s: %s\n", what, strerror(errno));
	exit(USAGE);
}

static void check(int result, const char *what)
{
	if (result < 0)
		fail(what);
}

static long number_of(const char *name)
{
	char *end;
	long number = strtol(name, &end, 0);

	if (*name && !*end)
		return number;
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
		if (strcmp(name, NAMES[i].name) == 0)
			return NAMES[i].number;
	/* What this architecture lacks is answered as an old kernel would. */
	return -1;
}

static long argument(char *text)
{
	char *end;
	long number = strtol(text, &end, 0);
	struct how how, *copy;

	if (*text && !*end)
		return number;
	if (strcmp(text, "AT_FDCWD") == 0)
		return AT_FDCWD;
	if (strcmp(text, "self") == 0)
		return getpid();
	if (strncmp(text, "s:", 2) == 0)
		return (long)(text + 2);
	if (sscanf(text, "how:%li:%li:%li", (long *)&how.flags, (long *)&how.mode,
		   (long *)&how.resolve) == 3) {
		copy = malloc(sizeof(how));
		if (!copy)
			fail("malloc");
		*copy = how;
		return (long)copy;
	}
	return (long)text;
}

static void call(int count, char **words)
{
	long arguments[ARGUMENTS] = { 0 };
	long number = number_of(words[0]), result;
	char link[64], target[PATH_MAX];
	ssize_t length;

	for (int i = 1; i < count && i <= ARGUMENTS; i++)
		arguments[i - 1] = argument(words[i]);
	result = syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
			 arguments[5]);
	if (result == -1)
		result = -errno;
	printf("pid=%d result=%ld\n", getpid(), result);
	if (result > 0 && (strncmp(words[0], "open", 4) == 0 || strcmp(words[0], "creat") == 0)) {
		snprintf(link, sizeof(link), "/proc/self/fd/%ld", result);
		length = readlink(link, target, sizeof(target));
		if (length > 0)
			printf("link=%.*s\n", (int)length, target);
	}
}

static void burst(const char *count, const char *path)
{
	long wanted = strtol(count, NULL, 0), opened = 0, elapsed;
	struct timespec start, end;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long i = 0; i < wanted; i++) {
		long descriptor = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);

		if (descriptor >= 0) {
			opened++;
			syscall(SYS_close, descriptor);
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	elapsed = (end.tv_sec - start.tv_sec) * 1000000000L + end.tv_nsec - start.tv_nsec;
	printf("pid=%d result=%ld\nelapsed_ns=%ld\n", getpid(), opened, elapsed);
}

static void open_as(char *value)
{
	char *colon = strrchr(value, ':');
	int opened, wanted;

	if (!colon)
		fail("--open wants PATH:FD");
	*colon = 0;
	wanted = atoi(colon + 1);
	opened = open(value, O_RDONLY);
	check(opened, value);
	if (opened != wanted) {
		check(dup2(opened, wanted), "dup2");
		close(opened);
	}
}

static void join_cgroup(const char *directory)
{
	char path[PATH_MAX];
	int procs;

	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	procs = open(path, O_WRONLY);
	check(procs, path);
	check(write(procs, "0\n", 2), path);
	close(procs);
}

static void become(const char *value)
{
	unsigned id = strtoul(value, NULL, 0);

	check(setgroups(0, NULL), "setgroups");
	check(setresgid(id, id, id), "setresgid");
	check(setresuid(id, id, id), "setresuid");
}

static void start_session(const char *terminal)
{
	check(setsid(), "setsid");
	/* The first terminal that a session's leader opens is its own. */
	check(open(terminal, O_RDWR), terminal);
}

static void go_on_in_child(void)
{
	int status;
	pid_t child = fork();

	check(child, "fork");
	if (child == 0)
		return;
	check(waitpid(child, &status, 0), "waitpid");
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void wait_for_input(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR)
		;
}

/* Does one option; returns how many words it took, 0 when this is none. */
static int prepare(const char *name, char *value)
{
	if (strcmp(name, "--fork") == 0)
		return go_on_in_child(), 1;
	if (strcmp(name, "--wait") == 0)
		return wait_for_input(), 1;
	if (strcmp(name, "--stay") == 0)
		return stays = 1;
	if (strncmp(name, "--", 2) != 0 || !value)
		return 0;
	if (strcmp(name, "--cwd") == 0)
		check(chdir(value), value);
	else if (strcmp(name, "--chroot") == 0)
		check(chroot(value), value);
	else if (strcmp(name, "--rmdir") == 0)
		check(rmdir(value), value);
	else if (strcmp(name, "--open") == 0)
		open_as(value);
	else if (strcmp(name, "--uid") == 0)
		become(value);
	else if (strcmp(name, "--cgroup") == 0)
		join_cgroup(value);
	else if (strcmp(name, "--tty") == 0)
		start_session(value);
	else
		return 0;
	return 2;
}

int main(int argc, char **argv)
{
	int next = 1, taken;

	while (next < argc && (taken = prepare(argv[next], argv[next + 1])) > 0)
		next += taken;
	if (next >= argc) {
		fprintf(stderr, "usage: syscalls [OPTION...] NAME|NUMBER ARGUMENT...\n");
		return USAGE;
	}
	if (strcmp(argv[next], "burst") == 0 && argc == next + 3) {
		burst(argv[next + 1], argv[next + 2]);
	} else if (strcmp(argv[next], "exec") == 0 && argc > next + 1) {
		execv(argv[next + 1], argv + next + 1);
		fail(argv[next + 1]);
	} else {
		call(argc - next, argv + next);
	}
	if (stays) {
		fflush(stdout);
		wait_for_input();
	}
	return 0;
}
