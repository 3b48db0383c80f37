/* What clients send, as frames that are built and masked beforehand. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stddef.h>
#include <stdint.h>

/* Messages as they will be on the wire, and as they should arrive. */
struct script {
    uint8_t *wire; /* masked client frames, one after the other */
    size_t wire_len;
    size_t messages;
    uint8_t **payload; /* each message unmasked, for the check of what arrives */
    size_t *payload_len;
    int *compressed; /* RSV1 of each message */
};

/* From the driver's file: for each message a 32-bit little-endian length, a flag byte
 * (1: compressed), the payload. */
struct script *script_load(const char *file);
/* One behind the other; there is nothing to check against. */
struct script *script_join(const struct script *a, const struct script *b);
/* A WebSocket ping, which is a control frame. */
struct script *script_control_ping(void);
/* A Close with 1000. */
struct script *script_close(void);
struct script *script_repeat(const char *text, size_t len, size_t times);

#endif
