/*
 * How long answers take that come in the order of what was sent: short messages through
 * the server, or pongs.  Sent at a fixed rate, whether or not the last was answered, so a
 * server that stands still is late for all that was due meanwhile.
 */
#ifndef ANSWERS_H
#define ANSWERS_H

#include "wsclient.h"

enum { OUTSTANDING = 1 << 16 };

struct answers {
    double sent[OUTSTANDING];
    uint64_t first, next; /* the oldest unanswered, and one past the newest */
};

int answers_may_send(const struct answers *a);
void answers_sent(struct answers *a, double now);
void answers_came(struct answers *a);

/* What is sent from now on and for so long is measured. */
void answers_measure(double seconds);
/* After that time: wait for what is on its way, and print p50_ms, p99_ms, max_ms. */
void answers_print(struct answers *list, size_t n);

/* A client that sends a ping at each pinger_tick: one in a session of its own, which sends
 * application pings, or one that a case has. */
void pinger_make(struct client *c);
void pinger_use(struct client *c, struct script *ping);
void pinger_tick(void);
void pinger_print(void);

#endif
