/* Assertions. They stay on in release builds: a broken invariant ends the process before it can
 * write or answer something false. `assert_hot` is for inner loops and is compiled out unless
 * QUIVER_ASSERT_HOT is defined (sanitizer builds define it).
 */
#pragma once

__attribute__((noreturn, cold)) void assert_fail(const char *file, int line, const char *expr);

#undef assert
#define assert(expr)                                                                               \
	(__builtin_expect(!!(expr), 1) ? (void)0 : assert_fail(__FILE__, __LINE__, #expr))

#ifdef QUIVER_ASSERT_HOT
#define assert_hot(expr) assert(expr)
#else
#define assert_hot(expr) ((void)sizeof(expr))
#endif
