/* SPDX-License-Identifier: GPL-2.0 */
/* fork, exec, exit and moves between cgroups: raw tracepoints, since 4.17. */
#include "include/path.h"

#define PIDTYPE_SID 3
#define CHUNK 4096
#define CHUNKS 8 /* of argv, and as many of the environment: 32 KiB each */

struct raw_arguments {
	u64 args[4];
};

INLINE u32 session_of(u64 signal)
{
	u64 pids = ADDRESS(signal, SIGNAL_PIDS);
	u64 pid = pids ? read_u64(pids + PIDTYPE_SID * 8) : 0;

	/* The first number is that of the initial pid namespace. */
	return MEMBER_U32(pid, PID_NUMBERS);
}

INLINE u32 mount_namespace_of(u64 task)
{
	u64 nsproxy = MEMBER_U64(task, TASK_NSPROXY);

	return MEMBER_U32(MEMBER_U64(nsproxy, NSPROXY_MOUNT), MOUNT_NAMESPACE_INUM);
}

/* Id of the cgroup in the unified hierarchy; 0 where there is none. */
INLINE u64 cgroup_of(u64 task)
{
	u64 cgroup = MEMBER_U64(MEMBER_U64(task, TASK_CGROUPS), CSS_SET_DEFAULT);

	return MEMBER_U64(MEMBER_U64(cgroup, CGROUP_NODE), KERNFS_ID);
}

/* sched_process_fork(parent, child): all kernels. */
SEC("raw_tracepoint/sched_process_fork")
int on_fork(struct raw_arguments *ctx)
{
	u64 parent = ctx->args[0];
	u64 child = ctx->args[1];
	u32 child_tgid = MEMBER_U32(child, TASK_TGID);
	struct fork_record *record;
	struct scratch *scratch;

	if (child_tgid != MEMBER_U32(child, TASK_PID))
		return 0; /* a thread */
	scratch = begin_record(parent, RECORD_FORK, sizeof(*record), 0);
	if (!scratch)
		return 0;
	scratch->lifecycle = 1;
	record = (struct fork_record *)scratch->record;
	/* With CLONE_PARENT the parent is not the task that forked. */
	record->header.tgid = MEMBER_U32(MEMBER_U64(child, TASK_PARENT), TASK_TGID);
	record->start_time = MEMBER_U64(child, TASK_START);
	record->cgroup_id = cgroup_of(child);
	record->child_tgid = child_tgid;
	record->mount_namespace = mount_namespace_of(child);
	record->net_namespace = net_namespace_of(child);
	record->session = session_of(MEMBER_U64(child, TASK_SIGNAL));
	record->caller_tgid = bpf_get_current_pid_tgid() >> 32;
	submit(ctx, scratch);
	return 0;
}

/* sched_process_exit(task, …): all kernels; fires for every thread. */
SEC("raw_tracepoint/sched_process_exit")
int on_exit(struct raw_arguments *ctx)
{
	u64 task = ctx->args[0];
	u64 signal = MEMBER_U64(task, TASK_SIGNAL);
	u32 group_code = MEMBER_U32(signal, SIGNAL_EXIT_CODE);
	u64 thread = bpf_get_current_pid_tgid();
	u32 tgid = thread >> 32;
	struct exit_record *record;
	struct scratch *scratch;

	bpf_map_delete_elem(&pendings, &thread);
	if (MEMBER_U32(signal, SIGNAL_LIVE) != 0)
		return 0; /* other threads are left */
	bpf_map_delete_elem(&session_senders, &tgid);
	scratch = begin_record(task, RECORD_EXIT, sizeof(*record), 0);
	if (!scratch)
		return 0;
	scratch->lifecycle = 1;
	record = (struct exit_record *)scratch->record;
	record->start_time = MEMBER_U64(task, TASK_START);
	record->code = group_code ? group_code : MEMBER_U32(task, TASK_EXIT_CODE);
	record->parent_tgid = MEMBER_U32(MEMBER_U64(task, TASK_PARENT), TASK_TGID);
	record->reserved = 0;
	submit(ctx, scratch);
	return 0;
}

