/*
 * The bench's load generator: `load CASE key=value ...`, results as `key value` lines.
 *
 *   bundle     one source, `phones` phones; the next bundle leaves when all have the last.
 *              `ping_gap_s` beside that has another client send pings
 *   small      `pairs` pairs, short messages both ways, `window` in flight each way,
 *              sent `burst` at a time
 *   idle       `clients` connections opened and held, each with an application ping
 *              every `ping_every_s`
 *   started    nobody comes: what the server has used until it listens, and its memory
 *   accept     `clients` connections, `crowd` of them after the other, that are opened,
 *              `at_once` at a time, and leave with a Close
 *   stalled    `sessions` sessions whose `phones` read nothing, each CLI pushing a bundle
 *   latency    short messages both ways at a fixed rate in one session while `movers`
 *              others move bundles, together at `rate` bytes/s
 *   saves      `sessions` sessions of `phones` phones that take compressed messages, and
 *              together `per_minute` bundles, while another client sends pings
 *   sessions   `sessions` of a CLI and a phone each, which ping, log and send bundles now and then
 *   slow_line  a phone that reads `rate` bytes/s and sends pings while it gets a bundle:
 *              WebSocket's, or with `control=0` the application's
 *   neighbours a phone that reads, alone and beside some that don't
 *   storm      `clients` of them come back at once, `at_once` between connect and welcome,
 *              and each CLI sends its phone a bundle, while another client sends pings
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
#include "cases.h"
#include "common.h"
#include "meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* ---- small ---- */

static struct script *small;
static uint64_t small_burst = 1, small_blocks;

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
    small_blocks++;
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
    small_blocks = 0;
    measure_from_here();
    hold(number("seconds", 2));
    measured_up_to_here();
    printf("blocks %llu\n", (unsigned long long)small_blocks);
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

static void case_idle(void)
{
    size_t n = (size_t)number("clients", 5000) / 2 * 2, warm = 200;
    double every_s = number("ping_every_s", 25), begin, rss, cpu;
    struct client *held = NULL, **held_all = NULL;

    ping = ping_script();
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

/* ---- */

static void case_started(void)
{
    double cpu_s = servers_cpu_s();

    hold(number("seconds", 2));
    printf("until_ready_s %.4f\nrss_kib %.0f\n", cpu_s, servers_kib("VmRSS"));
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } cases[] = {
        {"started", case_started}, {"accept", case_accept}, {"bundle", case_bundle},
        {"small", case_small}, {"idle", case_idle},
        {"stalled", case_stalled}, {"latency", case_latency}, {"saves", case_saves},
        {"sessions", case_sessions}, {"slow_line", case_slow_line},
        {"neighbours", case_neighbours}, {"storm", case_storm},
    };
    struct rlimit files;
    arguments_are(argc, argv);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    on_payload = nothing;
    on_block = nothing;
    on_pong = nothing;
    for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(argv[1], cases[i].name)) {
            servers_find(text("pids", ""));
            loop_start(number("port", 0));
            cases[i].run();
            return 0;
        }
    die("usage: load started|accept|bundle|small|idle|stalled|latency|saves|sessions|slow_line|"
        "neighbours|storm key=value ...");
}
