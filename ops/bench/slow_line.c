/* The case `slow_line`; see load.c. */
#define _GNU_SOURCE
#include "answers.h"
#include "cases.h"
#include "common.h"
#include "meter.h"

#include <stdio.h>

static const double TICK_S = 0.01;

static struct {
    struct client *phone;
    double rate, allowance, gap_s, due;
} line;

static void line_tick(void)
{
    double now = now_s();
    if (line.allowance < line.rate * TICK_S) /* what it did not need is not saved up */
        line.allowance += line.rate * TICK_S;
    line.allowance -= client_take(line.phone, line.allowance);
    for (; line.due <= now; line.due += line.gap_s)
        pinger_tick();
}

void case_slow_line(void)
{
    double seconds = number("seconds", 20);
    struct script *script = script_load(text("script", ""));
    line.rate = number("rate", 120e3);
    line.gap_s = number("ping_gap_s", 0.5);
    if (script->wire_len / line.rate < seconds + 5)
        die("the bundle is over in %g s", script->wire_len / line.rate);
    clients_make(2);
    named(&clients[0], "cli", 'o', 0);
    named(&clients[1], "mobile", 'o', 0);
    line.phone = &clients[1];
    on_slow_line(line.phone);
    on_payload = count;
    clients_open(all, 2, 1, 10);
    hold(0.1);
    client_ignore(line.phone);
    pinger_use(line.phone, number("control", 1) ? script_control_ping() : ping_script());
    line.due = now_s() + 1; /* the bundle is on its way by then */
    client_send(&clients[0], script->wire, script->wire_len, script->wire_len);
    measure_from_here();
    answers_measure(seconds);
    loop_watch_timer(ticking(TICK_S), line_tick);
    hold(seconds);
    measured_up_to_here();
    pinger_print();
}
