/* See meter.h. */
#define _GNU_SOURCE
#include "meter.h"
#include "wsclient.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PIDS = 16 };

/* ---- the server, seen from outside ---- */

static pid_t pids[MOST_PIDS];
static clockid_t clocks[MOST_PIDS];
static int pid_count;

void servers_find(const char *pid_list)
{
    char *list = strdup(pid_list), *next = list, *one;
    while ((one = strsep(&next, ",")) && pid_count < MOST_PIDS) {
        if (!*one)
            continue;
        pids[pid_count] = atoi(one);
        if (clock_getcpuclockid(pids[pid_count], &clocks[pid_count]))
            die("process %s has no CPU clock", one);
        pid_count++;
    }
    free(list);
}

/* User and system time of all threads, ended ones too, to the nanosecond. */
double servers_cpu_s(void)
{
    double sum = 0;
    struct timespec t;
    for (int i = 0; i < pid_count; i++) {
        if (clock_gettime(clocks[i], &t))
            die("server %d is gone", pids[i]);
        sum += t.tv_sec + t.tv_nsec * 1e-9;
    }
    return sum;
}

double servers_kib(const char *field)
{
    double sum = 0;
    char line[256];
    for (int i = 0; i < pid_count; i++) {
        snprintf(line, sizeof line, "/proc/%d/status", pids[i]);
        FILE *f = fopen(line, "r");
        if (!f)
            die("server %d is gone", pids[i]);
        while (fgets(line, sizeof line, f))
            if (!strncmp(line, field, strlen(field)))
                sum += atof(line + strlen(field) + 1);
        fclose(f);
    }
    return sum;
}

/* From now on VmHWM is the peak since now.  Without the right to, it stays the peak
 * of the process's life, and the result is too high, not too low. */
void servers_forget_peak(void)
{
    char name[64];
    for (int i = 0; i < pid_count; i++) {
        snprintf(name, sizeof name, "/proc/%d/clear_refs", pids[i]);
        FILE *f = fopen(name, "w");
        if (f) {
            fputs("5", f);
            fclose(f);
        }
    }
}

static double own_cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* ---- who else was on the cores ---- */

/* Time in which a core did anything, from the kernel's own count (in 1/100 s). */
static double core_busy_s(int core)
{
    char line[512], name[16];
    double sum = 0;
    FILE *f = fopen("/proc/stat", "r");
    snprintf(name, sizeof name, "cpu%d ", core);
    while (f && fgets(line, sizeof line, f)) {
        unsigned long long user, nice, system, idle, wait, irq, softirq, steal;
        if (!strncmp(line, name, strlen(name))
            && sscanf(line + strlen(name), "%llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice,
                   &system, &idle, &wait, &irq, &softirq, &steal) == 8)
            sum = (user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK);
    }
    if (f)
        fclose(f);
    return sum;
}

/* The same for the cores that we may use, and for those of the server that we may not. */
static void cores_busy_s(double *ours, double *server)
{
    cpu_set_t own, its;
    *ours = *server = 0;
    if (sched_getaffinity(0, sizeof own, &own) || sched_getaffinity(pids[0], sizeof its, &its))
        return;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &own))
            *ours += core_busy_s(i);
        else if (CPU_ISSET(i, &its))
            *server += core_busy_s(i);
}

static int server_uses_our_cores(void)
{
    cpu_set_t own, its, both;
    if (sched_getaffinity(0, sizeof own, &own) || sched_getaffinity(pids[0], sizeof its, &its))
        return 0;
    CPU_AND(&both, &own, &its);
    return CPU_COUNT(&both) > 0;
}

/* ---- the measured part ---- */

static struct {
    double wall, cpu, own, server_cores, own_cores;
    uint64_t bytes, messages;
} mark;
uint64_t all_bytes, all_messages;

void measure_from_here(void)
{
    mark.bytes = all_bytes;
    mark.messages = all_messages;
    if (pid_count)
        cores_busy_s(&mark.own_cores, &mark.server_cores);
    mark.own = own_cpu_s();
    mark.cpu = servers_cpu_s();
    mark.wall = now_s();
}

void measured_up_to_here(void)
{
    double wall = now_s() - mark.wall, cpu = servers_cpu_s() - mark.cpu;
    double own = own_cpu_s() - mark.own;
    printf("wall_s %.6f\ncpu_s %.6f\nown_cpu_s %.6f\nbytes %llu\nmessages %llu\n", wall, cpu, own,
        (unsigned long long)(all_bytes - mark.bytes),
        (unsigned long long)(all_messages - mark.messages));
    if (!pid_count)
        return;
    double on_ours, on_servers;
    cores_busy_s(&on_ours, &on_servers);
    on_ours -= mark.own_cores + own;
    on_servers -= mark.server_cores;
    if (server_uses_our_cores()) { /* which of them its time was on is not known */
        on_servers += on_ours;
        on_ours = 0;
    }
    printf("others_on_server_core_s %.2f\nothers_on_own_core_s %.2f\n", on_servers - cpu, on_ours);
}
