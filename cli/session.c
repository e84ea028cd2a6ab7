#include "cli/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int session_begin(struct session *s, const struct command_line *line, int argc, char **argv,
		  void *options)
{
	struct command_args args = {.argc = argc, .argv = argv};
	const struct session_options *common = options;
	struct error err = {0};
	int code, rc;

	*s = (struct session){.arena = arena_new(4096), .name = line->name};
	code = command_parse(line, &args, options, s->arena);
	if (code >= 0)
		return code;
	s->rest = args.rest;
	s->n_rest = args.n_rest;
	s->json = common->json;
	rc = client_new(&s->client, common->url, common->api_key, common->timeout, &err);
	return rc != 0 ? command_fail(line->name, s->json, rc, &err) : -1;
}

int session_end(struct session *s, int code)
{
	client_free(s->client);
	arena_free(s->arena);
	return code;
}

int session_fail(struct session *s, int rc, const struct error *err)
{
	return session_end(s, command_fail(s->name, s->json, rc, err));
}

int session_done(struct session *s, const char *json, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (s->json)
		fputs(json, stdout);
	else
		vprintf(format, args);
	va_end(args);
	putchar('\n');
	return session_end(s, EXIT_DONE);
}

int session_call(struct session *s, const char *method, const char *path, const struct buf *body,
		 const struct json **result, struct error *err)
{
	const struct client_request request = {.method = method,
					       .path = path,
					       .body = body != NULL ? body->data : NULL,
					       .body_n = body != NULL ? body->len : 0};
	const struct json *ignored;

	return client_call(s->client, &request, result != NULL ? result : &ignored, err);
}

void session_print_json(const struct json *v)
{
	struct buf text = BUF_INIT;

	json_put_value(&text, v);
	buf_put_u8(&text, '\n');
	fwrite(text.data, 1, text.len, stdout);
	buf_fini(&text);
}

int session_verbs(const char *command, const char *usage, const char *examples,
		  const struct session_verb *verbs, int argc, char **argv)
{
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		printf("Usage: quiver %s %s\n\nEach of them has --help.\n\nExamples:\n%s", command,
		       usage, examples);
		return EXIT_DONE;
	}
	for (; argc >= 2 && verbs->name != NULL; verbs++) {
		if (strcmp(argv[1], verbs->name) == 0)
			return verbs->run(argc - 1, argv + 1);
	}
	return argc < 2 ? command_misused(command, "say what to do: %s", usage)
			: command_misused(command, "`%s` is not known: %s", argv[1], usage);
}
