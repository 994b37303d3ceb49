/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Classifiers of traffic control. Whatever they see, the next filter decides: they
 * return TC_ACT_UNSPEC, except for a packet that a rule's network_filter drops. Direct
 * action: kernels 4.5 on.
 *
 * They only find out what a packet is and whose; what is in it is read by the agent.
 */
#include "include/network.h"

#define TC_ACT_UNSPEC (-1)
#define TC_ACT_SHOT 2
#define LOOPBACK 1
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

#define ETHERNET_HEADER 14
#define ETHERTYPE_OFFSET 12
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define VLAN_HEADER 4
#define IPV6_HEADER 40
#define FRAGMENT_OFFSET 0x1fff /* of the flags and offset of IPv4 */
#define EXTENSIONS 6           /* headers of IPv6 that are skipped */
#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_DESTINATION 60

#define DNS_PORT 53
/* Bytes of a packet that the agent gets: of messages, and of packets that filters let pass. */
#define MESSAGE_ROOM 2048
#define PACKET_ROOM 256

/* include/uapi/linux/bpf.h, struct __sk_buff, up to the members that are used */
struct packet {
	u32 length;
	u32 kind;
	u32 mark;
	u32 queue;
	u32 protocol;
	u32 vlan[3];
	u32 priority;
	u32 ingress_interface;
	u32 interface;
};

struct ipv4_header {
	u8 version_length;
	u8 service;
	u16 total;
	u16 id;
	u16 fragment;
	u8 lifetime;
	u8 protocol;
	u16 checksum;
	u32 source;
	u32 destination;
};

struct ipv6_header {
	u32 version;
	u16 payload;
	u8 next;
	u8 hops;
	u32 source[4];
	u32 destination[4];
};

/* What of a packet its kind and its process are found by. */
struct view {
	u32 source[4]; /* as in struct flow */
	u32 destination[4];
	u16 source_port;
	u16 destination_port;
	u32 protocol;
	u32 transport; /* offset of TCP or UDP */
};

/*
 * What the programs know of the packet under way: classifiers of one CPU do not interrupt each
 * other, and its own control buffer belongs to everyone.
 */
struct packet_state {
	struct view view; /* protocol 0: neither TCP nor UDP */
	u64 cookie;
	u64 drops; /* one bit for each network_filter that is to be asked */
	u32 tgid;
	u32 egress;
	u32 net_namespace;
	u32 reserved;
};

/* Written by the agent: rate; read by it: the rest. */
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
MAP(packet_limits, MAP_ARRAY, 4, sizeof(struct packet_limit), 1);
MAP(drops, MAP_HASH, sizeof(struct drop_scope), 8, 1024);
/*
 * What a packet goes through after its classifier. The filters are made by the agent from pcap
 * expressions: they go to report_packet or drop, or on to next_drop.
 */
MAP(packet_programs, MAP_PROGRAMS, 4, 4, PROGRAM_FIRST_DROP + DROPS);

INLINE int load(struct packet *packet, u32 offset, void *to, u32 size)
{
	return !bpf_skb_load_bytes(packet, offset, to, size);
}

INLINE int view_ipv4(struct packet *packet, struct view *view, u32 offset)
{
	struct ipv4_header header;

	if (!load(packet, offset, &header, sizeof(header)))
		return 0;
	if (__builtin_bswap16(header.fragment) & FRAGMENT_OFFSET)
		return 0;
	set_ipv4(view->source, header.source);
	set_ipv4(view->destination, header.destination);
	view->protocol = header.protocol;
	view->transport = offset + (header.version_length & 0xf) * 4;
	return 1;
}

INLINE int view_ipv6(struct packet *packet, struct view *view, u32 offset)
{
	struct ipv6_header header;
	u8 extension[4];
	u32 next;

	if (!load(packet, offset, &header, sizeof(header)))
		return 0;
	__builtin_memcpy(view->source, header.source, sizeof(header.source));
	__builtin_memcpy(view->destination, header.destination, sizeof(header.destination));
	next = header.next;
	offset += IPV6_HEADER;
#pragma unroll
	for (int place = 0; place < EXTENSIONS; place++) {
		if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_FRAGMENT &&
		    next != NEXT_DESTINATION)
			break;
		if (!load(packet, offset, extension, sizeof(extension)))
			return 0;
		/* The fragment header has a fixed size, and an offset in its upper 13 bits. */
		if (next == NEXT_FRAGMENT && (extension[2] || extension[3] & 0xf8))
			return 0;
		offset += next == NEXT_FRAGMENT ? 8 : (extension[1] + 1) * 8;
		next = extension[0];
	}
	view->protocol = next;
	view->transport = offset;
	return 1;
}

