/* inheritance give OPTION... -- PROGRAM ARGUMENT...   becomes another program in an unusual state
 * inheritance report FILE WORD...                     writes all that it was given into FILE
 *
 * Options of give, done in their order; signals and descriptors are numbers:
 *   --block SIGNAL    --ignore SIGNAL    --pending SIGNAL (blocked, and sent to itself)
 *   --open FD         --close FD         --umask MODE (octal)   --nice VALUE   --cwd DIR
 *   --odd-environment (variables twice, without a name, without a value, bytes that are no text)
 *
 * A report has a line for each argument and variable, signal that is not as usual, open descriptor,
 * and for the working directory, umask and nice value. Two that are equal say that the state is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define USAGE 2
#define DESCRIPTORS 256

extern char **environ;

static char *ODD_ENVIRONMENT[] = {
	"PATH=/usr/local/bin:/usr/bin:/bin", "TWICE=1", "TWICE=2", "=nameless", "NO_VALUE",
	"BYTES=\xff\xfe\x80", "EMPTY=", "LINES=a\nb", NULL,
};

static void fail(const char *what)
{
	dprintf(STDERR_FILENO, "inheritance: %s: %s\n", what, strerror(errno));
	exit(USAGE);
}

static void check(long result, const char *what)
{
	if (result < 0)
		fail(what);
}

static void block(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	check(sigprocmask(SIG_BLOCK, &set, NULL), "sigprocmask");
}

static void open_as(int descriptor)
{
	int opened = open("/dev/null", O_RDONLY);

	check(opened, "/dev/null");
	if (opened == descriptor)
		return;
	check(dup2(opened, descriptor), "dup2");
	close(opened);
}

/* Does one option; returns how many words it took, 0 when this is none. */
static int prepare(const char *name, const char *value)
{
	if (strcmp(name, "--odd-environment") == 0)
		return environ = ODD_ENVIRONMENT, 1;
	if (strncmp(name, "--", 2) != 0 || !name[2] || !value)
		return 0;
	if (strcmp(name, "--block") == 0)
		block(atoi(value));
	else if (strcmp(name, "--ignore") == 0)
		signal(atoi(value), SIG_IGN);
	else if (strcmp(name, "--pending") == 0)
		block(atoi(value)), raise(atoi(value));
	else if (strcmp(name, "--open") == 0)
		open_as(atoi(value));
	else if (strcmp(name, "--close") == 0)
		close(atoi(value));
	else if (strcmp(name, "--umask") == 0)
		umask(strtol(value, NULL, 8));
	else if (strcmp(name, "--nice") == 0)
		check(setpriority(PRIO_PROCESS, 0, atoi(value)), "setpriority");
	else if (strcmp(name, "--cwd") == 0)
		check(chdir(value), value);
	else
		return 0;
	return 2;
}

static void report_signals(FILE *out)
{
	sigset_t blocked, pending;
	struct sigaction action;

	sigprocmask(SIG_BLOCK, NULL, &blocked);
	sigpending(&pending);
	for (int number = 1; number < NSIG; number++) {
		const char *handler = "default";

		if (sigaction(number, NULL, &action) < 0)
			continue;
		if (action.sa_handler != SIG_DFL)
			handler = action.sa_handler == SIG_IGN ? "ignored" : "caught";
		fprintf(out, "signal %d %s%s%s\n", number, handler,
			sigismember(&blocked, number) == 1 ? " blocked" : "",
			sigismember(&pending, number) == 1 ? " pending" : "");
	}
}

static void report_descriptors(FILE *out, int own)
{
	char link[64], target[PATH_MAX];

	for (int descriptor = 0; descriptor < DESCRIPTORS; descriptor++) {
		int flags = fcntl(descriptor, F_GETFD);
		ssize_t length;

		if (descriptor == own || flags < 0)
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
		length = readlink(link, target, sizeof(target));
		fprintf(out, "descriptor %d flags %d status %o %.*s\n", descriptor, flags,
			fcntl(descriptor, F_GETFL), (int)(length < 0 ? 0 : length), target);
	}
}

static void report(const char *path, char **words)
{
	char directory[PATH_MAX];
	/* The report itself is where no test opens anything. */
	int opened = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), own;
	mode_t mode = umask(0);
	FILE *out;

	check(opened, path);
	own = fcntl(opened, F_DUPFD_CLOEXEC, DESCRIPTORS - 1);
	check(own, "dup");
	close(opened);
	out = fdopen(own, "w");
	if (!out)
		fail("fdopen");
	for (; *words; words++)
		fprintf(out, "argument %s\n", *words);
	for (char **variable = environ; *variable; variable++)
		fprintf(out, "variable %s\n", *variable);
	fprintf(out, "directory %s\numask %o\nnice %d\n",
		getcwd(directory, sizeof(directory)) ? directory : "-", mode,
		getpriority(PRIO_PROCESS, 0));
	report_signals(out);
	report_descriptors(out, own);
	if (fclose(out) != 0)
		fail(path);
}

int main(int argc, char **argv)
{
	int next = 2, taken;

	if (argc > 2 && strcmp(argv[1], "report") == 0)
		return report(argv[2], argv + 3), 0;
	while (next < argc && (taken = prepare(argv[next], argv[next + 1])) > 0)
		next += taken;
	if (argc < 3 || strcmp(argv[1], "give") != 0 || next + 1 >= argc || strcmp(argv[next], "--") != 0) {
		dprintf(STDERR_FILENO, "usage: inheritance give OPTION... -- PROGRAM ARGUMENT...\n");
		return USAGE;
	}
	execv(argv[next + 1], argv + next + 1);
	fail(argv[next + 1]);
}
