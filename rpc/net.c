/* The network back-end as a whole: who the peers are, and the timer thread that looks after lost
 * connections and deadlines. */
#include "rpc/net.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "rpc/auth.h"
#include "rpc/codec.h"

#include <stdlib.h>
#include <string.h>

struct peer {
	struct peer *next;
	uint64_t node;
	char *address;
	struct link *links[RPC_CLASS_COUNT];
};

/* ---- the timer ---- */

void net_wake_timer(struct rpc_net *net)
{
	struct mail *m = mem_zalloc(sizeof(*m));

	if (!mailbox_post(net->events, m))
		free(m); /* it is going down, and fails everything anyway */
}

void net_refused(struct rpc_net *net, const struct error *why)
{
	atomic_fetch_add(&net->refused, 1);
	if (net->options.refused != NULL)
		net->options.refused(net->options.ctx, why);
}

static void tick_links(struct rpc_net *net)
{
	struct link **links = NULL;
	size_t n = 0, cap = 0;
	uint64_t now = net_now_us(net);

	pthread_rwlock_rdlock(&net->lock);
	for (struct peer *p = net->peers; p != NULL; p = p->next) {
		if (n + RPC_CLASS_COUNT > cap) {
			cap = cap * 2 + 4 * RPC_CLASS_COUNT;
			links = mem_resize(links, cap * sizeof(struct link *));
		}
		for (int i = 0; i < RPC_CLASS_COUNT; i++)
			links[n++] = link_ref(p->links[i]);
	}
	pthread_rwlock_unlock(&net->lock);
	for (size_t i = 0; i < n; i++) {
		link_tick(links[i], now);
		link_unref(links[i]);
	}
	free(links);
}

static void *timer_main(void *arg)
{
	struct rpc_net *net = arg;
	bool open = true;
	unsigned idle = 0;

	pthread_setname_np(pthread_self(), "rpc-timer");
	while (open) {
		uint64_t wait_us = TIMER_TICK_US;
		struct mail *mails;

		idle = atomic_load(&net->n_pending) == 0 ? idle + 1 : 0;
		if (idle > TIMER_LINGER_TICKS) {
			atomic_store(&net->timer_sleeps, true);
			/* Who came in between has seen us awake. */
			if (atomic_load(&net->n_pending) == 0)
				wait_us = atomic_load(&net->n_down) > 0 ? TIMER_DIAL_US
									: UINT64_MAX;
		}
		mails = mailbox_take(net->events, wait_us);
		atomic_store(&net->timer_sleeps, false);
		open = mails != NULL || wait_us != UINT64_MAX;
		while (mails != NULL) {
			struct mail *next = mails->next;

			free(mails);
			mails = next;
		}
		tick_links(net);
		if (atomic_load(&net->stopping))
			open = false;
	}
	return NULL;
}

/* ---- peers ---- */

static struct peer *find_peer(struct rpc_net *net, uint64_t node)
{
	struct peer *p = net->peers;

	while (p != NULL && p->node != node)
		p = p->next;
	return p;
}

static struct link *get_link(struct rpc_net *net, uint64_t node, enum rpc_class class)
{
	struct link *l = NULL;
	struct peer *p;

	pthread_rwlock_rdlock(&net->lock);
	p = find_peer(net, node);
	if (p != NULL)
		l = link_ref(p->links[class]);
	pthread_rwlock_unlock(&net->lock);
	return l;
}

static void peer_close(struct peer *p)
{
	for (int i = 0; i < RPC_CLASS_COUNT; i++) {
		if (p->links[i] == NULL)
			continue;
		link_close(p->links[i]);
		link_unref(p->links[i]);
	}
	free(p->address);
	free(p);
}

static struct peer *peer_new(struct rpc_net *net, uint64_t node, const char *address)
{
	struct peer *p = mem_zalloc(sizeof(*p));
	struct error err;

	p->node = node;
	p->address = mem_strdup(address);
	for (int i = 0; i < RPC_CLASS_COUNT; i++) {
		p->links[i] = link_new(net, node, (enum rpc_class)i, address, &err);
		if (p->links[i] == NULL) {
			log_debug("rpc", "node %llu: %s", (unsigned long long)node, err.text);
			peer_close(p);
			return NULL;
		}
	}
	return p;
}

void net_peer_set(struct rpc_net *net, uint64_t node, const char *address)
{
	struct peer *now, *old = NULL, *fresh = NULL;

	pthread_rwlock_rdlock(&net->lock);
	now = find_peer(net, node);
	if (now != NULL && address != NULL && strcmp(now->address, address) == 0) {
		pthread_rwlock_unlock(&net->lock);
		return;
	}
	pthread_rwlock_unlock(&net->lock);
	if (address != NULL && address[0] != '\0')
		fresh = peer_new(net, node, address);
	pthread_rwlock_wrlock(&net->lock);
	for (struct peer **at = &net->peers; *at != NULL; at = &(*at)->next) {
		if ((*at)->node == node) {
			old = *at;
			*at = old->next;
			break;
		}
	}
	if (fresh != NULL) {
		fresh->next = net->peers;
		net->peers = fresh;
	}
	pthread_rwlock_unlock(&net->lock);
	if (old != NULL)
		peer_close(old);
}

