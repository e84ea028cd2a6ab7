/* See secret.h. The only file that sees OpenSSL. */
#include "base/secret.h"

#include "base/assert.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

/* Both fail only when the library has no SHA-256, or memory is gone. */
void secret_hash(const void *bytes, size_t n, uint8_t out[SECRET_HASH_BYTES])
{
	int done = EVP_Digest(bytes, n, out, NULL, EVP_sha256(), NULL);

	assert(done == 1);
}

void secret_hmac(const uint8_t key[SECRET_HASH_BYTES], const void *bytes, size_t n,
		 uint8_t out[SECRET_HASH_BYTES])
{
	unsigned char *done = HMAC(EVP_sha256(), key, SECRET_HASH_BYTES, bytes, n, out, NULL);

	assert(done != NULL);
}

bool secret_same(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void secret_random(void *out, size_t n)
{
	uint8_t *at = out;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got > 0) { /* else a signal came */
			at += got;
			n -= (size_t)got;
		}
	}
}
