/* SPDX-License-Identifier: GPL-2.0 */
/* What open, chmod and chown share: building a file record and starting its walk. */
#ifndef FILE_H
#define FILE_H

#include "path.h"
#include "syscall.h"

#define EPERM 1
#define EACCES 13
#define NO_DESCRIPTOR (-1)
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_EMPTY_PATH 0x1000
#define UNKNOWN_SYSCALL 0xffffffff

/* Success and refusals are reported, other failures say nothing of a file. */
INLINE int is_reported(s64 result)
{
	return result >= 0 || result == -EACCES || result == -EPERM;
}

/* A call as its entry or its saved registers describe it. */
struct file_call {
	u32 kind;
	u32 syscall;
	s64 result;
	s32 dirfd;
	s32 descriptor; /* of the file itself, or NO_DESCRIPTOR */
	u64 string;     /* user address of the path, or 0 */
	u32 arguments[2];
	u32 flags; /* AT_* */
};

INLINE struct scratch *begin_file(u64 task, struct file_call *call)
{
	struct scratch *scratch =
		begin_record(task, call->kind, sizeof(struct file_record), call->result);
	struct file_record *record;

	if (!scratch)
		return NULL;
	record = (struct file_record *)scratch->record;
	record->file.known = 0;
	record->arguments[0] = call->arguments[0];
	record->arguments[1] = call->arguments[1];
	record->arguments[2] = 0;
	record->arguments[3] = 0;
	clear_path(&record->path);
	clear_path(&record->root);
	record->string.offset = 0;
	record->string.size = 0;
	record->dirfd = call->dirfd;
	record->syscall = call->syscall;
	scratch->path = __builtin_offsetof(struct file_record, path);
	return scratch;
}

/* Appends the string of `length` bytes, its zero byte included, that was read behind the record. */
INLINE void keep_string(struct scratch *scratch, long length)
{
	struct file_record *record = (struct file_record *)scratch->record;

	if (length <= 0 || length > STRING_ROOM) {
		record->path.how |= PATH_NO_STRING;
		return;
	}
	record->string.offset = sizeof(struct file_record);
	record->string.size = length - 1;
	scratch->cursor = sizeof(struct file_record) + length;
}

INLINE void start_walk(struct scratch *scratch, u64 path)
{
	scratch->mount = MEMBER_U64(path, PATH_MNT);
	scratch->dentry = MEMBER_U64(path, PATH_DENTRY);
}

/* The walk starts at the file itself, whose inode is read too. */
INLINE void locate_object(struct scratch *scratch, u64 path)
{
	struct file_record *record = (struct file_record *)scratch->record;

	start_walk(scratch, path);
	fill_file(&record->file, scratch->dentry, scratch->mount);
}

/* The walk starts where the string does. */
INLINE void locate_base(struct scratch *scratch, u64 task, s32 dirfd, u32 flags)
{
	struct file_record *record = (struct file_record *)scratch->record;
	char first = record->string.size ? scratch->record[sizeof(struct file_record)] : 0;
	u64 base = base_of_string(task, dirfd, first);

	record->path.how |= PATH_FROM_STRING;
	if (flags & AT_SYMLINK_NOFOLLOW)
		record->path.how |= PATH_NO_FOLLOW;
	if (base)
		start_walk(scratch, base);
	else
		record->path.how |= PATH_TRUNCATED;
	/* `..` of a relative string ends at the task's root, which may be gone when it is read. */
	if (first != '/') {
		u64 root = ADDRESS(MEMBER_U64(task, TASK_FS), FS_ROOT);

		record->root.how = PATH_FROM_STRING;
		scratch->next_mount = MEMBER_U64(root, PATH_MNT);
		scratch->next_dentry = MEMBER_U64(root, PATH_DENTRY);
		scratch->next_path = __builtin_offsetof(struct file_record, root);
	}
}

/* A file record from a system call at its exit; 0 when there is nothing to walk. */
INLINE struct scratch *describe_call(u64 task, struct file_call *call)
{
	struct scratch *scratch = begin_file(task, call);
	long length = 0;
	u64 file = 0;

	if (!scratch)
		return NULL;
	if (call->string) {
		length = bpf_probe_read_user_str(scratch->record + sizeof(struct file_record),
						 STRING_ROOM, (void *)call->string);
		keep_string(scratch, length);
	}
	if (call->descriptor == NO_DESCRIPTOR && call->flags & AT_EMPTY_PATH && length <= 1)
		call->descriptor = call->dirfd;
	if (call->descriptor != NO_DESCRIPTOR)
		file = file_of_descriptor(task, call->descriptor);
	if (file)
		locate_object(scratch, ADDRESS(file, FILE_PATH));
	else
		locate_base(scratch, task, call->dirfd, call->flags);
	return scratch;
}

