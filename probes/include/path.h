/* SPDX-License-Identifier: GPL-2.0 */
/* From a struct path, a descriptor or the task's directories to a walk. */
#ifndef PATH_H
#define PATH_H

#include "record.h"

/* Since 6.13 the kernel keeps a flag (I_CTIME_QUERIED) in the highest bit. */
#define NANOSECONDS 0x7fffffff

INLINE u64 nanoseconds(u64 inode, u64 seconds_offset, u64 nanoseconds_offset)
{
	if (seconds_offset == MISSING || nanoseconds_offset == MISSING)
		return 0;
	return read_u64(inode + seconds_offset) * 1000000000ull +
	       (read_u32(inode + nanoseconds_offset) & NANOSECONDS);
}

INLINE void fill_file(struct file_block *file, u64 dentry, u64 vfsmount)
{
	u64 inode = MEMBER_U64(dentry, DENTRY_INODE);
	u64 super_block = MEMBER_U64(inode, INODE_SB);

	file->inode = MEMBER_U64(inode, INODE_NUMBER);
	file->modified = nanoseconds(inode, CONSTANT(INODE_MTIME), CONSTANT(INODE_MTIME_NS));
	file->changed = nanoseconds(inode, CONSTANT(INODE_CTIME), CONSTANT(INODE_CTIME_NS));
	file->mount_id = MEMBER_U32(vfsmount - CONSTANT(MOUNT_VFSMOUNT), MOUNT_ID);
	file->device = MEMBER_U32(super_block, SB_DEVICE);
	file->magic = MEMBER_U64(super_block, SB_MAGIC);
	file->uid = MEMBER_U32(inode, INODE_UID);
	file->gid = MEMBER_U32(inode, INODE_GID);
	file->mode = MEMBER_U16(inode, INODE_MODE);
	file->links = MEMBER_U32(inode, INODE_LINKS);
	file->known = inode != 0;
	file->reserved = 0;
}

INLINE void clear_path(struct path_block *block)
{
	block->offset = 0;
	block->size = 0;
	block->how = 0;
	block->reserved = 0;
}

/* struct file of a descriptor of the current task; 0 when it has none. */
INLINE u64 file_of_descriptor(u64 task, s32 descriptor)
{
	u64 table = MEMBER_U64(MEMBER_U64(task, TASK_FILES), FILES_TABLE);

	if (descriptor < 0 || (u32)descriptor >= MEMBER_U32(table, FD_TABLE_MAX))
		return 0;
	return read_u64(MEMBER_U64(table, FD_TABLE_FD) + (u64)(u32)descriptor * 8);
}

#define AT_FDCWD (-100)

/* struct path of the directory that a string starts from; 0 when unknown. */
INLINE u64 base_of_string(u64 task, s32 dirfd, char first)
{
	u64 fs = MEMBER_U64(task, TASK_FS);
	u64 file;

	if (first == '/')
		return ADDRESS(fs, FS_ROOT);
	if (dirfd == AT_FDCWD)
		return ADDRESS(fs, FS_PWD);
	file = file_of_descriptor(task, dirfd);
	return file ? ADDRESS(file, FILE_PATH) : 0;
}

INLINE struct path_block *path_of(struct scratch *scratch)
{
	u32 offset = scratch->path;

	if (offset > sizeof(struct exec_record))
		return NULL;
	return (struct path_block *)(scratch->record + offset);
}

/* Submits a record whose walk could not begin or go on. */
INLINE void submit_unwalked(void *ctx, struct scratch *scratch)
{
	struct path_block *path = path_of(scratch);

	if (path)
		path->how |= PATH_TRUNCATED;
	submit(ctx, scratch);
}

#endif
