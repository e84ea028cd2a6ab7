/* UTF-8 check: eight ASCII bytes at a time, everything else through utf8proc. */
#include "model/utf8.h"
#include "base/codec.h"
#include <utf8proc.h>

bool utf8_valid(const void *bytes, size_t n)
{
	const uint8_t *s = bytes;
	size_t i = 0;
	while (i < n) {
		if (n - i >= 8 && (load_u64(s + i) & 0x8080808080808080u) == 0) {
			i += 8;
			continue;
		}
		if (s[i] < 0x80) {
			i++;
			continue;
		}
		utf8proc_int32_t c;
		size_t left = n - i < 4 ? n - i : 4;
		utf8proc_ssize_t used = utf8proc_iterate(s + i, (utf8proc_ssize_t)left, &c);
		if (used <= 0)
			return false;
		i += (size_t)used;
	}
	return true;
}