/* Fills the view of a TCP or UDP packet that has ports. */
INLINE int view_packet(struct packet *packet, struct view *view)
{
	u32 offset = ETHERNET_HEADER;
	u16 ports[2];
	u16 type;
	int known;

	if (!load(packet, ETHERTYPE_OFFSET, &type, sizeof(type)))
		return 0;
	if (type == __builtin_bswap16(ETHERTYPE_VLAN)) {
		if (!load(packet, ETHERTYPE_OFFSET + VLAN_HEADER, &type, sizeof(type)))
			return 0;
		offset += VLAN_HEADER;
	}
	if (type == __builtin_bswap16(ETHERTYPE_IPV4))
		known = view_ipv4(packet, view, offset);
	else if (type == __builtin_bswap16(ETHERTYPE_IPV6))
		known = view_ipv6(packet, view, offset);
	else
		return 0;
	if (!known || (view->protocol != IPPROTO_TCP && view->protocol != IPPROTO_UDP))
		return 0;
	if (!load(packet, view->transport, ports, sizeof(ports)))
		return 0;
	view->source_port = __builtin_bswap16(ports[0]);
	view->destination_port = __builtin_bswap16(ports[1]);
	return 1;
}

INLINE int is_metadata_service(const u32 *address)
{
	return address[3] == (u32)CONSTANT(METADATA_ADDRESS) && !address[0] && !address[1] &&
	       address[2] == __builtin_bswap32(0xffff);
}

/* A segment of TCP that carries something. */
INLINE int has_payload(struct packet *packet, struct view *view)
{
	u8 data_offset;

	if (view->protocol != IPPROTO_TCP)
		return 1;
	if (!load(packet, view->transport + 12, &data_offset, sizeof(data_offset)))
		return 0;
	return packet->length > view->transport + (data_offset >> 4) * 4;
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
		__builtin_memcpy(flow->remote, view->destination, sizeof(flow->remote));
	} else {
		flow->local_port = view->destination_port;
		flow->remote_port = view->source_port;
		__builtin_memcpy(flow->remote, view->source, sizeof(flow->remote));
	}
}

/* The process that sent the packet, or that will get it; 0 when it is not known. A socket of
 * another namespace only passes through this one. */
INLINE u32 process_of(struct packet_state *state)
{
	struct owner *owner = state->cookie ? bpf_map_lookup_elem(&owners, &state->cookie) : NULL;
	struct flow flow;

	local_end(&flow, state);
	if (!owner)
		return find_flow(&flow);
	if (owner->net_namespace != state->net_namespace)
		return 0;
	remember_flow(&flow, owner->tgid);
	return owner->tgid;
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

	if (!state->egress)
		return all;
	scope.kind = DROP_CGROUP;
	scope.id = bpf_skb_cgroup_id(packet);
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

	state = bpf_map_lookup_elem(&packet_states, &key);
	if (!state)
		return TC_ACT_UNSPEC;
	state->tgid = 0;
	state->drops = 0;
	state->egress = egress;
	state->net_namespace = CONSTANT(NET_NAMESPACE);
	if (view_packet(packet, &state->view)) {
		kind = kind_of(&state->view);
		if (kind && (!is_wanted(kind) || !has_payload(packet, &state->view)))
			kind = 0;
		if (kind || has_filters || has_drops) {
			state->cookie = egress ? bpf_get_socket_cookie(packet) : 0;
			state->tgid = process_of(state);
		}
	} else {
		state->view.protocol = 0;
		state->cookie = 0;
	}
	if (kind)
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

/* More packets in this second than the agent wants. All CPUs share the count, which may therefore
 * be off by a few. */
INLINE int is_limited(void)
{
	u64 second = bpf_ktime_get_ns() / 1000000000;
	u32 key = 0;
	struct packet_limit *limit = bpf_map_lookup_elem(&packet_limits, &key);

	if (!limit)
		return 1;
	if (limit->second != second) {
		limit->second = second;
		limit->passed = 0;
	}
	if (limit->passed < limit->rate) {
		__sync_fetch_and_add(&limit->passed, 1);
		return 0;
	}
	__sync_fetch_and_add(&limit->limited, 1);
	return 1;
}

/* A packet that the filter of some rule lets pass. */
SEC("classifier/report_packet")
int report_packet(struct packet *packet)
{
	u32 key = 0;
	struct packet_state *state = bpf_map_lookup_elem(&packet_states, &key);

	if (!state)
		return TC_ACT_UNSPEC;
	if (!is_left_out(packet, state) && !is_limited())
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
