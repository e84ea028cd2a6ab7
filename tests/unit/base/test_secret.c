/* SHA-256 and HMAC against the examples of FIPS 180-2 and RFC 4231; comparison and random bytes. */
#include "tests/unit/unit.h"

#include "base/secret.h"

#include <stdio.h>
#include <string.h>

static void expect_hex(const uint8_t hash[SECRET_HASH_BYTES], const char *hex)
{
	char text[2 * SECRET_HASH_BYTES + 1];

	for (int i = 0; i < SECRET_HASH_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	assert_string_equal(text, hex);
}

static void hashes(void **state)
{
	uint8_t h[SECRET_HASH_BYTES];
	char million[1000];

	secret_hash("abc", 3, h);
	expect_hex(h, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	secret_hash("", 0, h);
	expect_hex(h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	memset(million, 'a', sizeof(million));
	secret_hash(million, sizeof(million), h);
	expect_hex(h, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3");
}

static void keyed_hashes(void **state)
{
	uint8_t key[SECRET_HASH_BYTES] = {0}, h[SECRET_HASH_BYTES];

	/* A shorter key is the same as one that zeros follow. */
	memset(key, 0x0b, 20);
	secret_hmac(key, "Hi There", 8, h);
	expect_hex(h, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	memset(key, 0, sizeof(key));
	memcpy(key, "Jefe", 4);
	secret_hmac(key, "what do ya want for nothing?", 28, h);
	expect_hex(h, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void comparison(void **state)
{
	assert_true(secret_same("same", "same", 4));
	assert_false(secret_same("same", "sama", 4));
	assert_false(secret_same("same", "tame", 4));
	assert_true(secret_same("", "", 0));
}

static void random_bytes_differ(void **state)
{
	uint8_t a[64] = {0}, b[64] = {0};

	secret_random(a, sizeof(a));
	secret_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_not_equal(a + 32, b + 32, 32);
	secret_random(a, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes),
		cmocka_unit_test(keyed_hashes),
		cmocka_unit_test(comparison),
		cmocka_unit_test(random_bytes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
