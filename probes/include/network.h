/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which process a packet belongs to: what system calls and new sockets teach, and what
 * classifiers look up.
 *
 * A classifier runs for a packet, not for a process. Going out, the packet has its
 * socket, whose maker is in `owners`; coming in, its ports and the other end's address
 * are looked up in `flows`, where packets that went out, connect, accept, bind and the
 * agent's snapshot of /proc have put them. So an answer is found behind address
 * translation, too: what went out is noted as it looked on the wire.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include "record.h"

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

/* gates[]: whether owners and flows are to be learnt; no kind has this number. */
#define GATE_FLOWS 0
/* gates[]: whether some network_filter is in force. */
#define GATE_DROPS 31

/* Whose it is, and since when that is known: a process that is younger has only the same number. */
struct owner {
	u32 tgid;
	u32 net_namespace; /* of the socket */
	u64 learnt;        /* CLOCK_MONOTONIC in ns */
	u64 cgroup;        /* where tgid was then, in the unified hierarchy; 0 when unknown */
};

_Static_assert(sizeof(struct owner) == 24, "the agent writes values of this size");

/*
 * One end of a connection as its own namespace names it. IPv4 stands as ::ffff:a.b.c.d. A socket
 * that takes packets from anyone has zeros for the other end, one that takes them at every address
 * has the zero address of its family for its own.
 */
struct flow {
	u32 net_namespace;
	u16 protocol;
	u16 local_port; /* host order, like all ports here */
	u16 remote_port;
	u16 reserved;
	u32 local[4]; /* network order */
	u32 remote[4];
};

_Static_assert(sizeof(struct flow) == 44, "the agent writes keys of this size");

/* By the cookie of the socket. */
MAP(owners, MAP_LRU_HASH, 8, sizeof(struct owner), 32768);
MAP(flows, MAP_LRU_HASH, sizeof(struct flow), sizeof(struct owner), 16384);

INLINE void set_ipv4(u32 *address, u32 ipv4)
{
	address[0] = 0;
	address[1] = 0;
	address[2] = __builtin_bswap32(0xffff);
	address[3] = ipv4;
}

INLINE int is_ipv4(const u32 *address)
{
	return !address[0] && !address[1] && address[2] == __builtin_bswap32(0xffff);
}

INLINE void remember_flow(struct flow *flow, struct owner *owner)
{
	struct owner *known = bpf_map_lookup_elem(&flows, flow);

	if (!known || known->tgid != owner->tgid || known->learnt < owner->learnt)
		bpf_map_update_elem(&flows, flow, owner, BPF_ANY);
}

/* The process at exactly this end of this connection. */
INLINE struct owner *find_connection(struct flow *flow)
{
	return bpf_map_lookup_elem(&flows, flow);
}

/* The process that takes whatever comes to this address and port. */
INLINE struct owner *find_listener(struct flow *flow)
{
	flow->remote_port = 0;
	flow->remote[0] = flow->remote[1] = flow->remote[2] = flow->remote[3] = 0;
	return bpf_map_lookup_elem(&flows, flow);
}

/* The process that takes whatever comes to this port, at any address of this host. */
INLINE struct owner *find_listener_anywhere(struct flow *flow)
{
	if (is_ipv4(flow->local))
		flow->local[3] = 0;
	else
		flow->local[0] = flow->local[1] = flow->local[2] = flow->local[3] = 0;
	return bpf_map_lookup_elem(&flows, flow);
}

#endif
