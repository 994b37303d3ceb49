/* SPDX-License-Identifier: GPL-2.0 */
/* Integer types by the names the kernel uses; no kernel header is needed. */
#ifndef TYPES_H
#define TYPES_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;

#define INLINE static inline __attribute__((always_inline))
#define SEC(name) __attribute__((section(name), used))
#define NULL ((void *)0)

#endif
