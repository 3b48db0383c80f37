/*
 * The floor: the least a relay on sockets can do, as a yardstick for the others.
 *
 *   epoll, recv into one buffer, XOR unmask towards its front, send to every sink.
 *
 * No UTF-8 check, no limits, no notices, no answer to pings (they are forwarded like
 * anything else); only the frame headers are read.  It does keep one rule of a real
 * relay: a source whose sink is full is not read from, so memory stays bounded.
 * `floor PORT`, one session per path end: /cli/NAME sends to all of /mobile/NAME and
 * the other way round.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK = 128 * 1024, HEADER = 14, SINKS = 8, SESSION = 64, EVENTS = 256 };

struct conn {
    int fd, mobile, open, polled;
    char session[SESSION];
    struct conn *next; /* of all connections */
    struct conn *sinks[SINKS];
    int sink_count;
    int waits_for; /* sinks with something pending: not read from until none has */
    uint8_t stash[HEADER]; /* a header that was cut by the end of a block */
    size_t stashed;
    uint64_t left; /* payload of the current frame still to come */
    uint8_t mask[4];
    uint8_t *pending; /* what a sink did not take */
    size_t pending_at, pending_len;
};

static int loop;
static struct conn *conns;
static uint8_t block[BLOCK + HEADER];

/* ---- SHA-1 and base64, for the handshake alone ---- */

static uint32_t rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
    static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80], s[5];
    for (int i = 0; i < 80; i++)
        w[i] = i < 16 ? (uint32_t)p[i * 4] << 24 | p[i * 4 + 1] << 16 | p[i * 4 + 2] << 8 | p[i * 4 + 3]
                      : rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20 ? (s[1] & s[2]) | (~s[1] & s[3])
            : i < 40 || i >= 60 ? s[1] ^ s[2] ^ s[3]
                                : (s[1] & s[2]) | (s[1] & s[3]) | (s[2] & s[3]);
        uint32_t t = rotate(s[0], 5) + f + s[4] + k[i / 20] + w[i];
        s[4] = s[3];
        s[3] = s[2];
        s[2] = rotate(s[1], 30);
        s[1] = s[0];
        s[0] = t;
    }
    for (int i = 0; i < 5; i++)
        h[i] += s[i];
}

