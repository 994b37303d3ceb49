/* SPDX-License-Identifier: GPL-2.0 */
/* connect, bind and accept, and the makers of sockets. */
#include "include/file.h"
#include "include/network.h"

#define ENOTSOCK 88
#define EBADF 9
#define EFAULT 14
#define EINPROGRESS 115

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

/* An address of a socket: `ipv4` and `ipv6` are where its two forms are. */
INLINE void read_address(u32 *to, u16 family, u64 ipv4, u64 ipv6)
{
	if (family == AF_INET)
		set_ipv4(to, read_u32(ipv4));
	else
		bpf_probe_read_kernel(to, 16, (void *)ipv6);
}

/* The namespace of a socket, which need not be that of the task that holds it. */
INLINE u32 namespace_of_sock(u64 sock)
{
	return MEMBER_U32(MEMBER_U64(sock, SOCK_NET), NET_INUM);
}

/* Before 5.6 the protocol has eight bits, and others behind them. */
INLINE u16 protocol_of_sock(u64 sock)
{
	u16 protocol = MEMBER_U16(sock, SOCK_PROTOCOL);

	return CONSTANT(SOCK_PROTOCOL_BITS) == 8 ? protocol & 0xff : protocol;
}

/* A socket of IPv6 that takes no IPv4: a bit behind the state (struct sock_common). */
INLINE int is_only_ipv6(u64 sock)
{
	u64 state = ADDRESS(sock, SOCK_STATE);

	return state && read_u16(state) & 1 << (8 + 5);
}

/* Learns whose this socket is. */
INLINE void learn_socket(u64 sock)
{
	u16 family = MEMBER_U16(sock, SOCK_FAMILY);
	struct owner owner = {
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.net_namespace = namespace_of_sock(sock),
		.learnt = bpf_ktime_get_ns(),
		.cgroup = bpf_get_current_cgroup_id(),
	};
	struct flow flow = {
		.net_namespace = owner.net_namespace,
		.protocol = protocol_of_sock(sock),
		.local_port = MEMBER_U16(sock, SOCK_LOCAL_PORT),
		.remote_port = __builtin_bswap16(MEMBER_U16(sock, SOCK_REMOTE_PORT)),
	};
	u64 cookie;

	if (family != AF_INET && family != AF_INET6)
		return;
	cookie = MEMBER_U64(sock, SOCK_COOKIE);
	if (cookie)
		bpf_map_update_elem(&owners, &cookie, &owner, BPF_ANY);
	if (!flow.local_port)
		return;
	read_address(flow.local, family, ADDRESS(sock, SOCK_LOCAL), ADDRESS(sock, SOCK_LOCAL6));
	if (flow.remote_port)
		read_address(flow.remote, family, ADDRESS(sock, SOCK_REMOTE),
			     ADDRESS(sock, SOCK_REMOTE6));
	remember_flow(&flow, &owner);
	/* Every address of IPv6 is every address of IPv4, too. */
	if (family == AF_INET6 && !flow.remote_port && !flow.local[0] && !flow.local[1] &&
	    !flow.local[2] && !flow.local[3] && !is_only_ipv6(sock)) {
		set_ipv4(flow.local, 0);
		remember_flow(&flow, &owner);
	}
}

