/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Classifiers of traffic control. Whatever they see, the next filter decides: they
 * return TC_ACT_UNSPEC, except for a packet that a rule's network_filter drops. Direct
 * action: kernels 4.5 on.
 *
 * They only find out what a packet is and whose; what is in it is read by the agent.
 */
#include "include/network.h"
#include "include/packet.h"

#define TC_ACT_UNSPEC (-1)
#define TC_ACT_SHOT 2
#define LOOPBACK 1
/* include/uapi/linux/if_packet.h: seen in passing, as on the port of a bridge. */
#define PACKET_OTHERHOST 3
#define TCP_SYN 0x02
#define TCP_ACK 0x10

/* Places in packet_programs. */
#define PROGRAM_FILTERS 0
#define PROGRAM_REPORT 1
#define PROGRAM_NEXT_DROP 2
#define PROGRAM_DROP 3
#define PROGRAM_FIRST_DROP 8
/* Each takes two of the 32 tail calls that a packet may go through. */
#define DROPS 12

#define DROP_PROCESS 1
#define DROP_CGROUP 2

/* Which packets without a process are reported. */
#define NOBODY_ALL 0
#define NOBODY_SYN 1
#define NOBODY_NONE 2

#define DNS_PORT 53
/* Bytes of a packet that the agent gets: of messages, and of packets that filters let pass. */
#define MESSAGE_ROOM 2048
#define PACKET_ROOM 256
/* Messages in a second that are reported without a process. */
#define STRANGERS 2000

/* include/uapi/linux/bpf.h, up to the members that are used */
struct bpf_sock {
	u32 bound_interface;
	u32 family;
};

/* include/uapi/linux/bpf.h */
struct bpf_fib_lookup {
	u8 family;
	u8 protocol;
	u16 source_port, destination_port; /* network order */
	u16 total;
	u32 interface;
	u32 service;
	u32 source[4];
	u32 destination[4];
	u32 table;
	u8 hardware[12];
};

_Static_assert(sizeof(struct bpf_fib_lookup) == 64, "struct bpf_fib_lookup");

#define FIB_NOT_FORWARDED 4
#define FIB_FORWARDING_DISABLED 5

/*
 * What the programs know of the packet under way: classifiers of one CPU do not interrupt each
 * other, and its own control buffer belongs to everyone.
 */
struct packet_state {
	struct view view; /* protocol 0: neither TCP nor UDP */
	u64 cookie;
	u64 learnt;
	u64 cgroup; /* of tgid; for incoming packets only */
	u64 drops; /* one bit for each network_filter that is to be asked */
	u32 tgid;
	u32 egress;
	u32 net_namespace;
	u32 reserved;
};

/* [0]: of packets that filters let pass; the agent writes the rate and reads the rest. [1]: of
 * messages of nobody on this host, which anyone can send. */
struct packet_limit {
	u64 rate; /* packets in a second */
	u64 second;
	u64 passed; /* in it */
	u64 limited;
	u64 dropped;
};

/* Whose packets a network_filter drops. */
struct drop_scope {
	u64 kind;
	u64 id; /* thread group, or id of a cgroup of the unified hierarchy */
};

MAP(packet_states, MAP_PERCPU_ARRAY, 4, sizeof(struct packet_state), 1);
MAP(packet_limits, MAP_ARRAY, 4, sizeof(struct packet_limit), 2);
MAP(drops, MAP_HASH, sizeof(struct drop_scope), 8, 1024);
/*
 * What a packet goes through after its classifier. The filters are made by the agent from pcap
 * expressions: they go to report_packet or drop, or on to next_drop.
 */
MAP(packet_programs, MAP_PROGRAMS, 4, 4, PROGRAM_FIRST_DROP + DROPS);

INLINE int is_metadata_service(const u32 *address)
{
	return is_ipv4(address) && address[3] == (u32)CONSTANT(METADATA_ADDRESS);
}