/* The key and the RFC's GUID are 60 bytes together: always two blocks of SHA-1. */
static void accept_of(const char *key, char out[29])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t text[128] = {0}, digest[21] = {0};
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    memcpy(text, key, 24);
    memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    text[60] = 0x80;
    text[126] = 60 * 8 >> 8;
    text[127] = 60 * 8 & 0xff;
    sha1_block(h, text);
    sha1_block(h, text + 64);
    for (int i = 0; i < 20; i++)
        digest[i] = h[i / 4] >> (24 - i % 4 * 8);
    for (int i = 0; i < 7; i++) {
        uint32_t three = digest[i * 3] << 16 | digest[i * 3 + 1] << 8 | digest[i * 3 + 2];
        for (int j = 0; j < 4; j++)
            out[i * 4 + j] = digits[three >> (18 - j * 6) & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

/* ---- connections ---- */

static void poll_for(struct conn *c, int events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (c->polled != events)
        epoll_ctl(loop, EPOLL_CTL_MOD, c->fd, &e);
    c->polled = events;
}

static void poll_again(struct conn *c)
{
    poll_for(c, (c->waits_for ? 0 : EPOLLIN) | (c->pending_len ? EPOLLOUT : 0));
}

static void sources_of(struct conn *sink, int change)
{
    for (int i = 0; i < sink->sink_count; i++) {
        sink->sinks[i]->waits_for += change;
        poll_again(sink->sinks[i]);
    }
}

static void drop(struct conn *c)
{
    for (struct conn **at = &conns; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    if (c->pending_len)
        sources_of(c, -1);
    for (int i = 0; i < c->sink_count; i++) {
        struct conn *other = c->sinks[i];
        for (int j = 0; j < other->sink_count; j++)
            if (other->sinks[j] == c)
                other->sinks[j--] = other->sinks[--other->sink_count];
    }
    close(c->fd);
    free(c->pending);
    free(c);
}

static void send_to(struct conn *sink, const uint8_t *p, size_t n)
{
    ssize_t sent = sink->pending_len ? 0 : send(sink->fd, p, n, MSG_NOSIGNAL);
    if (sent < 0)
        sent = errno == EAGAIN ? 0 : (ssize_t)n; /* a broken sink is seen by its own recv */
    if ((size_t)sent == n)
        return;
    n -= sent;
    /* Only another source of the same sink can find something pending here. */
    size_t had = sink->pending_len;
    uint8_t *now = malloc(had + n);
    if (!now)
        abort();
    if (had)
        memcpy(now, sink->pending + sink->pending_at, had);
    memcpy(now + had, p + sent, n);
    free(sink->pending);
    sink->pending = now;
    sink->pending_at = 0;
    sink->pending_len = had + n;
    if (!had)
        sources_of(sink, 1);
    poll_again(sink);
}

static void flush(struct conn *sink)
{
    ssize_t sent = send(sink->fd, sink->pending + sink->pending_at, sink->pending_len, MSG_NOSIGNAL);
    if (sent <= 0)
        return;
    sink->pending_at += sent;
    sink->pending_len -= sent;
    if (!sink->pending_len) {
        free(sink->pending);
        sink->pending = NULL;
        sources_of(sink, -1);
        poll_again(sink);
    }
}

/* ---- frames ---- */

/* XOR n bytes from `from` to `to`, which is not above it and may overlap it. */
static void unmask(uint8_t *to, const uint8_t *from, size_t n, const uint8_t mask[4])
{
    typedef uint8_t wide __attribute__((vector_size(32)));
    wide key, v;
    size_t i = 0;
    for (int k = 0; k < 32; k++)
        key[k] = mask[k & 3];
    for (; i + 32 <= n; i += 32) {
        memcpy(&v, from + i, 32);
        v ^= key;
        memcpy(to + i, &v, 32);
    }
    for (; i < n; i++)
        to[i] = from[i] ^ mask[i & 3];
}

/* Client frames in block[0..n) become server frames at its front; their length. */
static size_t translate(struct conn *c, size_t n)
{
    size_t in = 0, out = 0;
    while (in < n) {
        if (c->left) {
            size_t take = n - in < c->left ? n - in : c->left;
            unmask(block + out, block + in, take, c->mask);
            uint8_t turned[4];
            for (int i = 0; i < 4; i++)
                turned[i] = c->mask[(take + i) & 3];
            memcpy(c->mask, turned, 4);
            c->left -= take;
            in += take;
            out += take;
            continue;
        }
        uint8_t *h = block + in;
        size_t rest = n - in, len7 = rest > 1 ? h[1] & 0x7f : 0;
        size_t plain = len7 == 127 ? 10 : len7 == 126 ? 4 : 2;
        if (rest < 2 || rest < plain + 4) {
            memcpy(c->stash, h, rest);
            c->stashed = rest;
            break;
        }
        uint64_t len = plain == 2 ? len7 : 0;
        for (size_t i = 2; i < plain; i++)
            len = len << 8 | h[i];
        c->left = len;
        memcpy(c->mask, h + plain, 4);
        memmove(block + out, h, plain);
        block[out + 1] &= 0x7f;
        in += plain + 4;
        out += plain;
    }
    return out;
}

static void welcome(struct conn *c, size_t n)
{
    static const char hello[] = "{\"type\":\"connected\"}";
    char answer[256], accepted[29];
    block[n] = 0;
    char *key = strcasestr((char *)block, "sec-websocket-key:");
    char role[16];
    if (!key || sscanf((char *)block, "GET /%15[^/]/%63[^/? ]", role, c->session) != 2) {
        drop(c);
        return;
    }
    key += 18;
    accept_of(key + strspn(key, " "), accepted);
    int len = snprintf(answer, sizeof answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\n\r\n\x81%c%s", accepted, (int)sizeof hello - 1, hello);
    c->mobile = !strcmp(role, "mobile");
    c->open = 1;
    for (struct conn *o = conns; o; o = o->next)
        if (o->open && o->mobile != c->mobile && !strcmp(o->session, c->session)
            && o->sink_count < SINKS && c->sink_count < SINKS) {
            o->sinks[o->sink_count++] = c;
            c->sinks[c->sink_count++] = o;
        }
    if (send(c->fd, answer, len, MSG_NOSIGNAL) != len)
        drop(c);
}

static void readable(struct conn *c)
{
    memcpy(block, c->stash, c->stashed);
    ssize_t n = recv(c->fd, block + c->stashed, BLOCK, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    if (!c->open) {
        welcome(c, n);
        return;
    }
    n += c->stashed;
    c->stashed = 0;
    size_t out = translate(c, n);
    for (int i = 0; out && i < c->sink_count; i++)
        send_to(c->sinks[i], block, out);
}

static void accept_all(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        if (!c)
            abort();
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        c->polled = EPOLLIN;
        c->next = conns;
        conns = c;
        epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct epoll_event events[EVENTS], e = {.events = EPOLLIN, .data.ptr = NULL};
    struct rlimit files;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    at.sin_port = htons(argc > 1 ? atoi(argv[1]) : 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024)) {
        perror("floor");
        return 1;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    loop = epoll_create1(0);
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &e);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(loop, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) {
                accept_all(listener);
                continue;
            }
            if (events[i].events & EPOLLOUT && c->pending_len)
                flush(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                readable(c);
        }
    }
}
