/* See wsclient.h. */
#define _GNU_SOURCE
#include "wsclient.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BLOCK = 256 * 1024,
    HEAD_BYTES = 64, /* a frame's header, and a little */
    DISCARD_FROM = 4 * 1024, /* a stretch of payload worth a recv of its own */
    EVENTS = 256,
};

void (*on_payload)(struct client *c);
void (*on_block)(struct client *c);
void (*on_pong)(struct client *c);
size_t loop_piece = 1 << 20;
long loop_pause_us;

static int loop_fd = -1, loop_port, timer_fd = -1;
static void (*timer_tick)(void);
static uint8_t read_block[READ_BLOCK];
static size_t opening; /* clients between connect and welcome */

/* ---- small things ---- */

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

void die(const char *format, ...)
{
    va_list args;
    printf("error ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    exit(1);
}

/* ---- the loop ---- */

static void poll_for(struct client *c, int events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (c->polled == events)
        return;
    int op = !c->polled ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    if (epoll_ctl(loop_fd, op, c->fd, &e))
        die("epoll_ctl: %s", strerror(errno));
    c->polled = events;
}

static void closed(struct client *c, const char *why)
{
    if (!c->may_close)
        die("%s: %s after %llu messages", c->path, why, (unsigned long long)c->messages);
    if (c->state < OPEN)
        opening--;
    poll_for(c, 0);
    close(c->fd);
    c->fd = -1;
    c->state = CLOSED;
    c->out_left = 0;
}

static void flush(struct client *c)
{
    for (size_t sent = 0; c->out_left && sent < loop_piece;) {
        size_t piece = c->out_block - c->out_at;
        if (piece > c->out_left)
            piece = c->out_left;
        if (piece > loop_piece)
            piece = loop_piece;
        ssize_t n = send(c->fd, c->out + c->out_at, piece, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN)
                break;
            closed(c, strerror(errno));
            return;
        }
        sent += n;
        c->out_left -= n;
        c->out_at = (c->out_at + n) % c->out_block;
        if ((size_t)n < piece)
            break;
    }
    poll_for(c, (c->ignored ? 0 : EPOLLIN) | (c->out_left ? EPOLLOUT : 0));
}

void client_send(struct client *c, const uint8_t *block, size_t block_len, uint64_t total)
{
    if (c->state != OPEN)
        return;
    if (c->out != block) {
        if (c->out_left)
            die("%s: a second block before the first was sent", c->path);
        c->out = block;
        c->out_block = block_len;
        c->out_at = 0;
    }
    c->out_left += total;
    if (c->out_left)
        flush(c);
}

/* ---- coming in ---- */

static void message_done(struct client *c)
{
    static const char bundle[] = "{\"type\":\"bundle", console[] = "{\"type\":\"console_log\"";
    static const char pong[] = "{\"type\":\"pong\"";
    int payload;
    if (c->deflate) /* the start says nothing: a notice is short, a bundle is not */
        payload = c->message_len > 4096;
    else
        payload = !memcmp(c->start, bundle, sizeof bundle - 1)
            || !memcmp(c->start, console, START_BYTES);
    if (c->state == WELCOME) {
        c->state = OPEN;
        opening--;
    }
    if (!payload) {
        if (!c->deflate && !memcmp(c->start, pong, sizeof pong - 1))
            on_pong(c);
        return;
    }
    if (c->check) {
        if (c->check_off)
            die("%s: message %zu differs at its start", c->path, c->check_next);
        if (c->message_len != c->check->payload_len[c->check_next])
            die("%s: message %zu has %llu bytes, not %zu", c->path, c->check_next,
                (unsigned long long)c->message_len, c->check->payload_len[c->check_next]);
        c->check_next = (c->check_next + 1) % c->check->messages;
    }
    c->messages++;
    c->bytes += c->message_len;
    c->compressed_messages += c->rsv1;
    on_payload(c);
}

static void check_bytes(struct client *c, const uint8_t *p, size_t n)
{
    size_t at = c->message_len, len = c->check->payload_len[c->check_next];
    const uint8_t *expected = c->check->payload[c->check_next];
    if (at == 0) /* one of the relay's own messages is not compared */
        c->check_off = memcmp(p, expected, n < 12 ? n : 12) != 0;
    if (!c->check_off && (at + n > len || memcmp(p, expected + at, n)))
        die("%s: message %zu differs after byte %zu", c->path, c->check_next, at);
}