/* Sends one chunk of argv or of the environment; 0 when there is none at this index. */
INLINE int send_chunk(void *ctx, struct scratch *scratch, u64 from, u64 to, u32 index)
{
	struct arguments_record *record = (struct arguments_record *)scratch->record;
	u64 start = from + index * CHUNK;
	u64 size;

	if (start >= to)
		return 0;
	size = to - start;
	if (size > CHUNK)
		size = CHUNK;
	/* A page that cannot be read is a missing chunk, which the agent notices. */
	if (bpf_probe_read_user(scratch->record + sizeof(*record), size, (void *)start))
		return 1;
	record->index = index;
	record->size = size;
	scratch->cursor = sizeof(*record) + size;
	output(ctx, scratch);
	return 1;
}

/* The chunks go out before the exec record, under the id that it repeats. */
INLINE void send_arguments(void *ctx, u64 task, u64 exec_id)
{
	u64 mm = MEMBER_U64(task, TASK_MM);
	struct scratch *scratch =
		begin_record(task, RECORD_ARGUMENTS, sizeof(struct arguments_record), 0);
	struct arguments_record *record;

	if (!scratch)
		return;
	scratch->lifecycle = 1;
	record = (struct arguments_record *)scratch->record;
	record->exec_id = exec_id;
	record->reserved = 0;
	record->environment = 0;
	u64 from = MEMBER_U64(mm, MM_ARG_START);
	u64 to = MEMBER_U64(mm, MM_ARG_END);
#pragma unroll
	for (u32 index = 0; index < CHUNKS; index++)
		if (!send_chunk(ctx, scratch, from, to, index))
			break;
	record->environment = 1;
	from = MEMBER_U64(mm, MM_ENV_START);
	to = MEMBER_U64(mm, MM_ENV_END);
#pragma unroll
	for (u32 index = 0; index < CHUNKS; index++)
		if (!send_chunk(ctx, scratch, from, to, index))
			break;
	release(scratch);
}

INLINE void fill_exec_task(struct exec_record *record, u64 task)
{
	u64 cred = MEMBER_U64(task, TASK_CRED);
	u64 mm = MEMBER_U64(task, TASK_MM);
	u64 signal = MEMBER_U64(task, TASK_SIGNAL);
	u64 tty = MEMBER_U64(signal, SIGNAL_TTY);

	record->start_time = MEMBER_U64(task, TASK_START);
	record->cgroup_id = cgroup_of(task);
	record->cap_effective = MEMBER_U64(cred, CRED_EFFECTIVE);
	record->cap_permitted = MEMBER_U64(cred, CRED_PERMITTED);
	record->parent_tgid = MEMBER_U32(MEMBER_U64(task, TASK_PARENT), TASK_TGID);
	record->session = session_of(signal);
	record->login_uid = CONSTANT(TASK_LOGIN_UID) == MISSING ?
				    0xffffffff :
				    MEMBER_U32(task, TASK_LOGIN_UID);
	record->mount_namespace = mount_namespace_of(task);
	record->net_namespace = net_namespace_of(task);
	record->arguments_size = MEMBER_U64(mm, MM_ARG_END) - MEMBER_U64(mm, MM_ARG_START);
	record->environment_size = MEMBER_U64(mm, MM_ENV_END) - MEMBER_U64(mm, MM_ENV_START);
	bpf_probe_read_kernel(record->comm, sizeof(record->comm),
			      (void *)ADDRESS(task, TASK_COMM));
	record->tty[0] = 0;
	if (tty)
		bpf_probe_read_kernel(record->tty, sizeof(record->tty),
				      (void *)ADDRESS(tty, TTY_NAME));
}

