/* See script.h. */
#include "script.h"
#include "wsclient.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
    if (!p)
        die("out of memory");
    return p;
}

enum { TEXT = 0x81, CLOSE = 0x88, PING = 0x89, COMPRESSED = 0x40 };

static size_t frame_append(uint8_t *to, const uint8_t *payload, size_t len, int first_byte)
{
    static uint32_t seed = 0x9e3779b9;
    uint8_t mask[4], *p = to;
    seed = seed * 1664525 + 1013904223;
    memcpy(mask, &seed, 4);
    *p++ = first_byte;
    if (len < 126) {
        *p++ = 0x80 | len;
    } else if (len < 65536) {
        *p++ = 0x80 | 126;
        *p++ = len >> 8;
        *p++ = len;
    } else {
        *p++ = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            *p++ = (uint64_t)len >> shift;
    }
    memcpy(p, mask, 4);
    p += 4;
    for (size_t i = 0; i < len; i++)
        p[i] = payload[i] ^ mask[i & 3];
    return p - to + len;
}

struct script *script_load(const char *file)
{
    FILE *f = fopen(file, "rb");
    if (!f)
        die("cannot open %s", file);
    fseek(f, 0, SEEK_END);
    size_t size = ftell(f);
    rewind(f);
    uint8_t *raw = must(malloc(size + 1));
    if (fread(raw, 1, size, f) != size)
        die("cannot read %s", file);
    fclose(f);

    struct script *s = must(calloc(1, sizeof *s));
    size_t most = size / 5 + 1;
    s->payload = must(calloc(most, sizeof *s->payload));
    s->payload_len = must(calloc(most, sizeof *s->payload_len));
    s->compressed = must(calloc(most, sizeof *s->compressed));
    s->wire = must(malloc(size + most * 16));
    for (size_t at = 0; at + 5 <= size; s->messages++) {
        uint32_t len;
        memcpy(&len, raw + at, 4);
        if (at + 5 + len > size)
            die("%s is cut short", file);
        s->compressed[s->messages] = raw[at + 4];
        s->payload[s->messages] = raw + at + 5;
        s->payload_len[s->messages] = len;
        s->wire_len += frame_append(s->wire + s->wire_len, raw + at + 5, len,
            raw[at + 4] ? TEXT | COMPRESSED : TEXT);
        at += 5 + len;
    }
    return s;
}

struct script *script_join(const struct script *a, const struct script *b)
{
    struct script *s = must(calloc(1, sizeof *s));
    s->wire_len = a->wire_len + b->wire_len;
    s->wire = must(malloc(s->wire_len));
    s->messages = a->messages + b->messages;
    memcpy(s->wire, a->wire, a->wire_len);
    memcpy(s->wire + a->wire_len, b->wire, b->wire_len);
    return s;
}

struct script *script_repeat(const char *text, size_t len, size_t times)
{
    struct script *s = must(calloc(1, sizeof *s));
    s->wire = must(malloc(times * (len + 14)));
    s->messages = times;
    for (size_t i = 0; i < times; i++)
        s->wire_len += frame_append(s->wire + s->wire_len, (const uint8_t *)text, len, TEXT);
    return s;
}

struct script *script_control_ping(void)
{
    struct script *s = must(calloc(1, sizeof *s));
    s->wire = must(malloc(14));
    s->wire_len = frame_append(s->wire, NULL, 0, PING);
    return s;
}

struct script *script_close(void)
{
    static const uint8_t normal[] = {1000 >> 8, 1000 & 0xff};
    struct script *s = must(calloc(1, sizeof *s));
    s->wire = must(malloc(sizeof normal + 14));
    s->wire_len = frame_append(s->wire, normal, sizeof normal, CLOSE);
    return s;
}