int net_peer_refused(struct rpc_net *net, uint64_t node, struct error *why)
{
	int rc = 0;

	for (int i = 0; i < RPC_CLASS_COUNT && rc == 0; i++) {
		struct link *l = get_link(net, node, (enum rpc_class)i);

		rc = l != NULL ? link_refused(l, why) : 0;
		link_unref(l);
	}
	return rc;
}

bool net_peer_up(struct rpc_net *net, uint64_t node)
{
	bool up = true;

	for (int i = 0; i < RPC_CLASS_COUNT && up; i++) {
		struct link *l = get_link(net, node, (enum rpc_class)i);

		up = l != NULL && link_is_up(l);
		link_unref(l);
	}
	return up;
}

void net_send(struct rpc_net *net, uint64_t node, struct rpc_call *call)
{
	struct link *l = get_link(net, node, rpc_type_class(call->type));

	if (l == NULL) {
		error_set(&call->err, ERR_UNAVAILABLE, "node %llu is not known here",
			  (unsigned long long)node);
		rpc_finish(call, ERR_UNAVAILABLE);
		return;
	}
	link_send(l, call);
	link_unref(l);
}

void net_cancel(struct rpc_net *net, uint64_t node, struct rpc_call *call)
{
	struct link *l = get_link(net, node, rpc_type_class(call->type));

	if (l != NULL)
		link_cancel(l, call);
	link_unref(l);
}

uint16_t net_port(const struct rpc_net *net)
{
	return net->server != NULL ? server_port(net->server) : 0;
}

/* ---- life ---- */

int net_start(uint64_t self, struct rpc_service service, const struct rpc_net_options *o,
	      struct rpc_net **out, struct error *err)
{
	struct rpc_net *net = mem_zalloc(sizeof(*net));
	int rc = 0;

	net->options = *o;
	net->options.listen = NULL; /* borrowed for this call, like the key */
	net->options.key = NULL;
	net->keyed = o->key != NULL;
	if (net->keyed)
		auth_key(o->key, net->key);
	net->service = service;
	net->clock = o->clock != NULL ? o->clock : clock_real();
	net->self = self;
	net->next_call = 1;
	net->events = mailbox_new();
	pthread_rwlock_init(&net->lock, NULL);
	if (pthread_create(&net->timer, NULL, timer_main, net) != 0)
		rc = error_set(err, ERR_NOMEM, "the timer thread of the network cannot be started");
	if (rc < 0) {
		mailbox_close(net->events);
		mailbox_free(net->events);
		pthread_rwlock_destroy(&net->lock);
		free(net);
		return rc;
	}
	if (o->listen != NULL)
		rc = server_start(net, o->listen, &net->server, err);
	if (rc < 0) {
		net_stop(net);
		return rc;
	}
	*out = net;
	return 0;
}

void net_stop(struct rpc_net *net)
{
	struct peer *peers;

	if (net == NULL)
		return;
	/* First what comes in: its handlers may be waiting for calls of ours. */
	server_stop(net->server);
	pthread_rwlock_wrlock(&net->lock);
	peers = net->peers;
	net->peers = NULL;
	pthread_rwlock_unlock(&net->lock);
	while (peers != NULL) {
		struct peer *p = peers;

		peers = p->next;
		peer_close(p);
	}
	atomic_store(&net->stopping, true);
	net_wake_timer(net);
	pthread_join(net->timer, NULL);
	mailbox_close(net->events);
	for (struct mail *m = mailbox_take(net->events, 0); m != NULL;) {
		struct mail *next = m->next;

		free(m);
		m = next;
	}
	mailbox_free(net->events);
	pthread_rwlock_destroy(&net->lock);
	free(net);
}

static void put_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", name, help, name, name,
		   (unsigned long long)value);
}

void net_metrics(const struct rpc_net *net, struct buf *out)
{
	put_counter(out, "quiver_rpc_calls_sent_total", "Calls sent to other nodes",
		    net->calls_sent);
	put_counter(out, "quiver_rpc_frames_sent_total", "Messages that carried them",
		    net->frames_sent);
	put_counter(out, "quiver_rpc_calls_served_total", "Calls of other nodes",
		    net->calls_served);
	put_counter(out, "quiver_rpc_answer_frames_total", "Messages that carried the answers",
		    net->answer_frames);
	put_counter(out, "quiver_rpc_calls_failed_total",
		    "Calls that failed for the connection's sake", net->lost_calls);
	put_counter(out, "quiver_rpc_refused_total",
		    "Connections of other nodes, or to them, that failed for the sake of the key",
		    net->refused);
	put_counter(out, "quiver_rpc_timeouts_total", "Calls without an answer in time",
		    net->timeouts);
}