/* A script is known only by the name it was called by: its file is closed by now. */
INLINE void fill_script(struct scratch *scratch, u64 task, u64 filename)
{
	struct exec_record *record = (struct exec_record *)scratch->record;
	long length = bpf_probe_read_kernel_str(scratch->record + sizeof(*record), STRING_ROOM,
						(void *)filename);
	u64 base;

	if (length <= 0 || length > STRING_ROOM)
		return;
	record->script = 1;
	record->string.offset = sizeof(*record);
	record->string.size = length - 1;
	scratch->cursor = sizeof(*record) + length;
	record->path[1].how = PATH_FROM_STRING;
	base = base_of_string(task, AT_FDCWD, scratch->record[sizeof(*record)]);
	scratch->next_mount = MEMBER_U64(base, PATH_MNT);
	scratch->next_dentry = MEMBER_U64(base, PATH_DENTRY);
	scratch->next_path = __builtin_offsetof(struct exec_record, path[1]);
}

/* sched_process_exec(task, old_pid, bprm): all kernels. */
SEC("raw_tracepoint/sched_process_exec")
int on_exec(struct raw_arguments *ctx)
{
	u64 task = ctx->args[0];
	u64 bprm = ctx->args[2];
	u64 exec_id = bpf_ktime_get_ns();
	u64 filename = MEMBER_U64(bprm, BINPRM_FILENAME);
	u64 path = ADDRESS(MEMBER_U64(bprm, BINPRM_FILE), FILE_PATH);
	struct exec_record *record;
	struct scratch *scratch;

	send_arguments(ctx, task, exec_id);
	scratch = begin_record(task, RECORD_EXEC, sizeof(*record), 0);
	if (!scratch)
		return 0;
	scratch->lifecycle = 1;
	record = (struct exec_record *)scratch->record;
	record->exec_id = exec_id;
	record->script = 0;
	record->string.offset = 0;
	record->string.size = 0;
	clear_path(&record->path[0]);
	clear_path(&record->path[1]);
	fill_exec_task(record, task);
	scratch->mount = MEMBER_U64(path, PATH_MNT);
	scratch->dentry = MEMBER_U64(path, PATH_DENTRY);
	scratch->path = __builtin_offsetof(struct exec_record, path[0]);
	fill_file(&record->file, scratch->dentry, scratch->mount);
	if (MEMBER_U64(bprm, BINPRM_INTERP) != filename)
		fill_script(scratch, task, filename);
	bpf_tail_call(ctx, &walk_raw, 0);
	submit_unwalked(ctx, scratch);
	return 0;
}

/* cgroup_attach_task(cgroup, path, task, threadgroup): since 4.18. */
SEC("raw_tracepoint/cgroup_attach_task")
int on_cgroup(struct raw_arguments *ctx)
{
	u64 cgroup = ctx->args[0];
	u64 task = ctx->args[2];
	struct cgroup_record *record;
	struct scratch *scratch = begin_record(task, RECORD_CGROUP, sizeof(*record), 0);
	long length;

	if (!scratch)
		return 0;
	scratch->lifecycle = 1;
	record = (struct cgroup_record *)scratch->record;
	record->cgroup_id = MEMBER_U64(MEMBER_U64(cgroup, CGROUP_NODE), KERNFS_ID);
	record->hierarchy = MEMBER_U32(MEMBER_U64(cgroup, CGROUP_ROOT), CGROUP_ROOT_HIERARCHY);
	record->pid = MEMBER_U32(task, TASK_TGID);
	record->whole_group = ctx->args[3] & 1;
	record->path.offset = sizeof(*record);
	record->path.size = 0;
	length = bpf_probe_read_kernel_str(scratch->record + sizeof(*record), STRING_ROOM,
					   (void *)ctx->args[1]);
	if (length > 0 && length <= STRING_ROOM) {
		record->path.size = length - 1;
		scratch->cursor = sizeof(*record) + length;
	}
	submit(ctx, scratch);
	return 0;
}
