/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Maps, the per-CPU scratch in which a record is built, and its output.
 *
 * A record is built by one program, which fills the fixed part, appends strings
 * and names the paths to walk; the walker (walk.c), reached by tail call,
 * appends the names and submits.
 */
#ifndef RECORD_H
#define RECORD_H

#include "memory.h"
#include "wire.h"

/* Room for one record: two paths and a string of PATH_MAX each, and the fixed part. */
#define RECORD_ROOM 16384
#define STRING_ROOM 4096
#define NAME_ROOM 256

/* Records that may be under way on one CPU: from 7.0 on a program that runs on a
 * raw tracepoint can be preempted by one of another task. */
#define SCRATCHES 3

/* Per-CPU: what is being built. The state of the walk lives here and not in
 * registers, so that the verifier meets the same state in every step. */
struct scratch {
	u64 owner; /* pid_tgid of the task whose record it is; 0 when it is free */
	u64 dentry; /* being walked */
	u64 mount;  /* struct vfsmount */
	u64 next_dentry; /* of the second path; 0 when there is none */
	u64 next_mount;
	u32 cursor; /* next free byte of the record */
	u32 path;   /* offset of the path_block being filled */
	u32 next_path;
	u32 lifecycle; /* output to the buffer of fork, exec and exit */
	u8 record[RECORD_ROOM];
};

struct counters {
	u64 emitted; /* outputs tried */
	u64 lost;    /* outputs that failed */
};

/* What of a kind is let through. */
enum gate_state {
	GATE_CLOSED = 0,
	GATE_OPEN = 1,
	GATE_FILTERED = 2, /* what has one of the flags, or one of the names */
};

struct gate {
	u32 state;
	u32 flags;
};

/* Room for a file's name in the filter, its zero byte included; longer ones are cut here and by
 * the agent alike. */
#define FILTER_NAME 64

MAP(events, MAP_PERF_EVENTS, 4, 4, 1024);
MAP(lifecycle, MAP_PERF_EVENTS, 4, 4, 1024);
MAP(scratches, MAP_PERCPU_ARRAY, 4, sizeof(struct scratch), SCRATCHES);
MAP(counts, MAP_PERCPU_ARRAY, 4, sizeof(struct counters), RECORD_KINDS);
/* Which kinds some rule wants: written by the agent. */
MAP(gates, MAP_ARRAY, 4, sizeof(struct gate), RECORD_KINDS);
/* Names of files that some rule on open needs: written by the agent. */
MAP(open_names, MAP_HASH, FILTER_NAME, 4, 4096);
/* Thread groups whose file events are not reported: the agent's own roles. */
MAP(ignored, MAP_HASH, 4, 4, 64);
/* Calls between the entry and the return of a function (file.h), by thread. */
MAP(pendings, MAP_HASH, 8, 48, 8192);
/* How many messages of sessions a thread group has sent (session.c). */
MAP(session_senders, MAP_LRU_HASH, 4, 4, 4096);
/* The walker for each program type. */
MAP(walk_tracepoint, MAP_PROGRAMS, 4, 4, 1);
MAP(walk_raw, MAP_PROGRAMS, 4, 4, 1);
MAP(walk_kprobe, MAP_PROGRAMS, 4, 4, 1);

INLINE struct counters *counters_of(u32 kind)
{
	return bpf_map_lookup_elem(&counts, &kind);
}

INLINE void count_lost(u32 kind)
{
	struct counters *counters = counters_of(kind);

	if (!counters)
		return;
	counters->emitted++;
	counters->lost++;
}

/* The scratch that this task has claimed, or one that it claims now if it may. */
INLINE struct scratch *scratch_of_task(int claim)
{
	u64 owner = bpf_get_current_pid_tgid() | 1ull << 63;

#pragma unroll
	for (u32 index = 0; index < SCRATCHES; index++) {
		u32 key = index;
		struct scratch *scratch = bpf_map_lookup_elem(&scratches, &key);

		if (!scratch)
			return NULL;
		if (scratch->owner == owner)
			return scratch;
		if (claim && !scratch->owner) {
			scratch->owner = owner;
			return scratch;
		}
	}
	return NULL;
}

INLINE void release(struct scratch *scratch)
{
	scratch->owner = 0;
}

/* Some rule wants this kind. */
INLINE int is_wanted(u32 kind)
{
	struct gate *gate = bpf_map_lookup_elem(&gates, &kind);

	return gate && gate->state != GATE_CLOSED;
}

/* The current process is the agent's; asked last, because it costs most. */
INLINE int is_ignored(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&ignored, &tgid) != NULL;
}

INLINE void fill_header(struct record *header, u64 task, u32 kind, s32 retval)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u64 cred = MEMBER_U64(task, TASK_CRED);

	header->kind = kind;
	header->tgid = pid_tgid >> 32;
	header->tid = pid_tgid;
	header->retval = retval;
	header->reserved = 0;
	bpf_probe_read_kernel(&header->uid, 8 * sizeof(u32), (void *)ADDRESS(cred, CRED_UID));
}

/* A scratch with an empty record of this kind and size; whoever gets it submits it. */
INLINE struct scratch *begin_record(u64 task, u32 kind, u32 size, s32 retval)
{
	struct scratch *scratch = scratch_of_task(1);

	if (!scratch) {
		count_lost(kind);
		return NULL;
	}
	scratch->cursor = size;
	scratch->dentry = 0;
	scratch->mount = 0;
	scratch->next_dentry = 0;
	scratch->next_mount = 0;
	scratch->path = 0;
	scratch->next_path = 0;
	scratch->lifecycle = 0;
	fill_header((struct record *)scratch->record, task, kind, retval);
	return scratch;
}

/* Stamps and outputs the record, and counts it either way. */
INLINE void output(void *ctx, struct scratch *scratch)
{
	struct record *header = (struct record *)scratch->record;
	struct counters *counters = counters_of(header->kind);
	u64 size = scratch->cursor;
	long failed;

	if (size > RECORD_ROOM)
		size = RECORD_ROOM;
	header->size = size;
	header->timestamp = bpf_ktime_get_ns();
	if (scratch->lifecycle)
		failed = bpf_perf_event_output(ctx, &lifecycle, BPF_F_CURRENT_CPU,
					       scratch->record, size);
	else
		failed = bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU,
					       scratch->record, size);
	if (!counters)
		return;
	counters->emitted++;
	if (failed)
		counters->lost++;
}

/* Outputs the record and gives the scratch back. */
INLINE void submit(void *ctx, struct scratch *scratch)
{
	output(ctx, scratch);
	release(scratch);
}

#endif
