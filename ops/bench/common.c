/* See common.h. */
#define _GNU_SOURCE
#include "common.h"
#include "meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

static int argument_count;
static char **arguments;

void arguments_are(int count, char **list)
{
    argument_count = count;
    arguments = list;
}

const char *text(const char *key, const char *otherwise)
{
    size_t len = strlen(key);
    for (int i = 2; i < argument_count; i++)
        if (!strncmp(arguments[i], key, len) && arguments[i][len] == '=')
            return arguments[i] + len + 1;
    return otherwise;
}

double number(const char *key, double otherwise)
{
    const char *s = text(key, NULL);
    return s ? atof(s) : otherwise;
}

/* ---- clients ---- */

struct client *clients, **all;
size_t client_count;
uint64_t all_compressed;

void clients_make(size_t n)
{
    clients = calloc(n, sizeof *clients);
    all = calloc(n, sizeof *all);
    if (!clients || !all)
        die("out of memory");
    client_count = n;
    for (size_t i = 0; i < n; i++)
        all[i] = &clients[i];
}

void clients_free(void)
{
    free(clients);
    free(all);
    clients = NULL;
    all = NULL;
    client_count = 0;
}

void named(struct client *c, const char *role, char kind, size_t session)
{
    char id[64];
    snprintf(id, sizeof id, "%s%c%05zu", text("tag", "Bench"), kind, session);
    client_prepare(c, role, id);
    if (!strcmp(role, "mobile"))
        c->port = number("phone_port", 0);
}

void on_slow_line(struct client *c)
{
    c->receive_buffer = 65536;
    c->segment = 1400;
}

void nothing(struct client *c)
{
    (void)c;
}

void count(struct client *c)
{
    all_messages++;
    all_bytes += c->message_len;
    all_compressed += c->rsv1;
}

/* ---- messages ---- */

struct script *small_script(void)
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

struct script *ping_script(void)
{
    static const char ping[] = "{\"type\":\"ping\",\"timestamp\":1700000000000}";
    return script_repeat(ping, sizeof ping - 1, 1);
}

/* ---- time ---- */

int ticking(double every_s)
{
    long ns = every_s * 1e9;
    struct itimerspec when = {{ns / 1000000000, ns % 1000000000}, {ns / 1000000000, ns % 1000000000}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    timerfd_settime(fd, 0, &when, NULL);
    return fd;
}

void hold(double seconds)
{
    for (double until = now_s() + seconds; now_s() < until;)
        loop_step(20);
}
