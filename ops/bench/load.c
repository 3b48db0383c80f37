/*
 * The bench's load generator: `load CASE key=value ...`, results as `key value` lines.
 *
 *   bundle   one source, `phones` phones; the next bundle leaves when all have the last
 *   small    `pairs` pairs, short messages both ways, `window` in flight each way,
 *            sent `burst` at a time
 *   idle     `clients` connections opened and held, each with an application ping
 *            every `ping_every_s`
 *   stalled  `sessions` sessions whose `phones` read nothing, each CLI pushing a bundle
 *   latency  short messages both ways at a fixed rate in one session while `movers`
 *            others move bundles, together at `rate` bytes/s
 *
 * All cases take port=, pids= (the server's, comma-separated: their CPU clocks and
 * memory are read around the measured part), tag= (makes session ids distinct) and
 * phone_port= (where phones connect, if not to port=).
 * An `error TEXT` line and exit status 1 mean the case did not run to its end.
 *
 * It is meant to be cheaper than what it measures: see wsclient.h, and `own_cpu_s`
 * in the results, which says whether it was.
 */
#define _GNU_SOURCE
#include "meter.h"
#include "wsclient.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { SMALL_BYTES = 200, SMALL_BLOCK = 256, SAMPLES = 1 << 20 };

static int argument_count;
static char **arguments;

static const char *text(const char *key, const char *otherwise)
{
    size_t len = strlen(key);
    for (int i = 2; i < argument_count; i++)
        if (!strncmp(arguments[i], key, len) && arguments[i][len] == '=')
            return arguments[i] + len + 1;
    return otherwise;
}

static double number(const char *key, double otherwise)
{
    const char *s = text(key, NULL);
    return s ? atof(s) : otherwise;
}

static uint64_t all_compressed;

static void hold(double seconds)
{
    for (double until = now_s() + seconds; now_s() < until;)
        loop_step(20);
}

/* ---- clients for all cases ---- */

static struct client *clients, **all;
static size_t client_count;

static void clients_make(size_t n)
{
    clients = calloc(n, sizeof *clients);
    all = calloc(n, sizeof *all);
    if (!clients || !all)
        die("out of memory");
    client_count = n;
    for (size_t i = 0; i < n; i++)
        all[i] = &clients[i];
}

static void named(struct client *c, const char *role, char kind, size_t session)
{
    char id[64];
    snprintf(id, sizeof id, "%s%c%05zu", text("tag", "Bench"), kind, session);
    client_prepare(c, role, id);
    if (!strcmp(role, "mobile"))
        c->port = number("phone_port", 0);
}

static void nothing(struct client *c)
{
    (void)c;
}

static void count(struct client *c)
{
    all_messages++;
    all_bytes += c->message_len;
    all_compressed += c->rsv1;
}

static struct script *small_script(void)
{
    char message[SMALL_BYTES + 1];
    int n = snprintf(message, sizeof message,
        "{\"type\":\"console_log\",\"payload\":{\"level\":\"info\",\"args\":[\"");
    static const char tail[] = "\"],\"timestamp\":1700000000000}}";
    size_t fill = SMALL_BYTES - n - (sizeof tail - 1);
    for (size_t i = 0; i < fill; i++)
        message[n + i] = "render of screen 42 took long, "[i % 31];
    memcpy(message + n + fill, tail, sizeof tail);
    return script_repeat(message, SMALL_BYTES, SMALL_BLOCK);
}

/* ---- bundle ---- */

static struct {
    struct script *script;
    struct client *source;
    uint64_t awaited; /* messages still to come before all phones have the bundle */
    size_t phones, done;
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

static void bundles_until(double seconds, size_t least, double limit_s)
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
        if (now_s() - begin >= seconds && bundle.done - first >= least)
            return;
    }
}

