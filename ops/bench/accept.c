/*
 * The case `accept`: crowds of a CLI and a phone for each session come, are welcomed, and leave
 * with a Close, one crowd after the other.  See load.c.
 */
#define _GNU_SOURCE
#include "cases.h"
#include "common.h"
#include "meter.h"

#include <stdio.h>

static const double LIMIT_S = 20; /* for a crowd to come, or to leave */

static struct {
    const struct script *close;
    size_t at_once;
    double connect_s, leave_s; /* CPU of the server */
} crowd;

static void come_and_leave(size_t first)
{
    double before = servers_cpu_s(), open, limit;

    for (size_t i = 0; i < client_count; i++) {
        named(all[i], i % 2 ? "mobile" : "cli", 'a', first + i / 2);
        all[i]->may_close = 1;
    }
    clients_open(all, client_count, crowd.at_once, LIMIT_S);
    open = servers_cpu_s();
    crowd.connect_s += open - before;
    for (size_t i = 0; i < client_count; i++)
        client_leave(all[i], crowd.close);
    limit = now_s() + LIMIT_S;
    for (size_t i = 0; i < client_count;) {
        if (all[i]->state == CLOSED)
            i++;
        else if (now_s() > limit)
            die("%s: the server has not closed", all[i]->path);
        else
            loop_step(100);
    }
    crowd.leave_s += servers_cpu_s() - open;
}

void case_accept(void)
{
    size_t n = number("clients", 3000), each = number("crowd", 64), warm = number("warm", 640);
    size_t crowds = (n + each - 1) / each, next = 0;

    crowd.close = script_close();
    crowd.at_once = number("at_once", 32);
    on_payload = nothing;
    clients_make(each);
    for (; next < warm / 2; next += each / 2)
        come_and_leave(next);
    hold(0.2);
    crowd.connect_s = crowd.leave_s = 0;
    measure_from_here();
    for (size_t i = 0; i < crowds; i++, next += each / 2)
        come_and_leave(next);
    measured_up_to_here();
    printf("clients %zu\nconnect_cpu_us %.2f\nleave_cpu_us %.2f\n", crowds * each,
        crowd.connect_s * 1e6 / (crowds * each), crowd.leave_s * 1e6 / (crowds * each));
}
