/* SPDX-License-Identifier: GPL-2.0 */
/* The one object of the agent: every family shares its maps. */
#include "walk.c"
#include "process.c"
#include "open.c"
#include "attributes.c"
#include "socket.c"
#include "session.c"
#include "network.c"

char license_text[] SEC("license") = "GPL";
