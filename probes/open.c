/* SPDX-License-Identifier: GPL-2.0 */
/* open, openat, openat2, creat and truncate. */
#include "include/file.h"

#define O_CREAT_WRITE_TRUNCATE 01101 /* what creat(2) stands for */
#define O_WRITE_TRUNCATE 01001       /* what truncate(2) is reported as */
#define FMODE_EXEC 0x20              /* include/linux/fs.h: opened by execve */
#define O_LARGEFILE 0100000          /* added by the kernel for 64-bit tasks */
#define PERMISSIONS 07777            /* the kernel adds the file type to the mode */

/*
 * Some rule can match an open with these flags, or of a file of this name. The name is that of the
 * opened file itself, whatever symlink led to it: the last component of the path that the walk
 * finds. The root of a mount has none of its own, and neither has what belongs to no directory.
 */
INLINE int is_approved(u32 flags, u64 dentry)
{
	u32 kind = RECORD_OPEN;
	struct gate *gate = bpf_map_lookup_elem(&gates, &kind);
	char name[FILTER_NAME] = {};
	u64 text;

	if (!gate || gate->state != GATE_FILTERED || gate->flags & flags)
		return 1;
	text = MEMBER_U64(ADDRESS(dentry, DENTRY_NAME), QSTR_NAME);
	if (bpf_probe_read_kernel_str(name, sizeof(name), (void *)text) <= 1 || name[0] == '/')
		return 1;
	return bpf_map_lookup_elem(&open_names, name) != NULL;
}

/* Of a descriptor that the kernel has just given out, so that it is within the table. */
INLINE u64 dentry_of_descriptor(u64 task, u32 descriptor)
{
	u64 table = MEMBER_U64(MEMBER_U64(task, TASK_FILES), FILES_TABLE);
	u64 file = read_u64(MEMBER_U64(table, FD_TABLE_FD) + (u64)descriptor * 8);

	return file ? MEMBER_U64(ADDRESS(file, FILE_PATH), PATH_DENTRY) : 0;
}

INLINE int report_open(struct syscall_exit *ctx, s32 dirfd, u64 string, u32 flags, u32 mode,
		       u64 task)
{
	struct file_call call = {
		.kind = RECORD_OPEN,
		.syscall = ctx->number,
		.result = ctx->result,
		.dirfd = dirfd,
		.descriptor = ctx->result >= 0 ? (s32)ctx->result : NO_DESCRIPTOR,
		.string = string,
		.arguments = { flags, mode },
	};

	/* A refused open has no file: its path comes from the string, through symlinks. */
	if (ctx->result >= 0 && !is_approved(flags, dentry_of_descriptor(task, ctx->result)))
		return 0;
	report_call(ctx, task, &call);
	return 0;
}

/* x86 only: other architectures have no open. */
ON_EXIT(open, RECORD_OPEN)
{
	return report_open(ctx, AT_FDCWD, ARGUMENT_0(registers), ARGUMENT_1(registers),
			   ARGUMENT_2(registers), task);
}

/* All kernels. */
ON_EXIT(openat, RECORD_OPEN)
{
	return report_open(ctx, ARGUMENT_0(registers), ARGUMENT_1(registers), ARGUMENT_2(registers),
			 ARGUMENT_3(registers), task);
}

/* Since 5.6; flags and mode are in a struct open_how of the user's. */
ON_EXIT(openat2, RECORD_OPEN)
{
	u64 how[2] = { 0, 0 };

	bpf_probe_read_user(how, sizeof(how), (void *)ARGUMENT_2(registers));
	return report_open(ctx, ARGUMENT_0(registers), ARGUMENT_1(registers), how[0], how[1], task);
}

/* x86 only. */
ON_EXIT(creat, RECORD_OPEN)
{
	return report_open(ctx, AT_FDCWD, ARGUMENT_0(registers), O_CREAT_WRITE_TRUNCATE,
			 ARGUMENT_1(registers), task);
}

/* All kernels. The result is no descriptor: the path comes from the string. */
ON_EXIT(truncate, RECORD_OPEN)
{
	struct file_call call = {
		.kind = RECORD_OPEN,
		.syscall = ctx->number,
		.result = ctx->result,
		.dirfd = AT_FDCWD,
		.descriptor = NO_DESCRIPTOR,
		.string = ARGUMENT_0(registers),
		.arguments = { O_WRITE_TRUNCATE, 0 },
	};

	report_call(ctx, task, &call);
	return 0;
}

/* struct file *do_filp_open(int dfd, struct filename *, const struct open_flags *): 3.x on. */
SEC("kprobe/enter_do_filp_open")
int enter_do_filp_open(struct saved_registers *ctx)
{
	u64 flags = PARAMETER_2(ctx);
	struct pending pending = {
		.string = MEMBER_U64(PARAMETER_1(ctx), FILENAME_NAME),
		.dirfd = PARAMETER_0(ctx),
		.flags = MEMBER_U32(flags, OPEN_FLAGS_FLAG),
	};

	pending.arguments[0] = pending.flags & ~O_LARGEFILE;
	pending.arguments[1] = MEMBER_U16(flags, OPEN_FLAGS_MODE) & PERMISSIONS;
	return remember(RECORD_OPEN, &pending);
}

SEC("kretprobe/exit_do_filp_open")
int exit_do_filp_open(struct saved_registers *ctx)
{
	u64 returned = RETURNED(ctx);
	s64 result = (s64)returned < 0 && (s64)returned >= -4095 ? (s64)returned : 0;
	struct pending pending;

	if (!recall(RECORD_OPEN, &pending) || pending.flags & FMODE_EXEC || !is_reported(result))
		return 0;
	if (result == 0) {
		u64 path = ADDRESS(returned, FILE_PATH);

		pending.mount = MEMBER_U64(path, PATH_MNT);
		pending.dentry = MEMBER_U64(path, PATH_DENTRY);
		if (!is_approved(pending.arguments[0], pending.dentry))
			return 0;
	}
	return report_function(ctx, RECORD_OPEN, &pending, result);
}

/* long vfs_truncate(const struct path *, loff_t): 3.8 on. */
SEC("kprobe/enter_vfs_truncate")
int enter_vfs_truncate(struct saved_registers *ctx)
{
	u64 path = PARAMETER_0(ctx);
	struct pending pending = {
		.mount = MEMBER_U64(path, PATH_MNT),
		.dentry = MEMBER_U64(path, PATH_DENTRY),
		.dirfd = AT_FDCWD,
		.arguments = { O_WRITE_TRUNCATE, 0 },
	};

	return remember(RECORD_OPEN, &pending);
}

SEC("kretprobe/exit_vfs_truncate")
int exit_vfs_truncate(struct saved_registers *ctx)
{
	s64 result = (s64)RETURNED(ctx);
	struct pending pending;

	if (!recall(RECORD_OPEN, &pending) || !is_reported(result))
		return 0;
	return report_function(ctx, RECORD_OPEN, &pending, result);
}
