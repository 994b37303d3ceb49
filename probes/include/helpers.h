/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernel helpers by number (include/uapi/linux/bpf.h) and the maps they use.
 *
 * The agent rewrites calls of the probe_read_{kernel,user} family to the older
 * probe_read and probe_read_str on kernels before 5.5.
 */
#ifndef HELPERS_H
#define HELPERS_H

#include "types.h"

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) =
	(void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_tail_call)(void *ctx, void *programs, u32 index) = (void *)12;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*bpf_perf_event_output)(void *ctx, void *map, u64 flags, void *data, u64 size) =
	(void *)25;
static long (*bpf_skb_load_bytes)(const void *packet, u32 offset, void *to, u32 size) = (void *)26;
static u64 (*bpf_get_socket_cookie)(void *ctx) = (void *)46;
static u64 (*bpf_get_current_task)(void) = (void *)35;
static long (*bpf_probe_read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*bpf_probe_read_user_str)(void *to, u32 size, const void *from) = (void *)114;
static long (*bpf_probe_read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;
static long (*bpf_fib_lookup)(void *packet, void *parameters, u32 size, u32 flags) = (void *)69;
static u64 (*bpf_skb_cgroup_id)(void *packet) = (void *)79;
static u64 (*bpf_get_current_cgroup_id)(void) = (void *)80;
static void *(*bpf_sk_fullsock)(void *sock) = (void *)95;
static void *(*bpf_get_current_task_btf)(void) = (void *)158;
static void *(*bpf_task_pt_regs)(void *task) = (void *)175;

#define BPF_F_CURRENT_CPU 0xffffffffull
#define BPF_ANY 0

enum map_type {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PROGRAMS = 3,
	MAP_PERF_EVENTS = 4,
	MAP_PERCPU_ARRAY = 6,
	MAP_LRU_HASH = 9,
};

struct map_definition {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 flags;
};

#define MAP(name, map_type, key, value, entries)                                  \
	struct map_definition SEC("maps/" #name) name = {                         \
		.type = map_type,                                                 \
		.key_size = key,                                                  \
		.value_size = value,                                              \
		.max_entries = entries,                                           \
	}

#endif
