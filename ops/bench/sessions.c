/*
 * The case `sessions`: developers at work, a CLI and a phone each.  Every client sends an
 * application ping now and then; beside that phones log lines, and CLIs send bundles, as often as
 * the arguments say.  See load.c.
 */
#define _GNU_SOURCE
#include "cases.h"
#include "common.h"
#include "meter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { AT_ONCE = 64 };
static const double TICK_S = 0.005;

/* What is sent by one client after the other, so that all have sent one after `every_s`. */
struct round {
    const struct script *script;
    size_t message_bytes;
    size_t next, step; /* of clients: which one is next, and the one behind it */
    double due, gap_s;
    uint64_t sent;
};

static struct {
    struct round pings, logs, bundles;
    double *left_at, slowest, total;
    uint64_t arrived, skipped;
} work;

static void round_begins(struct round *r, const struct script *script, size_t bytes, size_t first,
    size_t step, double every_s)
{
    *r = (struct round){script, bytes, first, step, INFINITY, 0, 0};
    if (every_s <= 0)
        return;
    r->gap_s = every_s / (client_count / step);
    r->due = now_s() + r->gap_s;
}

/* Whose turn it is; NULL if nobody's is yet. */
static struct client *turn(struct round *r, double now)
{
    if (r->due > now)
        return NULL;
    struct client *c = &clients[r->next];
    r->due += r->gap_s;
    r->next += r->step;
    if (r->next >= client_count)
        r->next %= r->step;
    return c;
}

static void send_round(struct round *r, double now)
{
    for (struct client *c; (c = turn(r, now));)
        /* One that sends something long is heard of by that. */
        if (c->state == OPEN && !c->out_left) {
            client_send(c, r->script->wire, r->script->wire_len, r->message_bytes);
            r->sent++;
        }
}

static void tick(void)
{
    double now = now_s();
    send_round(&work.pings, now);
    send_round(&work.logs, now);
    for (struct client *c; (c = turn(&work.bundles, now));) {
        size_t session = (c - clients) / 2;
        if (work.left_at[session] || c->out_left) {
            work.skipped++; /* it has not even delivered the last */
            continue;
        }
        work.left_at[session] = now;
        work.bundles.sent++;
        client_send(c, work.bundles.script->wire, work.bundles.script->wire_len,
            work.bundles.script->wire_len);
    }
}

static void payload(struct client *c)
{
    size_t session = (c - clients) / 2;
    count(c);
    if (!((c - clients) % 2) || !work.left_at[session])
        return; /* a CLI got a log */
    double took = now_s() - work.left_at[session];
    work.left_at[session] = 0;
    work.arrived++;
    work.total += took;
    if (took > work.slowest)
        work.slowest = took;
}

void case_sessions(void)
{
    /* Some are there before the memory of the others is counted: what only the first ones cost is
     * paid then, and what they have is not free for the others. */
    size_t resident = number("resident", 0), sessions = resident + number("sessions", 100);
    double began, cpu, rss, idle_s = number("idle_s", 0), bundle_every_s = number("bundle_every_s", 0);
    struct script *ping = ping_script(), *line = small_script();

    clients_make(sessions * 2);
    work.left_at = calloc(sessions, sizeof *work.left_at);
    for (size_t i = 0; i < client_count; i++)
        named(all[i], i % 2 ? "mobile" : "cli", 'n', i / 2);
    on_payload = payload;
    if (resident) {
        clients_open(all, resident * 2, AT_ONCE, number("open_limit_s", 180));
        hold(0.5);
    }
    rss = servers_kib("VmRSS");
    cpu = servers_cpu_s();
    /* On a busy machine the first ones would be taken for dead while the last ones connect. */
    round_begins(&work.pings, ping, ping->wire_len, 0, 1, number("ping_every_s", 25));
    work.logs.due = work.bundles.due = INFINITY;
    loop_watch_timer(ticking(TICK_S), tick);
    began = now_s();
    size_t rest = client_count - resident * 2;
    clients_open(&all[resident * 2], rest, AT_ONCE, number("open_limit_s", 180));
    printf("connects_per_s %.1f\nconnect_cpu_us %.2f\n", rest / (now_s() - began),
        (servers_cpu_s() - cpu) * 1e6 / rest);
    printf("rss_before_kib %.0f\nrss_open_kib %.0f\n", rss, servers_kib("VmRSS"));

    if (idle_s > 0) {
        hold(number("settle_s", 1));
        printf("rss_settled_kib %.0f\n", servers_kib("VmRSS"));
        cpu = servers_cpu_s();
        began = now_s();
        hold(idle_s);
        printf("idle_cpu_s %.6f\n", servers_cpu_s() - cpu);
        printf("idle_wall_s %.6f\n", now_s() - began);
    }
    if (number("low_log_every_s", 0) > 0) {
        /* At a lower rate first: what more messages cost is told from these. */
        round_begins(&work.logs, line, line->wire_len / SMALL_BLOCK, 1, 2,
            number("low_log_every_s", 0));
        hold(0.5);
        uint64_t messages = all_messages;
        cpu = servers_cpu_s();
        began = now_s();
        hold(idle_s);
        printf("low_cpu_s %.6f\n", servers_cpu_s() - cpu);
        printf("low_wall_s %.6f\n", now_s() - began);
        printf("low_messages %llu\n", (unsigned long long)(all_messages - messages));
    }
    round_begins(&work.logs, line, line->wire_len / SMALL_BLOCK, 1, 2, number("log_every_s", 0));
    round_begins(&work.bundles, bundle_every_s > 0 ? script_load(text("script", "")) : NULL, 0, 0, 2,
        bundle_every_s);
    hold(number("warmup_s", 5));
    work.pings.sent = work.logs.sent = work.bundles.sent = 0;
    work.arrived = work.skipped = 0;
    work.slowest = work.total = 0;
    printf("measuring 1\n");
    fflush(stdout);
    measure_from_here();
    hold(number("seconds", 20));
    measured_up_to_here();
    printf("measured 1\n");
    fflush(stdout);
    printf("pings %llu\nlogs %llu\nbundles %llu\narrived %llu\nskipped %llu\n",
        (unsigned long long)work.pings.sent, (unsigned long long)work.logs.sent,
        (unsigned long long)work.bundles.sent, (unsigned long long)work.arrived,
        (unsigned long long)work.skipped);
    printf("slowest_s %.3f\nmean_s %.3f\nrss_kib %.0f\n", work.slowest,
        work.arrived ? work.total / work.arrived : 0, servers_kib("VmRSS"));
    /* Whoever asks the server how it went is answered before all leave at once. */
    hold(number("linger_s", 2));
}