static void payload_bytes(struct client *c, const uint8_t *p, size_t n)
{
    if (!c->control) {
        if (c->check && c->state == OPEN && n)
            check_bytes(c, p, n);
        for (size_t i = 0; i < n && c->start_have < START_BYTES;)
            c->start[c->start_have++] = p[i++];
        c->message_len += n;
    }
    c->frame_left -= n;
    if (c->frame_left)
        return;
    c->head_have = 0;
    if ((c->head[0] & 0x0f) == 10)
        on_pong(c);
    if (!c->control && c->final) {
        message_done(c);
        c->in_message = 0;
    }
}

/* One more byte of a header; true when the header is complete. */
static int header_byte(struct client *c, uint8_t b)
{
    c->head[c->head_have++] = b;
    if (c->head_have < 2)
        return 0;
    unsigned len7 = c->head[1] & 0x7f, need = len7 == 126 ? 4 : len7 == 127 ? 10 : 2;
    if (c->head_have < need)
        return 0;
    uint64_t len = len7;
    if (need > 2) {
        len = 0;
        for (unsigned i = 2; i < need; i++)
            len = len << 8 | c->head[i];
    }
    c->control = c->head[0] & 0x08;
    c->frame_left = len;
    if ((c->head[0] & 0x0f) == 8 && c->state != LEAVING)
        closed(c, "close frame");
    else if (!c->control) {
        c->final = c->head[0] >> 7;
        if (!c->in_message) {
            c->in_message = 1;
            c->rsv1 = c->head[0] >> 6 & 1;
            c->message_len = c->start_have = 0;
            memset(c->start, 0, START_BYTES);
        }
    }
    return 1;
}

static void frames(struct client *c, const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    while (p < end && c->state != CLOSED) {
        if (!c->frame_left) {
            if (!header_byte(c, *p++))
                continue;
            if (c->state != CLOSED && !c->frame_left)
                payload_bytes(c, p, 0);
            continue;
        }
        size_t take = end - p;
        if (take > c->frame_left)
            take = c->frame_left;
        payload_bytes(c, p, take);
        p += take;
    }
}

static void handshake_done(struct client *c, uint8_t *p, size_t n)
{
    /* The answer to our request fits one packet: no relay here sends it in two. */
    uint8_t *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end || memcmp(p, "HTTP/1.1 101", 12)) {
        if (c->may_close) {
            closed(c, "refused");
            return;
        }
        die("%s: no upgrade: %.*s", c->path, n < 200 ? (int)n : 200, p);
    }
    *end = 0;
    c->deflate = strcasestr((char *)p, "permessage-deflate") != NULL;
    c->state = WELCOME;
    end += 4;
    frames(c, end, p + n - end);
}

static int discards(const struct client *c)
{
    return c->frame_left >= DISCARD_FROM && !c->control && c->start_have == START_BYTES && !c->check;
}

static void readable(struct client *c)
{
    /* Behind payload that wasn't copied comes a header, and then more of that: whatever frames a
     * server makes, little of them is copied here. */
    size_t most = sizeof read_block, taken = 0;
    ssize_t n = -1;
    while (taken < loop_piece && c->state != CLOSED) {
        if (discards(c)) {
            size_t want = c->frame_left < loop_piece ? c->frame_left : loop_piece;
            n = recv(c->fd, NULL, want, MSG_TRUNC); /* takes, and copies nothing */
            if (n <= 0)
                break;
            payload_bytes(c, NULL, n);
            on_block(c);
            most = HEAD_BYTES;
        } else {
            n = recv(c->fd, read_block, most, 0);
            if (n <= 0)
                break;
            if (c->state == HANDSHAKE)
                handshake_done(c, read_block, n);
            else
                frames(c, read_block, n);
            on_block(c);
            if ((size_t)n < most || !discards(c))
                return;
        }
        taken += n;
    }
    if (n == 0)
        closed(c, "end of stream");
    else if (n < 0 && errno != EAGAIN)
        closed(c, strerror(errno));
}

