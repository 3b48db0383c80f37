/* The case `latency`; see load.c. */
#define _GNU_SOURCE
#include "answers.h"
#include "cases.h"
#include "common.h"
#include "meter.h"

#include <stdio.h>
#include <stdlib.h>

static struct {
    struct answers way[2]; /* by the index of who receives */
    struct script *small, *script;
    size_t movers, skipped;
    uint64_t *awaited;
    double *due, period;
} lat;

static void latency_payload(struct client *c)
{
    if (c->index < 2) {
        answers_came(&lat.way[c->index]);
        return;
    }
    count(c);
    lat.awaited[(c->index - 2) / 2]--;
}

static void latency_tick(void)
{
    double now = now_s();
    for (int i = 0; i < 2; i++) {
        if (!answers_may_send(&lat.way[i]))
            continue;
        answers_sent(&lat.way[i], now);
        client_send(&clients[1 - i], lat.small->wire, lat.small->wire_len,
            lat.small->wire_len / SMALL_BLOCK);
    }
    for (size_t m = 0; m < lat.movers; m++) {
        if (now < lat.due[m])
            continue;
        lat.due[m] += lat.period;
        if (lat.awaited[m]) {
            lat.skipped++; /* this peer does not keep up: the rate achieved says so */
            continue;
        }
        lat.awaited[m] = lat.script->messages;
        client_send(&clients[2 + m * 2], lat.script->wire, lat.script->wire_len,
            lat.script->wire_len);
    }
}

void case_latency(void)
{
    double seconds = number("seconds", 3), begin;
    loop_piece = 128 * 1024;
    lat.small = small_script();
    lat.movers = number("movers", 10);
    lat.script = script_load(text("script", ""));
    lat.period = lat.movers * lat.script->wire_len / number("rate", 250e6);
    lat.awaited = calloc(lat.movers + 1, sizeof *lat.awaited);
    lat.due = calloc(lat.movers + 1, sizeof *lat.due);
    clients_make(2 + lat.movers * 2);
    for (size_t i = 0; i < client_count; i++) {
        named(&clients[i], i % 2 ? "mobile" : "cli", 'l', i / 2);
        clients[i].index = i;
    }
    on_payload = latency_payload;
    clients_open(all, client_count, 1, 10);
    hold(0.1);
    begin = now_s();
    for (size_t m = 0; m < lat.movers; m++)
        lat.due[m] = begin + lat.period * m / lat.movers;
    loop_watch_timer(ticking(number("gap_s", 0.002)), latency_tick);
    hold(number("warmup_s", 1));
    lat.skipped = 0;
    measure_from_here();
    answers_measure(seconds);
    hold(seconds);
    measured_up_to_here();
    printf("skipped_bundles %zu\n", lat.skipped);
    answers_print(lat.way, 2);
}
