/* The load generator's cases that have a file of their own; see load.c. */
#ifndef CASES_H
#define CASES_H

void case_accept(void);
void case_bundle(void);
void case_latency(void);
void case_saves(void);
void case_sessions(void);
void case_slow_line(void);
void case_storm(void);
void case_neighbours(void);

#endif