static void case_bundle(void)
{
    int deflate = number("deflate", 0), phone_deflate = number("phone_deflate", deflate);
    struct script *expected;
    bundle.phones = number("phones", 1);
    bundle.script = script_load(text("script", ""));
    expected = text("expect", NULL) ? script_load(text("expect", "")) : bundle.script;
    clients_make(bundle.phones + 1);
    bundle.source = &clients[0];
    named(bundle.source, "cli", 'b', 0);
    bundle.source->offer_deflate = deflate;
    for (size_t i = 1; i <= bundle.phones; i++) {
        named(&clients[i], "mobile", 'b', 0);
        clients[i].offer_deflate = phone_deflate;
    }
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
        clients[i].check = expected;
    bundles_until(0, 1, 30);
    for (size_t i = 1; i <= bundle.phones; i++)
        clients[i].check = NULL;
    bundles_until(number("warmup_s", 0.5), 2, 60);

    size_t before = bundle.done;
    uint64_t compressed = all_compressed;
    measure_from_here();
    bundles_until(number("seconds", 2), 3, 120);
    measured_up_to_here();
    printf("bundles %zu\ncompressed_messages %llu\n", (bundle.done - before) * bundle.phones,
        (unsigned long long)(all_compressed - compressed));
}

/* ---- small ---- */

static struct script *small;
static uint64_t small_burst = 1;

static void small_payload(struct client *c)
{
    count(c);
    c->peer->owed++;
}

/* Whoever received k messages makes room for k more from the other side; they leave
 * when `burst` of them have come together. */
static void small_block(struct client *c)
{
    uint64_t owed = c->peer->owed;
    if (owed < small_burst)
        return;
    c->peer->owed = 0;
    client_send(c->peer, small->wire, small->wire_len,
        owed * (small->wire_len / SMALL_BLOCK));
}

static void case_small(void)
{
    size_t pairs = number("pairs", 1), window = number("window", 128);
    small_burst = number("burst", (window + 3) / 4);
    if (!small_burst || small_burst > window)
        die("burst must be from 1 to window");
    small = small_script();
    clients_make(pairs * 2);
    for (size_t i = 0; i < pairs; i++) {
        named(&clients[i * 2], "cli", 's', i);
        named(&clients[i * 2 + 1], "mobile", 's', i);
        clients[i * 2].peer = &clients[i * 2 + 1];
        clients[i * 2 + 1].peer = &clients[i * 2];
    }
    on_payload = small_payload;
    on_block = small_block;
    clients_open(all, client_count, 1, 10);
    hold(0.1);
    loop_pause_us = number("pause_us", window > 1 ? 50 : 0);
    for (size_t i = 0; i < client_count; i++)
        client_send(&clients[i], small->wire, small->wire_len,
            window * (small->wire_len / SMALL_BLOCK));
    hold(number("warmup_s", 0.5));
    measure_from_here();
    hold(number("seconds", 2));
    measured_up_to_here();
    for (size_t i = 0; i < client_count; i++)
        if (!clients[i].messages)
            die("%s received nothing", clients[i].path);
}

/* ---- idle ---- */

static struct script *ping;
static size_t ping_next, pings;
static double ping_due, ping_gap;

static void ping_tick(void)
{
    for (double now = now_s(); ping_due <= now; ping_due += ping_gap) {
        client_send(&clients[ping_next], ping->wire, ping->wire_len, ping->wire_len);
        ping_next = (ping_next + 1) % client_count;
        pings++;
    }
}

