/* See answers.h. */
#define _GNU_SOURCE
#include "answers.h"
#include "common.h"

#include <stdio.h>
#include <stdlib.h>

enum { SAMPLES = 1 << 20 };

static const double PATIENCE_S = 2; /* for what has no answer yet when all is over */

static double *sample, from, until;
static size_t samples;

/* ---- one way ---- */

int answers_may_send(const struct answers *a)
{
    return a->next - a->first < OUTSTANDING;
}

void answers_sent(struct answers *a, double now)
{
    a->sent[a->next++ % OUTSTANDING] = now;
}

static void took(double sent, double seconds)
{
    if (sent >= from && sent < until && samples < SAMPLES)
        sample[samples++] = seconds;
}

void answers_came(struct answers *a)
{
    double sent = a->sent[a->first++ % OUTSTANDING];
    took(sent, now_s() - sent);
}

/* The oldest message without an answer is one of those measured. */
static int waits(const struct answers *a)
{
    return a->first < a->next && a->sent[a->first % OUTSTANDING] < until;
}

/* ---- all of them ---- */

void answers_measure(double seconds)
{
    sample = malloc(SAMPLES * sizeof *sample);
    if (!sample)
        die("out of memory");
    samples = 0;
    from = now_s();
    until = from + seconds;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int any_waits(const struct answers *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (waits(&list[i]))
            return 1;
    return 0;
}

/* What stays without an answer counts with the age it has then: a server that falls behind
 * is not flattered by what it leaves out. */
void answers_print(struct answers *list, size_t n)
{
    size_t unanswered = 0;
    double ended = now_s();
    if (until > ended)
        until = ended;
    while (now_s() - ended < PATIENCE_S && any_waits(list, n))
        loop_step(10);
    ended = now_s();
    for (size_t i = 0; i < n; i++)
        for (; waits(&list[i]) && samples < SAMPLES; unanswered++) {
            double sent = list[i].sent[list[i].first++ % OUTSTANDING];
            took(sent, ended - sent);
        }
    if (!samples)
        die("no latency was measured");
    qsort(sample, samples, sizeof *sample, ascending);
    printf("samples %zu\nunanswered %zu\n", samples, unanswered);
    printf("p50_ms %.4f\np99_ms %.4f\nmax_ms %.4f\n", sample[samples / 2] * 1e3,
        sample[(size_t)(samples * 0.99)] * 1e3, sample[samples - 1] * 1e3);
}

/* ---- pongs ---- */

static struct {
    struct client *client;
    struct script *script;
    struct answers pongs;
} pinger;

static void pong_came(struct client *c)
{
    if (c == pinger.client)
        answers_came(&pinger.pongs);
}

void pinger_make(struct client *c)
{
    named(c, "cli", 'p', 0);
    pinger_use(c, ping_script());
}

void pinger_use(struct client *c, struct script *ping)
{
    pinger.client = c;
    pinger.script = ping;
    on_pong = pong_came;
}

void pinger_tick(void)
{
    if (!answers_may_send(&pinger.pongs))
        return;
    answers_sent(&pinger.pongs, now_s());
    client_send(pinger.client, pinger.script->wire, pinger.script->wire_len,
        pinger.script->wire_len);
}

void pinger_print(void)
{
    answers_print(&pinger.pongs, 1);
}
