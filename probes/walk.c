/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The path walker: from a dentry to the root of its mount namespace, across
 * mounts, one name a step. One program per program type, verified once; it is
 * reached by tail call and ends by submitting the record.
 */
#include "include/path.h"

#define STEPS 64

INLINE struct path_block *path_of(struct scratch *scratch)
{
	u32 offset = scratch->path;

	if (offset > sizeof(struct exec_record))
		return NULL;
	return (struct path_block *)(scratch->record + offset);
}

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

	if (!parent || parent == mount)
		return 0;
	scratch->dentry = MEMBER_U64(mount, MOUNT_POINT);
	scratch->mount = parent + CONSTANT(MOUNT_VFSMOUNT);
	return 1;
}

INLINE int append_name(struct scratch *scratch, struct path_block *path, u64 dentry)
{
	u32 cursor = scratch->cursor;
	u64 name = read_u64(dentry + CONSTANT(DENTRY_NAME) + CONSTANT(QSTR_NAME));
	long length;

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
		if (!append_name(scratch, path, dentry))
			return end_path(scratch);
		return end_path(scratch);
	}
	if (!append_name(scratch, path, dentry))
		return end_path(scratch);
	scratch->dentry = parent;
	return 0;
}

INLINE int walk(void *ctx, void *walkers)
{
	struct scratch *scratch = scratch_of_cpu();
	int done = 0;

	if (!scratch)
		return 0;
	for (int step = 0; step < STEPS && !done; step++)
		done = walk_step(scratch);
	if (!done) {
		bpf_tail_call(ctx, walkers, 0);
		/* The kernel allows no more tail calls: what is here must do. */
		struct path_block *path = path_of(scratch);

		if (path)
			path->how |= PATH_TRUNCATED;
	}
	submit(ctx, scratch);
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
