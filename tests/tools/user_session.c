/* user_session WORD... [-- PROGRAM ARGUMENT...]   sends messages about sessions of users, then becomes PROGRAM
 *
 * Words are done in their order:
 *   data:ID:KIND:TEXT         the messages of a whole session; ID is hexadecimal, KIND a number
 *   piece:ID:INDEX:KIND:TEXT  one of them
 *   raw:HEX                   a message that begins with these bytes; the others are zero
 *   nowhere                   a message at an address where there is nothing
 *   --thread                  send what follows from another thread
 *   --uid ID                  become user and group ID
 *   --fork                    go on in a child, wait for it
 *   --clone-parent            go on in a child of the own parent
 *   --wait                    go on when standard input has a byte or ends
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND 0xdeadc001u
#define PIECE 239
#define USAGE 2

struct __attribute__((packed)) message {
	uint8_t operation;
	uint64_t id, index;
	uint8_t kind;
	char data[PIECE];
};

_Static_assert(sizeof(struct message) == 257, "what the probes copy");

static int uses_thread;

static void fail(const char *what)
{
	fprintf(stderr, "user_session: %s: %s\n", what, strerror(errno));
	exit(USAGE);
}

static void check(long result, const char *what)
{
	if (result < 0)
		fail(what);
}

static void *call(void *message)
{
	syscall(SYS_ioctl, STDOUT_FILENO, COMMAND, message);
	return NULL;
}

static void send_message(void *message)
{
	pthread_t thread;

	if (!uses_thread) {
		call(message);
		return;
	}
	if (pthread_create(&thread, NULL, call, message))
		fail("pthread_create");
	pthread_join(thread, NULL);
}

static void send_piece(uint64_t id, uint64_t index, uint8_t kind, const char *text, size_t size)
{
	struct message message = { .operation = 11, .id = id, .index = index, .kind = kind };

	memcpy(message.data, text, size < PIECE ? size : PIECE);
	send_message(&message);
}

/* The number before the next colon; `text` goes on behind it. */
static uint64_t number(char **text, int base)
{
	char *end;
	uint64_t value = strtoull(*text, &end, base);

	if (*end != ':')
		fail("a number and a colon are missing");
	*text = end + 1;
	return value;
}

static void send_data(char *text)
{
	uint64_t id = number(&text, 16), kind = number(&text, 10), index = 1;

	for (size_t left = strlen(text); left > 0; index++) {
		size_t size = left < PIECE ? left : PIECE;

		send_piece(id, index, kind, text, size);
		text += size;
		left -= size;
	}
}

static void send_one(char *text)
{
	uint64_t id = number(&text, 16), index = number(&text, 10), kind = number(&text, 10);

	send_piece(id, index, kind, text, strlen(text));
}

static void send_raw(const char *hex)
{
	uint8_t message[sizeof(struct message)] = { 0 };
	unsigned byte;

	for (size_t i = 0; i < sizeof(message) && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++)
		message[i] = byte;
	send_message(message);
}

static void become(const char *value)
{
	unsigned id = strtoul(value, NULL, 0);

	check(setgroups(0, NULL), "setgroups");
	check(setresgid(id, id, id), "setresgid");
	check(setresuid(id, id, id), "setresuid");
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

static void go_on_beside(void)
{
	long child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

	check(child, "clone");
	if (child > 0)
		_exit(0);
}

static void wait_for_input(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR)
		;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char *word = argv[i];

		if (strcmp(word, "--") == 0 && i + 1 < argc) {
			execv(argv[i + 1], argv + i + 1);
			fail(argv[i + 1]);
		} else if (strncmp(word, "data:", 5) == 0) {
			send_data(word + 5);
		} else if (strncmp(word, "piece:", 6) == 0) {
			send_one(word + 6);
		} else if (strncmp(word, "raw:", 4) == 0) {
			send_raw(word + 4);
		} else if (strcmp(word, "nowhere") == 0) {
			send_message((void *)8);
		} else if (strcmp(word, "--thread") == 0) {
			uses_thread = 1;
		} else if (strcmp(word, "--uid") == 0 && i + 1 < argc) {
			become(argv[++i]);
		} else if (strcmp(word, "--fork") == 0) {
			go_on_in_child();
		} else if (strcmp(word, "--clone-parent") == 0) {
			go_on_beside();
		} else if (strcmp(word, "--wait") == 0) {
			wait_for_input();
		} else {
			fprintf(stderr, "user_session: what is `%s`?\n", word);
			return USAGE;
		}
	}
	printf("pid=%d result=0\n", getpid());
	return 0;
}
