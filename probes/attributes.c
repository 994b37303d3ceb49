/* SPDX-License-Identifier: GPL-2.0 */
/* The chmod and chown families. */
#include "include/file.h"

INLINE int attribute_exit(struct syscall_exit *ctx, u64 task, u32 kind, s32 dirfd,
			  s32 descriptor, u64 string, u32 flags, u32 first, u32 second)
{
	struct file_call call = {
		.kind = kind,
		.syscall = ctx->number,
		.result = ctx->result,
		.dirfd = dirfd,
		.descriptor = descriptor,
		.string = string,
		.arguments = { first, second },
		.flags = flags,
	};

	report_call(ctx, task, &call);
	return 0;
}

/* x86 only. */
ON_EXIT(chmod, RECORD_CHMOD)
{
	return attribute_exit(ctx, task, RECORD_CHMOD, AT_FDCWD, NO_DESCRIPTOR,
			      ARGUMENT_0(registers), 0, ARGUMENT_1(registers), 0);
}

/* All kernels. */
ON_EXIT(fchmod, RECORD_CHMOD)
{
	return attribute_exit(ctx, task, RECORD_CHMOD, AT_FDCWD, ARGUMENT_0(registers), 0, 0,
			      ARGUMENT_1(registers), 0);
}

/* All kernels; it has no flags. */
ON_EXIT(fchmodat, RECORD_CHMOD)
{
	return attribute_exit(ctx, task, RECORD_CHMOD, ARGUMENT_0(registers), NO_DESCRIPTOR,
			      ARGUMENT_1(registers), 0, ARGUMENT_2(registers), 0);
}

/* Since 6.6. */
ON_EXIT(fchmodat2, RECORD_CHMOD)
{
	return attribute_exit(ctx, task, RECORD_CHMOD, ARGUMENT_0(registers), NO_DESCRIPTOR,
			      ARGUMENT_1(registers), ARGUMENT_3(registers),
			      ARGUMENT_2(registers), 0);
}

/* x86 only. */
ON_EXIT(chown, RECORD_CHOWN)
{
	return attribute_exit(ctx, task, RECORD_CHOWN, AT_FDCWD, NO_DESCRIPTOR,
			      ARGUMENT_0(registers), 0, ARGUMENT_1(registers),
			      ARGUMENT_2(registers));
}

/* x86 only. */
ON_EXIT(lchown, RECORD_CHOWN)
{
	return attribute_exit(ctx, task, RECORD_CHOWN, AT_FDCWD, NO_DESCRIPTOR,
			      ARGUMENT_0(registers), AT_SYMLINK_NOFOLLOW, ARGUMENT_1(registers),
			      ARGUMENT_2(registers));
}

/* All kernels. */
ON_EXIT(fchown, RECORD_CHOWN)
{
	return attribute_exit(ctx, task, RECORD_CHOWN, AT_FDCWD, ARGUMENT_0(registers), 0, 0,
			      ARGUMENT_1(registers), ARGUMENT_2(registers));
}

/* All kernels. */
ON_EXIT(fchownat, RECORD_CHOWN)
{
	return attribute_exit(ctx, task, RECORD_CHOWN, ARGUMENT_0(registers), NO_DESCRIPTOR,
			      ARGUMENT_1(registers), ARGUMENT_4(registers),
			      ARGUMENT_2(registers), ARGUMENT_3(registers));
}

INLINE int enter_function(u32 kind, u64 path, u32 first, u32 second)
{
	struct pending pending = {
		.mount = MEMBER_U64(path, PATH_MNT),
		.dentry = MEMBER_U64(path, PATH_DENTRY),
		.dirfd = AT_FDCWD,
		.arguments = { first, second },
	};

	return remember(kind, &pending);
}

INLINE int exit_function(struct saved_registers *ctx, u32 kind)
{
	s64 result = (s64)(s32)RETURNED(ctx);
	struct pending pending;

	if (!recall(kind, &pending) || !is_reported(result))
		return 0;
	return report_function(ctx, kind, &pending, result);
}

/* int chmod_common(const struct path *, umode_t): 3.x on. */
SEC("kprobe/enter_chmod_common")
int enter_chmod_common(struct saved_registers *ctx)
{
	return enter_function(RECORD_CHMOD, PARAMETER_0(ctx), (u16)PARAMETER_1(ctx), 0);
}

SEC("kretprobe/exit_chmod_common")
int exit_chmod_common(struct saved_registers *ctx)
{
	return exit_function(ctx, RECORD_CHMOD);
}

/* int chown_common(const struct path *, uid_t, gid_t): 3.x on. */
SEC("kprobe/enter_chown_common")
int enter_chown_common(struct saved_registers *ctx)
{
	return enter_function(RECORD_CHOWN, PARAMETER_0(ctx), PARAMETER_1(ctx), PARAMETER_2(ctx));
}

SEC("kretprobe/exit_chown_common")
int exit_chown_common(struct saved_registers *ctx)
{
	return exit_function(ctx, RECORD_CHOWN);
}
