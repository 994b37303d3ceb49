/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Arguments of a system call at its exit, where the tracepoint gives only
 * number and result: they are still in the registers saved at entry.
 */
#ifndef SYSCALL_H
#define SYSCALL_H

#include "memory.h"

/* Layout of the context of syscalls/sys_exit_*: its tracefs format file. */
struct syscall_exit {
	u64 common;
	s32 number;
	u32 reserved;
	s64 result;
};

#if defined(__TARGET_ARCH_x86)
/* arch/x86/include/asm/ptrace.h, struct pt_regs */
struct saved_registers {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax;
};
#define ARGUMENT_0(registers) ((registers).di)
#define ARGUMENT_1(registers) ((registers).si)
#define ARGUMENT_2(registers) ((registers).dx)
#define ARGUMENT_3(registers) ((registers).r10)
#define ARGUMENT_4(registers) ((registers).r8)
/* A function's arguments and result, as a kprobe sees them. */
#define PARAMETER_0(registers) ((registers)->di)
#define PARAMETER_1(registers) ((registers)->si)
#define PARAMETER_2(registers) ((registers)->dx)
#define PARAMETER_3(registers) ((registers)->cx)
#define RETURNED(registers) ((registers)->ax)
#elif defined(__TARGET_ARCH_arm64)
/* arch/arm64/include/asm/ptrace.h, struct pt_regs: the result overwrites x0 */
struct saved_registers {
	u64 x[31], sp, pc, pstate, orig_x0;
};
#define ARGUMENT_0(registers) ((registers).orig_x0)
#define ARGUMENT_1(registers) ((registers).x[1])
#define ARGUMENT_2(registers) ((registers).x[2])
#define ARGUMENT_3(registers) ((registers).x[3])
#define ARGUMENT_4(registers) ((registers).x[4])
#define PARAMETER_0(registers) ((registers)->x[0])
#define PARAMETER_1(registers) ((registers)->x[1])
#define PARAMETER_2(registers) ((registers)->x[2])
#define PARAMETER_3(registers) ((registers)->x[3])
#define RETURNED(registers) ((registers)->x[0])
#else
#error "no register layout for this architecture"
#endif

/* bpf_task_pt_regs from 5.15; before, below the top of the kernel stack. */
INLINE void read_registers(struct saved_registers *registers, u64 task)
{
	void *from;

	if (CONSTANT(HAS_TASK_PT_REGS))
		from = bpf_task_pt_regs(bpf_get_current_task_btf());
	else
		from = (void *)(MEMBER_U64(task, TASK_STACK) + CONSTANT(PT_REGS_IN_STACK));
	bpf_probe_read_kernel(registers, sizeof(*registers), from);
}

#endif
