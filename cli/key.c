/* quiver key create | list | remove: API keys of a cluster. */
#include <stdio.h>
#include <string.h>

#include "cli/session.h"

struct options {
	COMMON_MEMBERS
	bool read_only;
};

static const struct config_row create_rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_BOOL(struct options, read_only, "false",
		    "a key that may search and read, not write"),
};
static const struct config_row plain_rows[] = {
	COMMON_ROWS(struct options),
};

static const struct command_line create_line = {
	.name = "key create",
	.usage = "NAME [--read-only]",
	.about =
		"Makes an API key and prints it. It holds on every node of the cluster at once, beside the\n"
		"keys that a node was started with. Only its hash is kept: it cannot be shown again.\n"
		"From the first key on, every request needs one.",
	.examples = "  quiver key create ingest\n"
		    "  quiver key create website --read-only\n",
	.rows = create_rows,
	.n_rows = N_ROWS(create_rows),
	.min_rest = 1,
	.max_rest = 1,
};
static const struct command_line list_line = {
	.name = "key list",
	.usage = "[--json]",
	.about = "Lists the names of the API keys, and what they may.",
	.examples = "  quiver key list\n",
	.rows = plain_rows,
	.n_rows = N_ROWS(plain_rows),
};
static const struct command_line remove_line = {
	.name = "key remove",
	.usage = "NAME",
	.about =
		"Removes an API key; from then on no node takes it. Exit code 4 when there is none.",
	.examples = "  quiver key remove website\n",
	.rows = plain_rows,
	.n_rows = N_ROWS(plain_rows),
	.min_rest = 1,
	.max_rest = 1,
};

static int run_create(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	struct buf body = BUF_INIT;
	const struct json *result;
	int code = session_begin(&s, &create_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	json_put_literal(&body, "{\"name\":");
	json_put_string(&body, s.rest[0], strlen(s.rest[0]));
	buf_printf(&body, ",\"read_only\":%s}", o.read_only ? "true" : "false");
	int rc = session_call(&s, "POST", "/v1/keys", &body, &result, &err);

	buf_fini(&body);
	if (rc != 0)
		return session_fail(&s, rc, &err);
	if (s.json)
		session_print_json(result);
	else
		printf("%s\n", client_text(client_get(result, "key")));
	return session_end(&s, EXIT_DONE);
}

static int run_list(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	const struct json *result, *keys;
	int code = session_begin(&s, &list_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	int rc = session_call(&s, "GET", "/v1/keys", NULL, &result, &err);

	if (rc != 0)
		return session_fail(&s, rc, &err);
	keys = client_get(result, "keys");
	if (s.json && keys != NULL) {
		session_print_json(keys);
	} else if (keys != NULL) {
		struct json_iter it = json_iterate(keys);

		if (json_count(keys) == 0)
			printf("no keys; quiver key create makes some\n");
		while (json_next(&it)) {
			const struct json *read_only = client_get(it.value, "read_only");

			printf("%-40s %s\n", client_text(client_get(it.value, "name")),
			       read_only != NULL && json_bool(read_only) ? "read only" : "full");
		}
	}
	return session_end(&s, EXIT_DONE);
}

static int run_remove(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	int code = session_begin(&s, &remove_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	int rc = session_call(&s, "DELETE", client_path(s.arena, "/v1/keys/", s.rest[0], ""), NULL,
			      NULL, &err);

	if (rc != 0)
		return session_fail(&s, rc, &err);
	return session_done(&s, "{\"removed\":true}", "removed %s", s.rest[0]);
}

int command_key(int argc, char **argv)
{
	static const struct session_verb verbs[] = {{"create", run_create},
						    {"list", run_list},
						    {"remove", run_remove},
						    {NULL, NULL}};

	return session_verbs("key", "create NAME [--read-only] | list | remove NAME",
			     "  quiver key create ingest\n  quiver key list\n", verbs, argc, argv);
}