INLINE u32 kind_of(struct view *view)
{
	if (view->source_port == DNS_PORT || view->destination_port == DNS_PORT)
		return RECORD_DNS;
	if (view->protocol == IPPROTO_TCP &&
	    (is_metadata_service(view->source) || is_metadata_service(view->destination)))
		return RECORD_IMDS;
	return 0;
}

/* A packet of TCP or UDP, and neither of its ports is that of DNS. */
INLINE int has_other_ports(u8 protocol, const u16 *ports)
{
	u16 dns = __builtin_bswap16(DNS_PORT);

	return (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && ports[0] != dns &&
	       ports[1] != dns;
}

INLINE int is_other_ipv4(struct ipv4_header *header, u8 *end)
{
	u32 service = CONSTANT(METADATA_ADDRESS);
	u16 *ports = (u16 *)(header + 1);

	return (u8 *)(ports + 2) <= end && header->version_length == 0x45 &&
	       !(header->fragment & __builtin_bswap16(FRAGMENT_OFFSET)) &&
	       has_other_ports(header->protocol, ports) && header->source != service &&
	       header->destination != service;
}

INLINE int is_other_ipv6(struct ipv6_header *header, u8 *end)
{
	u16 *ports = (u16 *)(header + 1);

	return (u8 *)(ports + 2) <= end && has_other_ports(header->next, ports);
}

/*
 * A packet that is no message of any kind, as most are, told from its bytes where they lie. 0 for
 * all that takes a closer look.
 */
INLINE int is_no_message(struct packet *packet)
{
	u8 *start = (u8 *)(u64)packet->data;
	u8 *end = (u8 *)(u64)packet->data_end;
	u16 type;

	if (start + ETHERNET_HEADER > end)
		return 0;
	type = *(u16 *)(start + ETHERTYPE_OFFSET);
	if (type == __builtin_bswap16(ETHERTYPE_IPV4))
		return is_other_ipv4((struct ipv4_header *)(start + ETHERNET_HEADER), end);
	if (type == __builtin_bswap16(ETHERTYPE_IPV6))
		return is_other_ipv6((struct ipv6_header *)(start + ETHERNET_HEADER), end);
	return 0;
}

/* The end of the packet's connection that is in this namespace. */
INLINE void local_end(struct flow *flow, struct packet_state *state)
{
	struct view *view = &state->view;

	flow->net_namespace = state->net_namespace;
	flow->protocol = view->protocol;
	flow->reserved = 0;
	if (state->egress) {
		flow->local_port = view->source_port;
		flow->remote_port = view->destination_port;
		__builtin_memcpy(flow->local, view->source, sizeof(flow->local));
		__builtin_memcpy(flow->remote, view->destination, sizeof(flow->remote));
	} else {
		flow->local_port = view->destination_port;
		flow->remote_port = view->source_port;
		__builtin_memcpy(flow->local, view->destination, sizeof(flow->local));
		__builtin_memcpy(flow->remote, view->source, sizeof(flow->remote));
	}
}

/* The packet ends on this host, and only passes through it otherwise. */
INLINE int is_for_this_host(struct packet *packet, struct view *view)
{
	struct bpf_fib_lookup route = {
		.family = is_ipv4(view->destination) ? AF_INET : AF_INET6,
		.interface = packet->interface,
	};
	long result;

	if (route.family == AF_INET) {
		route.source[0] = view->source[3];
		route.destination[0] = view->destination[3];
	} else {
		__builtin_memcpy(route.source, view->source, sizeof(route.source));
		__builtin_memcpy(route.destination, view->destination, sizeof(route.destination));
	}
	result = bpf_fib_lookup(packet, &route, sizeof(route), 0);
	return result == FIB_NOT_FORWARDED || result == FIB_FORWARDING_DISABLED;
}

/* The process that gets an incoming packet, or sent one whose socket is older than the agent. */
INLINE struct owner *owner_by_addresses(struct packet *packet, struct packet_state *state)
{
	struct owner *owner;
	struct flow flow;

	local_end(&flow, state);
	owner = find_connection(&flow);
	if (!owner)
		owner = find_listener(&flow);
	if (owner)
		return owner;
	if (!state->egress &&
	    (packet->kind == PACKET_OTHERHOST || !is_for_this_host(packet, &state->view)))
		return NULL;
	return find_listener_anywhere(&flow);
}

/* The packet has a socket of IPv4 or IPv6: it was sent by this host. Who writes whole packets may
 * write any port into them. */
INLINE int has_socket(struct packet *packet)
{
	struct bpf_sock *sock = (struct bpf_sock *)packet->sock;

	if (!sock)
		return 0;
	sock = bpf_sk_fullsock(sock);
	return sock && (sock->family == AF_INET || sock->family == AF_INET6);
}

/* Finds the process that sent the packet, or that will get it; none when it only passes through
 * this namespace. */
INLINE void find_process(struct packet *packet, struct packet_state *state)
{
	struct owner *owner = NULL;
	struct flow flow;

	state->cookie = state->egress ? bpf_get_socket_cookie(packet) : 0;
	if (state->cookie)
		owner = bpf_map_lookup_elem(&owners, &state->cookie);
	if (owner && owner->net_namespace != state->net_namespace)
		return;
	if (owner && state->view.protocol) {
		local_end(&flow, state);
		remember_flow(&flow, owner);
	} else if (!owner && state->view.protocol && (!state->egress || has_socket(packet))) {
		owner = owner_by_addresses(packet, state);
	}
	if (!owner)
		return;
	state->tgid = owner->tgid;
	state->learnt = owner->learnt;
	state->cgroup = owner->cgroup;
}

/* More packets in this second than the rate. All CPUs share the count, which may therefore be off
 * by a few. */
INLINE int is_limited(u32 place, u64 rate)
{
	u64 second = bpf_ktime_get_ns() / 1000000000;
	struct packet_limit *limit = bpf_map_lookup_elem(&packet_limits, &place);

	if (!limit)
		return 1;
	if (limit->second != second) {
		limit->second = second;
		limit->passed = 0;
	}
	if (limit->passed < (rate ? rate : limit->rate)) {
		__sync_fetch_and_add(&limit->passed, 1);
		return 0;
	}
	__sync_fetch_and_add(&limit->limited, 1);
	return 1;
}

INLINE void report(struct packet *packet, struct packet_state *state, u32 kind, u32 room)
{
	u64 captured = packet->length < room ? packet->length : room;
	struct counters *counters = counters_of(kind);
	struct packet_record record = {};
	long failed;

	record.header.kind = kind;
	record.header.size = sizeof(record) + captured;
	record.header.tgid = state->tgid;
	record.header.tid = state->tgid;
	record.cookie = state->cookie;
	record.learnt = state->learnt;
	if (CONSTANT(PACKET_SEGMENT) != MISSING)
		record.segment = packet->segment;
	record.net_namespace = state->net_namespace;
	record.interface = packet->interface;
	record.length = packet->length;
	record.captured = captured;
	record.egress = state->egress;
	record.header.timestamp = bpf_ktime_get_ns();
	failed = bpf_perf_event_output(packet, &events, captured << 32 | BPF_F_CURRENT_CPU, &record,
				       sizeof(record));
	if (!counters)
		return;
	counters->emitted++;
	if (failed)
		counters->lost++;
}

/* The drops of rules that this packet's process or its cgroup has. */
INLINE u64 drops_of(struct packet *packet, struct packet_state *state)
{
	struct drop_scope scope = { .kind = DROP_PROCESS, .id = state->tgid };
	u64 *found = state->tgid ? bpf_map_lookup_elem(&drops, &scope) : NULL;
	u64 all = found ? *found : 0;

	scope.kind = DROP_CGROUP;
	scope.id = state->egress ? bpf_skb_cgroup_id(packet) : state->cgroup;
	found = scope.id ? bpf_map_lookup_elem(&drops, &scope) : NULL;
	return found ? all | *found : all;
}

INLINE int classify(struct packet *packet, u32 egress)
{
	int has_filters = is_wanted(RECORD_PACKET);
	int has_drops = is_wanted(GATE_DROPS);
	struct packet_state *state;
	u32 kind = 0;
	u32 key = 0;

	if (!has_filters && !has_drops && is_no_message(packet))
		return TC_ACT_UNSPEC;
	state = bpf_map_lookup_elem(&packet_states, &key);
	if (!state)
		return TC_ACT_UNSPEC;
	state->tgid = 0;
	state->learnt = 0;
	state->cgroup = 0;
	state->cookie = 0;
	state->drops = 0;
	state->egress = egress;
	state->net_namespace = CONSTANT(NET_NAMESPACE);
	if (view_packet(packet, &state->view))
		kind = kind_of(&state->view);
	else
		state->view.protocol = 0;
	if (kind && (!is_wanted(kind) || !has_payload(packet, &state->view)))
		kind = 0;
	if (kind || has_filters || has_drops)
		find_process(packet, state);
	if (kind && !state->tgid && is_limited(1, STRANGERS))
		count_lost(kind);
	else if (kind)
		report(packet, state, kind, MESSAGE_ROOM);
	if (has_drops)
		state->drops = drops_of(packet, state);
	if (has_filters)
		bpf_tail_call(packet, &packet_programs, PROGRAM_FILTERS);
	if (state->drops)
		bpf_tail_call(packet, &packet_programs, PROGRAM_NEXT_DROP);
	return TC_ACT_UNSPEC;
}

SEC("classifier/ingress")
int classify_ingress(struct packet *packet)
{
	return classify(packet, 0);
}

SEC("classifier/egress")
int classify_egress(struct packet *packet)
{
	return classify(packet, 1);
}

/* Whether a packet without a process is left out (raw_packet.filter, in the flags of the gate). */
INLINE int is_left_out(struct packet *packet, struct packet_state *state)
{
	u32 kind = RECORD_PACKET;
	struct gate *gate = bpf_map_lookup_elem(&gates, &kind);
	u8 flags = 0;

	if (state->tgid || !gate || gate->flags == NOBODY_ALL)
		return 0;
	if (gate->flags == NOBODY_NONE || state->view.protocol != IPPROTO_TCP)
		return 1;
	if (!load(packet, state->view.transport + 13, &flags, sizeof(flags)))
		return 1;
	return (flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
}

/* A packet that the filter of some rule lets pass. */
SEC("classifier/report_packet")
int report_packet(struct packet *packet)
{
	u32 key = 0;
	struct packet_state *state = bpf_map_lookup_elem(&packet_states, &key);

	if (!state)
		return TC_ACT_UNSPEC;
	if (!is_left_out(packet, state) && !is_limited(0, 0))
		report(packet, state, RECORD_PACKET, PACKET_ROOM);
	if (state->drops)
		bpf_tail_call(packet, &packet_programs, PROGRAM_NEXT_DROP);
	return TC_ACT_UNSPEC;
}

/* Goes to the filter of the next drop that this packet's process has. */
SEC("classifier/next_drop")
int next_drop(struct packet *packet)
{
	u32 key = 0;
	struct packet_state *state = bpf_map_lookup_elem(&packet_states, &key);

	if (!state)
		return TC_ACT_UNSPEC;
#pragma unroll
	for (u32 place = 0; place < DROPS; place++) {
		if (state->drops & 1ull << place) {
			state->drops &= ~(1ull << place);
			bpf_tail_call(packet, &packet_programs, PROGRAM_FIRST_DROP + place);
		}
	}
	return TC_ACT_UNSPEC;
}

/* A packet that a rule drops. Loopback, which is number 1 in every namespace, stays whole. */
SEC("classifier/drop")
int drop(struct packet *packet)
{
	u32 key = 0;
	struct packet_limit *limit = bpf_map_lookup_elem(&packet_limits, &key);

	if (packet->interface == LOOPBACK)
		return TC_ACT_UNSPEC;
	if (limit)
		__sync_fetch_and_add(&limit->dropped, 1);
	return TC_ACT_SHOT;
}
