/* One run of a command that talks to a server: its arena, its connection, its arguments. */
#pragma once
#include "cli/client.h"
#include "cli/command.h"

/* How the options of every command begin. */
struct session_options {
	COMMON_MEMBERS
};

struct session {
	struct arena *arena;
	struct client *client;
	const char *name; /* of the command */
	bool json;
	const char **rest; /* arguments that are no flags */
	size_t n_rest;
};

/* Reads the command line into `options`, whose struct begins with COMMON_MEMBERS. -1 to go on, else the exit code for session_end. */
int session_begin(struct session *s, const struct command_line *line, int argc, char **argv,
		  void *options);
/* Frees everything; returns `code`. */
int session_end(struct session *s, int code);
/* Tells the failure, and ends. */
int session_fail(struct session *s, int rc, const struct error *err);
/* Tells that it is done, as the JSON or as the text that `format` makes, and ends. */
int session_done(struct session *s, const char *json, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* client_call(); body NULL: none. */
int session_call(struct session *s, const char *method, const char *path, const struct buf *body,
		 const struct json **result, struct error *err);
/* A value of the answer, as one line of JSON. */
void session_print_json(const struct json *v);

/* `collection create`, `key list`, ...: runs the verb that argv[1] names. */
struct session_verb {
	const char *name;
	int (*run)(int argc, char **argv);
};
int session_verbs(const char *command, const char *usage, const char *examples,
		  const struct session_verb *verbs, int argc, char **argv);
