/*
 * What the server used, read from outside: its CPU clocks, its memory, and who else ran on
 * the cores meanwhile.  A case calls measure_from_here and, later, measured_up_to_here,
 * which prints what lies between.
 */
#ifndef METER_H
#define METER_H

#include <stdint.h>

/* Payload delivered so far; the cases count it. */
extern uint64_t all_bytes, all_messages;

void servers_find(const char *pid_list); /* comma-separated */
double servers_cpu_s(void);
double servers_kib(const char *field); /* of /proc/PID/status, summed */
void servers_forget_peak(void);

void measure_from_here(void);
void measured_up_to_here(void);

#endif
