/*
 * What the cases of the load generator share: their arguments, their clients, the messages
 * that they send, timers.
 */
#ifndef COMMON_H
#define COMMON_H

#include "wsclient.h"

enum { SMALL_BYTES = 200, SMALL_BLOCK = 256 };

void arguments_are(int count, char **list);
const char *text(const char *key, const char *otherwise);
double number(const char *key, double otherwise);

/* All clients of a case; `all` has a pointer to each, as clients_open wants them. */
extern struct client *clients, **all;
extern size_t client_count;

void clients_make(size_t n);
void clients_free(void); /* all are closed */
/* Who a client is: its role, and its session by a letter and a number. */
void named(struct client *c, const char *role, char kind, size_t session);

/* Before it connects: buffers and segments as a phone has them on a line that is slow, so that
 * the server's kernel takes no more for it than there. */
void on_slow_line(struct client *c);

/* For on_payload and its like. */
void nothing(struct client *c);
void count(struct client *c);
extern uint64_t all_compressed; /* messages counted that came compressed */

struct script *small_script(void); /* SMALL_BLOCK messages of SMALL_BYTES */
struct script *ping_script(void);  /* one application ping */

int ticking(double every_s); /* a descriptor for loop_watch_timer */
void hold(double seconds);   /* let the loop run */

#endif