static void writable(struct client *c)
{
    char request[512];
    if (c->state != CONNECTING) {
        if (c->out_left)
            flush(c);
        return;
    }
    int problem = 0;
    socklen_t size = sizeof problem;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem)
        die("%s: connect: %s", c->path, strerror(problem));
    int n = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: YmVuY2gtbG9hZC1nZW5lcg==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
        c->path, c->port ? c->port : loop_port,
        c->offer_deflate ? "Sec-WebSocket-Extensions: permessage-deflate; "
                           "client_no_context_takeover; server_no_context_takeover\r\n"
                         : "");
    if (send(c->fd, request, n, MSG_NOSIGNAL) != n)
        die("%s: cannot send the request", c->path);
    c->state = HANDSHAKE;
    poll_for(c, EPOLLIN);
}

void loop_start(int port)
{
    loop_port = port;
    loop_fd = epoll_create1(EPOLL_CLOEXEC);
    prctl(PR_SET_TIMERSLACK, 1000UL); /* in ns: a pause is as long as it says */
}

void loop_watch_timer(int fd, void (*on_tick)(void))
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    timer_fd = fd;
    timer_tick = on_tick;
    epoll_ctl(loop_fd, EPOLL_CTL_ADD, fd, &e);
}

void loop_step(int timeout_ms)
{
    struct epoll_event events[EVENTS];
    uint64_t ticks;
    int n = epoll_wait(loop_fd, events, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;
        if (!c) {
            if (read(timer_fd, &ticks, sizeof ticks) == sizeof ticks)
                while (ticks--)
                    timer_tick();
            continue;
        }
        if (c->state != CLOSED && events[i].events & EPOLLOUT)
            writable(c);
        if (c->state > CONNECTING && c->state != CLOSED
            && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            readable(c);
    }
    if (n > 0 && loop_pause_us) {
        struct timespec pause = {0, loop_pause_us * 1000};
        nanosleep(&pause, NULL);
    }
}

/* ---- opening and closing ---- */

void client_prepare(struct client *c, const char *role, const char *session)
{
    memset(c, 0, sizeof *c);
    c->fd = -1;
    snprintf(c->path, sizeof c->path, "/%s/%s", role, session);
}

void client_open(struct client *c)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(c->port ? c->port : loop_port),
    };
    int one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (c->receive_buffer)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &c->receive_buffer, sizeof c->receive_buffer);
    if (c->segment)
        setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &c->segment, sizeof c->segment);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    c->state = CONNECTING;
    poll_for(c, EPOLLOUT);
    opening++;
}

void clients_open(struct client **list, size_t n, size_t at_once, double limit_s)
{
    double until = now_s() + limit_s;
    for (size_t next = 0; next < n || opening;) {
        while (next < n && opening < at_once)
            client_open(list[next++]);
        loop_step(100);
        if (now_s() > until)
            die("%zu of %zu clients were not welcomed in %g s", opening + n - next, n, limit_s);
    }
}

void client_ignore(struct client *c)
{
    c->ignored = 1;
    poll_for(c, c->out_left ? EPOLLOUT : 0);
}

size_t client_take(struct client *c, size_t most)
{
    if (most > sizeof read_block)
        most = sizeof read_block;
    if (c->state != OPEN || !most)
        return 0;
    ssize_t n = recv(c->fd, read_block, most, 0);
    if (n > 0)
        frames(c, read_block, n);
    else if (n == 0)
        closed(c, "end of stream");
    else if (errno != EAGAIN)
        closed(c, strerror(errno));
    return n > 0 ? n : 0;
}

/* As if its network were gone: the server's packets are neither acknowledged nor refused. */
void client_vanish(struct client *c)
{
    struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = 1, .filter = &drop_all};
    client_ignore(c);
    if (setsockopt(c->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program))
        die("SO_ATTACH_FILTER: %s", strerror(errno));
}

void client_leave(struct client *c, const struct script *close)
{
    if (c->state != OPEN)
        die("%s: the server has closed", c->path);
    client_send(c, close->wire, close->wire_len, close->wire_len);
    if (c->state == OPEN)
        c->state = LEAVING;
}

void client_drop(struct client *c)
{
    struct linger reset = {.l_onoff = 1};
    if (c->fd < 0)
        return;
    poll_for(c, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(c->fd);
    c->fd = -1;
    c->state = CLOSED;
}
