/*
 * The case `saves`: developers who save now and then, each in a session of their own, whose
 * phones take compressed messages; what they send is plain.  Another client's pings say how
 * late the server is meanwhile.  See load.c.
 */
#define _GNU_SOURCE
#include "answers.h"
#include "cases.h"
#include "common.h"
#include "meter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double PHONE_PING_S = 15; /* a phone is heard of before the server asks for it */

static struct {
    struct script *bundle, *ping;
    size_t sessions, each; /* `each`: clients of a session, the CLI first */
    size_t next, sent, skipped, arrived;
    double due, period, phone_due, *left_at, slowest;
    size_t *awaited;
} saves;

static void saves_payload(struct client *c)
{
    size_t session = c->index / saves.each;
    count(c);
    if (--saves.awaited[session] == 0) {
        double took = now_s() - saves.left_at[session];
        saves.arrived++;
        if (took > saves.slowest)
            saves.slowest = took;
    }
}

/* Nobody waits for another's save: the moments are random, and the same in every run. */
static double gap(void)
{
    static uint32_t seed = 12;
    seed = seed * 1664525 + 1013904223;
    return -log((seed + 1.0) / 4294967297.0) * saves.period;
}

static void save(size_t session, double now)
{
    if (saves.awaited[session]) {
        saves.skipped++; /* it has not even delivered the last */
        return;
    }
    saves.awaited[session] = saves.each - 1;
    saves.left_at[session] = now;
    saves.sent++;
    client_send(&clients[session * saves.each], saves.bundle->wire, saves.bundle->wire_len,
        saves.bundle->wire_len);
}

static void saves_tick(void)
{
    double now = now_s();
    pinger_tick();
    for (; saves.due <= now; saves.due += gap()) {
        save(saves.next, now);
        saves.next = (saves.next + 1) % saves.sessions;
    }
    if (saves.phone_due > now)
        return;
    saves.phone_due = now + PHONE_PING_S;
    for (size_t i = 0; i < saves.sessions * saves.each; i++)
        if (i % saves.each)
            client_send(&clients[i], saves.ping->wire, saves.ping->wire_len, saves.ping->wire_len);
}

void case_saves(void)
{
    double seconds = number("seconds", 60);
    loop_piece = 128 * 1024;
    saves.bundle = script_load(text("script", ""));
    saves.ping = ping_script();
    saves.sessions = number("sessions", 12);
    saves.each = 1 + (size_t)number("phones", 2);
    saves.period = 60 / number("per_minute", 90);
    saves.awaited = calloc(saves.sessions, sizeof *saves.awaited);
    saves.left_at = calloc(saves.sessions, sizeof *saves.left_at);
    clients_make(saves.sessions * saves.each + 1);
    for (size_t i = 0; i < client_count - 1; i++) {
        named(&clients[i], i % saves.each ? "mobile" : "cli", 'v', i / saves.each);
        clients[i].index = i;
        clients[i].offer_deflate = i % saves.each != 0;
    }
    pinger_make(&clients[client_count - 1]);
    on_payload = saves_payload;
    clients_open(all, client_count, 1, 10);
    hold(0.1);
    for (size_t i = 0; i < client_count; i++)
        if (clients[i].deflate != clients[i].offer_deflate) {
            printf("negotiated 0\n");
            return;
        }
    printf("negotiated 1\n");

    saves.due = now_s() + 0.05;
    saves.phone_due = saves.due + PHONE_PING_S;
    loop_watch_timer(ticking(number("ping_gap_s", 0.005)), saves_tick);
    hold(number("warmup_s", 4));
    saves.sent = saves.skipped = saves.arrived = 0;
    saves.slowest = 0;
    uint64_t compressed = all_compressed, messages = all_messages;
    measure_from_here();
    answers_measure(seconds);
    hold(seconds);
    measured_up_to_here();
    printf("saves %zu\narrived_saves %zu\nskipped_saves %zu\nslowest_s %.3f\n", saves.sent,
        saves.arrived, saves.skipped, saves.slowest);
    if (all_messages > messages)
        printf("compressed_share %.3f\n",
            (double)(all_compressed - compressed) / (all_messages - messages));
    saves.due = INFINITY; /* no more, while the last pongs are waited for */
    pinger_print();
}
