/* Languages of texts: their names, stop words and stems. The lists of stop words are ours: the
 * words of a language that stand for grammar, not for what a text is about. Stems are those of the
 * Snowball algorithms (Porter; libstemmer). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Name as libstemmer and the API call it, and its code in ISO 639-1, which is accepted too. */
/* clang-format off */
#define LANGUAGES(X) \
	X(LANGUAGE_NONE, "none", "") \
	X(LANGUAGE_ARABIC, "arabic", "ar") \
	X(LANGUAGE_ARMENIAN, "armenian", "hy") \
	X(LANGUAGE_BASQUE, "basque", "eu") \
	X(LANGUAGE_CATALAN, "catalan", "ca") \
	X(LANGUAGE_DANISH, "danish", "da") \
	X(LANGUAGE_DUTCH, "dutch", "nl") \
	X(LANGUAGE_ENGLISH, "english", "en") \
	X(LANGUAGE_FINNISH, "finnish", "fi") \
	X(LANGUAGE_FRENCH, "french", "fr") \
	X(LANGUAGE_GERMAN, "german", "de") \
	X(LANGUAGE_GREEK, "greek", "el") \
	X(LANGUAGE_HINDI, "hindi", "hi") \
	X(LANGUAGE_HUNGARIAN, "hungarian", "hu") \
	X(LANGUAGE_INDONESIAN, "indonesian", "id") \
	X(LANGUAGE_IRISH, "irish", "ga") \
	X(LANGUAGE_ITALIAN, "italian", "it") \
	X(LANGUAGE_LITHUANIAN, "lithuanian", "lt") \
	X(LANGUAGE_NEPALI, "nepali", "ne") \
	X(LANGUAGE_NORWEGIAN, "norwegian", "no") \
	X(LANGUAGE_PORTUGUESE, "portuguese", "pt") \
	X(LANGUAGE_ROMANIAN, "romanian", "ro") \
	X(LANGUAGE_RUSSIAN, "russian", "ru") \
	X(LANGUAGE_SERBIAN, "serbian", "sr") \
	X(LANGUAGE_SPANISH, "spanish", "es") \
	X(LANGUAGE_SWEDISH, "swedish", "sv") \
	X(LANGUAGE_TAMIL, "tamil", "ta") \
	X(LANGUAGE_TURKISH, "turkish", "tr")
/* clang-format on */
#define LANGUAGE_ENUM(name, text, code) name,
enum language { LANGUAGES(LANGUAGE_ENUM) LANGUAGE_COUNT };
#undef LANGUAGE_ENUM

const char *language_name(enum language l);
/* A name or a code, not "none"; 0 or ERR_INPUT (no text). Every one of them has a stemmer. */
int language_parse(const char *s, size_t n, enum language *out);

bool language_has_stop_words(enum language l);
/* Is the word, in lower case and normal form C, a stop word of the language? */
bool language_stops(enum language l, const char *word, size_t n);
/* All of them with a blank between two, NULL without any. */
const char *language_stop_words(enum language l);

/* One for each thread that stems. */
struct stemmer;
struct stemmer *stemmer_new(enum language l); /* not NONE */
void stemmer_free(struct stemmer *s);         /* NULL ok */
/* The stem of a word in lower case; valid until the next call, may be the word itself. */
const char *stemmer_stem(struct stemmer *s, const char *word, size_t n, size_t *stem_n);