INLINE void report_call(struct syscall_exit *ctx, u64 task, struct file_call *call)
{
	struct scratch *scratch;

	if (is_ignored())
		return;
	scratch = describe_call(task, call);
	if (!scratch)
		return;
	bpf_tail_call(ctx, &walk_tracepoint, 0);
	submit_unwalked(ctx, scratch);
}

/* A program at the exit of a system call, given its task and its registers. */
#define ON_EXIT(name, kind)                                                       \
	INLINE int name##_exit(struct syscall_exit *ctx, u64 task,                \
			       struct saved_registers registers);                 \
	SEC("tracepoint/syscalls/sys_exit_" #name)                                \
	int exit_##name(struct syscall_exit *ctx)                                 \
	{                                                                         \
		u64 task = bpf_get_current_task();                                \
		struct saved_registers registers;                                 \
                                                                                  \
		if (!is_reported(ctx->result) || !is_wanted(kind))                \
			return 0;                                                 \
		read_registers(&registers, task);                                 \
		return name##_exit(ctx, task, registers);                         \
	}                                                                         \
	INLINE int name##_exit(struct syscall_exit *ctx, u64 task,                \
			       struct saved_registers registers)

/*
 * The kprobe rung: a call between the entry of a kernel function and its return.
 */
struct pending {
	u64 mount;  /* struct vfsmount of the object, or 0 */
	u64 dentry;
	u64 string; /* kernel address of the path, or 0 */
	s32 dirfd;
	u32 arguments[2];
	u32 flags; /* O_*, for open */
	u32 kind;
	u32 reserved;
};

_Static_assert(sizeof(struct pending) == 48, "the map's values");

/*
 * By thread. The kernel has a limited number of return probes for a function and
 * drops the others silently: the entry that such a call leaves behind is found,
 * and counted as lost, when its thread enters a function again.
 */
INLINE int remember(u32 kind, struct pending *pending)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct pending *left = bpf_map_lookup_elem(&pendings, &thread);

	if (left) {
		count_lost(left->kind);
		bpf_map_delete_elem(&pendings, &thread);
	}
	if (!is_wanted(kind) || is_ignored())
		return 0;
	pending->kind = kind;
	if (bpf_map_update_elem(&pendings, &thread, pending, BPF_ANY))
		count_lost(kind);
	return 0;
}

/* Takes what the entry of this thread's function remembered. */
INLINE int recall(u32 kind, struct pending *pending)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct pending *found = bpf_map_lookup_elem(&pendings, &thread);

	if (!found || found->kind != kind)
		return 0;
	*pending = *found;
	bpf_map_delete_elem(&pendings, &thread);
	return 1;
}

/* A file record from a kernel function at its return. */
INLINE int report_function(struct saved_registers *ctx, u32 kind, struct pending *pending,
			   s64 result)
{
	u64 task = bpf_get_current_task();
	struct file_call call = {
		.kind = kind,
		.syscall = UNKNOWN_SYSCALL,
		.result = result,
		.dirfd = pending->dirfd,
		.descriptor = NO_DESCRIPTOR,
		.arguments = { pending->arguments[0], pending->arguments[1] },
	};
	struct scratch *scratch = begin_file(task, &call);

	if (!scratch)
		return 0;
	if (pending->string)
		keep_string(scratch, bpf_probe_read_kernel_str(
					     scratch->record + sizeof(struct file_record),
					     STRING_ROOM, (void *)pending->string));
	if (pending->dentry) {
		struct file_record *record = (struct file_record *)scratch->record;

		scratch->dentry = pending->dentry;
		scratch->mount = pending->mount;
		fill_file(&record->file, pending->dentry, pending->mount);
	} else {
		locate_base(scratch, task, pending->dirfd, 0);
	}
	bpf_tail_call(ctx, &walk_kprobe, 0);
	submit_unwalked(ctx, scratch);
	return 0;
}

#endif
