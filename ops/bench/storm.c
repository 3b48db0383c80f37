/*
 * The case `storm`: a server has restarted, and all clients are back at once, a CLI and a phone in
 * each session.  When both are there the CLI sends its bundle again, as real ones do.  Another
 * client's pings say how late the server is meanwhile.  See load.c.
 */
#define _GNU_SOURCE
#include "answers.h"
#include "cases.h"
#include "common.h"
#include "meter.h"

#include <stdio.h>
#include <stdlib.h>

static struct {
    const struct script *bundle;
    size_t sessions, next, sent, arrived, ended;
    char *has_sent;
} storm;

static void arrives(struct client *c)
{
    count(c);
    storm.arrived++;
}

/* How many are on their way in; sends the bundles of those that are complete. */
static size_t look(void)
{
    size_t coming = 0;
    storm.ended = 0;
    for (size_t i = 0; i < storm.next; i++) {
        coming += all[i]->state < OPEN;
        storm.ended += all[i]->state == CLOSED;
    }
    for (size_t s = 0; s < storm.next / 2; s++)
        if (!storm.has_sent[s] && all[2 * s]->state == OPEN && all[2 * s + 1]->state == OPEN) {
            storm.has_sent[s] = 1;
            client_send(all[2 * s], storm.bundle->wire, storm.bundle->wire_len,
                storm.bundle->wire_len);
        }
    return coming;
}

/* All of them, `at_once` between connect and welcome, until every phone has its bundle. */
static void come_back(char kind, size_t sessions, size_t at_once, double limit_s)
{
    double until = now_s() + limit_s;
    storm.sessions = sessions;
    storm.next = storm.arrived = 0;
    storm.has_sent = calloc(sessions, 1);
    for (size_t i = 0; i < sessions * 2; i++) {
        named(all[i], i % 2 ? "mobile" : "cli", kind, i / 2);
        all[i]->may_close = 1;
    }
    while (storm.arrived < sessions) {
        for (size_t coming = look(); storm.next < sessions * 2 && coming < at_once; coming++)
            client_open(all[storm.next++]);
        if (storm.ended)
            die("%zu of %zu clients were refused or closed", storm.ended, storm.next);
        if (now_s() > until)
            die("%zu of %zu phones had no bundle in %g s", sessions - storm.arrived, sessions,
                limit_s);
        loop_step(5);
    }
    free(storm.has_sent);
}

void case_storm(void)
{
    size_t sessions = number("clients", 2000) / 2, warm = number("warm", 50);
    size_t at_once = number("at_once", 256);
    double began;

    storm.bundle = script_load(text("script", ""));
    loop_piece = 128 * 1024; /* nobody else waits for long while one sends */
    clients_make(sessions * 2 + 1);
    on_payload = arrives;
    /* What only the first ones cost is paid before. */
    come_back('w', warm, at_once, 20);
    for (size_t i = 0; i < warm * 2; i++)
        client_drop(all[i]);
    hold(1);

    pinger_make(&clients[client_count - 1]);
    clients_open(&all[client_count - 1], 1, 1, 5);
    loop_watch_timer(ticking(number("ping_gap_s", 0.005)), pinger_tick);
    hold(0.2);
    measure_from_here();
    answers_measure(number("limit_s", 60));
    began = now_s();
    come_back('r', sessions, at_once, number("limit_s", 60));
    measured_up_to_here();
    printf("clients %zu\ntook_s %.3f\n", sessions * 2, now_s() - began);
    pinger_print();
}
