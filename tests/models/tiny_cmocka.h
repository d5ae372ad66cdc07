/* tiny_cmocka.h - cmocka with what it needs before it. */
#ifndef WH_TESTS_TINY_CMOCKA_H
#define WH_TESTS_TINY_CMOCKA_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
