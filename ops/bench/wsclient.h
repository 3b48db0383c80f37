/*
 * The load generator's WebSocket clients: many sockets, one epoll loop, nothing
 * computed while the clock runs.
 *
 * What a client sends was framed and masked beforehand, as one block of bytes; it may
 * go out in part or repeated.  What a client receives is not looked into beyond the
 * frame headers and the first bytes of a message, which tell a payload from the
 * relay's own words (welcome, notices, pong).  Payload is discarded inside the kernel
 * (recv with MSG_TRUNC) wherever a long stretch of it is known to come.
 *
 * Not a general client: server frames must be unmasked, pings are not answered (a client
 * that the server would miss sends application pings).
 */
#ifndef WSCLIENT_H
#define WSCLIENT_H

#include "script.h"

#include <stddef.h>
#include <stdint.h>

enum { START_BYTES = 20 };

enum client_state { CONNECTING, HANDSHAKE, WELCOME, OPEN, LEAVING, CLOSED };

struct client {
    int fd;
    enum client_state state;
    int index;           /* for the case's own use */
    struct client *peer; /* likewise */
    char path[96];
    int port; /* in: where to connect, 0 for that of loop_start */
    int offer_deflate; /* in: offer permessage-deflate; */
    int deflate;       /* out: the relay agreed to it */
    int receive_buffer; /* SO_RCVBUF in bytes, 0 for the kernel's choice */
    int segment;        /* the largest TCP segment in bytes, 0 for the loopback's, some 64 KiB */
    int may_close;     /* the relay may end this one: no error */
    int ignored;       /* nobody reads it, but for client_take */

    /* going out: out_left bytes of the block, repeated, from out_at on */
    const uint8_t *out;
    size_t out_block, out_at;
    uint64_t out_left;
    uint64_t owed; /* messages a case has decided to send after this block */
    int polled;    /* epoll interest as it is set now */

    /* coming in */
    uint8_t head[10];
    unsigned head_have;
    int final, in_message, rsv1;
    int control;         /* the frame now being read is a control frame */
    uint64_t frame_left; /* payload of this frame still to come */
    uint64_t message_len;
    uint8_t start[START_BYTES];
    unsigned start_have;
    uint64_t messages, bytes; /* payload messages received and their bytes */
    uint64_t compressed_messages;
    const struct script *check; /* compare what arrives against this, byte by byte */
    size_t check_next;
    int check_off; /* this message is one of the relay's own */
};

/* Called for each payload message received, after each block with any, and for each pong: a
 * pong frame, or an application's that is not compressed. */
extern void (*on_payload)(struct client *c);
extern void (*on_block)(struct client *c);
extern void (*on_pong)(struct client *c);

/* The most one socket sends or discards before the others have their turn. */
extern size_t loop_piece;

/* Rest after each round of events, so that a server which writes every message by itself
 * does not wake us for each: cheaper for both sides. */
extern long loop_pause_us;

void loop_start(int port);
void loop_step(int timeout_ms);
void loop_watch_timer(int fd, void (*on_tick)(void));

void client_prepare(struct client *c, const char *role, const char *session);
void clients_open(struct client **list, size_t n, size_t at_once, double limit_s);
void client_send(struct client *c, const uint8_t *block, size_t block_len, uint64_t total);
void client_open(struct client *c);   /* begin to connect */
void client_ignore(struct client *c); /* leave its socket open and never read it again */
size_t client_take(struct client *c, size_t most); /* but so much, if it is there */
void client_vanish(struct client *c); /* from now on its kernel drops all that comes for it */
/* Send a Close, which is all of `close`; the connection ends when the server ends it. */
void client_leave(struct client *c, const struct script *close);
void client_drop(struct client *c);   /* close with a reset: nothing lingers */

double now_s(void);
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
