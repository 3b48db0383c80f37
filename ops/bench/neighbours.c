/*
 * The case `neighbours`: how long a phone that reads waits for its bundle, and how long the
 * CLI's upload takes, alone and beside phones of the same session that
 *
 *   frozen   read nothing: their kernel takes what its buffer holds and acknowledges it
 *   dead     are out of the network: their kernel drops every packet, none is acknowledged
 *   slow     read `rate` bytes a second
 *
 * and how long a phone waits that has lost its network and is back after `away_s` on a new
 * connection, which a CLI answers with its bundle again.
 *
 * Each kind is tried alternately with a session whose phone is alone.  A save leaves when
 * the last has arrived and was taken; an upload is over when the server answers the ping
 * right behind it.  A session in which that takes more than `limit_s` is given up: the
 * times until then count for what did not come.
 */
#define _GNU_SOURCE
#include "cases.h"
#include "common.h"
#include "meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { FROZEN = 1, DEAD = 2, SLOW = 4 };

static const double TICK_S = 0.01;
static const double PHONE_PING_S = 10; /* a phone is heard of before the server asks for it */

static struct {
    struct script *save, *ping;
    struct client *cli, *fast, *slow;
    double rate, allowance, phone_due;
    double saved_at, came_at, taken_at; /* the present save; 0 for not yet */
} near;

struct times {
    size_t saves, given_up;
    double delay, upload, longest;
};

static void neighbour_payload(struct client *c)
{
    count(c);
    if (c == near.fast && !near.came_at)
        near.came_at = now_s();
}

static void neighbour_pong(struct client *c)
{
    if (c == near.cli && !near.taken_at)
        near.taken_at = now_s();
}

static void neighbour_tick(void)
{
    double now = now_s();
    if (near.slow) {
        if (near.allowance < near.rate * TICK_S) /* what it did not need is not saved up */
            near.allowance += near.rate * TICK_S;
        near.allowance -= client_take(near.slow, near.allowance);
    }
    if (now < near.phone_due)
        return;
    near.phone_due = now + PHONE_PING_S;
    for (size_t i = 1; i < client_count; i++)
        client_send(&clients[i], near.ping->wire, near.ping->wire_len, near.ping->wire_len);
}

static void session_open(int kinds)
{
    static size_t sessions;
    size_t n = 2;
    clients_make(2 + 3 + 1);
    for (int kind = FROZEN; kind <= SLOW; kind <<= 1)
        n += !!(kinds & kind);
    client_count = n;
    named(&clients[0], "cli", 'n', sessions);
    for (size_t i = 1; i < n + 1; i++)
        named(&clients[i], "mobile", 'n', sessions);
    sessions++;
    struct client *next = &clients[2];
    struct client *frozen = kinds & FROZEN ? next++ : NULL;
    struct client *dead = kinds & DEAD ? next++ : NULL;
    struct client *slow = kinds & SLOW ? next++ : NULL;
    if (slow)
        on_slow_line(slow);
    for (size_t i = 2; i < n + 1; i++)
        clients[i].may_close = 1;
    clients_open(all, n, 1, 10);
    hold(0.1);
    near.cli = &clients[0];
    near.fast = &clients[1];
    near.allowance = 0;
    near.phone_due = now_s() + PHONE_PING_S;
    if (frozen)
        client_ignore(frozen);
    if (dead)
        client_vanish(dead);
    if (slow)
        client_ignore(slow);
    near.slow = slow;
}

static void session_close(void)
{
    for (size_t i = 0; i < client_count; i++)
        client_drop(&clients[i]);
    near.cli = near.fast = near.slow = NULL;
    hold(0.2);
    clients_free();
}

static void save(void)
{
    near.came_at = near.taken_at = 0;
    near.saved_at = now_s();
    client_send(near.cli, near.save->wire, near.save->wire_len, near.save->wire_len);
}

/* Saves in a session of its own; true if all of them arrived. */
static int saves_in(int kinds, size_t saves, double limit_s, struct times *t)
{
    int in_time = 1;
    session_open(kinds);
    double begin = now_s();
    for (size_t i = 0; i < saves && in_time; i++) {
        save();
        while (in_time && !(near.came_at && near.taken_at)) {
            loop_step(5);
            in_time = now_s() - begin < limit_s;
        }
        double delay = (near.came_at ? near.came_at : now_s()) - near.saved_at;
        double upload = (near.taken_at ? near.taken_at : now_s()) - near.saved_at;
        t->saves++;
        t->delay += delay;
        t->upload += upload;
        if (delay > t->longest)
            t->longest = delay;
        hold(0.05);
    }
    t->given_up += !in_time;
    session_close();
    return in_time;
}

static void print_times(const char *name, const struct times *t)
{
    printf("%s_delay_ms %.3f\n%s_upload_ms %.3f\n%s_longest_ms %.3f\n%s_given_up %zu\n", name,
        t->delay / t->saves * 1e3, name, t->upload / t->saves * 1e3, name, t->longest * 1e3, name,
        t->given_up);
}

/* The phone's network goes while its CLI saves; it is back on a new connection. */
static void back(double away_s, double limit_s)
{
    session_open(0);
    struct client *gone = &clients[1], *again = &clients[2];
    gone->may_close = 1;
    client_vanish(gone);
    save();
    hold(away_s);
    near.fast = again;
    near.came_at = 0;
    client_count = 3;
    double begin = now_s();
    int told = 0;
    client_open(again);
    while (!near.came_at && now_s() - begin < limit_s) {
        loop_step(5);
        if (!told && again->state == OPEN) {
            told = 1;
            client_send(near.cli, near.save->wire, near.save->wire_len, near.save->wire_len);
        }
    }
    printf("back_ms %.3f\nback_given_up %d\n",
        ((near.came_at ? near.came_at : now_s()) - begin) * 1e3, !near.came_at);
    session_close();
}

void case_neighbours(void)
{
    static const struct { const char *name; int kinds; } rows[] = {
        {"frozen", FROZEN}, {"dead", DEAD}, {"slow", SLOW}, {"all", FROZEN | DEAD | SLOW},
    };
    struct times alone = {0}, warm = {0}, beside[4] = {{0}};
    size_t saves = number("saves", 10);
    double limit_s = number("limit_s", 20);
    near.ping = ping_script();
    near.save = script_join(script_load(text("script", "")), near.ping);
    near.rate = number("rate", 300e3);
    on_payload = neighbour_payload;
    on_pong = neighbour_pong;
    loop_watch_timer(ticking(TICK_S), neighbour_tick);
    if (!saves_in(0, 3, limit_s, &warm))
        die("a phone that is alone did not get its bundle in %g s", limit_s);
    measure_from_here();
    for (size_t i = 0; i < 4; i++) {
        if (!saves_in(0, saves, limit_s, &alone))
            die("a phone that is alone did not get its bundle in %g s", limit_s);
        saves_in(rows[i].kinds, saves, limit_s, &beside[i]);
    }
    back(number("away_s", 3), limit_s);
    measured_up_to_here();
    print_times("alone", &alone);
    for (size_t i = 0; i < 4; i++)
        print_times(rows[i].name, &beside[i]);
}
