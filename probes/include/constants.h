/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Constants that the agent patches into the instructions.
 *
 * Each use is a 64-bit immediate with a recognisable value (CONSTANT_MAGIC and
 * the constant's number); the agent replaces it before the object is parsed.
 * Unlike a .rodata map this works on kernels before 5.2, needs no load from
 * memory, and the verifier sees a plain number and drops dead branches.
 */
#ifndef CONSTANTS_H
#define CONSTANTS_H

#include "types.h"

enum constant {
#define OFFSET(name, type, member) CONSTANT_##name,
#define VALUE(name) CONSTANT_##name,
#include "constants.def"
#undef OFFSET
#undef VALUE
	CONSTANT_COUNT,
};

#define CONSTANT_MAGIC 0x5ec0a9e700000000

#define CONSTANT(name)                                                        \
	({                                                                    \
		u64 constant_value;                                           \
		asm("%0 = %1 ll"                                              \
		    : "=r"(constant_value)                                    \
		    : "i"(CONSTANT_MAGIC + CONSTANT_##name));                 \
		constant_value;                                               \
	})

/* What a member that this kernel lacks is patched to. */
#define MISSING 0xffffffffffffffffull

#endif
