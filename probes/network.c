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
INLINE void local_end(struct flow *flow, struct view *view, u8 egress)
{
	flow->net_namespace = CONSTANT(NET_NAMESPACE);
	flow->protocol = view->protocol;
	flow->local_port = egress ? view->source_port : view->destination_port;
	flow->remote_port = egress ? view->destination_port : view->source_port;
	flow->reserved = 0;
	__builtin_memcpy(flow->remote, egress ? view->destination : view->source,
			 sizeof(flow->remote));
}

/* The process that sent the packet, or that will get it; 0 when it is not known. A socket of
 * another namespace only passes through this one. */
INLINE u32 process_of(struct view *view, u8 egress, u64 cookie)
{
	struct owner *owner = cookie ? bpf_map_lookup_elem(&owners, &cookie) : NULL;
	struct flow flow;

	local_end(&flow, view, egress);
	if (!egress || !owner)
		return find_flow(&flow);
	if (owner->net_namespace != (u32)CONSTANT(NET_NAMESPACE))
		return 0;
	remember_flow(&flow, owner->tgid);
	return owner->tgid;
}

INLINE void report(struct packet *packet, u32 kind, u8 egress, u64 cookie, u32 tgid, u32 room)
{
	u64 captured = packet->length < room ? packet->length : room;
	struct counters *counters = counters_of(kind);
	struct packet_record record = {};
	long failed;

	record.header.kind = kind;
	record.header.size = sizeof(record) + captured;
	record.header.tgid = tgid;
	record.header.tid = tgid;
	record.cookie = cookie;
	record.net_namespace = CONSTANT(NET_NAMESPACE);
	record.interface = packet->interface;
	record.length = packet->length;
	record.captured = captured;
	record.egress = egress;
	record.header.timestamp = bpf_ktime_get_ns();
	failed = bpf_perf_event_output(packet, &events, captured << 32 | BPF_F_CURRENT_CPU, &record,
				       sizeof(record));
	if (!counters)
		return;
	counters->emitted++;
	if (failed)
		counters->lost++;
}

INLINE int classify(struct packet *packet, u8 egress)
{
	struct view view = {};
	u64 cookie;
	u32 kind;

	if (!view_packet(packet, &view))
		return TC_ACT_UNSPEC;
	kind = kind_of(&view);
	if (kind && is_wanted(kind) && has_payload(packet, &view)) {
		cookie = egress ? bpf_get_socket_cookie(packet) : 0;
		report(packet, kind, egress, cookie, process_of(&view, egress, cookie),
		       MESSAGE_ROOM);
	}
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