INLINE struct socket_record *begin_socket(struct scratch *scratch, u64 task, u64 sock,
					  s32 descriptor)
{
	struct socket_record *record = (struct socket_record *)scratch->record;
	u64 socket = MEMBER_U64(file_of_descriptor(task, descriptor), FILE_PRIVATE);

	__builtin_memset(record->address, 0, sizeof(record->address));
	record->family = MEMBER_U16(sock, SOCK_FAMILY);
	record->port = 0;
	record->protocol = protocol_of_sock(sock);
	record->type = MEMBER_U16(socket, SOCKET_TYPE);
	record->net_namespace = namespace_of_sock(sock);
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

/* An address as the socket has it: the caller cannot have changed it meanwhile. */
INLINE void fill_from_sock(struct socket_record *record, u16 port, u64 ipv4, u64 ipv6)
{
	record->port = port;
	if (record->family == AF_INET)
		bpf_probe_read_kernel(record->address, 4, (void *)ipv4);
	else
		bpf_probe_read_kernel(record->address, 16, (void *)ipv6);
}

/* The address that the call is about: the socket's once it has one, else what was asked for. */
INLINE void fill_address(struct socket_record *record, u64 sock, u32 kind, s64 result, u64 given)
{
	u16 remote_port = __builtin_bswap16(MEMBER_U16(sock, SOCK_REMOTE_PORT));
	int has_address = record->family == AF_INET || record->family == AF_INET6;

	if (kind == RECORD_BIND && has_address && !result)
		fill_from_sock(record, MEMBER_U16(sock, SOCK_LOCAL_PORT),
			       ADDRESS(sock, SOCK_LOCAL), ADDRESS(sock, SOCK_LOCAL6));
	else if (kind != RECORD_BIND && has_address && remote_port &&
		 (result >= 0 || result == -EINPROGRESS))
		fill_from_sock(record, remote_port, ADDRESS(sock, SOCK_REMOTE),
			       ADDRESS(sock, SOCK_REMOTE6));
	else if (kind != RECORD_ACCEPT)
		fill_given(record, given);
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
	if (sock && (ctx->result >= 0 || ctx->result == -EINPROGRESS) && is_wanted(GATE_FLOWS))
		learn_socket(sock);
	if (!is_wanted(kind) || is_ignored())
		return 0;
	scratch = begin_record(task, kind, sizeof(*record), ctx->result);
	if (!scratch)
		return 0;
	record = begin_socket(scratch, task, sock, descriptor);
	fill_address(record, sock, kind, ctx->result, ARGUMENT_1(registers));
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

/* A socket belongs to the process that made it until another one connects, binds or sends. */
INLINE void learn_owner(void *ctx)
{
	struct owner owner = {
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.net_namespace = net_namespace_of(bpf_get_current_task()),
		.learnt = bpf_ktime_get_ns(),
		.cgroup = bpf_get_current_cgroup_id(),
	};
	u64 cookie = bpf_get_socket_cookie(ctx);

	if (owner.tgid && cookie)
		bpf_map_update_elem(&owners, &cookie, &owner, BPF_ANY);
}

/*
 * A new socket of IPv4 or IPv6, in the process and namespace that make it: before any packet of
 * it, which a system call's end is not. All of these let happen what happens. Links on cgroups:
 * since 5.7.
 */
SEC("cgroup/sock_create")
int on_socket(void *ctx)
{
	if (is_wanted(GATE_FLOWS))
		learn_owner(ctx);
	return 1;
}

/* Since 5.9. */
SEC("cgroup/sock_release")
int on_socket_release(void *ctx)
{
	u64 cookie = bpf_get_socket_cookie(ctx);

	bpf_map_delete_elem(&owners, &cookie);
	return 1;
}

/* Who sends a datagram to an address of its own need not be who made the socket. */
INLINE int on_datagram(void *ctx)
{
	u64 cookie = bpf_get_socket_cookie(ctx);
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct owner *owner = bpf_map_lookup_elem(&owners, &cookie);

	if (owner && tgid && owner->tgid != tgid) {
		struct owner sender = *owner;

		sender.tgid = tgid;
		sender.learnt = bpf_ktime_get_ns();
		sender.cgroup = bpf_get_current_cgroup_id();
		bpf_map_update_elem(&owners, &cookie, &sender, BPF_ANY);
	}
	return 1;
}

/* Since 4.18, as a link since 5.7. */
SEC("cgroup/sendmsg4")
int on_datagram4(void *ctx)
{
	return on_datagram(ctx);
}

SEC("cgroup/sendmsg6")
int on_datagram6(void *ctx)
{
	return on_datagram(ctx);
}
