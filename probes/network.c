/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Classifiers of traffic control. Whatever they see, the next filter decides: they
 * always return TC_ACT_UNSPEC. Kernels 4.5 on (direct action).
 */
#include "include/record.h"

#define TC_ACT_UNSPEC (-1)

/* include/uapi/linux/bpf.h, up to the members that are used */
struct __sk_buff {
	u32 len;
};

INLINE int classify(struct __sk_buff *packet, u8 egress)
{
	(void)packet;
	(void)egress;
	return CONSTANT(NET_NAMESPACE) == MISSING ? TC_ACT_UNSPEC : TC_ACT_UNSPEC;
}

SEC("classifier/ingress")
int classify_ingress(struct __sk_buff *packet)
{
	return classify(packet, 0);
}

SEC("classifier/egress")
int classify_egress(struct __sk_buff *packet)
{
	return classify(packet, 1);
}
