/* Names of languages, look-up of stop words, stems. */
#include "model/language.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include <libstemmer.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NAME_OF(name, text, code) text,
#define CODE_OF(name, text, code) code,
static const char *const names[] = {LANGUAGES(NAME_OF)};
static const char *const codes[] = {LANGUAGES(CODE_OF)};

const char *language_name(enum language l)
{
	assert((unsigned)l < LANGUAGE_COUNT);
	return names[l];
}

static bool is_text(const char *text, const char *s, size_t n)
{
	return strlen(text) == n && memcmp(text, s, n) == 0;
}

int language_parse(const char *s, size_t n, enum language *out)
{
	for (int i = LANGUAGE_NONE + 1; i < LANGUAGE_COUNT; i++) {
		if (is_text(names[i], s, n) || is_text(codes[i], s, n)) {
			*out = (enum language)i;
			return 0;
		}
	}
	return ERR_INPUT;
}

/* ---- stop words ---- */

/* A hash table per language: where each word begins in the language's list, plus one. */
enum { SLOTS = 512, FULLEST = SLOTS / 2 };
static uint16_t tables[LANGUAGE_COUNT][SLOTS];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static size_t word_bytes(const char *at)
{
	return strcspn(at, " ");
}

static void fill_table(uint16_t *table, const char *list)
{
	int n_words = 0;
	for (const char *at = list; *at != '\0'; at += *at == ' ') {
		size_t n = word_bytes(at);
		size_t slot = hash64(at, n) % SLOTS;
		while (table[slot] != 0)
			slot = (slot + 1) % SLOTS;
		assert(n > 0 && at - list < UINT16_MAX && ++n_words <= FULLEST);
		table[slot] = (uint16_t)(at - list + 1);
		at += n;
	}
}

static void fill_tables(void)
{
	for (int i = 0; i < LANGUAGE_COUNT; i++) {
		if (language_stop_words((enum language)i) != NULL)
			fill_table(tables[i], language_stop_words((enum language)i));
	}
}

bool language_has_stop_words(enum language l)
{
	return language_stop_words(l) != NULL;
}

bool language_stops(enum language l, const char *word, size_t n)
{
	const char *list = language_stop_words(l);
	if (list == NULL)
		return false;
	pthread_once(&tables_once, fill_tables);
	const uint16_t *table = tables[l];
	for (size_t slot = hash64(word, n) % SLOTS; table[slot] != 0; slot = (slot + 1) % SLOTS) {
		const char *at = list + table[slot] - 1;
		if (word_bytes(at) == n && memcmp(at, word, n) == 0)
			return true;
	}
	return false;
}

/* ---- stems ---- */

struct stemmer {
	struct sb_stemmer *snowball;
};

struct stemmer *stemmer_new(enum language l)
{
	struct stemmer *s = mem_zalloc(sizeof(*s));
	s->snowball = sb_stemmer_new(language_name(l), NULL);
	/* It is missing only when memory is gone: a test asks for every language. */
	assert(s->snowball != NULL);
	return s;
}

void stemmer_free(struct stemmer *s)
{
	if (s == NULL)
		return;
	sb_stemmer_delete(s->snowball);
	free(s);
}

const char *stemmer_stem(struct stemmer *s, const char *word, size_t n, size_t *stem_n)
{
	*stem_n = n;
	if (n > INT_MAX)
		return word;
	const sb_symbol *stem = sb_stemmer_stem(s->snowball, (const sb_symbol *)word, (int)n);
	assert(stem != NULL); /* out of memory */
	*stem_n = (size_t)sb_stemmer_length(s->snowball);
	return (const char *)stem;
}
