/* What secrets need: SHA-256, its keyed form (HMAC, RFC 2104), a comparison that takes as long for a wrong value as for a right one,
 * and random bytes that nobody can guess. From OpenSSL's libcrypto and the kernel. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SECRET_HASH_BYTES = 32 };

void secret_hash(const void *bytes, size_t n, uint8_t out[SECRET_HASH_BYTES]);
void secret_hmac(const uint8_t key[SECRET_HASH_BYTES], const void *bytes, size_t n,
		 uint8_t out[SECRET_HASH_BYTES]);
bool secret_same(const void *a, const void *b, size_t n);
void secret_random(void *out, size_t n);