static int ticking(double every_s)
{
    long ns = every_s * 1e9;
    struct itimerspec when = {{ns / 1000000000, ns % 1000000000}, {ns / 1000000000, ns % 1000000000}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    timerfd_settime(fd, 0, &when, NULL);
    return fd;
}

static void case_idle(void)
{
    static const char text_ping[] = "{\"type\":\"ping\",\"timestamp\":1700000000000}";
    size_t n = (size_t)number("clients", 5000) / 2 * 2, warm = 200;
    double every_s = number("ping_every_s", 25), begin, rss, cpu;
    struct client *held = NULL, **held_all = NULL;

    ping = script_repeat(text_ping, sizeof text_ping - 1, 1);
    on_payload = nothing;
    /* A first, smaller crowd comes and goes: what only the first ones cost is paid. */
    for (int crowd = 0; crowd < 2; crowd++) {
        clients_make(crowd ? n : warm);
        for (size_t i = 0; i < client_count; i++)
            named(all[i], i % 2 ? "mobile" : "cli", crowd ? 'i' : 'w', i / 2);
        if (crowd)
            break;
        clients_open(all, client_count, 64, 30);
        hold(0.2);
        for (size_t i = 0; i < client_count; i++)
            client_drop(all[i]);
        held = clients;
        held_all = all;
        hold(0.5);
    }
    free(held);
    free(held_all);

    rss = servers_kib("VmRSS");
    cpu = servers_cpu_s();
    begin = now_s();
    clients_open(all, n, 64, 120);
    printf("clients %zu\nconnects_per_s %.1f\nconnect_cpu_us %.2f\n", n, n / (now_s() - begin),
        (servers_cpu_s() - cpu) * 1e6 / n);
    hold(number("settle_s", 1));
    printf("rss_before_kib %.0f\nrss_after_kib %.0f\n", rss, servers_kib("VmRSS"));
    if (every_s > 0) {
        ping_gap = every_s / n;
        ping_due = now_s();
        loop_watch_timer(ticking(ping_gap > 0.005 ? ping_gap : 0.005), ping_tick);
    }
    measure_from_here();
    hold(number("seconds", 10));
    measured_up_to_here();
    printf("pings %zu\n", pings);
}

/* ---- stalled ---- */

static void case_stalled(void)
{
    size_t sessions = number("sessions", 20), phones = number("phones", 1), open = 0;
    size_t each = 1 + phones, quiet = sessions * each;
    uint64_t taken = 0, left, left_before = UINT64_MAX;
    double begin, still_since, rss, peak;
    struct script *script = script_load(text("script", ""));

    small = small_script();
    clients_make(quiet + 2);
    for (size_t i = 0; i < client_count; i++) {
        named(&clients[i], i % each ? "mobile" : "cli", 't', i / each);
        clients[i].peer = &clients[i % each ? i / each * each : i + 1];
        if (i % each && i < quiet)
            clients[i].receive_buffer = 65536;
    }
    on_payload = small_payload;
    on_block = small_block;
    clients_open(all, client_count, 1, 20);
    hold(0.2);
    /* The last session alone exchanges short messages first: the server's code and
     * buffers for that are there before the memory is read. */
    struct client *warm = &clients[quiet];
    client_send(warm, small->wire, small->wire_len, small->wire_len / SMALL_BLOCK * 16);
    hold(number("warmup_s", 0.5));
    warm[0].peer = warm[1].peer = &warm[0];
    on_payload = nothing;
    on_block = nothing;
    hold(0.3);

    for (size_t i = 0; i < quiet; i++)
        clients[i].may_close = 1;
    servers_forget_peak();
    rss = servers_kib("VmRSS");
    measure_from_here();
    for (size_t i = 0; i < quiet; i++) {
        if (i % each)
            client_ignore(&clients[i]);
        else
            client_send(&clients[i], script->wire, script->wire_len, script->wire_len);
    }
    begin = still_since = now_s();
    while (now_s() - still_since < number("still_s", 1) && now_s() - begin < number("limit_s", 15)) {
        loop_step(20);
        left = 0;
        for (size_t i = 0; i < quiet; i += each)
            left += clients[i].out_left;
        if (left != left_before)
            still_since = now_s();
        left_before = left;
    }
    peak = servers_kib("VmHWM");
    measured_up_to_here();
    for (size_t i = 0; i < quiet; i += each) {
        taken += script->wire_len - clients[i].out_left;
        open += clients[i].state == OPEN;
    }
    printf("sessions %zu\nstill_open %zu\nrss_before_kib %.0f\npeak_kib %.0f\ntaken_bytes %llu\n",
        sessions, open, rss, peak, (unsigned long long)taken);
}

/* ---- latency ---- */

enum { OUTSTANDING = 1 << 16 };

struct direction {
    double sent[OUTSTANDING];
    uint64_t first, next; /* the oldest unanswered, and one past the newest */
};

static struct {
    struct direction way[2]; /* by the index of who receives */
    double *sample;
    size_t samples, unanswered;
    double from, until; /* what is sent between these is measured */
    struct script *script;
    size_t movers, skipped;
    uint64_t *awaited;
    double *due, period;
} lat;

static void latency_payload(struct client *c)
{
    if (c->index < 2) {
        struct direction *way = &lat.way[c->index];
        double sent = way->sent[way->first++ % OUTSTANDING];
        if (sent >= lat.from && sent < lat.until && lat.samples < SAMPLES)
            lat.sample[lat.samples++] = now_s() - sent;
        return;
    }
    count(c);
    lat.awaited[(c->index - 2) / 2]--;
}

static void latency_tick(void)
{
    double now = now_s();
    for (int i = 0; i < 2; i++) {
        struct direction *way = &lat.way[i];
        if (way->next - way->first == OUTSTANDING)
            continue;
        way->sent[way->next++ % OUTSTANDING] = now;
        client_send(&clients[1 - i], small->wire, small->wire_len,
            small->wire_len / SMALL_BLOCK);
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

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The oldest message without an answer is one of those measured. */
static int waits(const struct direction *way)
{
    return way->first < way->next && way->sent[way->first % OUTSTANDING] < lat.until;
}

static void case_latency(void)
{
    double seconds = number("seconds", 3), begin, ended;
    loop_piece = 128 * 1024;
    small = small_script();
    lat.movers = number("movers", 10);
    lat.script = script_load(text("script", ""));
    lat.period = lat.movers * lat.script->wire_len / number("rate", 250e6);
    lat.sample = malloc(SAMPLES * sizeof *lat.sample);
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
    lat.from = now_s();
    lat.until = lat.from + seconds;
    hold(seconds);
    measured_up_to_here();

    /* Answers still on their way are waited for.  What stays without one counts with
     * the age it has then: a peer that falls behind is not flattered by what it leaves
     * out. */
    ended = now_s();
    while (now_s() - ended < 2 && (waits(&lat.way[0]) || waits(&lat.way[1])))
        loop_step(10);
    ended = now_s();
    for (int i = 0; i < 2; i++)
        for (; waits(&lat.way[i]) && lat.samples < SAMPLES; lat.unanswered++)
            lat.sample[lat.samples++]
                = ended - lat.way[i].sent[lat.way[i].first++ % OUTSTANDING];
    if (!lat.samples)
        die("no latency was measured");
    qsort(lat.sample, lat.samples, sizeof *lat.sample, ascending);
    printf("samples %zu\nunanswered %zu\nskipped_bundles %zu\n", lat.samples, lat.unanswered,
        lat.skipped);
    printf("p50_ms %.4f\np99_ms %.4f\nmax_ms %.4f\n", lat.sample[lat.samples / 2] * 1e3,
        lat.sample[(size_t)(lat.samples * 0.99)] * 1e3, lat.sample[lat.samples - 1] * 1e3);
}

/* ---- */

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } cases[] = {
        {"bundle", case_bundle}, {"small", case_small}, {"idle", case_idle},
        {"stalled", case_stalled}, {"latency", case_latency},
    };
    struct rlimit files;
    argument_count = argc;
    arguments = argv;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    on_payload = nothing;
    on_block = nothing;
    for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(argv[1], cases[i].name)) {
            servers_find(text("pids", ""));
            loop_start(number("port", 0));
            cases[i].run();
            return 0;
        }
    die("usage: load bundle|small|idle|stalled|latency key=value ...");
}
