/* SPDX-License-Identifier: GPL-2.0 */
/* Reads of kernel memory at patched offsets; a missing offset reads as zero. */
#ifndef MEMORY_H
#define MEMORY_H

#include "constants.h"
#include "helpers.h"

INLINE u64 read_u64(u64 address)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

INLINE u32 read_u32(u64 address)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

INLINE u16 read_u16(u64 address)
{
	u16 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

/* Address of a member; 0, which no read survives, when the offset is missing. */
#define ADDRESS(base, name)                                                   \
	({                                                                    \
		u64 member_offset = CONSTANT(name);                           \
		member_offset == MISSING ? 0 : (base) + member_offset;        \
	})

#define MEMBER(read, base, name)                                              \
	({                                                                    \
		u64 member_offset = CONSTANT(name);                           \
		member_offset == MISSING ? 0 : read((base) + member_offset);  \
	})

#define MEMBER_U64(base, name) MEMBER(read_u64, base, name)
#define MEMBER_U32(base, name) MEMBER(read_u32, base, name)
#define MEMBER_U16(base, name) MEMBER(read_u16, base, name)

/* Number of the task's network namespace; 0 for a task that is ending. */
INLINE u32 net_namespace_of(u64 task)
{
	u64 nsproxy = MEMBER_U64(task, TASK_NSPROXY);

	return MEMBER_U32(MEMBER_U64(nsproxy, NSPROXY_NET), NET_INUM);
}

#endif
