/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A packet as a classifier gets it: from its Ethernet header to the ports of TCP and
 * UDP, as far as its kind and its process are found by them.
 */
#ifndef PACKET_H
#define PACKET_H

#include "network.h"

#define ETHERNET_HEADER 14
#define ETHERTYPE_OFFSET 12
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define VLAN_HEADER 4
#define IPV6_HEADER 40
#define FRAGMENT_OFFSET 0x1fff /* of the flags and offset of IPv4 */
#define EXTENSIONS 8           /* headers of IPv6 that are skipped */
#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_AUTHENTICATION 51
#define NEXT_DESTINATION 60

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
	u32 class_index;
	u32 control[5];
	u32 hash;
	u32 class;
	u32 data, data_end;
	u32 napi;
	u32 of_socket[13];
	u32 data_meta;
	u64 flow_keys;
	u64 stamp;
	u32 wire_length;
	u32 segments;
	u64 sock; /* struct bpf_sock * (5.1) */
	u32 segment; /* gso_size (5.7) */
};

_Static_assert(__builtin_offsetof(struct packet, sock) == 168, "struct __sk_buff");
_Static_assert(__builtin_offsetof(struct packet, segment) == 176, "struct __sk_buff");

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
		    next != NEXT_AUTHENTICATION && next != NEXT_DESTINATION)
			break;
		if (!load(packet, offset, extension, sizeof(extension)))
			return 0;
		/* The fragment header has a fixed size, and an offset in its upper 13 bits. */
		if (next == NEXT_FRAGMENT && (extension[2] || extension[3] & 0xf8))
			return 0;
		if (next == NEXT_FRAGMENT)
			offset += 8;
		else if (next == NEXT_AUTHENTICATION)
			offset += (extension[1] + 2) * 4;
		else
			offset += (extension[1] + 1) * 8;
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

#endif
