/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The records that the probes write and the agent reads: the only place where
 * their layout is written down for C; agent/src/event/wire reads the same
 * offsets. All integers are little endian and naturally aligned; a record
 * carries only the bytes it uses.
 */
#ifndef WIRE_H
#define WIRE_H

#include "types.h"

enum record_kind {
	RECORD_FORK = 1,
	RECORD_EXEC = 2,
	RECORD_EXIT = 3,
	RECORD_ARGUMENTS = 4,
	RECORD_CGROUP = 5,
	RECORD_SESSION = 6,
	/* No record: counts[] has here the messages of sessions that were one too many. */
	COUNT_SESSION_FLOOD = 7,
	RECORD_OPEN = 8,
	RECORD_CHMOD = 9,
	RECORD_CHOWN = 10,
	RECORD_CONNECT = 11,
	RECORD_BIND = 12,
	RECORD_ACCEPT = 13,
	RECORD_DNS = 14,
	RECORD_IMDS = 15,
	RECORD_PACKET = 16,
	RECORD_KINDS = 32,
};

/* How a path record names its file (path_block.how). */
enum path_how {
	/* The walked components are the file itself. */
	PATH_OBJECT = 0,
	/* They are the directory that the string starts from. */
	PATH_FROM_STRING = 1,
	/* The system call does not follow a symlink in the last place. */
	PATH_NO_FOLLOW = 2,
	/* The walk ended before it met the root. */
	PATH_TRUNCATED = 4,
	/* The user's string could not be read. */
	PATH_NO_STRING = 8,
	/* The walk ended in a mount or a file that belongs to no tree. */
	PATH_DETACHED = 16,
};

/* Begins every record. 64 bytes. */
struct record {
	u64 timestamp; /* CLOCK_MONOTONIC in ns, stamped just before output */
	u16 kind;
	u16 size; /* of the whole record */
	u32 tgid;
	u32 tid;
	s32 retval;
	u32 uid, gid, suid, sgid, euid, egid, fsuid, fsgid;
	u64 reserved;
};

/* What the kernel knows of an inode. 56 bytes. */
struct file_block {
	u64 inode;
	u64 modified; /* ns since the epoch */
	u64 changed;
	u32 mount_id;
	u32 device;
	u32 magic; /* of the file system */
	u32 uid, gid;
	u16 mode;
	u16 known; /* 1: the fields above were read */
	u32 links;
	u32 reserved;
};

/* Walked names, leaf first, each ended by a zero byte. 8 bytes. */
struct path_block {
	u16 offset; /* in the record */
	u16 size;
	u16 how; /* enum path_how */
	u16 reserved;
};

/* A string of the user's. 4 bytes. */
struct string_block {
	u16 offset;
	u16 size; /* without the zero byte */
};

/* open, chmod and chown. 168 bytes before the data. */
struct file_record {
	struct record header;
	struct file_block file;
	u32 arguments[4]; /* open: flags, mode; chmod: mode; chown: uid, gid */
	struct path_block path;
	struct string_block string;
	s32 dirfd;
	u32 syscall; /* its number */
	struct path_block root; /* of the task, when a relative string was walked from */
	u32 reserved;
};

/* 112 bytes; the header is the parent's. */
struct fork_record {
	struct record header;
	u64 start_time; /* of the child, boot time in ns */
	u64 cgroup_id;
	u32 child_tgid;
	u32 mount_namespace;
	u32 net_namespace;
	u32 session;
	u32 caller_tgid; /* who forked it; with CLONE_PARENT that is not its parent */
	u32 reserved[3];
};

/* 248 bytes before the data. */
struct exec_record {
	struct record header;
	u64 exec_id; /* shared with the argument chunks that came before */
	u64 start_time;
	u64 cgroup_id;
	u64 cap_effective;
	u64 cap_permitted;
	u32 parent_tgid;
	u32 session;
	u32 login_uid;
	u32 mount_namespace;
	u32 net_namespace;
	u32 arguments_size; /* bytes in the process's memory, before any limit */
	u32 environment_size;
	u32 script; /* 1: path[1] and string name a script, file is its interpreter */
	char comm[16];
	char tty[16];
	struct file_block file;
	struct path_block path[2];
	struct string_block string;
	u32 reserved;
};

/* 88 bytes. */
struct exit_record {
	struct record header;
	u64 start_time;
	u32 code; /* as wait(2) gives it */
	u32 parent_tgid;
	u64 reserved;
};

/* A piece of argv or of the environment, sent before its exec record. 80 bytes before the data. */
struct arguments_record {
	struct record header;
	u64 exec_id;
	u16 index;
	u16 environment; /* 0: argv, 1: environment */
	u16 size;
	u16 reserved;
};

/* A task moved to another cgroup. 88 bytes before the path. */
struct cgroup_record {
	struct record header;
	u64 cgroup_id;
	u32 hierarchy;
	u32 pid;
	struct string_block path;
	u32 whole_group; /* 1: the thread group moved */
};

/* A message about a user's session, as the sender wrote it. 80 bytes before the message. */
struct session_record {
	struct record header;
	u64 start_time; /* of the process; 0 when its first thread is not the sender */
	u16 size;       /* of the message; 0 when it could not be read */
	u16 reserved[3];
};

/* connect, bind and accept. 112 bytes. */
struct socket_record {
	struct record header;
	u8 address[16]; /* network order; IPv4 in the first four bytes */
	u16 family;
	u16 port;     /* host order */
	u16 protocol; /* of the socket: IPPROTO_* */
	u16 type;     /* of the socket: SOCK_* */
	u32 net_namespace;
	u32 descriptor;
	u64 cookie; /* of the socket; 0 when it has none yet */
	u64 reserved;
};

/*
 * A packet that a classifier saw. Of the header only time, kind, size and tgid are set, and tgid
 * is 0 when no process is known. 104 bytes, then the packet from its link layer on.
 */
struct packet_record {
	struct record header;
	u64 cookie;        /* of the socket that sent it; 0 when there is none here */
	u64 learnt;        /* CLOCK_MONOTONIC in ns: when it became known whose it is */
	u32 net_namespace; /* that the interface is in */
	u32 interface;
	u32 length;        /* of the packet */
	u16 captured;      /* bytes that follow */
	u16 segment;       /* payload of each packet that it will be cut into; 0: it stays one */
	u32 egress;        /* 1: out of the interface, 0: into it */
	u32 reserved;
};

_Static_assert(sizeof(struct record) == 64, "HEADER_SIZE");
_Static_assert(sizeof(struct file_block) == 56, "FILE_BLOCK_SIZE");
_Static_assert(sizeof(struct file_record) == 168, "FILE_RECORD_SIZE");
_Static_assert(sizeof(struct fork_record) == 112, "FORK_RECORD_SIZE");
_Static_assert(sizeof(struct exec_record) == 248, "EXEC_RECORD_SIZE");
_Static_assert(sizeof(struct exit_record) == 88, "EXIT_RECORD_SIZE");
_Static_assert(sizeof(struct arguments_record) == 80, "ARGUMENTS_RECORD_SIZE");
_Static_assert(sizeof(struct cgroup_record) == 88, "CGROUP_RECORD_SIZE");
_Static_assert(sizeof(struct session_record) == 80, "SESSION_RECORD_SIZE");
_Static_assert(sizeof(struct socket_record) == 112, "SOCKET_RECORD_SIZE");
_Static_assert(sizeof(struct packet_record) == 104, "PACKET_RECORD_SIZE");

#endif
