/* SPDX-License-Identifier: GPL-2.0 */
/* connect, bind and accept, and the makers of sockets. */
#include "include/file.h"
#include "include/network.h"

#define ENOTSOCK 88
#define EBADF 9
#define EFAULT 14

/* struct sockaddr_in, and the beginning of sockaddr_in6 (include/uapi/linux/in6.h). */
struct socket_address {
	u16 family;
	u16 port;
	u32 ipv4; /* IPv6: flow label */
};

INLINE u64 sock_of_descriptor(u64 task, s32 descriptor)
{
	u64 file = file_of_descriptor(task, descriptor);
	u64 socket = file ? MEMBER_U64(file, FILE_PRIVATE) : 0;

	return socket ? MEMBER_U64(socket, SOCKET_SK) : 0;
}

/* The other end of a socket, as far as it has one. */
INLINE void fill_remote(struct flow *flow, u64 sock)
{
	u64 from = ADDRESS(sock, SOCK_REMOTE6);

	flow->remote_port = __builtin_bswap16(MEMBER_U16(sock, SOCK_REMOTE_PORT));
	if (MEMBER_U16(sock, SOCK_FAMILY) == AF_INET)
		set_ipv4(flow->remote, MEMBER_U32(sock, SOCK_REMOTE));
	else
		bpf_probe_read_kernel(flow->remote, sizeof(flow->remote), (void *)from);
}

/* Learns whose socket this is. One without another end takes packets from anyone. */
INLINE void learn_socket(u64 task, u64 sock)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u16 family = MEMBER_U16(sock, SOCK_FAMILY);
	struct flow flow = {};
	struct owner owner = { .tgid = tgid };
	u64 cookie;

	if (family != AF_INET && family != AF_INET6)
		return;
	owner.net_namespace = net_namespace_of(task);
	flow.net_namespace = owner.net_namespace;
	flow.protocol = MEMBER_U16(sock, SOCK_PROTOCOL);
	flow.local_port = MEMBER_U16(sock, SOCK_LOCAL_PORT);
	if (MEMBER_U16(sock, SOCK_REMOTE_PORT))
		fill_remote(&flow, sock);
	if (flow.local_port)
		remember_flow(&flow, tgid);
	cookie = MEMBER_U64(sock, SOCK_COOKIE);
	if (cookie)
		bpf_map_update_elem(&owners, &cookie, &owner, BPF_ANY);
}

INLINE struct socket_record *begin_socket(struct scratch *scratch, u64 task, u64 sock,
					  s32 descriptor)
{
	struct socket_record *record = (struct socket_record *)scratch->record;
	u64 socket = MEMBER_U64(file_of_descriptor(task, descriptor), FILE_PRIVATE);

	__builtin_memset(record->address, 0, sizeof(record->address));
	record->family = MEMBER_U16(sock, SOCK_FAMILY);
	record->port = 0;
	record->protocol = MEMBER_U16(sock, SOCK_PROTOCOL);
	record->type = MEMBER_U16(socket, SOCKET_TYPE);
	record->net_namespace = net_namespace_of(task);
	record->descriptor = descriptor;
	record->cookie = MEMBER_U64(sock, SOCK_COOKIE);
	record->reserved = 0;
	return record;
}

/* The address as the caller gave it. */
INLINE void fill_given(struct socket_record *record, u64 user)
{
	struct socket_address address = {};
	u8 ipv6[16];

	bpf_probe_read_user(&address, sizeof(address), (void *)user);
	record->family = address.family;
	if (address.family == AF_INET) {
		record->port = __builtin_bswap16(address.port);
		__builtin_memcpy(record->address, &address.ipv4, sizeof(address.ipv4));
	} else if (address.family == AF_INET6) {
		record->port = __builtin_bswap16(address.port);
		bpf_probe_read_user(ipv6, sizeof(ipv6), (void *)(user + sizeof(address)));
		__builtin_memcpy(record->address, ipv6, sizeof(ipv6));
	}
}

/* The other end of a connection that came in. */
INLINE void fill_peer(struct socket_record *record, u64 sock)
{
	u64 from = record->family == AF_INET ? ADDRESS(sock, SOCK_REMOTE) :
					       ADDRESS(sock, SOCK_REMOTE6);

	if (record->family != AF_INET && record->family != AF_INET6)
		return;
	record->port = __builtin_bswap16(MEMBER_U16(sock, SOCK_REMOTE_PORT));
	if (record->family == AF_INET)
		bpf_probe_read_kernel(record->address, 4, (void *)from);
	else
		bpf_probe_read_kernel(record->address, 16, (void *)from);
}

INLINE int socket_exit(struct syscall_exit *ctx, u32 kind)
{
	u64 task = bpf_get_current_task();
	struct saved_registers registers;
	struct socket_record *record;
	struct scratch *scratch;
	s32 descriptor;
	u64 sock;

	/* What is no socket says nothing of one. */
	if (ctx->result == -ENOTSOCK || ctx->result == -EBADF || ctx->result == -EFAULT)
		return 0;
	if (kind == RECORD_ACCEPT && ctx->result < 0)
		return 0; /* mostly nobody was waiting */
	read_registers(&registers, task);
	descriptor = kind == RECORD_ACCEPT ? (s32)ctx->result : (s32)ARGUMENT_0(registers);
	sock = sock_of_descriptor(task, descriptor);
	if (sock && is_wanted(GATE_FLOWS))
		learn_socket(task, sock);
	if (!is_wanted(kind) || is_ignored())
		return 0;
	scratch = begin_record(task, kind, sizeof(*record), ctx->result);
	if (!scratch)
		return 0;
	record = begin_socket(scratch, task, sock, descriptor);
	if (kind == RECORD_ACCEPT)
		fill_peer(record, sock);
	else
		fill_given(record, ARGUMENT_1(registers));
	submit(ctx, scratch);
	return 0;
}

/* All kernels. */
SEC("tracepoint/syscalls/sys_exit_connect")
int exit_connect(struct syscall_exit *ctx)
{
	return socket_exit(ctx, RECORD_CONNECT);
}

/* All kernels. */
SEC("tracepoint/syscalls/sys_exit_bind")
int exit_bind(struct syscall_exit *ctx)
{
	return socket_exit(ctx, RECORD_BIND);
}

/* All kernels. */
SEC("tracepoint/syscalls/sys_exit_accept")
int exit_accept(struct syscall_exit *ctx)
{
	return socket_exit(ctx, RECORD_ACCEPT);
}

/* All kernels. */
SEC("tracepoint/syscalls/sys_exit_accept4")
int exit_accept4(struct syscall_exit *ctx)
{
	return socket_exit(ctx, RECORD_ACCEPT);
}

/* include/uapi/linux/bpf.h, struct bpf_sock, up to the members that are used */
struct bpf_sock {
	u32 bound_interface;
	u32 family;
	u32 type;
	u32 protocol;
};

/*
 * A new socket of IPv4 or IPv6, in the process that makes it: before any packet of it, which a
 * system call's end is not. It always lets the socket be made. Links on cgroups: since 5.7.
 */
SEC("cgroup/sock_create")
int on_socket(struct bpf_sock *ctx)
{
	struct owner owner = { .tgid = bpf_get_current_pid_tgid() >> 32 };
	u64 cookie;

	if (!owner.tgid || !is_wanted(GATE_FLOWS))
		return 1;
	owner.net_namespace = net_namespace_of(bpf_get_current_task());
	cookie = bpf_get_socket_cookie(ctx);
	bpf_map_update_elem(&owners, &cookie, &owner, BPF_ANY);
	return 1;
}
