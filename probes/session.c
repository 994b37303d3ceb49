/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Messages about sessions of users: an ioctl whose command no device knows, with a pointer to the
 * message (agent/src/event/session.rs).
 *
 * Every process may send them, so they are few here, and nothing in them is believed: the message
 * is copied once, and the agent decides what it means.
 */
#include "include/record.h"
#include "include/syscall.h"

#define SESSION_COMMAND 0xdeadc001
#define SESSION_MESSAGE 257
/* Messages that a process may send; the longest session has five. */
#define SESSION_MESSAGES 8

/* Whether this process has sent fewer messages than it may, this one counted. */
INLINE int may_send(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u32 *sent = bpf_map_lookup_elem(&session_senders, &tgid);
	u32 first = 1;

	if (!sent) {
		bpf_map_update_elem(&session_senders, &tgid, &first, BPF_ANY);
		return 1;
	}
	if (*sent >= SESSION_MESSAGES)
		return 0;
	__sync_fetch_and_add(sent, 1);
	return 1;
}

INLINE int report_message(void *ctx, u64 message)
{
	u64 task = bpf_get_current_task();
	struct session_record *record;
	struct scratch *scratch;

	if (!may_send()) {
		count_lost(COUNT_SESSION_FLOOD);
		return 0;
	}
	scratch = begin_record(task, RECORD_SESSION, sizeof(*record), 0);
	if (!scratch)
		return 0;
	scratch->lifecycle = 1;
	record = (struct session_record *)scratch->record;
	record->start_time = 0;
	if (record->header.tid == record->header.tgid)
		record->start_time = MEMBER_U64(task, TASK_START);
	record->size = 0;
	if (!bpf_probe_read_user(scratch->record + sizeof(*record), SESSION_MESSAGE,
				 (void *)message)) {
		record->size = SESSION_MESSAGE;
		scratch->cursor = sizeof(*record) + SESSION_MESSAGE;
	}
	submit(ctx, scratch);
	return 0;
}

/* All kernels. What succeeds was meant for a device, and most calls do. */
SEC("tracepoint/syscalls/sys_exit_ioctl")
int exit_ioctl(struct syscall_exit *ctx)
{
	struct saved_registers registers;

	if (ctx->result >= 0)
		return 0;
	read_registers(&registers, bpf_get_current_task());
	if ((u32)ARGUMENT_1(registers) != SESSION_COMMAND)
		return 0;
	return report_message(ctx, ARGUMENT_2(registers));
}

/* int do_vfs_ioctl(struct file *, unsigned int, unsigned int command, unsigned long): 2.6 on. */
SEC("kprobe/enter_do_vfs_ioctl")
int enter_do_vfs_ioctl(struct saved_registers *ctx)
{
	if ((u32)PARAMETER_2(ctx) != SESSION_COMMAND)
		return 0;
	return report_message(ctx, PARAMETER_3(ctx));
}
