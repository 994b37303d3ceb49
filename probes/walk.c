/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The path walker: from a dentry to the root of its mount namespace, across
 * mounts, one name a step. One program per program type, verified once; it is
 * reached by tail call and ends by submitting the record.
 */
#include "include/path.h"

/* Unrolled, so that kernels before 5.3 take it too; deeper paths call again. */
#define STEPS 16

/* The path in hand is done; the second one, if any, comes next. */
INLINE int end_path(struct scratch *scratch)
{
	if (!scratch->next_dentry)
		return 1;
	scratch->dentry = scratch->next_dentry;
	scratch->mount = scratch->next_mount;
	scratch->path = scratch->next_path;
	scratch->next_dentry = 0;
	return 0;
}

/* Goes from the root of a mount to where it is mounted; 0 at the topmost mount. */
INLINE int cross_mount(struct scratch *scratch)
{
	u64 mount = scratch->mount - CONSTANT(MOUNT_VFSMOUNT);
	u64 parent = MEMBER_U64(mount, MOUNT_PARENT);

	if (!parent || parent == mount) {
		struct path_block *path = path_of(scratch);

		if (path && CONSTANT(MOUNT_NS) != MISSING && !MEMBER_U64(mount, MOUNT_NS))
			path->how |= PATH_DETACHED;
		return 0;
	}
	scratch->dentry = MEMBER_U64(mount, MOUNT_POINT);
	scratch->mount = ADDRESS(parent, MOUNT_VFSMOUNT);
	return 1;
}

INLINE int append_name(struct scratch *scratch, struct path_block *path, u64 dentry)
{
	u64 name = MEMBER_U64(ADDRESS(dentry, DENTRY_NAME), QSTR_NAME);
	u64 cursor;
	long length;

	/* Read, compared and used without a call between: a register that is spilled loses
	 * its bounds in the eyes of older verifiers. */
	asm volatile("" ::: "memory");
	cursor = scratch->cursor;
	if (cursor > RECORD_ROOM - NAME_ROOM) {
		path->how |= PATH_TRUNCATED;
		return 0;
	}
	length = bpf_probe_read_kernel_str(scratch->record + cursor, NAME_ROOM, (void *)name);
	if (length <= 0 || length > NAME_ROOM) {
		path->how |= PATH_TRUNCATED;
		return 0;
	}
	if (!path->size)
		path->offset = cursor;
	path->size += length;
	scratch->cursor = cursor + length;
	return 1;
}

/* One name or one mount; 1 when nothing is left to walk. */
INLINE int walk_step(struct scratch *scratch)
{
	struct path_block *path = path_of(scratch);
	u64 dentry = scratch->dentry;
	u64 parent;

	if (!path)
		return 1;
	if (!dentry)
		return end_path(scratch);
	if (dentry == MEMBER_U64(scratch->mount, VFSMOUNT_ROOT)) {
		if (!cross_mount(scratch))
			return end_path(scratch);
		return 0;
	}
	parent = MEMBER_U64(dentry, DENTRY_PARENT);
	if (!parent || parent == dentry) {
		path->how |= PATH_DETACHED;
		append_name(scratch, path, dentry);
		return end_path(scratch);
	}
	if (!append_name(scratch, path, dentry))
		return end_path(scratch);
	scratch->dentry = parent;
	return 0;
}

INLINE int walk(void *ctx, void *walkers)
{
	struct scratch *scratch = scratch_of_task(0);

	if (!scratch)
		return 0;
#pragma unroll
	for (int step = 0; step < STEPS; step++) {
		if (walk_step(scratch)) {
			submit(ctx, scratch);
			return 0;
		}
	}
	bpf_tail_call(ctx, walkers, 0);
	/* The kernel allows no more tail calls: what is here must do. */
	submit_unwalked(ctx, scratch);
	return 0;
}

SEC("tracepoint/walk")
int walk_from_tracepoint(void *ctx)
{
	return walk(ctx, &walk_tracepoint);
}

SEC("raw_tracepoint/walk")
int walk_from_raw_tracepoint(void *ctx)
{
	return walk(ctx, &walk_raw);
}

SEC("kprobe/walk")
int walk_from_kprobe(void *ctx)
{
	return walk(ctx, &walk_kprobe);
}
