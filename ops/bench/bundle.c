/* The case `bundle`; see load.c. */
#define _GNU_SOURCE
#include "answers.h"
#include "cases.h"
#include "common.h"
#include "meter.h"

#include <stdio.h>

static struct {
    struct script *script;
    struct client *source;
    uint64_t awaited; /* messages still to come before all phones have the bundle */
    size_t phones, done;
    double ping_gap_s;
} bundle;

static void bundle_send(void)
{
    bundle.awaited = bundle.phones * bundle.script->messages;
    client_send(bundle.source, bundle.script->wire, bundle.script->wire_len,
        bundle.script->wire_len);
}

static void bundle_payload(struct client *c)
{
    count(c);
    if (--bundle.awaited == 0)
        bundle.done++;
}

/* For so long, and for `least` bundles if they don't take more than `most_s`. */
static void bundles_until(double seconds, size_t least, double most_s, double limit_s)
{
    double begin = now_s();
    for (size_t first = bundle.done;;) {
        size_t before = bundle.done;
        bundle_send();
        while (bundle.done == before) {
            loop_step(1000);
            if (now_s() - begin > limit_s)
                die("%zu bundles in %g s", bundle.done, limit_s);
        }
        double took = now_s() - begin;
        if (took >= seconds && (bundle.done - first >= least || took >= most_s))
            return;
    }
}

/* The last `deflating` of the phones offer compression, if the source does. */
static void bundle_clients(int deflate, size_t deflating)
{
    clients_make(bundle.phones + 1 + (bundle.ping_gap_s > 0));
    bundle.source = &clients[0];
    named(bundle.source, "cli", 'b', 0);
    bundle.source->offer_deflate = deflate;
    for (size_t i = 1; i <= bundle.phones; i++) {
        named(&clients[i], "mobile", 'b', 0);
        clients[i].offer_deflate = i + deflating > bundle.phones;
    }
    if (bundle.ping_gap_s > 0)
        pinger_make(&clients[client_count - 1]);
}

void case_bundle(void)
{
    int deflate = number("deflate", 0);
    struct script *plain = NULL;
    bundle.phones = number("phones", 1);
    bundle.ping_gap_s = number("ping_gap_s", 0);
    bundle.script = script_load(text("script", ""));
    if (text("expect", NULL))
        plain = script_load(text("expect", ""));
    bundle_clients(deflate, number("deflating", deflate ? bundle.phones : 0));
    on_payload = bundle_payload;
    clients_open(all, client_count, 1, 10);
    hold(0.1);
    for (size_t i = 0; i <= bundle.phones; i++)
        if (clients[i].deflate != clients[i].offer_deflate) {
            printf("negotiated 0\n");
            return;
        }
    printf("negotiated %d\n", deflate);

    /* The first bundle is compared byte for byte; the clock starts later. */
    for (size_t i = 1; i <= bundle.phones; i++)
        clients[i].check = plain && !clients[i].deflate ? plain : bundle.script;
    bundles_until(0, 1, 0, 30);
    for (size_t i = 1; i <= bundle.phones; i++)
        clients[i].check = NULL;
    if (bundle.ping_gap_s > 0) {
        loop_piece = 128 * 1024;
        loop_watch_timer(ticking(bundle.ping_gap_s), pinger_tick);
    }
    bundles_until(number("warmup_s", 0.5), 2, 0, 60);

    size_t before = bundle.done;
    uint64_t compressed = all_compressed;
    measure_from_here();
    answers_measure(1e9);
    bundles_until(number("seconds", 2), number("least", 3), number("most_s", 30), 120);
    measured_up_to_here();
    printf("bundles %zu\nsent_bundles %zu\ncompressed_messages %llu\n",
        (bundle.done - before) * bundle.phones, bundle.done - before,
        (unsigned long long)(all_compressed - compressed));
    if (bundle.ping_gap_s > 0)
        pinger_print();
}
