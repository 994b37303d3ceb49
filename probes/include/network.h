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

struct owner {
	u32 tgid;
	u32 net_namespace; /* that the socket was made in */
};

/* One end of a connection as its own namespace names it. IPv4 stands as ::ffff:a.b.c.d; a socket
 * that takes packets from anyone has zeros for the other end. */
struct flow {
	u32 net_namespace;
	u16 protocol;
	u16 local_port; /* host order, like all ports here */
	u16 remote_port;
	u16 reserved;
	u32 remote[4]; /* network order */
};

_Static_assert(sizeof(struct flow) == 28, "the agent writes keys of this size");

/* By the cookie of the socket. */
MAP(owners, MAP_LRU_HASH, 8, sizeof(struct owner), 16384);
/* The thread group of an end. */
MAP(flows, MAP_LRU_HASH, sizeof(struct flow), 4, 16384);

INLINE void set_ipv4(u32 *address, u32 ipv4)
{
	address[0] = 0;
	address[1] = 0;
	address[2] = __builtin_bswap32(0xffff);
	address[3] = ipv4;
}

INLINE void remember_flow(struct flow *flow, u32 tgid)
{
	u32 *known = bpf_map_lookup_elem(&flows, flow);

	if (!known || *known != tgid)
		bpf_map_update_elem(&flows, flow, &tgid, BPF_ANY);
}

/* The process at this end: of the connection, else the one that takes whatever comes to the port;
 * 0 when neither is known. */
INLINE u32 find_flow(struct flow *flow)
{
	u32 *tgid = bpf_map_lookup_elem(&flows, flow);

	if (tgid)
		return *tgid;
	flow->remote_port = 0;
	flow->remote[0] = flow->remote[1] = flow->remote[2] = flow->remote[3] = 0;
	tgid = bpf_map_lookup_elem(&flows, flow);
	return tgid ? *tgid : 0;
}

#endif
